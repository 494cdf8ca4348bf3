//! A copy of V8's pages, in one piece: words by index, and from addresses of the process to indices. Knows pages, no objects.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, MemoryError, ReadMemory};
use crate::v8::census::fill::{Filled, fill};
use crate::v8::census::parallel::in_parallel;
use crate::v8::census::room::Room;
use crate::v8::census::slots::{Place, Slots};
use crate::v8::page::Page;

/// Largest heap copied. Indices of words fit in 31 bits with it, see `mark`.
pub const HEAP_BYTES_MAX: u64 = 8 << 30;

/// Spare room of a destination that is prepared before the process stands still, for pages that V8 adds meanwhile.
const SPARE_BYTES: u64 = 4 << 20;

const WORDS_PER_MEMORY_PAGE: usize = 512;

/// Words whose memory is made by one thread at a time: a few large pages.
const WORDS_TOUCHED: usize = 1 << 19;

/// Pages begin at multiples of this in the copy, so that no two of them share a block of a bitmap.
const WORDS_PER_BLOCK: usize = 64;

/// Room for a copy, with memory behind it: what is not touched before costs page faults while the target stands still.
#[derive(Debug, Default)]
pub struct Destination {
    words: Vec<u64>,
    room: Room,
}

impl Destination {
    /// Room for these pages; the same again if it is large enough. The memory behind it is made by so many threads.
    #[must_use]
    pub fn for_pages(self, pages: &[Page], room: Room, n_threads: usize) -> Self {
        let copied = pages.iter().filter(|page| !page.is_from_space());
        let n_bytes: u64 = copied.map(|page| page.size).fold(0, u64::saturating_add);
        let spare = (n_bytes / 64).saturating_add(SPARE_BYTES);
        let n_bytes = n_bytes.saturating_add(spare).min(HEAP_BYTES_MAX);
        let n_words = usize::try_from(n_bytes / 8).unwrap_or(0);
        if self.words.len() >= n_words {
            return self;
        }
        // Not both at once.
        drop(self);
        let mut words = room.words(n_words);
        in_parallel(words.chunks_mut(WORDS_TOUCHED).collect(), n_threads, |words| {
            for word in words.iter_mut().step_by(WORDS_PER_MEMORY_PAGE) {
                *word = 1;
            }
            std::hint::black_box(words);
        });
        Self { words, room }
    }
}

/// A page in the copy.
#[derive(Clone, Copy, Debug)]
pub struct CopiedPage {
    pub page: Page,
    /// Index of its first word.
    pub first: usize,
    /// Index behind its last word.
    pub end: usize,
}

impl CopiedPage {
    /// Indices of the words that objects are in.
    pub fn area(&self) -> std::ops::Range<usize> {
        let index = |address: u64| {
            let offset = address.saturating_sub(self.page.start) / 8;
            self.first.saturating_add(offset as usize).min(self.end)
        };
        index(self.page.area_start)..index(self.page.area_end)
    }

    /// Address in the process of one of its words.
    pub const fn address(&self, index: usize) -> u64 {
        let offset = (index.saturating_sub(self.first) as u64).saturating_mul(8);
        self.page.start.saturating_add(offset)
    }
}

/// V8's pages as they were at one moment; the empty half of new space is left out.
#[derive(Debug, Default)]
pub struct HeapCopy {
    words: Vec<u64>,
    pages: Vec<CopiedPage>,
    slots: Slots,
    room: Room,
    n_threads: usize,
    /// Pages that could not be read, or that there was no room for.
    pub n_pages_lost: usize,
    /// The time was up before all was read.
    pub is_cut: bool,
}

impl HeapCopy {
    /// Reads the pages with `n_threads`; `has_time` is asked between two reads. The threads' number also holds for the work on the copy.
    pub fn read(
        memory: &(impl ReadMemory + Sync),
        pages: &[Page],
        destination: Destination,
        n_threads: usize,
        has_time: impl Fn() -> bool + Sync,
    ) -> Self {
        let Destination { mut words, room } = destination;
        let (pages, n_words, n_without_room) = place(pages);
        // More than was prepared for: slower, and right.
        if n_words > words.len() {
            words.resize(n_words, 0);
        }
        words.truncate(n_words);
        let Filled { n_lost, is_cut } = fill(memory, &pages, &mut words, n_threads, has_time);
        let n_pages_lost = n_without_room.saturating_add(n_lost);
        let slots = Slots::of(&pages);
        Self { words, pages, slots, room, n_threads, n_pages_lost, is_cut }
    }

