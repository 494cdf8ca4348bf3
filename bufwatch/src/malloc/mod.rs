//! glibc's heap as it lies in memory: which bytes of it are free, and which blocks have a mapping of their own. Reads chunk headers over any
//! `ReadMemory`, while the target runs; what the blocks are for is not known here.
//!
//! The layout is that of glibc 2.26 to 2.43 on x86-64 (malloc/malloc.c, malloc/arena.c; seen on 2.31, 2.36, 2.41 and 2.43); which of its forms a process has is found by what
//! fits, never by a version number. Every step is checked against what glibc keeps twice: a free chunk's size stands before and behind it, its
//! neighbours are in use, the last chunk is the arena's top. Memory that changes under the walk contradicts itself sooner or later; then the
//! walk goes back some chunks and reads again, and after some attempts the arena is not known. Parts of the main arena that no record names are
//! believed if all of them together are the bytes that it says it has.
//!
//! Blocks in a thread's cache (tcache, at most 1,032 bytes each) and in fast bins (at most 128) look as if they were in use, and are counted
//! so: no page is free because of them, but they may keep two free chunks apart.

mod arena;
mod chunk;
mod heads;
mod mapped;
mod owned;
mod pages;
mod parameters;
mod regions;
mod survey;
mod thread_heap;
mod walk;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod region_tests;
#[cfg(test)]
mod tests;

pub use owned::{FIRST_BYTES, is_mallocs};
pub use parameters::Parameters;
pub use survey::{Place, Survey, take};

use crate::base::Nanos;

/// Bytes of a page.
const PAGE: u64 = 4_096;

/// What one survey may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Chunk headers looked at: 25,000 are usual, each at least 32 bytes.
    pub n_chunks: u64,
    /// Bytes read.
    pub n_bytes: u64,
    /// Of the processor.
    pub time: Nanos,
}

impl Default for Limits {
    fn default() -> Self {
        Self { n_chunks: 1 << 24, n_bytes: 2 << 30, time: Nanos::from_millis(200) }
    }
}
