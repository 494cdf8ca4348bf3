//! Spaces of V8's heap: which pages they have, by their lists, and how much of them is used. Adds nothing up.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, FastMap, FastSet, ReadMemory, ReadPart};
use crate::v8::heap_usage::HeapUsageFacts;
use crate::v8::object::word_in;
use crate::v8::page::{PAGE_ALIGNMENT, Page, PageLayout};

/// In `Space` of all these versions: the bytes of its pages.
pub(super) const COMMITTED: u64 = 0x18;

/// An object of a page of its own is larger (`kMaxRegularHeapObjectSize`, src/common/globals.h).
const LARGE_OBJECT_MIN: u64 = 128 << 10;

/// What the lists of pages are made of.
pub(super) struct Links<'a> {
    pages: &'a [Page],
    /// The name by which lists know each page: its address, or that of its metadata.
    by_name: FastMap<u64, usize>,
    /// The name of the page that follows each.
    next: Vec<u64>,
}

impl<'a> Links<'a> {
    pub(super) fn read(
        memory: &impl ReadMemory,
        layout: PageLayout,
        facts: HeapUsageFacts,
        pages: &'a [Page],
    ) -> Self {
        let addresses = pages.iter().map(|page| page.start);
        let names: Vec<u64> = if layout == PageLayout::Metadata {
            read_words(memory, addresses.map(|at| at.saturating_add(8)))
        } else {
            addresses.collect()
        };
        let next = names.iter().map(|name| name.saturating_add(facts.next_page));
        let next = read_words(memory, next);
        let by_name = names.iter().enumerate().map(|(n, name)| (*name, n)).collect();
        Self { pages, by_name, next }
    }

    /// The pages of a space; `None` if its list does not make sense, since it is changed just now.
    pub(super) fn walk(
        &self,
        memory: &impl ReadMemory,
        facts: HeapUsageFacts,
        owner: u64,
    ) -> Option<Space<'a>> {
        let word = |offset: u64| memory.read_u64(Avma(owner.checked_add(offset)?)).ok();
        let current = self.by_name.get(&word(facts.current_page).unwrap_or(0));
        let mut space = Space { committed: word(COMMITTED)?, ..Space::default() };
        let mut at = word(facts.first_page)?;
        while at != 0 {
            let n = *self.by_name.get(&at)?;
            let page = self.pages.get(n).filter(|page| page.owner == owner)?;
            if space.pages.len() >= self.pages.len() {
                return None;
            }
            if current == Some(&n) {
                space.current = Some(space.pages.len());
            }
            space.pages.push(page);
            at = *self.next.get(n)?;
        }
        Some(space)
    }
}

/// What cannot be read is a word that is no address.
fn read_words(memory: &impl ReadMemory, addresses: impl Iterator<Item = u64>) -> Vec<u64> {
    let addresses: Vec<u64> = addresses.collect();
    let mut words = vec![[0xff_u8; 8]; addresses.len()];
    let parts = addresses.iter().zip(words.iter_mut());
    let mut parts: Vec<ReadPart<'_>> =
        parts.map(|(at, word)| ReadPart::new(Avma(*at), word.as_mut_slice())).collect();
    memory.read_parts(&mut parts);
    words.into_iter().map(u64::from_le_bytes).collect()
}

/// Pages with one purpose.
#[derive(Default)]
pub(super) struct Space<'a> {
    pages: Vec<&'a Page>,
    pub(super) committed: u64,
    /// Where in `pages` the current one is; of a half of new space only.
    current: Option<usize>,
}

impl<'a> Space<'a> {
    /// As far as page headers tell.
    pub(super) fn of_pages(pages: &[&'a Page]) -> Self {
        let committed = pages.iter().fold(0, |sum: u64, page| sum.saturating_add(page.committed));
        Self { pages: pages.to_vec(), committed, current: None }
    }

    pub(super) fn starts(&self) -> FastSet<u64> {
        self.pages.iter().map(|page| page.start).collect()
    }

    /// Bytes of objects: at least, at most.
    pub(super) fn used(
        &self,
        facts: Option<HeapUsageFacts>,
        areas: Option<&LinearAreas>,
    ) -> Range<u64> {
        let is_ordinary = self.pages.iter().all(|page| page.committed == PAGE_ALIGNMENT);
        let Some(first) = self.pages.first() else { return 0..0 };
        if first.is_from_space() {
            return 0..0;
        }
        if first.is_young() && (is_ordinary || self.current.is_some()) {
            return self.used_of_half(areas);
        }
        let allocated =
            self.pages.iter().fold(0, |sum: u64, page| sum.saturating_add(page.allocated));
        let is_large =
            !is_ordinary && self.pages.iter().all(|page| page.allocated > LARGE_OBJECT_MIN);
        if is_large || facts.is_some_and(|facts| !facts.counts_areas) {
            return allocated..allocated;
        }
        let is_in =
            |top: u64| self.pages.iter().any(|page| (page.start..page.area_end).contains(&top));
        match areas.map(|areas| &areas.old) {
            Some(area) if is_in(area.start) => {
                let used = allocated.saturating_sub(area.end.saturating_sub(area.start));
                used..used
            }
            // Where the area of this space is, is not known: it is somewhere within a page.
            _ => allocated.saturating_sub(PAGE_ALIGNMENT)..allocated,
        }
    }

    /// The half of new space in which objects are made: pages before the current one are full.
    fn used_of_half(&self, areas: Option<&LinearAreas>) -> Range<u64> {
        let area = |page: &Page| page.area_end.saturating_sub(page.area_start);
        let sum =
            |pages: &[&Page]| pages.iter().fold(0, |sum: u64, it| sum.saturating_add(area(it)));
        let Some((before, page)) =
            self.current.and_then(|n| Some((self.pages.get(..n)?, *self.pages.get(n)?)))
        else {
            return 0..sum(&self.pages);
        };
        let in_page = match areas.map(|areas| areas.new.start) {
            Some(top) if (page.area_start..=page.area_end).contains(&top) => {
                let n = top.saturating_sub(page.area_start);
                n..n
            }
            _ => 0..area(page),
        };
        let full = sum(before);
        full.saturating_add(in_page.start)..full.saturating_add(in_page.end)
    }
}

/// `top..limit` of where the main thread makes objects.
#[derive(Clone, Debug)]
pub(super) struct LinearAreas {
    new: Range<u64>,
    old: Range<u64>,
}

impl LinearAreas {
    pub(super) fn read(
        memory: &impl ReadMemory,
        facts: HeapUsageFacts,
        heap: Avma,
    ) -> Option<Self> {
        let (to_heap, at) = facts.areas?;
        let start = heap.0.checked_sub(to_heap)?.checked_add(at)?;
        let mut words = [0_u8; 48];
        memory.read(Avma(start), &mut words).ok()?;
        let area = |at: usize| {
            let (start, top, limit) = (
                word_in(&words, at)?,
                word_in(&words, at.checked_add(8)?)?,
                word_in(&words, at.checked_add(16)?)?,
            );
            // Zero while there is none.
            (start <= top && top <= limit && limit.saturating_sub(top) <= PAGE_ALIGNMENT)
                .then_some(top..limit)
        };
        Some(Self { new: area(0)?, old: area(24)? })
    }
}
