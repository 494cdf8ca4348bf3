//! What happened in the course of a recorded session, one small value for each happening. Data only; a state of one moment is `recorded`'s.

use crate::base::{Bytes, Nanos};
use crate::event::GcKind;

/// A census, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CensusPoint {
    /// When the target stood still (`CLOCK_MONOTONIC`), and for how long.
    pub at: Nanos,
    pub stopped: Nanos,
    /// Of the V8 heap.
    pub heap: Bytes,
    /// Live array buffers, and their bytes.
    pub n_parents: u64,
    pub live: Bytes,
    /// Bytes of array buffers that are alive only by their views, and that no view shows.
    pub pinned: Bytes,
    /// There were more parents than are kept: `pinned` is too little.
    pub is_thinned: bool,
}

/// A garbage collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GcPoint {
    /// When it ended (`CLOCK_MONOTONIC`).
    pub at: Nanos,
    pub pause: Nanos,
    pub kind: GcKind,
}
