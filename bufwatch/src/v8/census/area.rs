//! Finds where V8 makes objects just now: its linear allocation areas. What is behind the top of one is stale, and ends the object before
//! it. Believes no area yet: that takes the pages.
//!
//! `LinearAllocationArea` is {start, top, limit} (V8 `src/heap/linear-allocation-area.h`). Those of new and old space are in the isolate
//! (`IsolateData`), the others in what it points to: spaces in V8 10 and 11, local heaps in all; both begin with a pointer to the heap,
//! after at most a few words.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, ReadMemory, ReadPart};
use crate::v8::census::roots::PART_WORDS;
use crate::v8::page::{PAGE_ALIGNMENT, is_pointer};

/// Of a space or a local heap, what is looked at at most: the areas were at 0x80 to 0x4e0 in V8 10.2 to 14.6.
const HOLDER_BYTES: usize = 0x800;

/// The same where malloc does not say how long it is: what is behind may be anything. Areas of spaces end at 0x1b0.
const HOLDER_BYTES_UNKNOWN: usize = 0x1b0;

/// Sizes of a chunk that malloc may have noted before one: a local heap of V8 13 has 0x700 bytes.
const CHUNK_BYTES_PLAUSIBLE: Range<u64> = 0x40..0x8000;

/// Spaces and local heaps looked at; an isolate points to less than 100 objects that know its heap.
const HOLDERS_MAX: usize = 512;

/// Three words that may be an area with something free behind its top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationArea {
    pub start: u64,
    /// Where the next object goes.
    pub top: u64,
    /// Exclusive.
    pub limit: u64,
}

impl AllocationArea {
    fn from_words([start, top, limit]: [u64; 3]) -> Option<Self> {
        let is_area = is_pointer(start)
            && [start, top, limit].iter().all(|it| it.trailing_zeros() >= 3)
            && start <= top
            && top < limit
            && limit.saturating_sub(start) <= PAGE_ALIGNMENT;
        is_area.then_some(Self { start, top, limit })
    }
}

/// `words` are those of the isolate, `pointees` the first words of what it points to.
pub(super) fn allocation_areas(
    memory: &impl ReadMemory,
    heap: Avma,
    words: &[u64],
    pointees: &[(Avma, [u64; PART_WORDS])],
) -> Vec<AllocationArea> {
    let knows_heap = |words: &[u64; PART_WORDS]| words.contains(&heap.0);
    let holders: Vec<Avma> = pointees
        .iter()
        .filter(|(_, words)| knows_heap(words))
        .map(|(address, _)| *address)
        .take(HOLDERS_MAX)
        .collect();
    let mut blocks: Vec<Vec<u8>> = holder_bytes(memory, &holders, HOLDER_BYTES_UNKNOWN)
        .into_iter()
        .map(|n| vec![0; n])
        .collect();
    let parts = holders.iter().zip(&mut blocks);
    let mut parts: Vec<ReadPart<'_>> =
        parts.map(|(at, block)| ReadPart::new(*at, block.as_mut_slice())).collect();
    memory.read_parts(&mut parts);
    let mut areas = areas_among(words);
    for block in &blocks {
        let (chunks, _) = block.as_chunks::<8>();
        let words: Vec<u64> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        areas.extend(areas_among(&words));
    }
    areas
}

/// How much of each may be read without reading what is not V8's: glibc notes a chunk's size before it, flags in its lowest bits. Where that
/// is no size, `otherwise`.
pub(super) fn holder_bytes(
    memory: &impl ReadMemory,
    holders: &[Avma],
    otherwise: usize,
) -> Vec<usize> {
    let mut noted = vec![[0_u8; 8]; holders.len()];
    let parts = holders.iter().zip(&mut noted);
    let mut parts: Vec<ReadPart<'_>> = parts
        .map(|(at, noted)| ReadPart::new(Avma(at.0.saturating_sub(8)), noted.as_mut_slice()))
        .collect();
    memory.read_parts(&mut parts);
    let bytes = noted.into_iter().map(|noted| {
        let noted = u64::from_le_bytes(noted);
        let is_size = CHUNK_BYTES_PLAUSIBLE.contains(&noted) && noted & 8 == 0;
        let n_bytes = ((noted & !7).saturating_sub(8)) as usize;
        if is_size { n_bytes.min(HOLDER_BYTES) } else { otherwise }
    });
    bytes.collect()
}

