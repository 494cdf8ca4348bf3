//! Finds V8's pages by V8's own structures: by the lists of the spaces that `heap_place` found. So nothing is read that is not V8's. Pages
//! that cannot be written are in no list, and not found here; what a header says is the part of `v8::page`.
//!
//! The lists are links in the headers of pages, from V8 13 on in their metadata (`src/heap/list.h`). Measured on V8 10.2 to 14.6, compared
//! with all places that look like a page.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, FastMap, FastSet, ReadMemory, ReadPart};
use crate::v8::census::area::holder_bytes;
use crate::v8::census::heap_place::{HeapPlace, read_blocks};
use crate::v8::object::word_in;
use crate::v8::page::{PAGE_ALIGNMENT, PageLayout, is_pointer};

/// Bytes of a header or of metadata that are read: the links of lists are at 0xe8 to 0x118.
const BLOCK_BYTES: usize = 0x120;
const LINKS: std::ops::Range<usize> = 0xe0..BLOCK_BYTES;

/// Of a space, where malloc does not say how long it is: new space has about as much, the others 0x1b0.
const SPACE_BYTES_UNKNOWN: usize = 0x400;

/// Pages followed to; the largest heap that is copied has 32,768.
const PAGES_MAX: usize = 1 << 17;

/// What a page's header leads to.
#[derive(Debug, Default)]
struct Links {
    /// Pages, by their start.
    pages: Vec<u64>,
    /// The same by their metadata.
    metadata: Vec<u64>,
}

/// The pages of these heaps that can be written, ascending. `known` are pages of before: what of them is still in a list is found with few
/// reads.
pub fn pages_of(
    memory: &impl ReadMemory,
    layout: PageLayout,
    heaps: &[HeapPlace],
    known: &[u64],
) -> Vec<u64> {
    let all = heaps.iter().map(|heap| heap.place.heap).collect();
    let mut search =
        Search { memory, layout, heaps: all, seen: FastMap::default(), starts: FastMap::default() };
    search.look_at(known);
    let mut found: FastSet<u64> = FastSet::default();
    let mut links = search.of_spaces(heaps);
    // How often they were referred to.
    let mut halves: FastMap<u64, u32> = FastMap::default();
    loop {
        let mut due = search.starts_of(&links);
        due.retain(|start| {
            let n = halves.entry(*start).or_default();
            *n = n.saturating_add(u32::from(is_half(*start)));
            !is_half(*start) || *n >= 2
        });
        due.sort_unstable();
        due.dedup();
        due.retain(|start| !found.contains(start));
        search.look_at(&due);
        links = Links::default();
        for start in due {
            let Some(Some(of_page)) = search.seen.get(&start) else { continue };
            if found.len() < PAGES_MAX && found.insert(start) {
                links.pages.extend(&of_page.pages);
                links.metadata.extend(&of_page.metadata);
            }
        }
        if links.pages.is_empty() && links.metadata.is_empty() {
            break;
        }
    }
    let mut found: Vec<u64> = found.into_iter().collect();
    found.sort_unstable();
    found
}

/// What is left of a pointer whose lower half was written over. A page may be at such a place; then it has two neighbours, or a neighbour and
/// the end of its list, and each of them refers to it.
const fn is_half(start: u64) -> bool {
    start.is_multiple_of(1 << 32)
}

struct Search<'a, M> {
    memory: &'a M,
    layout: PageLayout,
    heaps: FastSet<Avma>,
    /// Places that were looked at; `None` where no page of the heaps is.
    seen: FastMap<u64, Option<Links>>,
    /// The page of each metadata.
    starts: FastMap<u64, u64>,
}

