//! Histograms of how long stores live: in time and in major collections.

use crate::base::Nanos;

/// Buckets by time: bucket `n` ends at `LIFETIME_FIRST_NS << (2 * n)`, the last is open.
pub const N_LIFETIME_BUCKETS: usize = 16;

/// Upper end of the first bucket: 64 µs, shorter than any collection cycle. The last begins at 19 hours.
pub const LIFETIME_FIRST_NS: u64 = 64_000;

/// Buckets by major collections survived: 0, 1, 2, … the last is open.
pub const N_GC_BUCKETS: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
pub struct Lifetimes {
    pub by_time: [u64; N_LIFETIME_BUCKETS],
    pub by_majors: [u64; N_GC_BUCKETS],
}

impl Lifetimes {
    pub fn add(&mut self, lifetime: Nanos, n_majors: u32) {
        let at = time_bucket(lifetime);
        if let Some(bucket) = self.by_time.get_mut(at) {
            *bucket += 1;
        }
        let at = (n_majors as usize).min(N_GC_BUCKETS - 1);
        if let Some(bucket) = self.by_majors.get_mut(at) {
            *bucket += 1;
        }
    }

    /// From rows of a recording; what is too much is left out.
    pub(super) fn recalled(by_time: &[u64], by_majors: &[u64]) -> Self {
        let mut lifetimes = Self::default();
        lifetimes.by_time.iter_mut().zip(by_time).for_each(|(to, from)| *to = *from);
        lifetimes.by_majors.iter_mut().zip(by_majors).for_each(|(to, from)| *to = *from);
        lifetimes
    }

    pub(super) fn add_all(&mut self, other: &Self) {
        let add = |(to, from): (&mut u64, &u64)| *to = to.saturating_add(*from);
        self.by_time.iter_mut().zip(&other.by_time).for_each(add);
        self.by_majors.iter_mut().zip(&other.by_majors).for_each(add);
    }

    pub fn n_dead(&self) -> u64 {
        self.by_majors.iter().fold(0, |sum, n| sum.saturating_add(*n))
    }

    pub fn n_survived(&self, n_majors: usize) -> u64 {
        self.by_majors.iter().skip(n_majors).fold(0, |sum, n| sum.saturating_add(*n))
    }
}

fn time_bucket(lifetime: Nanos) -> usize {
    let mut end = LIFETIME_FIRST_NS;
    for at in 0..N_LIFETIME_BUCKETS - 1 {
        if lifetime.0 < end {
            return at;
        }
        end = end.saturating_mul(4);
    }
    N_LIFETIME_BUCKETS - 1
}

/// Upper end of a time bucket; `None` for the open one.
pub fn lifetime_bucket_end(at: usize) -> Option<Nanos> {
    (at + 1 < N_LIFETIME_BUCKETS).then(|| Nanos(LIFETIME_FIRST_NS << (2 * at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_below_the_end_of_its_bucket_and_not_below_the_one_before() {
        for ns in [0, 63_999, 64_000, 255_999, 256_000, 1_000_000_000, u64::MAX] {
            let at = time_bucket(Nanos(ns));
            assert!(lifetime_bucket_end(at).is_none_or(|end| ns < end.0), "{ns}");
            let before = at.checked_sub(1).and_then(lifetime_bucket_end);
            assert!(before.is_none_or(|end| ns >= end.0), "{ns}");
        }
    }
}
