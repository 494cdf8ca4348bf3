//! Reading the ring buffer: bounded per call, and counting what its sequence numbers say is missing.

use aya::maps::{MapData, RingBuf};

use crate::event::Event;
use crate::event::decode::{DecodeIssue, decode};

/// How many records arrived. Together with the programs' own counts it says how many did not.
#[derive(Debug, Default)]
pub(super) struct LossCounter {
    n_received: u64,
}

impl LossCounter {
    pub(super) fn n_received(&self) -> u64 {
        self.n_received
    }
}

/// Moves at most `limit` records into `events`; true if the limit ended it.
pub(super) fn drain(
    ring: &mut RingBuf<MapData>,
    limit: usize,
    loss: &mut LossCounter,
    n_undecoded: &mut u64,
    events: &mut Vec<Event>,
) -> bool {
    for _ in 0..limit {
        let Some(item) = ring.next() else { return false };
        match decode(&item) {
            Ok((_, event)) => {
                loss.n_received += 1;
                events.push(event);
            }
            Err(DecodeIssue::SyscallFailed) => loss.n_received += 1,
            Err(_) => *n_undecoded += 1,
        }
    }
    true
}
