//! Where V8's pages are in a live process: those that can be written by V8's own lists, the others where mappings cannot be anybody else's.
//! Without the lists headers are read wherever something is in memory and not known to be somebody else's, and while the process stands
//! still only where pages may have come since it ran. What a header says is the part of `v8::page`, lists that of `page_lists`.

use std::ops::Range;

use crate::base::{Avma, FastSet, ReadMemory, ReadPart};
use crate::malloc::{self, FIRST_BYTES};
use crate::sys::pagemap::{PAGE_BYTES, PageMap, PageState};
use crate::sys::procfs::MapEntry;
use crate::v8::census::heap_place::{HeapPlace, heaps_of_platform};
use crate::v8::census::page_lists::pages_of;
use crate::v8::page::{
    CANDIDATES_MAX, MemoryRange, Page, PageLayout, find_pages_at, is_space_of, range_of, starts_in,
};

/// `kFullGuardSize` and its predecessors (V8 src/objects/backing-store.cc): address space behind a `WebAssembly.Memory` that nobody can
/// read, measured 8 GB. V8 reserves at most 512 MB for code.
const WASM_GUARD_MIN: u64 = 1 << 32;

/// Where the lists of V8's pages begin.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListsPlace {
    /// `node::per_process::v8_platform`.
    pub(super) v8_platform: Avma,
    pub(super) heap_in_isolate: u64,
}

/// The search in one process.
#[derive(Debug)]
pub(super) struct PageSearch {
    layout: PageLayout,
    lists: Option<ListsPlace>,
    /// Without it all places count as being in memory.
    map: Option<PageMap>,
}

/// What was found as long as the process ran.
#[derive(Debug, Default)]
pub(super) struct FoundPages {
    /// Ascending.
    pub(super) pages: Vec<Page>,
    starts: FastSet<u64>,
    /// By which the pages were found; empty if they were not found by lists.
    heaps: Vec<HeapPlace>,
    /// Start and end of mappings without any.
    others: FastSet<(u64, u64)>,
    /// There were more places than are looked at.
    pub(super) is_cut: bool,
}

impl PageSearch {
    pub(super) fn new(pid: u32, layout: PageLayout, lists: Option<ListsPlace>) -> Self {
        let map = PageMap::open(pid).inspect_err(|error| tracing::debug!(%error, "no page map"));
        Self { layout, lists, map: map.ok() }
    }

    /// In all mappings. Pages may come and go meanwhile.
    pub(super) fn everywhere(&self, memory: &impl ReadMemory, maps: &[MapEntry]) -> FoundPages {
        if let Some(found) = self.by_lists(memory, maps, &FoundPages::default()) {
            return found;
        }
        tracing::debug!("V8's pages are not found by its lists");
        let ranges = anonymous(maps);
        let (pages, is_cut) = self.pages_in(memory, &ranges, &FoundPages::default());
        found(pages, Vec::new(), &ranges, is_cut)
    }

    /// Reads nothing but what is V8's; `None` if it has no lists that can be followed, or not all of its heaps are in them.
    fn by_lists(
        &self,
        memory: &impl ReadMemory,
        maps: &[MapEntry],
        before: &FoundPages,
    ) -> Option<FoundPages> {
        let ListsPlace { v8_platform, heap_in_isolate } = self.lists?;
        let heaps = heaps_of_platform(memory, v8_platform, heap_in_isolate, &before.heaps);
        if heaps.is_empty() {
            return None;
        }
        let known = before.pages.iter().filter(|page| page.heap.is_some()).map(|page| page.start);
        let known: Vec<u64> = known.collect();
        let listed = pages_of(memory, self.layout, &heaps, &known);
        let ranges = mappings(maps);
        let not_stores: Vec<MemoryRange> = ranges
            .iter()
            .filter(|range| !range.is_writable || range.is_executable)
            .copied()
            .collect();
        let mut places = self.places(memory, &not_stores, before);
        places.extend(listed.iter().filter_map(|at| Some((*at, *range_of(&ranges, *at)?))));
        places.sort_unstable_by_key(|(at, _)| *at);
        places.dedup_by_key(|(at, _)| *at);
        let is_cut = places.len() > CANDIDATES_MAX;
        places.truncate(CANDIDATES_MAX);
        let pages = find_pages_at(memory, self.layout, &places, &ranges);
        let is_foreign = |page: &Page| {
            page.heap.is_some_and(|heap| {
                heaps.iter().all(|known| known.place.heap != heap)
                    && is_space_of(memory, page.owner, heap)
            })
        };
        (!pages.iter().any(is_foreign)).then(|| found(pages, heaps, &not_stores, is_cut))
    }

