//! Memory of dead stores that is still there: where it is and whose it was. What the allocator does with it is not known here, only that it
//! was not given back to the kernel, as far as mapping events and scans tell.

use std::collections::BTreeMap;

use crate::base::{Bytes, Nanos};
use crate::event::StoreKind;
use crate::event::residency::RangeResidency;
use crate::model::limits::FREED_RANGES_MAX;
use crate::model::live::Store;
use crate::model::site::SiteId;

/// Stores that die younger and were never looked at are not remembered: they come and go by the hundred thousand.
const AGE_MIN: Nanos = Nanos::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    end: u64,
    site: SiteId,
    /// As of the last scan that began after the death.
    resident: Option<Bytes>,
}

/// Ranges without overlaps.
#[derive(Clone, Debug, Default)]
pub struct FreedMemory {
    ranges: BTreeMap<u64, Range>,
    /// Of a recording, which has the sums only.
    recalled: BTreeMap<SiteId, Bytes>,
    /// Not remembered, because of the limit.
    pub n_beyond_limit: u64,
}

impl FreedMemory {
    pub(super) fn recalled(sums: impl Iterator<Item = (SiteId, Bytes)>) -> Self {
        Self { recalled: sums.collect(), ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// What is to be looked at, `start..end`.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(start, range)| (*start, range.end))
    }

    /// Resident bytes by the site that had allocated them.
    pub fn resident_by_site(&self) -> BTreeMap<SiteId, Bytes> {
        let mut sums = self.recalled.clone();
        for range in self.ranges.values() {
            *sums.entry(range.site).or_default() += range.resident.unwrap_or_default();
        }
        sums
    }

    pub fn resident(&self) -> Bytes {
        self.ranges.values().filter_map(|range| range.resident).sum()
    }

    /// Bytes that no scan has looked at yet.
    pub fn unseen(&self) -> Bytes {
        let unseen = self.ranges.iter().filter(|(_, range)| range.resident.is_none());
        unseen.map(|(start, range)| Bytes(range.end.saturating_sub(*start))).sum()
    }

    pub(super) fn died(&mut self, store: &Store, at: Nanos) {
        let is_of_allocator = matches!(store.kind, StoreKind::Plain | StoreKind::Shared);
        let is_worth_it = store.residency.known().map_or_else(
            || at.since(store.birth) >= AGE_MIN,
            |known| known.pages.resident > Bytes(0),
        );
        if store.data == 0 || store.size == Bytes(0) || !is_of_allocator || !is_worth_it {
            return;
        }
        let end = store.data.saturating_add(store.size.0);
        self.remove(store.data, end);
        if self.ranges.len() >= FREED_RANGES_MAX {
            self.n_beyond_limit += 1;
            return;
        }
        self.ranges.insert(store.data, Range { end, site: store.site, resident: None });
    }

    /// A range has another use now; returns how much of it was known to be in memory.
    pub(super) fn remove(&mut self, start: u64, end: u64) -> Bytes {
        if self.ranges.is_empty() {
            return Bytes(0);
        }
        let touched: Vec<(u64, Range)> = self
            .ranges
            .range(..end)
            .rev()
            .take_while(|(_, range)| range.end > start)
            .map(|(at, range)| (*at, *range))
            .collect();
        let mut resident = Bytes(0);
        for (at, range) in touched {
            self.ranges.remove(&at);
            let cut = range.end.min(end).saturating_sub(at.max(start));
            let is_whole = range.resident == Some(Bytes(range.end.saturating_sub(at)));
            if is_whole {
                resident += Bytes(cut);
            }
            // What is left was whole or is not known any more.
            let left = |from: u64, to: u64| is_whole.then(|| Bytes(to.saturating_sub(from)));
            if at < start {
                self.ranges.insert(at, Range { end: start, resident: left(at, start), ..range });
            }
            if range.end > end {
                self.ranges.insert(end, Range { resident: left(end, range.end), ..range });
            }
        }
        resident
    }

    /// What a scan found. A range that has changed meanwhile was not looked at; one that is gone is forgotten.
    pub(super) fn scanned(&mut self, found: &[RangeResidency]) {
        for seen in found {
            let Some(range) = self.ranges.get_mut(&seen.start) else { continue };
            if range.end != seen.end {
                continue;
            }
            if seen.resident == Bytes(0) {
                self.ranges.remove(&seen.start);
            } else {
                range.resident = Some(seen.resident);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::residency::Residency;

    fn store(data: u64, size: u64) -> Store {
        let mut store = Store::blank();
        (store.data, store.size) = (data, Bytes(size));
        store.residency = Residency::resident(Bytes(size));
        store
    }

    fn seen(start: u64, end: u64, resident: u64) -> RangeResidency {
        RangeResidency { start, end, resident: Bytes(resident) }
    }

    fn all(freed: &FreedMemory) -> Vec<(u64, u64)> {
        freed.ranges().collect()
    }

    #[test]
    fn what_is_unmapped_or_used_again_is_no_longer_freed() {
        let mut freed = FreedMemory::default();
        freed.died(&store(1_000, 500), Nanos(9));
        freed.died(&store(3_000, 500), Nanos(9));
        freed.scanned(&[seen(1_000, 1_500, 500), seen(3_000, 3_500, 200)]);
        assert_eq!(freed.resident(), Bytes(700));
        // In the middle of the first: it was there before its birth.
        assert_eq!(freed.remove(1_100, 1_200), Bytes(100));
        assert_eq!(all(&freed), [(1_000, 1_100), (1_200, 1_500), (3_000, 3_500)]);
        assert_eq!(freed.resident(), Bytes(600));
        // Of the second it is not known which part was in memory.
        assert_eq!(freed.remove(3_400, 9_000), Bytes(0));
        assert_eq!(all(&freed), [(1_000, 1_100), (1_200, 1_500), (3_000, 3_400)]);
        assert_eq!(freed.resident(), Bytes(400));
    }

    #[test]
    fn what_a_scan_does_not_find_is_forgotten() {
        let mut freed = FreedMemory::default();
        freed.died(&store(1_000, 500), Nanos(9));
        freed.scanned(&[seen(1_000, 1_400, 0)]);
        assert_eq!(freed.len(), 1);
        freed.scanned(&[seen(1_000, 1_500, 0)]);
        assert!(freed.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn ranges_never_overlap(steps in proptest::collection::vec((0_u64..100, 1_u64..30, 0..2), 0..60)) {
            let mut freed = FreedMemory::default();
            let mut bytes = [false; 200];
            for (at, len, step) in steps {
                if step == 0 {
                    freed.died(&store(at + 1, len), Nanos(1));
                } else {
                    freed.remove(at + 1, at + 1 + len);
                }
                for byte in &mut bytes[at as usize..(at + len) as usize] {
                    *byte = step == 0;
                }
                let sum: u64 = freed.ranges().map(|(start, end)| end - start).sum();
                proptest::prop_assert_eq!(sum, bytes.iter().filter(|is| **is).count() as u64);
            }
        }
    }
}
