//! A histogram of durations from microseconds to minutes, and bounds of its quantiles.

use crate::base::Nanos;

/// Buckets to a doubling: a quantile is right to a fifth.
const STEPS: usize = 4;

/// Doublings from the first bucket on: 1 µs to 19 h.
const DOUBLINGS: usize = 36;

const FIRST_NS: f64 = 1_000.0;

/// How often which duration was seen.
#[derive(Clone, Debug)]
pub struct Latencies {
    buckets: [u64; STEPS * DOUBLINGS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: [0; STEPS * DOUBLINGS] }
    }
}

impl Latencies {
    pub fn add(&mut self, latency: Nanos) {
        let doublings = (latency.0 as f64 / FIRST_NS).max(1.0).log2();
        let at = ((doublings * STEPS as f64) as usize).min(self.buckets.len() - 1);
        if let Some(bucket) = self.buckets.get_mut(at) {
            *bucket += 1;
        }
    }

    /// Latencies with these quantiles, which are ends of buckets.
    pub fn recalled(p50: Option<Nanos>, p99: Option<Nanos>) -> Self {
        let mut latencies = Self::default();
        // An end belongs to the next bucket.
        let inside = |end: Nanos| Nanos(end.0.saturating_sub(end.0 / 50));
        if let Some((p50, p99)) = p50.zip(p99) {
            (0..50).for_each(|_| latencies.add(inside(p50)));
            (0..50).for_each(|_| latencies.add(inside(p99)));
        }
        latencies
    }

    /// What a share `q` (0..=1) did not exceed, rounded up to the end of its bucket; `None` without any.
    pub fn quantile(&self, q: f64) -> Option<Nanos> {
        let total: u64 = self.buckets.iter().sum();
        let rank = ((total as f64 * q).ceil() as u64).max(1);
        let mut n_seen = 0;
        let at = self.buckets.iter().position(|n| {
            n_seen += n;
            n_seen >= rank
        })?;
        let end = FIRST_NS * ((at + 1) as f64 / STEPS as f64).exp2();
        Some(Nanos(end as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_a_fifth() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for n in 1..=1_000_u64 {
            latencies.add(Nanos(n * 10_000));
        }
        for (q, expected) in [(0.5, 5_000_000.0), (0.99, 9_900_000.0), (1.0, 10_000_000.0)] {
            let got = latencies.quantile(q).unwrap().0 as f64;
            assert!(got >= expected && got < expected * 1.2, "{q}: {got}");
        }
        latencies.add(Nanos(u64::MAX));
        assert!(latencies.quantile(1.0).is_some());
    }
}