    /// While the process stands still: where pages were found, and in mappings that are new or have changed. V8 keeps its memory from being
    /// copied on fork (kernel-facts.md §0), and the kernel makes one mapping only of what has the same flags: among others' memory a
    /// page cannot appear without a change of the mappings.
    pub(super) fn again(
        &self,
        memory: &impl ReadMemory,
        maps: &[MapEntry],
        before: &FoundPages,
    ) -> Vec<Page> {
        match self.by_lists(memory, maps, before) {
            Some(found) => found.pages,
            None => self.pages_in(memory, &anonymous(maps), before).0,
        }
    }

    /// The pages, and whether there were more places than are looked at.
    fn pages_in(
        &self,
        memory: &impl ReadMemory,
        ranges: &[MemoryRange],
        before: &FoundPages,
    ) -> (Vec<Page>, bool) {
        let mut places = self.places(memory, ranges, before);
        places.sort_unstable_by_key(|(at, _)| *at);
        let is_cut = places.len() >= CANDIDATES_MAX;
        places.truncate(CANDIDATES_MAX);
        (find_pages_at(memory, self.layout, &places, ranges), is_cut)
    }

    /// Where a page may begin.
    fn places(
        &self,
        memory: &impl ReadMemory,
        ranges: &[MemoryRange],
        before: &FoundPages,
    ) -> Vec<(u64, MemoryRange)> {
        let mut places: Vec<(u64, MemoryRange)> = Vec::new();
        let mut unknown: Vec<MemoryRange> = Vec::new();
        for range in ranges {
            let mut starts = starts_in(&(range.start..range.end)).peekable();
            if starts.peek().is_none() || before.others.contains(&(range.start, range.end)) {
                continue;
            }
            // A page's header is in memory as long as the page is there.
            if starts.all(|at| before.starts.contains(&at)) {
                places.extend(starts_in(&(range.start..range.end)).map(|at| (at, *range)));
            } else {
                unknown.push(*range);
            }
        }
        for range in self.without_mallocs(memory, unknown) {
            self.places_in_memory(&range, &mut places);
        }
        places
    }

    /// Malloc's mappings say at their beginning whose they are.
    fn without_mallocs(
        &self,
        memory: &impl ReadMemory,
        ranges: Vec<MemoryRange>,
    ) -> Vec<MemoryRange> {
        let is_readable = |range: &MemoryRange| {
            let first = range.start..range.start.saturating_add(PAGE_BYTES).min(range.end);
            let mut is_there = false;
            self.runs(&first, &mut |_| is_there = true);
            is_there
        };
        let (begun, mut rest): (Vec<MemoryRange>, Vec<MemoryRange>) =
            ranges.into_iter().partition(is_readable);
        let mut firsts = vec![[0_u8; FIRST_BYTES]; begun.len()];
        let mut parts: Vec<ReadPart<'_>> = begun
            .iter()
            .zip(&mut firsts)
            .map(|(range, first)| ReadPart::new(Avma(range.start), first))
            .collect();
        memory.read_parts(&mut parts);
        let is_others = |(range, first): &(MemoryRange, [u8; FIRST_BYTES])| {
            range.is_writable
                && !range.is_executable
                && malloc::is_mallocs(&(range.start..range.end), first)
        };
        let begun = begun.into_iter().zip(firsts).filter(|it| !is_others(it));
        rest.extend(begun.map(|(range, _)| range));
        rest
    }

    fn places_in_memory(&self, range: &MemoryRange, places: &mut Vec<(u64, MemoryRange)>) {
        self.runs(&(range.start..range.end), &mut |run| {
            // Of a page no more than the header may be in memory.
            let behind = run.end.saturating_add(PAGE_BYTES).min(range.end);
            let room = CANDIDATES_MAX.saturating_sub(places.len());
            places.extend(starts_in(&(run.start..behind)).take(room).map(|at| (at, *range)));
        });
    }