impl<M: ReadMemory> Search<'_, M> {
    /// Pages that spaces refer to: the ends of their lists.
    fn of_spaces(&self, heaps: &[HeapPlace]) -> Links {
        let spaces: Vec<Avma> = heaps.iter().flat_map(|heap| heap.spaces.iter().copied()).collect();
        let sizes = holder_bytes(self.memory, &spaces, SPACE_BYTES_UNKNOWN);
        let mut blocks: Vec<Vec<u8>> = sizes.into_iter().map(|n| vec![0; n]).collect();
        let parts = spaces.iter().zip(&mut blocks);
        let mut parts: Vec<ReadPart<'_>> =
            parts.map(|(at, block)| ReadPart::new(*at, block.as_mut_slice())).collect();
        self.memory.read_parts(&mut parts);
        let mut links = Links::default();
        for block in &blocks {
            self.add_ends(block, &mut links);
        }
        links
    }

    /// A list is {front, back}. What malloc gave a space for has words of before, and one of them alone may lead into anything; both ends of
    /// a list stand together.
    fn add_ends(&self, block: &[u8], links: &mut Links) {
        let (chunks, _) = block.as_chunks::<8>();
        let words: Vec<u64> = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk)).collect();
        let is_link = |at: Option<usize>| {
            at.and_then(|at| words.get(at)).is_some_and(|word| self.is_link(*word))
        };
        let ends = words.iter().enumerate().filter(|(at, _)| {
            is_link(Some(*at)) && (is_link(at.checked_sub(1)) || is_link(at.checked_add(1)))
        });
        self.links(links).extend(ends.map(|(_, word)| *word));
    }

    /// What a list may have for a page.
    fn is_link(&self, word: u64) -> bool {
        let is_metadata = matches!(self.layout, PageLayout::Metadata);
        is_pointer(word) && (is_metadata || word.is_multiple_of(PAGE_ALIGNMENT))
    }

    fn links<'l>(&self, links: &'l mut Links) -> &'l mut Vec<u64> {
        if matches!(self.layout, PageLayout::Metadata) {
            &mut links.metadata
        } else {
            &mut links.pages
        }
    }

    /// Neighbours of a page in its list; the first and the last have one.
    fn add_links(&self, block: &[u8], links: &mut Links) {
        let (chunks, _) = block.as_chunks::<8>();
        let words = chunks.iter().map(|chunk| u64::from_le_bytes(*chunk));
        self.links(links).extend(words.filter(|word| self.is_link(*word)));
    }

    /// Where the pages are that these lead to; what leads to none is left out.
    fn starts_of(&mut self, links: &Links) -> Vec<u64> {
        let mut unknown: Vec<u64> =
            links.metadata.iter().filter(|at| !self.starts.contains_key(at)).copied().collect();
        unknown.sort_unstable();
        unknown.dedup();
        let blocks = read_blocks::<BLOCK_BYTES>(self.memory, unknown.iter().copied());
        for (at, block) in unknown.iter().zip(blocks) {
            let start = block.and_then(|block| self.start_by(&block));
            // Address 0 is no page.
            self.starts.insert(*at, start.unwrap_or(0));
        }
        let by_metadata = links.metadata.iter().filter_map(|at| self.starts.get(at).copied());
        links.pages.iter().copied().chain(by_metadata).filter(|start| *start != 0).collect()
    }

    /// Metadata of V8 13 and later: `Heap*` at 64, the area's start at 72.
    fn start_by(&self, metadata: &[u8]) -> Option<u64> {
        let heap = Avma(word_in(metadata, 64)?);
        let area_start = word_in(metadata, 72)?.checked_sub(1)?;
        let start = area_start.checked_sub(area_start % PAGE_ALIGNMENT)?;
        self.heaps.contains(&heap).then_some(start)
    }

    /// Reads headers that were not read before.
    fn look_at(&mut self, starts: &[u64]) {
        let new: Vec<u64> =
            starts.iter().copied().filter(|start| !self.seen.contains_key(start)).collect();
        let headers = read_blocks::<BLOCK_BYTES>(self.memory, new.iter().copied());
        let is_split = matches!(self.layout, PageLayout::Metadata);
        let metadata_at = |header: &Option<[u8; BLOCK_BYTES]>| {
            header.and_then(|header| word_in(&header, 8)).filter(|at| is_pointer(*at)).unwrap_or(0)
        };
        let metadata = if is_split {
            read_blocks::<BLOCK_BYTES>(self.memory, headers.iter().map(metadata_at))
        } else {
            vec![None; headers.len()]
        };
        for ((start, header), metadata) in new.iter().zip(&headers).zip(&metadata) {
            let links = header.and_then(|header| self.links_of(*start, &header, metadata.as_ref()));
            if is_split && links.is_some() {
                self.starts.insert(metadata_at(header), *start);
            }
            self.seen.insert(*start, links);
        }
    }

    fn links_of(
        &self,
        start: u64,
        header: &[u8; BLOCK_BYTES],
        metadata: Option<&[u8; BLOCK_BYTES]>,
    ) -> Option<Links> {
        let apart: &[u8] = metadata.map_or(&[][..], |block| block.as_slice());
        let page = self.layout.parse(start, header, apart)?;
        page.heap.filter(|heap| self.heaps.contains(heap))?;
        let mut links = Links::default();
        let block = metadata.map_or(header.as_slice(), |block| block.as_slice());
        self.add_links(block.get(LINKS)?, &mut links);
        Some(links)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v8::census::fake::FakeMemory;
    use crate::v8::census::heap_place::heaps_of_platform;

    const V8_PLATFORM: u64 = 0x10_0000;
    const PLATFORM: u64 = 0x20_0000;
    const NODE: u64 = 0x30_0000;
    const ISOLATE: u64 = 0x50_0000;
    const HEAP_IN_ISOLATE: u64 = 0x9000;
    const HEAP: u64 = ISOLATE + HEAP_IN_ISOLATE;
    const SPACE: u64 = 0x60_0000;
    const METADATA: u64 = 0x70_0000;
    const FIRST: u64 = 0x1_0000_0000;

    const fn start(n: u64) -> u64 {
        FIRST + n * PAGE_ALIGNMENT
    }

    /// What a list has for a page.
    const fn link(layout: PageLayout, n: u64) -> u64 {
        match layout {
            PageLayout::Metadata => METADATA + n * 0x1000,
            _ => start(n),
        }
    }

    /// A process with one isolate and one space, whose list has the pages 1, 2, 3 in this order; 4 is of another heap, 5 in no list.
    fn process(layout: PageLayout) -> FakeMemory {
        let mut memory = FakeMemory::default();
        memory.fill(V8_PLATFORM, &[1, 0, PLATFORM, 0, 0, 0]);
        memory.fill(PLATFORM, &[0; 32]);
        memory.fill(PLATFORM + 0x30, &[NODE + 0x100, 13, NODE, 1]);
        memory.fill(NODE, &[0, ISOLATE, 0, 0]);
        memory.fill(ISOLATE - 8, &[0x9809]);
        memory.fill(ISOLATE, &vec![0; 0x1300]);
        memory.fill(ISOLATE + 0x100, &[SPACE]);
        memory.fill(SPACE - 8, &[0x1b1]);
        memory.fill(SPACE, &[0; 0x40]);
        memory.fill(SPACE, &[0xbead_0000, HEAP]);
        memory.fill(SPACE + 0x28, &[link(layout, 1), link(layout, 3)]);
        let links = [(1, 0, 2), (2, 1, 3), (3, 2, 4), (4, 3, 0), (5, 0, 0)];
        for (n, before, behind) in links {
            let heap = if n == 4 { HEAP + 0x100 } else { HEAP };
            let end = start(n) + PAGE_ALIGNMENT;
            memory.fill(start(n), &[0; BLOCK_BYTES / 8]);
            let links = [before, behind].map(|n| if n == 0 { 0 } else { link(layout, n) });
            if matches!(layout, PageLayout::Metadata) {
                let at = link(layout, n);
                memory.fill(start(n), &[0, at]);
                memory.fill(at, &[0; BLOCK_BYTES / 8]);
                memory.fill(at + 48, &[PAGE_ALIGNMENT, end, heap, start(n) + 0x10, SPACE]);
                memory.fill(at + 0x108, &links);
            } else {
                let area = start(n) + 0x1118;
                memory.fill(start(n), &[PAGE_ALIGNMENT, 0, heap, area, end, 0, 0, 0, SPACE]);
                memory.fill(start(n) + 0xe8, &links);
            }
        }
        memory
    }

    fn heaps(memory: &FakeMemory, known: &[HeapPlace]) -> Vec<HeapPlace> {
        heaps_of_platform(memory, Avma(V8_PLATFORM), HEAP_IN_ISOLATE, known)
    }

    #[test]
    fn pages_of_lists_are_found_and_no_others() {
        for layout in [PageLayout::Plain, PageLayout::Metadata] {
            let memory = process(layout);
            let heaps = heaps(&memory, &[]);
            assert_eq!(heaps[0].place.heap, Avma(HEAP));
            let expected = [start(1), start(2), start(3)];
            // What was known before changes nothing, even what is in no list any more.
            for known in [vec![], expected.to_vec(), vec![start(2), start(5), 0x1000]] {
                assert_eq!(pages_of(&memory, layout, &heaps, &known), expected, "{layout:?}");
            }
        }
    }

    #[test]
    fn an_old_word_of_a_space_leads_nowhere() {
        for layout in [PageLayout::Plain, PageLayout::Metadata] {
            let mut memory = process(layout);
            // A page that is in no list, and has the right heap: only an old word leads to it.
            memory.fill(SPACE + 0x10, &[7, link(layout, 5), 7]);
            let heaps = heaps(&memory, &[]);
            let expected = [start(1), start(2), start(3)];
            assert_eq!(pages_of(&memory, layout, &heaps, &[]), expected, "{layout:?}");
        }
    }

    #[test]
    fn half_a_pointer_is_followed_only_if_two_refer_to_it() {
        const HALF: u64 = 1 << 33;
        let mut memory = process(PageLayout::Plain);
        memory.fill(
            HALF,
            &[PAGE_ALIGNMENT, 0, HEAP, HALF + 0x1118, HALF + PAGE_ALIGNMENT, 0, 0, 0, SPACE],
        );
        memory.fill(HALF + 0x48, &[0; BLOCK_BYTES / 8 - 9]);
        let found =
            |memory: &FakeMemory| pages_of(memory, PageLayout::Plain, &heaps(memory, &[]), &[]);
        // An old word beside the end of a list.
        memory.fill(SPACE + 0x38, &[HALF]);
        assert_eq!(found(&memory), [start(1), start(2), start(3)]);
        // The last one of the list.
        memory.fill(SPACE + 0x28, &[start(1), HALF, 7]);
        memory.fill(start(3) + 0xe8, &[start(2), HALF]);
        assert_eq!(found(&memory), [start(1), start(2), start(3), HALF]);
    }

    #[test]
    fn an_isolate_is_believed_only_with_spaces_of_its_heap() {
        let mut memory = process(PageLayout::Plain);
        let known = heaps(&memory, &[]);
        assert_eq!(heaps(&memory, &known), known);
        // The space is gone, and the table has a key that is none.
        memory.fill(SPACE + 8, &[HEAP + 8]);
        assert!(heaps(&memory, &known).is_empty());
        memory.fill(SPACE + 8, &[HEAP]);
        memory.fill(NODE, &[NODE + 0x40]);
        assert!(heaps(&memory, &[]).is_empty(), "its chain is longer than it says");
        assert!(heaps_of_platform(&memory, Avma(0x1234_0000), HEAP_IN_ISOLATE, &[]).is_empty());
    }

    proptest! {
        #[test]
        fn any_words_are_survived(changes in proptest::collection::vec((0_usize..7, 0_u64..0x24, prop_oneof![
            any::<u64>(), (0_u64..7).prop_map(start), (0_u64..7).prop_map(|n| METADATA + n * 0x1000), Just(NODE),
        ]), 0..8)) {
            for layout in [PageLayout::Plain, PageLayout::SelfPointer, PageLayout::Metadata] {
                let mut memory = process(layout);
                for (place, word, value) in &changes {
                    let places = [V8_PLATFORM, PLATFORM, NODE, SPACE, start(1), link(layout, 2), start(3)];
                    memory.fill(places[*place] + word * 8, &[*value]);
                }
                let heaps = heaps(&memory, &[]);
                prop_assert!(heaps.len() <= 1);
                prop_assert!(pages_of(&memory, layout, &heaps, &[start(2)]).len() <= 6);
            }
        }
    }
}
