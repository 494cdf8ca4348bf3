//! Asks the fault programs when stores were first written to, once a look at their pages has seen that they were. A little at a time: what a
//! store's pages say is spread over as many entries as it has blocks of 64 KiB.

use std::sync::Arc;

use bufwatch_common::fault::FAULT_BLOCK_BYTES;

use crate::base::StoreKey;
use crate::event::residency::StoreTouch;
use crate::event::{Event, Payload};
use crate::model::Model;
use crate::source::Source;
use crate::sys::clock;

/// Blocks asked for at once: about 3 ms. A store that has more is asked for alone.
const BLOCKS_MAX: u64 = 4_096;

/// Stores that wait; each is some bytes.
const WAITING_MAX: usize = 1 << 20;

/// Stores that were seen to be written to.
#[derive(Debug, Default)]
pub(super) struct FirstTouches {
    waiting: Vec<StoreKey>,
}

impl FirstTouches {
    /// Takes note of what a look has seen; after it was applied.
    pub(super) fn looked(&mut self, model: &Model, events: &[Event]) {
        let scans = events.iter().filter_map(|event| match &event.payload {
            Payload::ResidencyScanned(scan) => Some(scan),
            _ => None,
        });
        for seen in scans.flat_map(|scan| scan.stores.iter()) {
            let store = model.live.find(seen.key.address).filter(|store| store.key == seen.key);
            let is_wanted = store.is_some_and(|store| store.residency.wants_first_touch());
            if is_wanted && self.waiting.len() < WAITING_MAX {
                self.waiting.push(seen.key);
            }
        }
    }

    /// What is known of some of them.
    pub(super) fn ask(&mut self, model: &Model, source: &dyn Source) -> Option<Event> {
        let mut touches = Vec::new();
        let mut n_blocks = 0_u64;
        while let Some(key) = self.waiting.pop() {
            let store = model.live.find(key.address).filter(|store| store.key == key);
            let Some(store) = store.filter(|store| store.residency.wants_first_touch()) else {
                continue;
            };
            n_blocks = n_blocks.saturating_add(store.size.0 / FAULT_BLOCK_BYTES + 2);
            if n_blocks > BLOCKS_MAX && !touches.is_empty() {
                self.waiting.push(key);
                break;
            }
            let end = store.data.saturating_add(store.size.0);
            let touch = source.first_touch(store.data, end, store.birth)?;
            touches.push(StoreTouch { key, start: store.data, touch });
        }
        (!touches.is_empty()).then(|| Event {
            at: clock::now(),
            payload: Payload::FirstTouchesRead(Arc::from(touches)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;

    use bufwatch_common::LiveStore;

    use super::*;
    use crate::base::{Bytes, Nanos};
    use crate::event::Backend;
    use crate::event::residency::{FirstTouch, PageBytes, ResidencyScanned, StoreResidency};
    use crate::model::live::Store;

    /// Knows of every range, and counts how often it is asked.
    #[derive(Default)]
    struct Faults {
        n_asked: Cell<u32>,
    }

    impl Source for Faults {
        fn backend(&self) -> Backend {
            Backend::Ebpf
        }

        fn wait(&self, _limit: Nanos) {}

        fn drain(&mut self, _limit: usize, _events: &mut Vec<Event>) -> bool {
            false
        }

        fn sample_counters(&self, _now: Nanos) -> Option<Event> {
            None
        }

        fn n_missing(&self) -> u64 {
            0
        }

        fn read_live_set(&self) -> io::Result<Vec<(u64, LiveStore)>> {
            Ok(Vec::new())
        }

        fn first_touch(&self, start: u64, end: u64, since: Nanos) -> Option<FirstTouch> {
            self.n_asked.set(self.n_asked.get() + 1);
            Some(FirstTouch::At { at: Nanos(start + end + since.0), is_in_kernel: false })
        }
    }

    fn model(sizes: &[u64]) -> Model {
        let mut model = Model::new(Nanos(0));
        for (size, address) in sizes.iter().zip(1..) {
            let mut store = Store::blank();
            (store.key.address, store.data, store.size) = (address, 1_000, Bytes(*size));
            store.birth = Nanos(5);
            model.live.insert(store);
        }
        model
    }

    /// Of these stores so much is in memory.
    fn look(model: &mut Model, touches: &mut FirstTouches, resident: &[(u64, u64)]) {
        let seen = |(address, resident): &(u64, u64)| {
            let store = model.live.find(*address).unwrap();
            StoreResidency {
                key: store.key,
                start: store.data,
                len: store.size,
                pages: PageBytes { resident: Bytes(*resident), ..PageBytes::default() },
            }
        };
        let stores: Vec<_> = resident.iter().map(seen).collect();
        let scan = ResidencyScanned {
            started_at: Nanos(10),
            stores: stores.into(),
            ..ResidencyScanned::default()
        };
        let event = Event { at: Nanos(11), payload: Payload::ResidencyScanned(Box::new(scan)) };
        model.apply(&event);
        touches.looked(model, &[event]);
    }

    #[test]
    fn stores_that_were_written_to_are_asked_for_once() {
        let mut model = model(&[1 << 20, 1 << 20]);
        let (mut touches, source) = (FirstTouches::default(), Faults::default());
        look(&mut model, &mut touches, &[(1, 1 << 19), (2, 4_096)]);
        let event = touches.ask(&model, &source).unwrap();
        model.apply(&event);
        let told = |model: &Model, address| model.live.find(address).unwrap().residency.first_touch;
        let at = Nanos(1_000 + 1_000 + (1 << 20) + 5);
        assert_eq!(told(&model, 1), FirstTouch::At { at, is_in_kernel: false });
        assert_eq!(told(&model, 2), FirstTouch::Unknown, "its first page only");
        look(&mut model, &mut touches, &[(1, 1 << 20), (2, 4_096)]);
        assert!(touches.ask(&model, &source).is_none());
        assert_eq!(source.n_asked.get(), 1);
    }

    #[test]
    fn many_are_asked_for_a_little_at_a_time() {
        let size = BLOCKS_MAX / 2 * FAULT_BLOCK_BYTES;
        let mut model = model(&[size, size, 3 * size]);
        let (mut touches, source) = (FirstTouches::default(), Faults::default());
        look(&mut model, &mut touches, &[(1, size), (2, size), (3, size)]);
        for n in 1..=3 {
            let event = touches.ask(&model, &source).unwrap();
            model.apply(&event);
            assert_eq!(source.n_asked.get(), n, "one at a time, and the largest as well");
        }
        assert!(touches.ask(&model, &source).is_none());
    }
}
