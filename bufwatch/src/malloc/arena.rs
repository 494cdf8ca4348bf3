//! An arena's own record (malloc/malloc.c, `struct malloc_state`): recognised by what it says of itself, in all its forms. Walks no chunks.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, ReadMemory};
use crate::malloc::chunk::ALIGNMENT;
use crate::malloc::thread_heap::is_arena_in_heap;

/// `NBINS` without the one that is not used.
const N_BINS: usize = 127;

/// Bins that must be empty for a record to be believed: most sizes are never freed, and 20 is far from chance.
const N_EMPTY_MIN: usize = 20;

/// Bins that are being changed right now.
const N_CHANGING_MAX: usize = 2;

/// Of the longest form.
const RECORD_BYTES: usize = 2_200;

/// Bytes of the C library's data that are searched: about 8 KB are usual.
pub(super) const DATA_BYTES_MAX: usize = 1 << 20;

/// Arenas followed from one to the next; glibc makes at most eight a processor.
const ARENAS_MAX: usize = 4_096;

/// Bit of `flags` (`NONCONTIGUOUS_BIT`): the main arena could not grow by brk and took mappings instead.
const IS_NONCONTIGUOUS: u64 = 2;

/// Offsets in one form of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    top: usize,
    bins: usize,
    next: usize,
    pub(super) bytes: usize,
}

/// glibc 2.27 to 2.42; 2.26, which has no `have_fastchunks`; and 2.43, which has no fast bins.
const FORMS: [Form; 3] = [
    Form { top: 96, bins: 112, next: 2_160, bytes: 2_200 },
    Form { top: 88, bins: 104, next: 2_152, bytes: 2_192 },
    Form { top: 8, bins: 24, next: 2_072, bytes: 2_112 },
];

/// An arena that was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arena {
    pub(super) address: u64,
    pub(super) form: Form,
    /// The next one; the last names the first.
    pub(super) next: u64,
}

impl Arena {
    /// The record at an address, if it is one.
    pub(super) fn read(memory: &impl ReadMemory, address: u64) -> Option<Self> {
        let mut bytes = [0; RECORD_BYTES];
        memory.read(Avma(address), &mut bytes).ok()?;
        FORMS.into_iter().find_map(|form| Self::parse(form, &bytes, address))
    }

    fn parse(form: Form, bytes: &[u8], address: u64) -> Option<Self> {
        let word = |at: usize| word(bytes, at);
        let (mut n_empty, mut n_changing) = (0_usize, 0_usize);
        for n in 0..N_BINS {
            let at = form.bins.checked_add(n.checked_mul(16)?)?;
            // `bin_at`: links point to where a chunk would begin whose links these were.
            let itself = address.checked_add(at as u64)?.checked_sub(16)?;
            let (forward, backward) = (word(at)?, word(at.checked_add(8)?)?);
            let is_empty = forward == itself;
            let is_bin = forward != 0
                && forward.is_multiple_of(8)
                && backward.is_multiple_of(8)
                && backward != 0
                && is_empty == (backward == itself);
            n_changing = n_changing.saturating_add(usize::from(!is_bin));
            (n_changing <= N_CHANGING_MAX).then_some(())?;
            n_empty = n_empty.saturating_add(usize::from(is_bin && is_empty));
        }
        let top = word(form.top)?;
        let next = word(form.next)?;
        let is_arena = n_empty >= N_EMPTY_MIN
            && top != 0
            && top.is_multiple_of(8)
            && next != 0
            && next.is_multiple_of(8);
        is_arena.then_some(Self { address, form, next })
    }

    /// Where the last chunk begins, now.
    pub(super) fn top(&self, memory: &impl ReadMemory) -> Option<u64> {
        let address = self.address.checked_add(self.form.top as u64)?;
        let top = memory.read_u64(Avma(address)).ok()?;
        top.is_multiple_of(ALIGNMENT).then_some(top)
    }

    /// All its memory is one range, now. Once it is not, it stays so.
    pub(super) fn is_contiguous(&self, memory: &impl ReadMemory) -> Option<bool> {
        // The mutex is an int, and the flags follow it.
        let first = memory.read_u64(Avma(self.address)).ok()?;
        Some((first >> 32) & IS_NONCONTIGUOUS == 0)
    }

    /// Bytes that it has from the kernel, now (`system_mem`, behind `next`, `next_free` and `attached_threads`).
    pub(super) fn system_bytes(&self, memory: &impl ReadMemory) -> Option<u64> {
        let at = self.address.checked_add(self.form.next as u64)?.checked_add(24)?;
        memory.read_u64(Avma(at)).ok()
    }
}

/// The main arena, in the data of the C library: no symbol says where.
pub(super) fn find_main(memory: &impl ReadMemory, data: &[Range<u64>]) -> Option<Arena> {
    data.iter().find_map(|range| {
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?.min(DATA_BYTES_MAX);
        let mut bytes = vec![0; len];
        memory.read(Avma(range.start), &mut bytes).ok()?;
        (0..len).step_by(8).find_map(|at| {
            let address = range.start.checked_add(at as u64)?;
            let rest = bytes.get(at..)?;
            // The forms differ only in what precedes the bins: which one it is, the ring of arenas tells.
            let arenas = FORMS.into_iter().filter_map(|form| Arena::parse(form, rest, address));
            arenas.into_iter().find(|arena| is_in_ring(memory, arena))
        })
    })
}

/// All arenas are in a ring.
fn is_in_ring(memory: &impl ReadMemory, arena: &Arena) -> bool {
    let others = thread_arenas(memory, arena);
    others.last().map_or(arena.next, |(_, next)| *next) == arena.address
}

/// The arenas that the ring names after the main one, and what each names next; up to the first that is none.
pub(super) fn thread_arenas(memory: &impl ReadMemory, main: &Arena) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::new();
    let mut address = main.next;
    while all.len() < ARENAS_MAX && is_arena_in_heap(address) {
        let next = Arena::read(memory, address).map(|arena| arena.next);
        all.push((address, next.unwrap_or(0)));
        address = next.unwrap_or(0);
    }
    all
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}
