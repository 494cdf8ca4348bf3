//! Regions of the main arena outside of `[heap]`. Where brk cannot grow, `sysmalloc` maps memory instead, whose only chunk becomes the top, and
//! leaves two chunks of 16 bytes at the end of the old one (malloc/malloc.c, 2.26 to 2.41). A region has 1 MB at least (`MMAP_AS_MORECORE_SIZE`),
//! but in 2.35 to 2.37 only the first one has: later ones may have a page, as two arguments of `sysmalloc_mmap_fallback` changed places. No record
//! names them: they are chains of chunks from a page's begin to such an end. That all were found, the bytes that the arena has tell.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::ReadMemory;
use crate::event::residency::Obstacle;
use crate::malloc::arena::Arena;
use crate::malloc::chunk::{HEADER_BYTES, Header};
use crate::malloc::heads::Heads;
use crate::malloc::mapped::Search;
use crate::malloc::walk::{Extent, Last, Tally, Walked, walk};

/// The stretches of one main arena, as they are found.
pub(super) struct Regions<'a> {
    arena: Arena,
    tally: &'a mut Tally,
    found: Vec<Range<u64>>,
    bytes: u64,
    n_tops: u32,
    /// A header that may be one of the arena's is not in memory.
    is_swapped: bool,
}

impl<'a> Regions<'a> {
    fn new(arena: Arena, tally: &'a mut Tally) -> Self {
        Self { arena, tally, found: Vec::new(), bytes: 0, n_tops: 0, is_swapped: false }
    }

    /// Walks from a chunk that nothing precedes.
    fn walk<M: ReadMemory>(
        &mut self,
        heads: &mut Heads<'_, M>,
        range: &Range<u64>,
    ) -> Result<Walked, Obstacle> {
        let arena = self.arena;
        let last = Last::FencesOrTop;
        let extent = Extent { first: range.start, end: range.end, is_main: true, last };
        let walked = walk(heads, extent, Some(&|memory: &M| arena.top(memory)), self.tally)?;
        self.bytes = self.bytes.saturating_add(walked.end.saturating_sub(range.start));
        self.n_tops = self.n_tops.saturating_add(u32::from(walked.has_top));
        Ok(walked)
    }

    /// `[heap]`, which goes on behind a former top if brk could grow again.
    fn walk_brk<M: ReadMemory>(
        &mut self,
        heads: &mut Heads<'_, M>,
        brk: &Range<u64>,
    ) -> Result<(), Obstacle> {
        let mut at = brk.start;
        while at < brk.end {
            match self.walk(heads, &(at..brk.end)) {
                Ok(walked) if walked.has_top => break,
                Ok(walked) => at = walked.end,
                // Memory of somebody else who called `sbrk`, or the bytes will not fit.
                Err(Obstacle::Changing) if at != brk.start => break,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Where the region ends that begins with a range, whose first header is this one; `None` if none does.
    pub(super) fn end_of_region<M: ReadMemory>(
        &mut self,
        heads: &mut Heads<'_, M>,
        range: &Range<u64>,
        first: Header,
    ) -> Result<Option<u64>, Obstacle> {
        let walked = match self.may_be_region(heads, range, first) {
            Ok(true) => self.walk(heads, range),
            Ok(false) => return Ok(None),
            Err(obstacle) => Err(obstacle),
        };
        match walked {
            Ok(walked) => {
                self.found.push(range.start..walked.end);
                Ok(Some(walked.end))
            }
            Err(Obstacle::TooLarge) => Err(Obstacle::TooLarge),
            Err(obstacle) => {
                self.is_swapped |= obstacle == Obstacle::Swapped;
                Ok(None)
            }
        }
    }

    /// Other memory looks like the begin of a chunk now and then; a second one tells most of it apart.
    fn may_be_region<M: ReadMemory>(
        &self,
        heads: &mut Heads<'_, M>,
        range: &Range<u64>,
        first: Header,
    ) -> Result<bool, Obstacle> {
        let Some(next) = range.start.checked_add(first.size()) else { return Ok(false) };
        if !first.may_begin_region() || next > range.end {
            return Ok(false);
        }
        if self.arena.top(heads.memory) == Some(range.start) {
            return Ok(true);
        }
        heads.forget();
        let second = heads.at(next, range.end)?;
        let has_size = second.has_chunk_size() || second.size() == HEADER_BYTES;
        Ok(has_size && !second.is_mmapped() && !second.is_of_thread_arena())
    }
}

/// What is in the mappings of which nothing else is known.
#[derive(Debug, Default)]
pub(super) struct Mapped {
    pub(super) blocks: Vec<Range<u64>>,
    /// Of the main arena.
    pub(super) regions: Vec<Range<u64>>,
    /// Why there may be more.
    pub(super) obstacle: Option<Obstacle>,
}

/// Adds the main arena to `tally`, all of it or nothing, if its memory is not one range; and finds the blocks that are between its regions.
pub(super) fn walk_scattered<M: ReadMemory>(
    heads: &mut Heads<'_, M>,
    main: Arena,
    brk: &[Range<u64>],
    mappings: &[Range<u64>],
    stores: &[Range<u64>],
    tally: &mut Tally,
) -> (Result<(), Obstacle>, Mapped) {
    let before = tally.counts;
    let mut regions = Regions::new(main, tally);
    let mut mapped = look_through(heads, mappings, stores, Some(&mut regions));
    let mut walked = mapped.obstacle.map_or(Ok(()), Err);
    for range in joined(brk) {
        walked = walked.and_then(|()| regions.walk_brk(heads, &range));
    }
    mapped.regions = std::mem::take(&mut regions.found);
    let is_whole = regions.n_tops == 1 && main.system_bytes(heads.memory) == Some(regions.bytes);
    let missing = match regions.bytes {
        _ if regions.is_swapped => Obstacle::Swapped,
        // All of it is where nobody looks: in explicit huge pages, for which brk is never asked (`glibc.malloc.hugetlb`).
        0 => Obstacle::UnknownForm,
        _ => Obstacle::Changing,
    };
    walked = walked.and_then(|()| is_whole.then_some(()).ok_or(missing));
    if walked.is_err() {
        tally.return_to(before);
    }
    (walked, mapped)
}

/// Looks for blocks, and regions if there may be any.
pub(super) fn look_through<M: ReadMemory>(
    heads: &mut Heads<'_, M>,
    mappings: &[Range<u64>],
    stores: &[Range<u64>],
    regions: Option<&mut Regions<'_>>,
) -> Mapped {
    let mut search = Search::new(stores, regions);
    let looked = mappings.iter().try_for_each(|mapping| search.look_through(mapping, heads));
    Mapped { blocks: search.found, obstacle: looked.err(), ..Mapped::default() }
}

/// Neighbours as one.
fn joined(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match all.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => all.push(range.clone()),
        }
    }
    all
}