fn areas_among(words: &[u64]) -> Vec<AllocationArea> {
    words.array_windows::<3>().filter_map(|words| AllocationArea::from_words(*words)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v8::census::fake::{FakeHeap, FakeMemory};
    use crate::v8::census::walk::Walk;

    /// `SCOPE_INFO_TYPE` of V8 13.6: how long one is, is not known.
    const UNSIZED: u64 = 280;

    const HEAP: Avma = Avma(0x5000_0000);
    const HOLDER: u64 = 0x6000_0000;

    #[test]
    fn areas_are_found_in_the_isolate_and_in_what_knows_its_heap() {
        let mut memory = FakeMemory::default();
        memory.fill(HOLDER - 8, &[0x401]);
        memory.fill(HOLDER, &[0; 0x3f8 / 8]);
        memory.fill(HOLDER + 0x198, &[0x7_0000_0000, 0x7_0000_0010, 0x7_0000_1000]);
        let words = [1, 0x8_0000_0000, 0x8_0000_0000, 0x8_0000_0008, HOLDER];
        let mut knows = [0; PART_WORDS];
        knows[1] = HEAP.0;
        let areas = allocation_areas(&memory, HEAP, &words, &[(Avma(HOLDER), knows)]);
        let tops: Vec<u64> = areas.iter().map(|area| area.top).collect();
        assert_eq!(tops, [0x8_0000_0000, 0x7_0000_0010]);
        let strange = allocation_areas(&memory, HEAP, &words, &[(Avma(HOLDER), [0; PART_WORDS])]);
        assert_eq!(strange.len(), 1, "it does not know the heap");
    }

    #[test]
    fn what_has_no_room_is_no_area() {
        let area = |words| AllocationArea::from_words(words).is_some();
        assert!(area([0x8_0000_0000, 0x8_0000_0010, 0x8_0000_0020]));
        assert!(!area([0x8_0000_0000, 0x8_0000_0020, 0x8_0000_0020]), "full");
        assert!(!area([0x8_0000_0000, 0x8_0000_0010, 0x8_0004_0010]), "wider than a page");
        assert!(!area([0x8_0000_0000, 0x8_0000_0011, 0x8_0000_0020]), "a tagged pointer");
        assert!(!area([0, 8, 16]));
    }

    /// An object of unknown size, some stale words, and an area that begins its free part behind the first `n` of the object's words.
    #[test]
    fn stale_words_behind_a_top_belong_to_no_object() {
        let mut heap = FakeHeap::new();
        let array = heap.array(heap.layout.type_fixed_array, &[0; 4]);
        let object = heap.array(UNSIZED, &[array, array]);
        heap.words.extend([array, array, array]);
        heap.array(heap.layout.type_fixed_array, &[]);
        let end = heap.page().area_end;
        let copy = heap.copy();
        let index = |address: u64| copy.find(address & !7).unwrap();
        let length_with = |areas: &[AllocationArea], of: u64| {
            let mut walk = Walk::take(&copy, &heap.layout);
            walk.end_at_tops(&copy, areas, &heap.layout);
            let facts = walk.facts(&copy, index(of), &heap.layout).unwrap();
            walk.end_of(&copy, index(of), facts, &heap.layout) - index(of)
        };
        let area = |top: u64, limit: u64| AllocationArea { start: array & !7, top, limit };
        let top = (object & !7) + 4 * 8;
        assert_eq!(length_with(&[], object), 7);
        assert_eq!(length_with(&[area(top, end)], object), 4);
        assert_eq!(length_with(&[area(top, end + 8)], object), 7, "it leaves the page");
        let within = (array & !7) + 16;
        assert_eq!(length_with(&[area(within, end)], array), 6, "its size is known");
    }
}
