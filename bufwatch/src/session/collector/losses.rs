//! What the model does not hear of: records that were lost, and probes that ended with the thread that carried them. The live set is read
//! again then.

use std::sync::Arc;

use bufwatch_common::DropReason;

use crate::base::{Nanos, Tid};
use crate::event::{Event, LiveSetRead, Payload};
use crate::model::Phase;
use crate::session::collector::Collector;
use crate::source::Source;
use crate::sys::clock;

/// Within this a process that ends has ended all its threads.
const ENDING: Nanos = Nanos::from_millis(200);

impl Collector<'_> {
    /// Notices losses by what the programs counted.
    pub(super) fn sample_counters(&mut self, source: &dyn Source, now: Nanos) {
        self.source_limits = source.limits();
        let Some(event) = source.sample_counters(now) else { return };
        if let Payload::CountersSampled(counters) = &event.payload {
            let n = counters.drops.get(DropReason::RingFull.index() as usize).copied().unwrap_or(0);
            if n > self.n_ring_full {
                let lost = Payload::RecordsLost { n: n - self.n_ring_full };
                self.n_ring_full = n;
                self.reconcile_due = true;
                self.fold(&Event { at: now, payload: lost });
            }
        }
        self.fold(&event);
    }

    /// True if the thread that carries the probes has ended and the process has not: when a process ends, its
    /// threads end one after the other.
    pub(super) fn has_lost_anchor(&self, source: &dyn Source) -> bool {
        let ended_at = source.anchor_tid().and_then(|tid| self.ended_threads.get(&Tid(tid)));
        let Some(ended_at) = ended_at else { return false };
        let main = Tid(self.model.target.pid);
        clock::now().since(*ended_at) > ENDING && !self.ended_threads.contains_key(&main)
    }

    /// The thread that carried the probes has ended; the main thread takes over.
    pub(super) fn move_probes(&mut self, source: &mut dyn Source) {
        let started_at = clock::now();
        let main_tid = self.model.target.pid;
        if self.model.phase != Phase::Live || source.anchor_tid() == Some(main_tid) {
            // The process is ending.
            return;
        }
        let mut notices = source.move_to(main_tid, started_at);
        notices.push(
            "the thread that carried the probes ended: older stores are no longer tracked"
                .to_owned(),
        );
        self.interest.notices.append(&mut notices);
        let forgotten = LiveSetRead { started_at, stores: Arc::from([]) };
        self.fold(&Event { at: clock::now(), payload: Payload::LiveSetRead(forgotten) });
    }

    pub(super) fn reconcile(&mut self, source: &dyn Source) {
        let started_at = clock::now();
        match source.read_live_set() {
            Ok(stores) => {
                let read = LiveSetRead { started_at, stores: stores.into() };
                self.fold(&Event { at: clock::now(), payload: Payload::LiveSetRead(read) });
                self.reconcile_due = false;
            }
            Err(error) => tracing::warn!(%error, "the live set could not be read"),
        }
        self.reconciled_at = clock::now();
    }
}
