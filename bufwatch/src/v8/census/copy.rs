//! A copy of V8's pages, in one piece: words by index, and from addresses of the process to indices. Knows pages, no objects.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use object::pod::bytes_of_slice_mut;

use crate::base::{Avma, MemoryError, ReadMemory, ReadPart};
use crate::v8::page::{PAGE_ALIGNMENT, Page};

/// Largest heap copied. Indices of words fit in 31 bits with it, see `mark`.
pub const HEAP_BYTES_MAX: u64 = 8 << 30;

/// Bytes read at once, so that a time limit is looked at in between.
const READ_BYTES: usize = 32 << 20;

/// Spare room of a destination that is prepared before the process stands still, for pages that V8 adds meanwhile.
const SPARE_BYTES: u64 = 8 << 20;

const WORDS_PER_MEMORY_PAGE: usize = 512;

/// Room for a copy, with memory behind it: what is not touched before costs page faults while the target stands still.
#[derive(Debug, Default)]
pub struct Destination {
    words: Vec<u64>,
}

impl Destination {
    pub fn for_pages(pages: &[Page]) -> Self {
        let n_bytes: u64 = pages.iter().map(|page| page.size).fold(0, u64::saturating_add);
        let spare = (n_bytes / 64).saturating_add(SPARE_BYTES);
        let n_bytes = n_bytes.saturating_add(spare).min(HEAP_BYTES_MAX);
        let mut words = vec![0_u64; usize::try_from(n_bytes / 8).unwrap_or(0)];
        for word in words.iter_mut().step_by(WORDS_PER_MEMORY_PAGE) {
            *word = 1;
        }
        std::hint::black_box(&mut words);
        Self { words }
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

/// V8's pages as they were at one moment.
#[derive(Debug, Default)]
pub struct HeapCopy {
    words: Vec<u64>,
    pages: Vec<CopiedPage>,
    slots: PageSlots,
    /// Pages that could not be read, or that there was no room for.
    pub n_pages_lost: usize,
    /// The time was up before all was read.
    pub is_cut: bool,
}

impl HeapCopy {
    /// Reads the pages; `has_time` is asked between reads of [`READ_BYTES`].
    pub fn read(
        memory: &impl ReadMemory,
        pages: &[Page],
        destination: Destination,
        has_time: impl Fn() -> bool,
    ) -> Self {
        let mut words = destination.words;
        let (pages, n_words, mut n_pages_lost) = place(pages);
        // More than was prepared for: slower, and right.
        if n_words > words.len() {
            words.resize(n_words, 0);
        }
        words.truncate(n_words);
        let (n_lost, is_cut) = read_all(memory, &pages, &mut words, has_time);
        n_pages_lost = n_pages_lost.saturating_add(n_lost);
        let slots = PageSlots::of(&pages);
        Self { words, pages, slots, n_pages_lost, is_cut }
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
        self.locate(address).map(|(_, index)| index)
    }

    /// Index of the word at an address, and its page.
    #[inline]
    pub fn locate(&self, address: u64) -> Option<(&CopiedPage, usize)> {
        let page = self.page_of(address)?;
        let offset = address.checked_sub(page.page.start)?;
        let index = page.first.checked_add((offset / 8) as usize)?;
        (index < page.end).then_some((page, index))
    }

    #[inline]
    pub fn page_of(&self, address: u64) -> Option<&CopiedPage> {
        self.pages.get(self.slots.find(address / PAGE_ALIGNMENT)?)
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

/// Where each page comes in the copy; those beyond [`HEAP_BYTES_MAX`] are left out.
fn place(pages: &[Page]) -> (Vec<CopiedPage>, usize, usize) {
    let mut placed = Vec::with_capacity(pages.len());
    let mut at = 0_usize;
    let mut n_lost = 0_usize;
    for page in pages {
        let end = usize::try_from(page.size / 8).ok().and_then(|n| at.checked_add(n));
        match end {
            Some(end) if (end as u64).saturating_mul(8) <= HEAP_BYTES_MAX => {
                placed.push(CopiedPage { page: *page, first: at, end });
                at = end;
            }
            _ => n_lost = n_lost.saturating_add(1),
        }
    }
    (placed, at, n_lost)
}

fn read_all(
    memory: &impl ReadMemory,
    pages: &[CopiedPage],
    words: &mut [u64],
    has_time: impl Fn() -> bool,
) -> (usize, bool) {
    let mut n_lost = 0_usize;
    let mut parts = Vec::new();
    let mut n_bytes = 0_usize;
    let mut rest = words;
    for (n, page) in pages.iter().enumerate() {
        let n_words = page.end.saturating_sub(page.first);
        let Some((piece, others)) = rest.split_at_mut_checked(n_words) else { break };
        rest = others;
        // Nobody reads the header in the copy, and behind it there may be a guard.
        let skipped = page.area().start.saturating_sub(page.first);
        let out = bytes_of_slice_mut(piece.get_mut(skipped..).unwrap_or_default());
        n_bytes = n_bytes.saturating_add(out.len());
        parts.push(ReadPart::new(Avma(page.address(page.area().start)), out));
        if n_bytes >= READ_BYTES || n.saturating_add(1) == pages.len() {
            if !has_time() {
                return (n_lost, true);
            }
            memory.read_parts(&mut parts);
            for part in &mut parts {
                if !part.is_read {
                    n_lost = n_lost.saturating_add(usize::from(!read_piecewise(memory, part)));
                }
            }
            parts.clear();
            n_bytes = 0;
        }
    }
    (n_lost, false)
}

/// Of a page with holes, what can be read; the rest is zero.
fn read_piecewise(memory: &impl ReadMemory, part: &mut ReadPart<'_>) -> bool {
    const PIECE: usize = 4 << 10;
    let mut is_any = false;
    let mut address = part.address.0;
    for piece in part.out.chunks_mut(PIECE) {
        if memory.read(Avma(address), piece).is_ok() {
            is_any = true;
        } else {
            piece.fill(0);
        }
        address = address.saturating_add(PIECE as u64);
    }
    is_any
}

/// From 256 KiB of address space to the page there: a hash table with linear probing, since this is looked up for every word that
/// could be a pointer.
#[derive(Debug, Default)]
struct PageSlots {
    /// Number of the slot of address space and of the page; the number of no slot where there is none.
    entries: Vec<(u64, u32)>,
    shift: u32,
}

const NO_SLOT: u64 = u64::MAX;

impl PageSlots {
    fn of(pages: &[CopiedPage]) -> Self {
        let n_slots: u64 = pages
            .iter()
            .map(|page| page.page.size.div_ceil(PAGE_ALIGNMENT))
            .fold(0, u64::saturating_add);
        // At most a quarter full: misses end soon.
        let capacity =
            n_slots.saturating_mul(4).max(64).checked_next_power_of_two().unwrap_or(1 << 20);
        let mut slots = Self {
            entries: vec![(NO_SLOT, 0); usize::try_from(capacity).unwrap_or(64)],
            shift: 64_u32.saturating_sub(capacity.trailing_zeros()),
        };
        for (number, page) in pages.iter().enumerate() {
            let first = page.page.start / PAGE_ALIGNMENT;
            for slot in 0..page.page.size.div_ceil(PAGE_ALIGNMENT) {
                slots.insert(first.saturating_add(slot), number as u32);
            }
        }
        slots
    }

    const fn hash(&self, slot: u64) -> usize {
        // Fibonacci hashing: pages follow each other in address space, or are spread at random.
        (slot.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    fn insert(&mut self, slot: u64, page: u32) {
        let n = self.entries.len();
        let start = self.hash(slot);
        for step in 0..n {
            let at = start.wrapping_add(step) & n.saturating_sub(1);
            let Some(entry) = self.entries.get_mut(at) else { return };
            if entry.0 == NO_SLOT {
                *entry = (slot, page);
                return;
            }
            if entry.0 == slot {
                return;
            }
        }
    }

    #[inline]
    fn find(&self, slot: u64) -> Option<usize> {
        let mask = self.entries.len().checked_sub(1)?;
        let mut at = self.hash(slot) & mask;
        loop {
            let (key, page) = *self.entries.get(at)?;
            if key == slot {
                return Some(page as usize);
            }
            if key == NO_SLOT {
                return None;
            }
            at = at.wrapping_add(1) & mask;
        }
    }
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
