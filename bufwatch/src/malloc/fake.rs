//! Heaps made by hand, for tests: chunks are laid out as glibc does.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::base::{Avma, MemoryError, ReadMemory};
use crate::malloc::{Limits, PAGE, Place, Survey, take};
use crate::sys::pagemap::{PageRun, PageState};

pub(super) const BRK: u64 = 0x55_0000_0000;
pub(super) const LIBC: u64 = 0x7f00_0000_2000;
pub(super) const LIBC_DATA: Range<u64> = LIBC..LIBC + 2 * PAGE;
/// Not at the begin of the data.
pub(super) const MAIN: u64 = LIBC + 0xa60;
pub(super) const HEAP: u64 = 0x7e00_0000_0000;
pub(super) const HEAP_BYTES: u64 = 64 << 20;
/// `sizeof` of glibc 2.36.
pub(super) const INFO_BYTES: u64 = 48;

const PREVIOUS_IN_USE: u64 = 1;
const NON_MAIN: u64 = 4;

/// Memory of a made-up process.
#[derive(Clone, Debug, Default)]
pub(super) struct Fake {
    words: BTreeMap<u64, u64>,
    pub(super) brk: Vec<Range<u64>>,
    pub(super) anonymous: Vec<Range<u64>>,
    pub(super) stores: Vec<Range<u64>>,
    pub(super) pages: Vec<PageRun>,
    pub(super) n_reads: Cell<u64>,
    /// Words that have another value from this many reads on.
    pub(super) later: Vec<(u64, u64, u64)>,
}

/// One chunk: bytes, and whether it is free.
pub(super) type Chunk = (u64, bool);

impl Fake {
    pub(super) fn set(&mut self, address: u64, word: u64) {
        assert!(address.is_multiple_of(8));
        self.words.insert(address, word);
    }

    pub(super) fn get(&self, address: u64) -> u64 {
        self.words.get(&address).copied().unwrap_or(0)
    }

    /// The record of an arena, as glibc 2.27 to 2.42 have it, with empty bins.
    pub(super) fn arena(&mut self, address: u64, top: u64, next: u64) {
        self.arena_of_form(address, top, next, [96, 112, 2_160]);
    }

    pub(super) fn arena_of_form(&mut self, address: u64, top: u64, next: u64, form: [u64; 3]) {
        let [top_at, bins_at, next_at] = form;
        self.set(address + top_at, top);
        for n in 0..127 {
            let at = address + bins_at + n * 16;
            self.set(at, at - 16);
            self.set(at + 8, at - 16);
        }
        self.set(address + next_at, next);
    }

    /// Chunks one after the other; returns where the next one would begin, and whether the last one is free.
    pub(super) fn chunks(&mut self, first: u64, flags: u64, chunks: &[Chunk]) -> (u64, bool) {
        let mut at = first;
        let mut is_previous_free = false;
        for (size, is_free) in chunks {
            let in_use = if is_previous_free { 0 } else { PREVIOUS_IN_USE };
            let flags = if *is_free { 0 } else { flags };
            self.set(at + 8, size | flags | in_use);
            at += size;
            if *is_free {
                self.set(at, *size);
            }
            is_previous_free = *is_free;
        }
        (at, is_previous_free)
    }

    /// The main heap: chunks, and the top up to the end of the last page.
    pub(super) fn main_heap(&mut self, chunks: &[Chunk], top_bytes: u64) -> Range<u64> {
        let (top, is_previous_free) = self.chunks(BRK, 0, chunks);
        assert!(!is_previous_free, "it would have been made one with the top");
        let end = (top + top_bytes.max(32)).next_multiple_of(PAGE);
        self.set(top + 8, (end - top) | PREVIOUS_IN_USE);
        self.arena(MAIN, top, MAIN);
        self.brk = std::iter::once(BRK..end).collect();
        self.resident(BRK, end);
        self.resident(LIBC, LIBC + 2 * PAGE);
        top..end
    }

