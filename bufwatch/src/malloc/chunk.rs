//! One chunk header: two words before each block (malloc/malloc.c, `struct malloc_chunk`). Follows nothing.

/// Bytes of a header, `CHUNK_HDR_SZ`.
pub(super) const HEADER_BYTES: u64 = 16;

/// Smallest chunk, `MINSIZE`.
pub(super) const CHUNK_BYTES_MIN: u64 = 32;

/// Links that a free chunk keeps in its own memory, header included: `sizeof (struct malloc_chunk)`.
pub(super) const FREE_HEADER_BYTES: u64 = 48;

/// All chunks begin at a multiple of this and have a size that is one, `MALLOC_ALIGNMENT`.
pub(super) const ALIGNMENT: u64 = 16;

const PREVIOUS_IN_USE: u64 = 1;
const IS_MMAPPED: u64 = 2;
const NON_MAIN_ARENA: u64 = 4;
const FLAGS: u64 = 7;

/// What stands before a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Size of the chunk before, if that is free; otherwise its user's last bytes.
    pub(super) previous_size: u64,
    size_and_flags: u64,
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (first, rest) = bytes.split_first_chunk::<8>()?;
        let second = rest.first_chunk::<8>()?;
        Some(Self {
            previous_size: u64::from_le_bytes(*first),
            size_and_flags: u64::from_le_bytes(*second),
        })
    }

    /// Of the chunk, header included.
    pub(super) const fn size(self) -> u64 {
        self.size_and_flags & !FLAGS
    }

    pub(super) const fn is_previous_in_use(self) -> bool {
        self.size_and_flags & PREVIOUS_IN_USE != 0
    }

    pub(super) const fn is_mmapped(self) -> bool {
        self.size_and_flags & IS_MMAPPED != 0
    }

    pub(super) const fn is_of_thread_arena(self) -> bool {
        self.size_and_flags & NON_MAIN_ARENA != 0
    }

    /// A size that a chunk inside of a heap may have.
    pub(super) const fn has_chunk_size(self) -> bool {
        self.size() >= CHUNK_BYTES_MIN && self.size().is_multiple_of(ALIGNMENT)
    }

    /// A region of the main arena may begin here: nothing is before its first chunk, whose previous one is never freed.
    pub(super) const fn may_begin_region(self) -> bool {
        let flags = self.size_and_flags & FLAGS;
        self.previous_size == 0 && flags == PREVIOUS_IN_USE && self.has_chunk_size()
    }

    /// A chunk with a mapping of its own begins here, unless it was aligned specially (`sysmalloc_mmap`): bytes of the mapping.
    pub(super) fn mapping_bytes(self) -> Option<u64> {
        let is_mapped = self.previous_size == 0 && self.size_and_flags & FLAGS == IS_MMAPPED;
        // Since glibc 2.43 the size is that of an ordinary chunk, without the header of one that would follow.
        let with_next = self.size().checked_add(HEADER_BYTES)?;
        let sizes = [self.size(), with_next];
        sizes.into_iter().find(|size| is_mapped && *size != 0 && size.is_multiple_of(super::PAGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_chunks_are_whole_pages_with_or_without_the_next_header() {
        let header = |previous_size, size_and_flags| Header { previous_size, size_and_flags };
        assert_eq!(header(0, 0x10_1002).mapping_bytes(), Some(0x10_1000));
        assert_eq!(header(0, 0x10_0ff2).mapping_bytes(), Some(0x10_1000));
        for other in [0, 2, 0x10_1000, 0x10_1003, 0x10_1006, 0x10_1012, u64::MAX] {
            assert_eq!(header(0, other).mapping_bytes(), None, "{other:#x}");
        }
        assert_eq!(header(0x10, 0x10_1002).mapping_bytes(), None);
    }
}
