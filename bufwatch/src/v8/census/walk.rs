//! Finds every object in a copied heap: the start of each, and on the way the array buffers and views. What is alive is not decided
//! here: dead objects that the collector has not yet reclaimed are found as well.
//!
//! The way (v8-heap-census.md §2): a word that points to a map begins an object; its size is believed only if another object or the end
//! of the page follows, otherwise the search goes on at the next word.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::area::AllocationArea;
use crate::v8::census::bitmap::{Bitmap, BitmapPart};
use crate::v8::census::copy::{CopiedPage, HeapCopy};
use crate::v8::census::maps::{self, MapMemory};
use crate::v8::census::parallel::in_parallel;
use crate::v8::census::sizes::{MapFacts, object_bytes};
use crate::v8::metadata::Layout;

/// Array buffers and views listed: more are counted, not listed.
pub const LISTED_MAX: usize = 16 << 20;

/// Weak collections listed: enough to learn from.
const SAMPLES_MAX: usize = 256;

/// The objects of a heap.
#[derive(Debug, Default)]
pub struct Walk {
    /// Words at which an object begins; and the first word of each page, so that no object reaches into the next page.
    pub starts: Bitmap,
    /// Indices of `JSArrayBuffer`s.
    pub buffers: Vec<usize>,
    /// Indices of typed arrays and data views.
    pub views: Vec<usize>,
    /// Some weak maps and sets, to learn from.
    pub weak_collections: Vec<usize>,
    pub n_maps: usize,
    pub n_objects: u64,
    /// Bytes between objects of known size: what no size rule covers.
    pub unsized_bytes: u64,
    pub is_list_cut: bool,
    /// How to recognise a map.
    layout: Layout,
}

impl Walk {
    /// The result does not depend on the number of threads.
    pub fn take(heap: &HeapCopy, layout: &Layout) -> Self {
        let mut starts = Bitmap::in_room(heap.n_words(), heap.room());
        let groups = in_groups(heap.pages(), heap.n_threads());
        let ends = groups.iter().filter_map(|group| group.last()).map(|page| page.end);
        let parts = starts.split(ends);
        let walk_group = |pages: &[CopiedPage], starts: BitmapPart<'_>| {
            let found = Self::default();
            let mut walker = Walker { heap, layout, starts, found, maps: MapMemory::new() };
            for page in pages {
                walker.walk_page(page);
            }
            walker.found
        };
        let work = groups.into_iter().zip(parts).collect();
        let found =
            in_parallel(work, heap.n_threads(), |(pages, starts)| walk_group(pages, starts));
        let mut walk = Self { layout: *layout, ..Self::default() };
        for part in found {
            walk.append(part);
        }
        walk.starts = starts;
        walk
    }

    /// Objects on later pages.
    fn append(&mut self, later: Self) {
        let Self { starts: _, buffers, views, weak_collections, .. } = later;
        let mut is_cut = self.is_list_cut || later.is_list_cut;
        for (all, more) in [(&mut self.buffers, buffers), (&mut self.views, views)] {
            is_cut |= all.len().saturating_add(more.len()) > LISTED_MAX;
            all.extend(more);
            all.truncate(LISTED_MAX);
        }
        self.is_list_cut = is_cut;
        self.weak_collections.extend(weak_collections);
        self.weak_collections.truncate(SAMPLES_MAX);
        self.n_maps = self.n_maps.saturating_add(later.n_maps);
        self.n_objects = self.n_objects.saturating_add(later.n_objects);
        self.unsized_bytes = self.unsized_bytes.saturating_add(later.unsized_bytes);
    }

    /// Ends objects of unknown size where V8 makes the next ones: what is behind is stale, and would be taken for references. An object
    /// whose size is known is never cut, whatever looks like an area.
    pub fn end_at_tops(&mut self, heap: &HeapCopy, areas: &[AllocationArea], layout: &Layout) {
        for area in areas {
            let page = heap.page_of(area.top).map(|it| it.page);
            let is_in_page =
                page.is_some_and(|it| it.area_start <= area.start && area.limit <= it.area_end);
            let Some(top) = heap.find(area.top).filter(|_| is_in_page) else { continue };
            let before = top.checked_sub(1).and_then(|at| self.starts.at_or_before(at));
            let is_within = before.is_some_and(|before| {
                let facts = self.facts(heap, before, layout);
                let bytes = facts.and_then(|it| object_bytes(heap, before, it, layout));
                bytes.is_some_and(|bytes| before.saturating_add((bytes / 8) as usize) > top)
            });
            if !is_within {
                self.starts.insert(top);
            }
        }
    }

    /// The map that a word points to.
    #[inline]
    pub fn map_of(&self, heap: &HeapCopy, word: u64) -> Option<usize> {
        maps::map_of(heap, word, &self.layout)
    }

    /// Where the object at an address begins in the copy, if one does.
    #[inline]
    pub fn object_at(&self, heap: &HeapCopy, word: u64) -> Option<usize> {
        if word & 7 != 1 {
            return None;
        }
        heap.find(word.wrapping_sub(1)).filter(|index| self.starts.has(*index))
    }

    /// What the map of the object at an index says.
    #[inline]
    pub fn facts(&self, heap: &HeapCopy, index: usize, layout: &Layout) -> Option<MapFacts> {
        maps::facts_of(heap, heap.word(index)?, layout)
    }

    /// Index behind the last word of an object.
    #[inline]
    pub fn end_of(&self, heap: &HeapCopy, index: usize, map: MapFacts, layout: &Layout) -> usize {
        let n_words = heap.n_words();
        let next = self.starts.next_after(index, n_words).unwrap_or(n_words);
        match object_bytes(heap, index, map, layout) {
            Some(bytes) => next.min(index.saturating_add((bytes / 8) as usize)),
            None => next,
        }
    }

    /// The instance type of the tables of weak maps, as most of them say it.
    pub fn ephemeron_kind(&self, heap: &HeapCopy, layout: &Layout) -> u64 {
        let mut votes: Vec<(u64, usize)> = Vec::new();
        for collection in &self.weak_collections {
            let kind = heap
                .word_at(*collection, layout.collection_table)
                .and_then(|table| self.object_at(heap, table))
                .and_then(|table| self.facts(heap, table, layout))
                .map(|facts| facts.kind);
            let Some(kind) = kind else { continue };
            match votes.iter_mut().find(|(voted, _)| *voted == kind) {
                Some((_, n)) => *n = n.saturating_add(1),
                None => votes.push((kind, 1)),
            }
        }
        let winner = votes.into_iter().max_by_key(|(_, n)| *n);
        winner.map_or(layout.type_ephemeron_table, |(kind, _)| kind)
    }
}

