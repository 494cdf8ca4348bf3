//! Layer 5: producers of events. Nothing above asks which one runs; what they can and cannot see, they declare.

pub mod breakpoints;
pub mod census;
pub mod census_cassette;
pub mod ebpf;
pub mod known_stores;
mod page_search;
pub mod ptrace;
pub mod replay;
pub mod residency;
pub mod sampler;
mod standstill;

use std::io;

use bufwatch_common::LiveStore;

use crate::base::Nanos;
use crate::event::census::Census;
use crate::event::residency::FirstTouch;
use crate::event::{Backend, Event};
pub use breakpoints::BreakpointSource;
pub use ebpf::EbpfSource;
pub use ptrace::PtraceSource;

/// What tells of the stores of a live target. What is the same with any of them (censuses, residency, the sampler) is beside it.
pub trait Source {
    /// Which one it is, and with it what it sees.
    fn backend(&self) -> Backend;

    /// Waits until something comes that is worth waking up for, at most `limit`.
    fn wait(&self, limit: Nanos);

    /// Moves at most `limit` events into `events`; true if there may be more.
    fn drain(&mut self, limit: usize, events: &mut Vec<Event>) -> bool;

    /// A census was taken at `at`: adds what follows from it for stores. Where every store is seen there is nothing to add.
    fn census_taken(&mut self, _at: Nanos, _census: &Census, _events: &mut Vec<Event>) {}

    /// Stores come that nothing but a census shows.
    fn needs_censuses(&self) -> bool {
        false
    }

    /// A limit of its own that was reached, in words.
    fn limits(&self) -> Option<String> {
        None
    }

    /// What it counted by itself; `None` if it counts nothing.
    fn sample_counters(&self, now: Nanos) -> Option<Event>;

    /// Records that were made and have not arrived.
    fn n_missing(&self) -> u64;

    /// All stores that live, after records were lost.
    fn read_live_set(&self) -> io::Result<Vec<(u64, LiveStore)>>;

    /// Page faults are followed.
    fn has_faults(&self) -> bool {
        false
    }

    /// When `start..end` was first written to since then; `None` if page faults are not followed.
    fn first_touch(&self, _start: u64, _end: u64, _since: Nanos) -> Option<FirstTouch> {
        None
    }

    /// The thread of the target that it depends on.
    fn anchor_tid(&self) -> Option<u32> {
        None
    }

    /// That thread has ended: goes on with another one. What it says is told as notices.
    fn move_to(&mut self, _anchor_tid: u32, _now: Nanos) -> Vec<String> {
        Vec::new()
    }
}
