//! From an address to its place in a copied heap: a hash table with linear probing over slots of 256 KiB of address space. All that
//! marking asks of a page is in its entries, since it asks for every word that could be a pointer.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::copy::CopiedPage;
use crate::v8::page::PAGE_ALIGNMENT;

/// Slots of one page at most: no page is larger than the largest heap.
const SLOTS_PER_PAGE_MAX: u64 = 1 << 16;

const WORDS_PER_SLOT: u64 = PAGE_ALIGNMENT / 8;

/// No slot of user space has this number.
const NO_SLOT: u32 = u32::MAX;

/// Where an address is in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of the word.
    pub index: usize,
    /// Number of the page.
    pub page: usize,
    pub is_read_only: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Address / 256 KiB: 29 bits of 47.
    number: u32,
    /// Index of its first word.
    first: u32,
    /// Words of the page in it, and [`READ_ONLY`].
    n_words: u32,
    page: u32,
}

const READ_ONLY: u32 = 1 << 31;

const EMPTY: Slot = Slot { number: NO_SLOT, first: 0, n_words: 0, page: 0 };

/// All slots of a heap's pages.
#[derive(Debug, Default)]
pub(super) struct Slots {
    entries: Vec<Slot>,
    shift: u32,
}

impl Slots {
    pub(super) fn of(pages: &[CopiedPage]) -> Self {
        let n_slots = |page: &CopiedPage| n_slots(page);
        let n: u64 = pages.iter().map(n_slots).fold(0, u64::saturating_add);
        // At most half full: misses end soon.
        let capacity = n.saturating_mul(2).max(64).checked_next_power_of_two().unwrap_or(1 << 20);
        let mut slots = Self {
            entries: vec![EMPTY; usize::try_from(capacity).unwrap_or(64)],
            shift: 64_u32.saturating_sub(capacity.trailing_zeros()),
        };
        for (number, page) in pages.iter().enumerate() {
            let read_only = if page.page.is_read_only() { READ_ONLY } else { 0 };
            let n_words = page.end.saturating_sub(page.first) as u64;
            let start = page.page.start / PAGE_ALIGNMENT;
            for slot in 0..n_slots(page) {
                let before = slot.saturating_mul(WORDS_PER_SLOT);
                let inside = n_words.saturating_sub(before).min(WORDS_PER_SLOT);
                slots.insert(Slot {
                    number: u32::try_from(start.saturating_add(slot)).unwrap_or(NO_SLOT),
                    first: (page.first as u64).saturating_add(before) as u32,
                    n_words: inside as u32 | read_only,
                    page: number as u32,
                });
            }
        }
        slots
    }

    const fn hash(&self, number: u32) -> usize {
        // Fibonacci hashing: pages follow each other in address space, or are spread at random.
        ((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> self.shift) as usize
    }

    /// The first page of a slot keeps it.
    fn insert(&mut self, slot: Slot) {
        let n = self.entries.len();
        let start = self.hash(slot.number);
        for step in 0..n {
            let at = start.wrapping_add(step) & n.saturating_sub(1);
            let Some(entry) = self.entries.get_mut(at) else { return };
            if entry.number == NO_SLOT {
                *entry = slot;
                return;
            }
            if entry.number == slot.number {
                return;
            }
        }
    }

    #[inline]
    pub(super) fn find(&self, address: u64) -> Option<Place> {
        let number = u32::try_from(address / PAGE_ALIGNMENT).ok()?;
        let mask = self.entries.len().checked_sub(1)?;
        let mut at = self.hash(number) & mask;
        loop {
            let slot = self.entries.get(at)?;
            if slot.number == number {
                let offset = (address % PAGE_ALIGNMENT / 8) as u32;
                return (offset < slot.n_words & !READ_ONLY).then(|| Place {
                    index: slot.first.wrapping_add(offset) as usize,
                    page: slot.page as usize,
                    is_read_only: slot.n_words & READ_ONLY != 0,
                });
            }
            if slot.number == NO_SLOT {
                return None;
            }
            at = at.wrapping_add(1) & mask;
        }
    }
}

fn n_slots(page: &CopiedPage) -> u64 {
    page.page.size.div_ceil(PAGE_ALIGNMENT).min(SLOTS_PER_PAGE_MAX)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v8::census::fake::FakeHeap;
    use crate::v8::page::Page;

    fn page(start: u64, size: u64, first: usize, is_writable: bool) -> CopiedPage {
        let page = Page {
            start,
            size,
            area_start: start + 16,
            area_end: start + size,
            is_writable,
            ..FakeHeap::new().page()
        };
        CopiedPage { page, first, end: first + (size / 8) as usize }
    }

    proptest! {
        #[test]
        fn every_word_is_found_where_it_is_and_nothing_else(
            starts in proptest::collection::btree_map(0_u64..1 << 29, (1_u64..3 << 18, any::<bool>()), 1..40),
            probes in proptest::collection::vec((any::<prop::sample::Index>(), 0_u64..4 << 18), 50),
        ) {
            let mut pages = Vec::new();
            let mut behind = 0;
            let mut first = 0;
            for (number, (size, is_writable)) in &starts {
                let start = (number * PAGE_ALIGNMENT).max(behind);
                if start >= 1 << 47 {
                    break;
                }
                let page = page(start, size & !7, first, *is_writable);
                behind = (start + size).next_multiple_of(PAGE_ALIGNMENT);
                first = page.end;
                pages.push(page);
            }
            let slots = Slots::of(&pages);
            for (which, offset) in probes {
                let number = which.index(pages.len());
                let address = pages[number].page.start + offset;
                let expected = pages.iter().position(|page| {
                    (page.page.start..page.page.start + page.page.size).contains(&address)
                });
                let expected = expected.map(|number| {
                    let page = pages[number];
                    Place {
                        index: page.first + ((address - page.page.start) / 8) as usize,
                        page: number,
                        is_read_only: !page.page.is_writable,
                    }
                });
                prop_assert_eq!(slots.find(address), expected);
            }
        }
    }
}
