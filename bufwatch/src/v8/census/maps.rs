//! Which words of a copied heap point to maps (hidden classes), and what those say. Finds no objects.
//!
//! A map is what has a meta map, and a meta map is its own map (v8-heap-census.md §2): one, and from V8 12 on one more for each native
//! context. So three words tell a map, wherever it lies, and no search has to come before.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::copy::HeapCopy;
use crate::v8::census::sizes::MapFacts;
use crate::v8::metadata::Layout;

/// Words of a map (`Map::kSize` is 9 or 10 words; the meta map describes itself).
const MAP_WORDS: std::ops::RangeInclusive<u64> = 8..=12;

/// Maps remembered; a Node that runs nothing has 3,000 to 4,000, of which a few hundred are in use all the time.
const REMEMBERED: usize = 4_096;

/// The map that a word points to.
#[inline]
pub fn map_of(heap: &HeapCopy, word: u64, layout: &Layout) -> Option<usize> {
    let map = map_at(heap, word)?;
    let meta_word = heap.word(map)?;
    let meta_map = map_at(heap, meta_word)?;
    let is_map = heap.word(meta_map)? == meta_word
        && is_meta_map(MapFacts::read(heap, meta_map, layout)?, layout);
    is_map.then_some(map)
}

/// What the map that a word points to says.
#[inline]
pub fn facts_of(heap: &HeapCopy, word: u64, layout: &Layout) -> Option<MapFacts> {
    MapFacts::read(heap, map_of(heap, word, layout)?, layout)
}

fn is_meta_map(facts: MapFacts, layout: &Layout) -> bool {
    facts.kind == layout.type_map && MAP_WORDS.contains(&(facts.instance_bytes / 8))
}

/// Where the map would be that a word points to: maps are on ordinary pages, among other objects or by themselves.
fn map_at(heap: &HeapCopy, word: u64) -> Option<usize> {
    if word & 7 != 1 {
        return None;
    }
    let place = heap.place(word.wrapping_sub(1))?;
    let page = heap.pages().get(place.page)?;
    let may_have_maps = !page.page.is_executable && !page.page.is_large();
    (may_have_maps && page.area().contains(&place.index)).then_some(place.index)
}

/// [`facts_of`], with a memory of maps that were asked for before: one place for each, the last one keeps it.
#[derive(Debug)]
pub(super) struct MapMemory {
    known: Vec<(u64, MapFacts)>,
}

impl MapMemory {
    pub(super) fn new() -> Self {
        Self { known: vec![(0, MapFacts { kind: 0, instance_bytes: 0 }); REMEMBERED] }
    }

    #[inline]
    pub(super) fn facts_of(
        &mut self,
        heap: &HeapCopy,
        word: u64,
        layout: &Layout,
    ) -> Option<MapFacts> {
        if word & 7 != 1 {
            return None;
        }
        // Maps are 72 or 80 bytes apart.
        let at = (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize;
        let entry = self.known.get_mut(at)?;
        if entry.0 != word {
            *entry = (word, facts_of(heap, word, layout)?);
        }
        Some(entry.1)
    }
}
