//! The only door to a target's memory: a live process, a recording of reads, or a fake in tests.

use crate::base::addr::Avma;

/// Memory could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    #[error("no memory is mapped at {0}")]
    Unmapped(Avma),
    #[error("the process is gone")]
    Gone,
    #[error("reading the memory of the process is not permitted")]
    Denied,
    #[error("more was to be read than one question may cost")]
    TooMuch,
}

/// One of many ranges to read at once.
#[derive(Debug)]
pub struct ReadPart<'a> {
    pub address: Avma,
    pub out: &'a mut [u8],
    /// Set by the read: all of `out` was filled.
    pub is_read: bool,
}

impl<'a> ReadPart<'a> {
    pub const fn new(address: Avma, out: &'a mut [u8]) -> Self {
        Self { address, out, is_read: false }
    }
}

/// Reads memory of a target, never writes it.
pub trait ReadMemory {
    /// Fills `out` from `address` on, all of it or none.
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError>;

    /// Reads many ranges; each says itself whether it could be read. A live process answers with few system calls.
    fn read_parts(&self, parts: &mut [ReadPart<'_>]) {
        for part in parts {
            part.is_read = self.read(part.address, part.out).is_ok();
        }
    }

    /// Reads a little-endian word.
    fn read_u64(&self, address: Avma) -> Result<u64, MemoryError> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