    /// A thread arena with one heap.
    pub(super) fn thread_heap(&mut self, chunks: &[Chunk], size: u64) -> Range<u64> {
        let arena = HEAP + INFO_BYTES;
        self.info(HEAP, arena, 0, size);
        let first = (arena + 2_200).next_multiple_of(16);
        let (top, _) = self.chunks(first, NON_MAIN, chunks);
        self.set(top + 8, (HEAP + size - top) | PREVIOUS_IN_USE);
        let next = self.get(MAIN + 2_160);
        self.arena(arena, top, next);
        self.set(MAIN + 2_160, arena);
        self.anonymous.push(HEAP..HEAP + size);
        self.resident(HEAP, HEAP + size);
        top..HEAP + size
    }

    pub(super) fn info(&mut self, heap: u64, arena: u64, previous: u64, size: u64) {
        for (n, word) in [arena, previous, size, size, PAGE].into_iter().enumerate() {
            self.set(heap + n as u64 * 8, word);
        }
    }

    /// What `sysmalloc` leaves of a heap that is full.
    pub(super) fn full_heap(&mut self, heap: u64, arena: u64, chunks: &[Chunk]) {
        self.info(heap, arena, 0, HEAP_BYTES);
        let (fence, is_previous_free) = self.chunks(heap + INFO_BYTES, NON_MAIN, chunks);
        assert_eq!(fence, heap + HEAP_BYTES - 32);
        let in_use = if is_previous_free { 0 } else { PREVIOUS_IN_USE };
        self.set(fence + 8, 16 | in_use);
        self.set(fence + 24, PREVIOUS_IN_USE);
        self.anonymous.push(heap..heap + HEAP_BYTES);
        self.resident(heap, heap + HEAP_BYTES);
    }

    /// A block with a mapping of its own.
    pub(super) fn mapped(&mut self, start: u64, size: u64) {
        self.set(start, 0);
        self.set(start + 8, size | 2);
        self.resident(start, start + size);
    }

    pub(super) fn resident(&mut self, start: u64, end: u64) {
        self.run(start, end, PageState::Resident);
    }

    pub(super) fn run(&mut self, start: u64, end: u64, state: PageState) {
        self.pages.retain(|run| run.end <= start || run.start >= end);
        self.pages.push(PageRun { start, end, state, is_huge: false, is_file: false });
        self.pages.sort_unstable_by_key(|run| run.start);
    }

    pub(super) fn survey(&self) -> Survey {
        self.survey_within(Limits::default())
    }

    pub(super) fn survey_within(&self, limits: Limits) -> Survey {
        let place = Place {
            brk: &self.brk,
            anonymous: &self.anonymous,
            libc_data: std::slice::from_ref(&LIBC_DATA),
            stores: &self.stores,
            pages: &self.pages,
        };
        take(self, &place, limits, &|| false)
    }
}

impl ReadMemory for Fake {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let n_reads = self.n_reads.get() + 1;
        self.n_reads.set(n_reads);
        let is_mapped = |at: u64| {
            let mut ranges = self.brk.iter().chain(&self.anonymous);
            LIBC_DATA.contains(&at) || ranges.any(|range| range.contains(&at))
        };
        let last = address.0.saturating_add(out.len() as u64).saturating_sub(1);
        if !is_mapped(address.0) || !is_mapped(last) {
            return Err(MemoryError::Unmapped(address));
        }
        out.fill(0);
        let first = address.0 & !7;
        let mut words: BTreeMap<u64, u64> =
            self.words.range(first..=last).map(|(at, word)| (*at, *word)).collect();
        let now = self.later.iter().filter(|(since, _, _)| n_reads >= *since);
        words.extend(now.map(|(_, at, word)| (*at, *word)));
        for (at, word) in words {
            for (n, byte) in word.to_le_bytes().into_iter().enumerate() {
                let to = (at + n as u64).checked_sub(address.0);
                if let Some(place) = to.and_then(|to| out.get_mut(to as usize)) {
                    *place = byte;
                }
            }
        }
        Ok(())
    }
}