    /// What of a range has bytes of its own, ascending.
    fn runs(&self, range: &Range<u64>, visit: &mut impl FnMut(Range<u64>)) {
        let Some(map) = &self.map else { return visit(range.clone()) };
        let done = map.scan(range.start, range.end, &mut |run| {
            if run.state != PageState::Zero {
                visit(run.start..run.end);
            }
        });
        if let Err(error) = done {
            // The process is gone, which the reads will say.
            tracing::debug!(%error, "no page map");
        }
    }
}

/// `ranges` were looked at as a whole.
fn found(
    pages: Vec<Page>,
    heaps: Vec<HeapPlace>,
    ranges: &[MemoryRange],
    is_cut: bool,
) -> FoundPages {
    // Pages of code come into their mapping without a change of it.
    let has_none = |range: &&MemoryRange| !range.is_executable && !has_page(&pages, range);
    let others = ranges.iter().filter(has_none).map(|range| (range.start, range.end)).collect();
    let starts = pages.iter().map(|page| page.start).collect();
    FoundPages { pages, starts, heaps, others, is_cut }
}

/// Of pages, which ascend, one begins in the range.
fn has_page(pages: &[Page], range: &MemoryRange) -> bool {
    let first = pages.partition_point(|page| page.start < range.start);
    pages.get(first).is_some_and(|page| page.start < range.end)
}

/// Mappings that V8's pages can be in.
fn mappings(maps: &[MapEntry]) -> Vec<MemoryRange> {
    maps.iter().filter(|entry| is_anonymous(entry)).map(to_range).collect()
}

/// The same without memory that is known not to be V8's heap.
fn anonymous(maps: &[MapEntry]) -> Vec<MemoryRange> {
    let next = maps.iter().skip(1).map(Some).chain([None]);
    let wanted = maps.iter().zip(next);
    let wanted =
        wanted.filter(|(entry, next)| is_anonymous(entry) && !is_wasm_memory(entry, *next));
    wanted.map(|(entry, _)| to_range(entry)).collect()
}

fn is_anonymous(entry: &MapEntry) -> bool {
    entry.is_readable
        && entry.inode == 0
        && (entry.path.is_empty() || entry.path.starts_with("[anon:"))
}

const fn to_range(entry: &MapEntry) -> MemoryRange {
    MemoryRange {
        start: entry.start,
        end: entry.end,
        is_writable: entry.is_writable,
        is_executable: entry.is_executable,
    }
}

