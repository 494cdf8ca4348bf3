//! The ptrace backend: stores by censuses, and by looks between two of them at whether known ones are still there (`known_stores`). Sees no
//! stacks and no collections. Taking the censuses, which is when the target stands still, is `census`'s part.

use std::io;
use std::time::Duration;

use bufwatch_common::LiveStore;

use crate::base::Nanos;
use crate::event::census::Census;
use crate::event::{Backend, Event, Payload};
use crate::source::Source;
use crate::source::known_stores::{KnownStores, StoresOf};
use crate::sys::clock;

/// From so many looks on that do not find the program, it is another one.
const ABSENT_MAX: u32 = 3;

/// The stores of one target, as far as censuses have shown them.
#[derive(Debug)]
pub struct PtraceSource {
    stores: KnownStores,
    is_over: bool,
}

impl PtraceSource {
    pub fn new(of: StoresOf) -> Self {
        Self { stores: KnownStores::new(of), is_over: false }
    }
}

impl Source for PtraceSource {
    fn backend(&self) -> Backend {
        Backend::Ptrace
    }

    fn wait(&self, limit: Nanos) {
        // Nothing comes by itself.
        std::thread::sleep(Duration::from_nanos(limit.0));
    }

    fn drain(&mut self, _limit: usize, events: &mut Vec<Event>) -> bool {
        let n_absent = self.stores.look_if_due(events);
        // One that has ended is not watched for so long.
        if n_absent >= ABSENT_MAX && !std::mem::replace(&mut self.is_over, true) {
            events.push(Event { at: clock::now(), payload: Payload::Execed });
        }
        false
    }

    fn census_taken(&mut self, at: Nanos, census: &Census, events: &mut Vec<Event>) {
        self.stores.census_taken(at, census, true, events);
    }

    fn limits(&self) -> Option<String> {
        self.stores.limits()
    }

    fn sample_counters(&self, _now: Nanos) -> Option<Event> {
        None
    }

    fn n_missing(&self) -> u64 {
        0
    }

    fn read_live_set(&self) -> io::Result<Vec<(u64, LiveStore)>> {
        // No record can be lost, so nobody asks.
        Ok(Vec::new())
    }
}