/// Walks some pages.
struct Walker<'a> {
    heap: &'a HeapCopy,
    layout: &'a Layout,
    starts: BitmapPart<'a>,
    /// All but the starts.
    found: Walk,
    maps: MapMemory,
}

impl Walker<'_> {
    fn walk_page(&mut self, page: &CopiedPage) {
        self.starts.insert(page.first);
        let area = page.area();
        let mut at = area.start;
        // Of the object at `at`, where it was asked for already.
        let mut known = None;
        while at < area.end {
            let Some(facts) = known.take().or_else(|| self.map_at(at)) else {
                at = at.saturating_add(1);
                self.found.unsized_bytes = self.found.unsized_bytes.saturating_add(8);
                continue;
            };
            let n_words =
                object_bytes(self.heap, at, facts, self.layout).map_or(0, |it| (it / 8) as usize);
            let end = at.saturating_add(n_words);
            let next = if n_words > 0 && end < area.end { self.map_at(end) } else { None };
            let is_followed = n_words > 0 && (end == area.end || next.is_some());
            if facts.kind == self.layout.type_free_space {
                // It ends the object before it, whose size may not be known. Its body is stale; one that leads nowhere is stale itself.
                self.starts.insert(at);
                at = if is_followed { end } else { at.saturating_add(1) };
                known = next;
                continue;
            }
            self.note(at, facts.kind);
            let is_large_object = page.page.is_large() && at == area.start;
            if is_followed {
                at = end;
                known = next;
            } else if is_large_object && n_words > 0 && end <= area.end {
                // Nothing follows a large object in its page.
                return;
            } else {
                at = at.saturating_add(1);
                self.found.unsized_bytes = self.found.unsized_bytes.saturating_add(8);
            }
        }
    }

    #[inline]
    fn map_at(&mut self, index: usize) -> Option<MapFacts> {
        self.maps.facts_of(self.heap, self.heap.word(index)?, self.layout)
    }

    #[inline]
    fn note(&mut self, index: usize, kind: u64) {
        let (layout, found) = (self.layout, &mut self.found);
        self.starts.insert(index);
        found.n_objects = found.n_objects.saturating_add(1);
        let list = if kind == layout.type_array_buffer {
            &mut found.buffers
        } else if kind == layout.type_typed_array
            || kind == layout.type_data_view
            || kind == layout.type_rab_data_view
            || kind == layout.type_detached_typed_array
        {
            &mut found.views
        } else if kind == layout.type_map {
            found.n_maps = found.n_maps.saturating_add(1);
            return;
        } else if (kind == layout.type_weak_map || kind == layout.type_weak_set)
            && found.weak_collections.len() < SAMPLES_MAX
        {
            &mut found.weak_collections
        } else {
            return;
        };
        if list.len() < LISTED_MAX {
            list.push(index);
        } else {
            found.is_list_cut = true;
        }
    }
}

/// Pages in at most `n` groups of about the same number of words.
fn in_groups(pages: &[CopiedPage], n: usize) -> Vec<&[CopiedPage]> {
    let n_words = pages.last().map_or(0, |page| page.end);
    let share = n_words.div_ceil(n.max(1));
    let group = |page: &CopiedPage| page.first.checked_div(share);
    pages.chunk_by(|page, next| group(page) == group(next)).collect()
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up pages")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v8::census::fake::FakeHeap;

    proptest! {
        #[test]
        fn groups_are_all_pages_in_order(
            sizes in proptest::collection::vec(1_usize..9, 0..40),
            n in 0_usize..6,
        ) {
            let page = FakeHeap::new().page();
            let mut first = 0;
            let mut pages = Vec::new();
            for size in sizes {
                pages.push(CopiedPage { page, first, end: first + size * 512 });
                first += size * 512;
            }
            let groups = in_groups(&pages, n);
            prop_assert!(groups.len() <= n.max(1));
            let firsts = |pages: &[CopiedPage]| pages.iter().map(|it| it.first).collect::<Vec<_>>();
            prop_assert_eq!(firsts(&groups.concat()), firsts(&pages));
        }
    }
}
