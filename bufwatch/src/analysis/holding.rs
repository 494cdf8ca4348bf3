//! What the memory of a process consists of, as far as it is known. "Allocated" and "resident" are never
//! subtracted from each other to an exact number: a store that was never written is in no RAM.

use crate::analysis::snapshot::Snapshot;
use crate::base::{Bytes, Fidelity};

/// The parts, each with how it was measured. `None`: not known (yet).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Tracked live stores: allocated bytes.
    pub live_stores: Bytes,
    /// Live stores below `min_size`: allocated bytes.
    pub small_stores: Option<Bytes>,
    /// Stores older than the attach: allocated bytes.
    pub before_attach: Option<Bytes>,
    pub before_attach_fidelity: Fidelity,
    /// Resident bytes of V8's own mappings, sampled.
    pub v8_heap: Option<Bytes>,
    /// What the rest of RSS is at least: RSS less V8's heap less every store, as if all were resident.
    pub rest_at_least: Option<Bytes>,
    /// Bytes of stores that at least are not in RAM, since RSS is too small for them.
    pub not_resident_at_least: Option<Bytes>,
}

impl Holdings {
    pub fn of(snapshot: &Snapshot) -> Self {
        let memory = &snapshot.memory;
        let stores = &snapshot.stores;
        let mut holdings = Self {
            live_stores: stores.live_bytes,
            small_stores: stores.small.map(|small| small.live_bytes),
            before_attach: memory.before_attach,
            before_attach_fidelity: memory.before_attach_fidelity,
            v8_heap: memory.v8_heap,
            ..Self::default()
        };
        if let (Some(rss), Some(v8_heap)) = (memory.rss, memory.v8_heap) {
            let outside_heap = rss.saturating_sub(v8_heap);
            let before = memory.before_attach.unwrap_or_default();
            // The kinds may overlap in `before_attach`, so the sum is an upper bound of what is allocated …
            let small = holdings.small_stores.unwrap_or_default();
            let most = stores.live_bytes + small + before;
            // … and either of these alone is a lower one.
            let least = stores.live_bytes.max(memory.array_buffers.unwrap_or_default());
            holdings.rest_at_least = Some(outside_heap.saturating_sub(most));
            let missing = least.saturating_sub(outside_heap);
            holdings.not_resident_at_least = (missing > Bytes(0)).then_some(missing);
        }
        holdings
    }

    /// The largest of the parts, the scale of their bars.
    pub fn largest(&self) -> Bytes {
        [
            Some(self.live_stores),
            self.small_stores,
            self.before_attach,
            self.v8_heap,
            self.rest_at_least,
        ]
        .into_iter()
        .flatten()
        .max()
        .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::snapshot::SmallTotals;

    fn holdings(rss: u64, heap: u64, live: u64, small: u64) -> Holdings {
        let mut snapshot = Snapshot::blank();
        snapshot.memory.rss = Some(Bytes(rss));
        snapshot.memory.v8_heap = Some(Bytes(heap));
        snapshot.stores.live_bytes = Bytes(live);
        let small = SmallTotals { live_bytes: Bytes(small), ..SmallTotals::default() };
        snapshot.stores.small = Some(small);
        Holdings::of(&snapshot)
    }

    #[test]
    fn the_rest_is_a_lower_bound() {
        let holdings = holdings(1_000, 200, 300, 100);
        assert_eq!(holdings.rest_at_least, Some(Bytes(400)));
        assert_eq!(holdings.not_resident_at_least, None);
    }

    #[test]
    fn stores_that_do_not_fit_into_rss_are_not_resident() {
        let holdings = holdings(1_000, 200, 5_000, 0);
        assert_eq!(holdings.rest_at_least, Some(Bytes(0)));
        assert_eq!(holdings.not_resident_at_least, Some(Bytes(4_200)));
    }

    #[test]
    fn nothing_follows_from_unknowns() {
        let holdings = Holdings::of(&Snapshot::blank());
        assert_eq!(holdings.rest_at_least, None);
        assert_eq!(holdings.v8_heap, None);
    }
}