/// A `WebAssembly.Memory` ends in front of its guard.
fn is_wasm_memory(entry: &MapEntry, next: Option<&MapEntry>) -> bool {
    let is_guard = |next: &MapEntry| {
        next.start == entry.end
            && !next.is_readable
            && !next.is_writable
            && !next.is_executable
            && next.end.saturating_sub(next.start) >= WASM_GUARD_MIN
    };
    entry.is_writable && !entry.is_executable && next.is_some_and(is_guard)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::base::MemoryError;

    const PLACE: u64 = 256 << 10;
    const HEAP: u64 = 0x1320_9338;

    /// Headers of V8 12 at some places, of a block of malloc's at others, zeroes elsewhere; remembers what was read.
    #[derive(Default)]
    struct Memory {
        pages: Vec<u64>,
        blocks: Vec<u64>,
        read: RefCell<Vec<u64>>,
    }

    impl Memory {
        fn with(pages: &[u64]) -> Self {
            Self { pages: pages.to_vec(), ..Self::default() }
        }

        fn was_read(&self, range: Range<u64>) -> bool {
            self.read.borrow().iter().any(|at| range.contains(at))
        }
    }

    impl ReadMemory for Memory {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let at = address.0;
            self.read.borrow_mut().push(at);
            out.fill(0);
            let mut words = vec![];
            if self.pages.contains(&at) {
                words = vec![0, at, PLACE, HEAP, at + 0x1140, at + PLACE];
            } else if self.blocks.contains(&at) {
                words = vec![0, 0x10_0002];
            }
            for (word, bytes) in words.iter().zip(out.chunks_exact_mut(8)) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            Ok(())
        }
    }

    fn mapping(start: u64, end: u64) -> MapEntry {
        MapEntry { start, end, is_readable: true, is_writable: true, ..MapEntry::default() }
    }

    fn starts(pages: &[Page]) -> Vec<u64> {
        pages.iter().map(|page| page.start).collect()
    }

    fn search() -> PageSearch {
        PageSearch { layout: PageLayout::SelfPointer, lists: None, map: None }
    }

    #[test]
    fn others_memory_is_looked_at_once_unless_it_changes() {
        let search = search();
        let (v8, stores, new) = (0x1000_0000, 0x2000_0000, 0x9000_0000);
        let maps = [mapping(v8, v8 + 4 * PLACE), mapping(stores, stores + 4_000 * PLACE)];
        let before = search.everywhere(&Memory::with(&[v8]), &maps);
        assert_eq!(starts(&before.pages), [v8]);
        let pages = [v8, v8 + 2 * PLACE, new];
        let memory = Memory::with(&pages);
        let [of_v8, of_stores] = maps;
        let maps = [of_v8.clone(), of_stores, mapping(new, new + PLACE)];
        assert_eq!(starts(&search.again(&memory, &maps, &before)), pages);
        assert!(!memory.was_read(stores..new));
        let memory = Memory::with(&[stores + 7 * PLACE]);
        let maps = [of_v8, mapping(stores, stores + 3_999 * PLACE)];
        assert_eq!(starts(&search.again(&memory, &maps, &before)), [stores + 7 * PLACE]);
    }

    #[test]
    fn of_a_block_of_malloc_only_the_header_is_read() {
        let (v8, block) = (0x1000_0000, 0x2000_1000);
        let memory = Memory { pages: vec![v8], blocks: vec![block], ..Memory::default() };
        let maps = [mapping(v8, v8 + PLACE), mapping(block, block + 0x4000_0000)];
        assert_eq!(starts(&search().everywhere(&memory, &maps).pages), [v8]);
        assert!(memory.was_read(block..block + 1));
        assert!(!memory.was_read(block + 1..block + 0x4000_0000));
    }

    #[test]
    fn memory_of_webassembly_is_not_read() {
        let memory = Memory::with(&[0x1000_0000]);
        let guard = |start, end| MapEntry { start, end, ..MapEntry::default() };
        let wasm = 0x2000_0000;
        let maps = [
            mapping(0x1000_0000, 0x1004_0000),
            guard(0x1004_0000, 0x1008_0000),
            mapping(wasm, wasm + 0x64_0000),
            guard(wasm + 0x64_0000, wasm + (8 << 30)),
        ];
        assert_eq!(starts(&search().everywhere(&memory, &maps).pages), [0x1000_0000]);
        assert!(!memory.was_read(wasm..u64::MAX));
    }

    #[test]
    fn more_places_than_are_looked_at_are_told() {
        let search = |n| {
            let maps = [mapping(PLACE, PLACE * (n + 1))];
            search().everywhere(&Memory::with(&[PLACE]), &maps)
        };
        let found = search(CANDIDATES_MAX as u64 + 5);
        assert_eq!((starts(&found.pages), found.is_cut), (vec![PLACE], true));
        assert!(!search(100).is_cut);
    }

    #[test]
    fn only_places_in_memory_are_read() {
        const N: usize = 16 << 20;
        let mut bytes = vec![0_u8; N];
        let start = (bytes.as_ptr() as u64).next_multiple_of(PLACE);
        let first = (start - bytes.as_ptr() as u64) as usize;
        // Three of the places that there are, and something beside one.
        for at in [3, 10, 40] {
            bytes[first + at * PLACE as usize] = 1;
        }
        bytes[first + 20 * PLACE as usize + 9_000] = 1;
        let map = PageMap::open(std::process::id()).ok();
        assert!(map.is_some());
        let search = PageSearch { layout: PageLayout::SelfPointer, lists: None, map };
        let range =
            MemoryRange { start, end: start + 50 * PLACE, is_writable: true, is_executable: false };
        let mut places = Vec::new();
        search.places_in_memory(&range, &mut places);
        let places: Vec<u64> = places.iter().map(|(at, _)| (at - start) / PLACE).collect();
        // Large pages of the machine may have brought neighbours in.
        assert!([3, 10, 40].iter().all(|at| places.contains(at)), "{places:?}");
        assert!(places.len() <= 32 && !places.contains(&30), "{places:?}");
        assert_eq!(bytes[first + 20 * PLACE as usize + 9_000], 1);
    }
}