    /// Gives the spare room back, which can wait until the process runs on.
    pub fn shrink(&mut self) {
        self.words.shrink_to_fit();
    }

    /// How many threads may work on it.
    pub const fn n_threads(&self) -> usize {
        self.n_threads
    }

    /// For arrays as large as the heap.
    pub const fn room(&self) -> Room {
        self.room
    }

    pub fn pages(&self) -> &[CopiedPage] {
        &self.pages
    }

    pub fn n_words(&self) -> usize {
        self.words.len()
    }

    pub fn n_bytes(&self) -> u64 {
        (self.words.len() as u64).saturating_mul(8)
    }

    pub fn word(&self, index: usize) -> Option<u64> {
        self.words.get(index).copied()
    }

    pub fn slice(&self, range: std::ops::Range<usize>) -> &[u64] {
        self.words.get(range).unwrap_or_default()
    }

    /// The word at a byte offset behind an index, which may be no multiple of eight.
    pub fn word_at(&self, index: usize, offset: u64) -> Option<u64> {
        let at = index.checked_add(usize::try_from(offset / 8).ok()?)?;
        let low = self.word(at)?;
        let shift = u32::try_from(offset % 8).ok()?.checked_mul(8)?;
        if shift == 0 {
            return Some(low);
        }
        let high = self.word(at.checked_add(1)?)?;
        Some((low >> shift) | high.checked_shl(64_u32.checked_sub(shift)?)?)
    }

    /// Index of the word at an address.
    #[inline]
    pub fn find(&self, address: u64) -> Option<usize> {
        self.slots.find(address).map(|place| place.index)
    }

    /// Where an address is.
    #[inline]
    pub fn place(&self, address: u64) -> Option<Place> {
        self.slots.find(address)
    }

    #[inline]
    pub fn page_of(&self, address: u64) -> Option<&CopiedPage> {
        self.pages.get(self.slots.find(address)?.page)
    }

    /// The page that a word is in.
    pub fn page_at(&self, index: usize) -> Option<&CopiedPage> {
        let behind = self.pages.partition_point(|page| page.first <= index);
        self.pages.get(behind.checked_sub(1)?)
    }

    /// Address in the process of a word.
    pub fn address(&self, index: usize) -> Option<Avma> {
        let page = self.page_at(index)?;
        let offset = (index.checked_sub(page.first)? as u64).checked_mul(8)?;
        Some(Avma(page.page.start.checked_add(offset)?))
    }
}

/// Where each page comes in the copy, ascending; those beyond [`HEAP_BYTES_MAX`] are left out.
fn place(pages: &[Page]) -> (Vec<CopiedPage>, usize, usize) {
    let mut placed = Vec::with_capacity(pages.len());
    let mut at = 0_usize;
    let mut n_lost = 0_usize;
    for page in pages.iter().filter(|page| !page.is_from_space()) {
        let end = usize::try_from(page.size / 8).ok().and_then(|n| at.checked_add(n));
        let next = end.and_then(|end| end.checked_next_multiple_of(WORDS_PER_BLOCK));
        match (end, next) {
            (Some(end), Some(next)) if (next as u64).saturating_mul(8) <= HEAP_BYTES_MAX => {
                placed.push(CopiedPage { page: *page, first: at, end });
                at = next;
            }
            _ => n_lost = n_lost.saturating_add(1),
        }
    }
    (placed, at, n_lost)
}

impl ReadMemory for HeapCopy {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let unmapped = MemoryError::Unmapped(address);
        let mut index = self.find(address.0 & !7).ok_or(unmapped)?;
        let last = address.0.checked_add((out.len() as u64).saturating_sub(1)).ok_or(unmapped)?;
        // All in one page, or nothing: pages do not follow each other in the copy as they do in memory.
        let page = self.page_of(address.0).ok_or(unmapped)?;
        let end = page.page.start.checked_add(page.page.size).ok_or(unmapped)?;
        if last >= end && !out.is_empty() {
            return Err(unmapped);
        }
        let mut skip = (address.0 & 7) as usize;
        let mut rest = out;
        while !rest.is_empty() {
            let bytes = self.word(index).ok_or(unmapped)?.to_le_bytes();
            let bytes = bytes.get(skip..).unwrap_or_default();
            let n = bytes.len().min(rest.len());
            let (now, later) = rest.split_at_mut_checked(n).ok_or(unmapped)?;
            now.copy_from_slice(bytes.get(..n).unwrap_or_default());
            rest = later;
            skip = 0;
            index = index.checked_add(1).ok_or(unmapped)?;
        }
        Ok(())
    }
}
