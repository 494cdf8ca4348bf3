//! Finds every object in a copied heap: first all maps, then the start of each object, and on the way the array buffers and views.
//! What is alive is not decided here: dead objects that the collector has not yet reclaimed are found as well.
//!
//! The way (v8-heap-census.md §2): a map is what has a meta map, which is its own map. A word that points to a map begins an object; its
//! size is believed only if another object or the end of the page follows, otherwise the search goes on at the next word.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::FastSet;
use crate::v8::census::bitmap::Bitmap;
use crate::v8::census::copy::{CopiedPage, HeapCopy};
use crate::v8::census::sizes::{MapFacts, object_bytes};
use crate::v8::metadata::Layout;

/// Meta maps: one, and from V8 12 on one more for each native context.
const META_MAPS_MAX: usize = 4_096;

/// Array buffers and views listed: more are counted, not listed.
pub const LISTED_MAX: usize = 16 << 20;

/// Words of a map (`Map::kSize` is 9 or 10 words; the meta map describes itself).
const MAP_WORDS: std::ops::RangeInclusive<u64> = 8..=12;

/// The objects of a heap.
#[derive(Debug, Default)]
pub struct Walk {
    /// Words at which a map begins.
    pub maps: Bitmap,
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
}

impl Walk {
    pub fn take(heap: &HeapCopy, layout: &Layout) -> Self {
        let mut walk = Self {
            maps: Bitmap::new(heap.n_words()),
            starts: Bitmap::new(heap.n_words()),
            ..Self::default()
        };
        walk.find_maps(heap, layout);
        for page in heap.pages() {
            walk.starts.insert(page.first);
            if !page.page.is_from_space() {
                walk.walk_page(heap, layout, page);
            }
        }
        walk
    }

    /// The map that a word points to.
    #[inline]
    pub fn map_of(&self, heap: &HeapCopy, word: u64) -> Option<usize> {
        if word & 7 != 1 {
            return None;
        }
        heap.find(word.wrapping_sub(1)).filter(|index| self.maps.has(*index))
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
        let map = self.map_of(heap, heap.word(index)?)?;
        MapFacts::read(heap, map, layout)
    }

    /// Index behind the last word of an object.
    pub fn end_of(&self, heap: &HeapCopy, index: usize, map: MapFacts, layout: &Layout) -> usize {
        let n_words = heap.n_words();
        let next = self.starts.next_after(index, n_words).unwrap_or(n_words);
        match object_bytes(heap, index, map, layout) {
            Some(bytes) => next.min(index.saturating_add((bytes / 8) as usize)),
            None => next,
        }
    }

    fn find_maps(&mut self, heap: &HeapCopy, layout: &Layout) {
        let mut meta_maps = FastSet::default();
        let has_maps = |page: &&CopiedPage| !page.page.is_executable && !page.page.is_large();
        for page in heap.pages().iter().filter(has_maps) {
            let area = page.area();
            let mut own = page.page.area_start | 1;
            for (word, index) in heap.slice(area.clone()).iter().zip(area) {
                if *word == own
                    && MapFacts::read(heap, index, layout).is_some_and(|facts| {
                        facts.kind == layout.type_map
                            && MAP_WORDS.contains(&(facts.instance_bytes / 8))
                    })
                    && meta_maps.len() < META_MAPS_MAX
                {
                    meta_maps.insert(own);
                }
                own = own.wrapping_add(8);
            }
        }
        // The last one that matched: nearly all maps of a page have the same.
        let mut last = 0;
        let may_have_maps = |page: &&CopiedPage| has_maps(page) && !page.page.is_from_space();
        for page in heap.pages().iter().filter(may_have_maps) {
            let area = page.area();
            for (word, index) in heap.slice(area.clone()).iter().zip(area) {
                if word & 7 == 1 && (*word == last || meta_maps.contains(word)) {
                    last = *word;
                    if self.maps.insert(index) {
                        self.n_maps = self.n_maps.saturating_add(1);
                    }
                }
            }
        }
    }

    fn walk_page(&mut self, heap: &HeapCopy, layout: &Layout, page: &CopiedPage) {
        let area = page.area();
        let mut at = area.start;
        while at < area.end {
            let Some(map) = heap.word(at).and_then(|word| self.map_of(heap, word)) else {
                at = at.saturating_add(1);
                self.unsized_bytes = self.unsized_bytes.saturating_add(8);
                continue;
            };
            let Some(facts) = MapFacts::read(heap, map, layout) else { return };
            let n_words = object_bytes(heap, at, facts, layout).map_or(0, |it| (it / 8) as usize);
            let end = at.saturating_add(n_words);
            let is_followed = n_words > 0
                && (end == area.end
                    || end < area.end
                        && heap.word(end).is_some_and(|word| self.map_of(heap, word).is_some()));
            if facts.kind == layout.type_free_space {
                // It ends the object before it, whose size may not be known. Its body is stale; one that leads nowhere is stale itself.
                self.starts.insert(at);
                at = if is_followed { end } else { at.saturating_add(1) };
                continue;
            }
            self.found(at, facts.kind, layout);
            let is_large_object = page.page.is_large() && at == area.start;
            if is_followed {
                at = end;
            } else if is_large_object && n_words > 0 && end <= area.end {
                // Nothing follows a large object in its page.
                return;
            } else {
                at = at.saturating_add(1);
                self.unsized_bytes = self.unsized_bytes.saturating_add(8);
            }
        }
    }

    fn found(&mut self, index: usize, kind: u64, layout: &Layout) {
        /// Enough to learn from.
        const SAMPLES_MAX: usize = 256;
        self.starts.insert(index);
        self.n_objects = self.n_objects.saturating_add(1);
        let list = if kind == layout.type_array_buffer {
            &mut self.buffers
        } else if kind == layout.type_typed_array
            || kind == layout.type_data_view
            || kind == layout.type_rab_data_view
            || kind == layout.type_detached_typed_array
        {
            &mut self.views
        } else if (kind == layout.type_weak_map || kind == layout.type_weak_set)
            && self.weak_collections.len() < SAMPLES_MAX
        {
            &mut self.weak_collections
        } else {
            return;
        };
        if list.len() < LISTED_MAX {
            list.push(index);
        } else {
            self.is_list_cut = true;
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
