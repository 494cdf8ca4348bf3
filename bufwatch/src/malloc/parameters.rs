//! What glibc decides by (malloc/malloc.c, `struct malloc_par`): from which size on a block gets a mapping of its own, and how much free
//! memory at the end of a heap is kept. Found by the one word in it that is known, where the heap begins.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, ReadMemory};
use crate::malloc::PAGE;
use crate::malloc::arena::{DATA_BYTES_MAX, word};

/// Bytes from the begin of the record to `sbrk_base`, and from `n_mmaps` to it: glibc 2.26 to 2.34, 2.35 to 2.42, and 2.43.
const FORMS: [(usize, usize); 3] = [(72, 32), (96, 36), (104, 36)];

/// More arenas than anybody allows (`glibc.malloc.arena_max`), and a threshold that nobody sets.
const N_ARENAS_MAX: u64 = 4_096;

/// Largest threshold or padding that is believed.
const BYTES_MAX: u64 = 1 << 44;

/// As of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// `mmap_threshold`: grows with the largest mapped block that was freed, up to 32 MiB, unless it is fixed.
    pub mmap_threshold: u64,
    /// `trim_threshold`: then twice the other.
    pub trim_threshold: u64,
    /// Somebody set one of them (`no_dyn_threshold`).
    pub is_fixed: bool,
}

/// `None` where no form fits, or more than one.
pub(super) fn find(
    memory: &impl ReadMemory,
    data: &[Range<u64>],
    brk_start: u64,
) -> Option<Parameters> {
    let found = data.iter().filter_map(|range| {
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?.min(DATA_BYTES_MAX);
        let mut bytes = vec![0; len];
        memory.read(Avma(range.start), &mut bytes).ok()?;
        (0..len).step_by(8).find_map(|at| {
            (word(&bytes, at)? == brk_start).then_some(())?;
            let mut fitting = FORMS.into_iter().filter_map(|form| parse(&bytes, at, form));
            let one = fitting.next()?;
            fitting.next().is_none().then_some(one)
        })
    });
    found.into_iter().next()
}

/// The record whose `sbrk_base` is at `at`, if it makes sense.
fn parse(bytes: &[u8], at: usize, (start, n_mmaps): (usize, usize)) -> Option<Parameters> {
    let start = at.checked_sub(start)?;
    let field = |n: usize| word(bytes, start.checked_add(n.checked_mul(8)?)?);
    let (trim_threshold, top_pad, mmap_threshold) = (field(0)?, field(1)?, field(2)?);
    let (arena_test, arena_max) = (field(3)?, field(4)?);
    let ints = at.checked_sub(n_mmaps)?;
    let int = |n: usize| {
        let at = ints.checked_add(n.checked_mul(4)?)?;
        Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
    };
    let (now, limit, most, is_fixed) = (int(0)?, int(1)?, int(2)?, int(3)?);
    let (mapped, most_mapped) =
        (word(bytes, at.checked_sub(16)?)?, word(bytes, at.checked_sub(8)?)?);
    let is_record = (N_ARENAS_MAX..BYTES_MAX).contains(&mmap_threshold)
        // Trimming is switched off with the largest number there is.
        && (trim_threshold < BYTES_MAX || trim_threshold == u64::MAX)
        && top_pad < BYTES_MAX
        && arena_test < N_ARENAS_MAX
        && arena_max < N_ARENAS_MAX
        && now <= most
        && most <= limit
        && is_fixed <= 1
        && mapped <= most_mapped
        && mapped.is_multiple_of(PAGE);
    is_record.then_some(Parameters { mmap_threshold, trim_threshold, is_fixed: is_fixed == 1 })
}
