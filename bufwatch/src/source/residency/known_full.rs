//! Stores that are in memory as a whole, which seldom changes: most looks at the process take them as they were, so that a look costs what
//! is left of the process. Whether that is right in the end is checked by the caller against RSS.

use crate::base::{FastMap, Nanos, StoreKey};
use crate::event::residency::PageBytes;
use crate::source::residency::StoreRange;
use crate::sys::pagemap::{PAGE_BYTES, PageRun, PageState};

/// A store is looked at again after between half of this and all of it, each at another time. That finds only what neither RSS nor the
/// probe of madvise tells: as much given back as came in elsewhere at once.
const LOOK_EVERY: Nanos = Nanos::from_secs(120);

/// Below this a look costs no more than remembering it.
const STORE_MIN: u64 = 256 << 10;

/// Parts of that length of the time between two looks.
const N_TURNS: u64 = 16;

#[derive(Clone, Copy, Debug)]
struct Full {
    start: u64,
    len: u64,
    is_huge: bool,
    due: Nanos,
}

/// Pages that need not be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FullRange {
    pub(super) start: u64,
    /// Exclusive.
    pub(super) end: u64,
    is_huge: bool,
}

impl FullRange {
    pub(super) const fn run(&self) -> PageRun {
        PageRun {
            start: self.start,
            end: self.end,
            state: PageState::Resident,
            is_huge: self.is_huge,
            is_file: false,
        }
    }
}

/// Stores that were found to be in memory as a whole.
#[derive(Debug, Default)]
pub(super) struct KnownFull {
    stores: FastMap<StoreKey, Full>,
}

impl KnownFull {
    /// What need not be looked at now, ascending and without overlaps. `stores` ascend; of `given_back` nothing is known any more.
    pub(super) fn ranges(
        &mut self,
        stores: &[StoreRange],
        given_back: &[(u64, u64)],
        now: Nanos,
    ) -> Vec<FullRange> {
        let mut ranges: Vec<FullRange> = Vec::new();
        for store in stores {
            let Some(full) = self.stores.get(&store.key) else { continue };
            let end = store.start.saturating_add(store.len);
            let is_touched = given_back.iter().any(|(from, to)| *from < end && *to > store.start);
            let is_same = full.start == store.start && full.len == store.len;
            if !is_same || is_touched || now >= full.due {
                self.stores.remove(&store.key);
                continue;
            }
            // Where a part of a page is in memory, all of it is.
            let floor = ranges.last().map_or(0, |last| last.end);
            let start = (store.start & !(PAGE_BYTES - 1)).max(floor);
            let end = end.checked_next_multiple_of(PAGE_BYTES).unwrap_or(end);
            if start < end {
                ranges.push(FullRange { start, end, is_huge: full.is_huge });
            }
        }
        ranges
    }

    /// What a look found; stores as they were asked for.
    pub(super) fn found(&mut self, stores: &[StoreRange], pages: &[PageBytes], now: Nanos) {
        let mut before = std::mem::take(&mut self.stores);
        for (store, pages) in stores.iter().zip(pages) {
            let is_uniform = pages.huge.0 == 0 || pages.huge == pages.resident;
            if store.len < STORE_MIN || pages.resident.0 < store.len || !is_uniform {
                continue;
            }
            let full = before.remove(&store.key).unwrap_or_else(|| Full {
                start: store.start,
                len: store.len,
                is_huge: pages.huge.0 > 0,
                due: due(store, now),
            });
            self.stores.insert(store.key, full);
        }
    }

    pub(super) fn forget(&mut self) {
        self.stores.clear();
    }
}

/// Stores that became full together are not due together.
fn due(store: &StoreRange, now: Nanos) -> Nanos {
    let turn = ((store.start / PAGE_BYTES) ^ (store.start / STORE_MIN)) % N_TURNS;
    let half = LOOK_EVERY.0 / 2;
    Nanos(now.0.saturating_add(half + half / N_TURNS * turn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Bytes;

    const LEN: u64 = 1 << 20;

    fn stores(n: u64) -> Vec<StoreRange> {
        let store = |n| StoreRange {
            key: StoreKey { address: n, id: 1 },
            start: n * (LEN + PAGE_BYTES) + 16,
            len: LEN,
            is_growable: false,
        };
        (1..=n).map(store).collect()
    }

    fn resident(bytes: u64) -> PageBytes {
        PageBytes { resident: Bytes(bytes), ..PageBytes::default() }
    }

    #[test]
    fn full_stores_are_taken_as_they_were_for_a_while() {
        let mut known = KnownFull::default();
        let stores = stores(3);
        assert_eq!(known.ranges(&stores, &[], Nanos(1)), []);
        known.found(&stores, &[resident(LEN), resident(LEN - 1), resident(LEN)], Nanos(1));
        let seen = known.ranges(&stores, &[], Nanos(2));
        let bounds: Vec<_> = seen.iter().map(|range| (range.start, range.end)).collect();
        let around = |n: u64| {
            let start = n * (LEN + PAGE_BYTES);
            (start, start + LEN + PAGE_BYTES)
        };
        assert_eq!(bounds, [around(1), around(3)]);
        // Looked at again in the end, however often it is found as it was.
        known.found(&stores, &[resident(LEN); 3], LOOK_EVERY);
        assert_eq!(known.ranges(&stores[..1], &[], Nanos(1 + LOOK_EVERY.0)), []);
    }

    #[test]
    fn what_moved_or_was_given_back_is_looked_at() {
        let mut known = KnownFull::default();
        let mut stores = stores(3);
        known.found(&stores, &[resident(LEN); 3], Nanos(1));
        stores[0].len -= 1;
        let given_back = [(stores[2].start + 5, stores[2].start + 6)];
        assert_eq!(known.ranges(&stores, &given_back, Nanos(2)).len(), 1);
        known.forget();
        assert_eq!(known.ranges(&stores, &[], Nanos(2)), []);
    }
}
