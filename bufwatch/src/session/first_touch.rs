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
