//! The only door to a target's memory: a live process, a recording of reads, or a fake in tests.

use crate::base::addr::Avma;

/// What is mapped is mapped in such pieces, at least.
const PAGE_BYTES: u64 = 4_096;

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

    /// Fills `out`, or of it what is left of the page that `address` is in; returns how much. For what is read at a fixed length though it may
    /// end before: behind V8's last page nothing is mapped.
    fn read_start(&self, address: Avma, out: &mut [u8]) -> Result<usize, MemoryError> {
        let Err(error) = self.read(address, out) else { return Ok(out.len()) };
        let in_page = PAGE_BYTES.saturating_sub(address.0 & PAGE_BYTES.saturating_sub(1));
        let page = usize::try_from(in_page).ok().and_then(|len| out.get_mut(..len)).ok_or(error)?;
        self.read(address, page).map(|()| page.len())
    }

    /// Reads a little-endian word.
    fn read_u64(&self, address: Avma) -> Result<u64, MemoryError> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0x5000;

    /// A page of memory, and nothing behind it.
    struct Page;

    impl ReadMemory for Page {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let end = address.0.saturating_add(out.len() as u64);
            let is_in = address.0 >= START && end <= START + PAGE_BYTES;
            out.fill(7);
            is_in.then_some(()).ok_or(MemoryError::Unmapped(address))
        }
    }

    #[test]
    fn what_is_there_before_the_end_of_a_page_is_read() {
        let mut out = [0; 64];
        let last = START + PAGE_BYTES;
        let mut read = |at| Page.read_start(Avma(at), &mut out);
        assert_eq!([read(START), read(last - 64)], [Ok(64), Ok(64)]);
        assert_eq!([read(last - 63), read(last - 1)], [Ok(63), Ok(1)]);
        for nothing in [last, START - 8, START - 64, u64::MAX - 3] {
            assert!(read(nothing).is_err(), "{nothing:#x}");
        }
    }
}
