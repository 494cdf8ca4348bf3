//! Heaps of thread arenas (malloc/arena.c, `heap_info`): 64 MiB each at a multiple of that, mapped readable as far as they are used.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, ReadMemory, ReadPart};
use crate::malloc::PAGE;
use crate::malloc::pages::{Found, Pages};

/// `HEAP_MAX_SIZE`, twice `DEFAULT_MMAP_THRESHOLD_MAX`.
const HEAP_BYTES: u64 = 64 << 20;

/// Heaps looked at: 64 GiB of them.
const HEAPS_MAX: usize = 1_024;

/// Bytes of `heap_info` that are read: arena, previous heap, size, size that was made readable.
pub(super) const INFO_BYTES: usize = 32;

/// Bytes of a whole `heap_info`, before glibc 2.35 and since.
const INFO_LENGTHS: [u64; 2] = [32, 48];

/// One heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThreadHeap {
    pub(super) start: u64,
    pub(super) arena: u64,
    /// In use; what is mapped may be more.
    pub(super) size: u64,
    mapped_size: u64,
}

impl ThreadHeap {
    pub(super) fn parse(start: u64, info: &[u8; INFO_BYTES], room: u64) -> Option<Self> {
        let (words, _) = info.as_chunks::<8>();
        let words: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let [arena, previous, size, mapped_size] = words.as_slice() else { return None };
        let is_length =
            |bytes: u64| (PAGE..=HEAP_BYTES).contains(&bytes) && bytes.is_multiple_of(PAGE);
        let is_heap = INFO_LENGTHS.contains(&(arena % HEAP_BYTES))
            && (*previous == 0) == (arena / HEAP_BYTES == start / HEAP_BYTES)
            && previous.is_multiple_of(HEAP_BYTES)
            && is_length(*size)
            && is_length(*mapped_size)
            && size <= mapped_size
            && *mapped_size <= room;
        is_heap.then_some(Self { start, arena: *arena, size: *size, mapped_size: *mapped_size })
    }

    /// The memory that the allocator has here.
    pub(super) fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.mapped_size)
    }

    /// Where the first chunk begins, if the arena's record has this many bytes.
    pub(super) fn first_chunk(&self, record_bytes: usize) -> u64 {
        let info = self.arena % HEAP_BYTES;
        let has_record = self.arena / HEAP_BYTES == self.start / HEAP_BYTES;
        let record = if has_record { record_bytes as u64 } else { 0 };
        let first = self.start.saturating_add(info).saturating_add(record);
        first.checked_next_multiple_of(super::chunk::ALIGNMENT).unwrap_or(first)
    }

    pub(super) const fn has(&self, address: u64) -> bool {
        address / HEAP_BYTES == self.start / HEAP_BYTES
    }
}

/// The arena's record has its place behind the first heap's.
pub(super) const fn is_arena_in_heap(arena: u64) -> bool {
    let at = arena % HEAP_BYTES;
    at == INFO_LENGTHS[0] || at == INFO_LENGTHS[1]
}

/// The heaps in these mappings, ascending.
pub(super) fn find(
    memory: &impl ReadMemory,
    mappings: &[Range<u64>],
    pages: Pages<'_>,
) -> Vec<ThreadHeap> {
    let starts = |range: &Range<u64>| {
        let first = range.start.checked_next_multiple_of(HEAP_BYTES).unwrap_or(u64::MAX);
        let end = range.end;
        (first..end).step_by(HEAP_BYTES as usize).map(move |start| (start, end))
    };
    let candidates: Vec<(u64, u64)> = mappings
        .iter()
        .flat_map(starts)
        .filter(|(start, _)| matches!(pages.at(*start), Found::UpTo(_)))
        .take(HEAPS_MAX)
        .collect();
    let mut infos = vec![[0_u8; INFO_BYTES]; candidates.len()];
    let mut parts: Vec<ReadPart<'_>> = candidates
        .iter()
        .zip(&mut infos)
        .map(|((start, _), info)| ReadPart::new(Avma(*start), info))
        .collect();
    memory.read_parts(&mut parts);
    let are_read: Vec<bool> = parts.iter().map(|part| part.is_read).collect();
    candidates
        .iter()
        .zip(&infos)
        .zip(are_read)
        .filter(|(_, is_read)| *is_read)
        .filter_map(|(((start, end), info), _)| {
            ThreadHeap::parse(*start, info, end.saturating_sub(*start))
        })
        .collect()
}
