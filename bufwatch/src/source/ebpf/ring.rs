//! Reading the ring buffer, bounded per call.

use aya::maps::{MapData, RingBuf};

use crate::event::Event;
use crate::event::decode::{DecodeIssue, decode};

/// What came out of the ring buffer so far.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) n_records: u64,
    /// Of these, how many this version does not understand.
    pub(super) n_undecoded: u64,
}

/// Moves at most `limit` records into `events`; true if the limit ended it.
pub(super) fn drain(
    ring: &mut RingBuf<MapData>,
    limit: usize,
    received: &mut Received,
    events: &mut Vec<Event>,
) -> bool {
    for _ in 0..limit {
        let Some(item) = ring.next() else { return false };
        received.n_records += 1;
        match decode(&item) {
            Ok((_, event)) => events.push(event),
            // A change of the address space that did not happen.
            Err(DecodeIssue::SyscallFailed) => {}
            Err(_) => received.n_undecoded += 1,
        }
    }
    true
}
