//! A limit on what one frame may cost: memory that is read while it changes, or that somebody made up, can send the resolver round in
//! circles or through gigabytes. Knows nothing of what is read.

use std::cell::Cell;

use crate::base::{Avma, MemoryError, ReadMemory};

/// Reads for one frame. The first frame of a function takes some hundred, the search through 2 MiB of code full of pointers some ten
/// thousand, a WebAssembly module that V8 has not sorted its code of as many as it has functions; this many take a tenth of a second.
pub const READS_PER_FRAME_MAX: u64 = 250_000;

/// Bytes for one frame: the source of its script and of the one that evaluated it, each of the largest size that is read.
pub const BYTES_PER_FRAME_MAX: u64 = 512 << 20;

/// Memory of which no more can be read once the budget is spent.
#[derive(Debug)]
pub(super) struct Budgeted<M> {
    memory: M,
    n_reads_left: Cell<u64>,
    n_bytes_left: Cell<u64>,
}

impl<M> Budgeted<M> {
    pub(super) const fn new(memory: M) -> Self {
        Self {
            memory,
            n_reads_left: Cell::new(READS_PER_FRAME_MAX),
            n_bytes_left: Cell::new(BYTES_PER_FRAME_MAX),
        }
    }

    /// A new frame.
    pub(super) fn refill(&self) {
        self.n_reads_left.set(READS_PER_FRAME_MAX);
        self.n_bytes_left.set(BYTES_PER_FRAME_MAX);
    }
}

impl<M: ReadMemory> ReadMemory for Budgeted<M> {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let n_reads = self.n_reads_left.get().checked_sub(1);
        let n_bytes = self.n_bytes_left.get().checked_sub(out.len() as u64);
        let (Some(n_reads), Some(n_bytes)) = (n_reads, n_bytes) else {
            return Err(MemoryError::TooMuch);
        };
        self.n_reads_left.set(n_reads);
        self.n_bytes_left.set(n_bytes);
        self.memory.read(address, out)
    }
}
