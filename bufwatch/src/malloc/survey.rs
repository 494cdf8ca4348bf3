//! One look at everything that malloc has: arenas, their heaps, and blocks with mappings of their own. Which memory to look at, and what
//! it means for RSS, is decided elsewhere.

use std::ops::Range;

use crate::base::ReadMemory;
use crate::event::residency::Obstacle;
use crate::malloc::Limits;
use crate::malloc::arena::{Arena, find_main, thread_arenas};
use crate::malloc::heads::{Budget, Heads};
use crate::malloc::pages::Pages;
use crate::malloc::parameters::{self, Parameters};
use crate::malloc::regions::{Mapped, look_through, walk_scattered};
use crate::malloc::thread_heap::{self, ThreadHeap};
use crate::malloc::walk::{Extent, Last, Tally, walk};
use crate::sys::pagemap::PageRun;

/// Times that an arena is looked at: a thread that was interrupted while it changed its heap goes on some milliseconds later.
const ROUNDS_MAX: usize = 4;

/// Where in the target the allocator may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// `[heap]`: one range, or neighbours.
    pub brk: &'a [Range<u64>],
    /// Readable and writable, private, without a file, not V8's; ascending.
    pub anonymous: &'a [Range<u64>],
    /// Writable mappings of the C library's file.
    pub libc_data: &'a [Range<u64>],
    /// Live stores, ascending.
    pub stores: &'a [Range<u64>],
    /// Of all these, ascending.
    pub pages: &'a [PageRun],
}

/// What a survey found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Whole pages of free chunks, ascending.
    pub free_pages: Vec<Range<u64>>,
    /// Memory of thread arenas, ascending.
    pub heaps: Vec<Range<u64>>,
    /// Memory of the main arena outside of `[heap]`, ascending; only if all of it is known.
    pub regions: Vec<Range<u64>>,
    /// Blocks with a mapping of their own that are no live store, ascending.
    pub blocks: Vec<Range<u64>>,
    pub n_arenas: u32,
    /// Of these, not walked to the end.
    pub n_arenas_unknown: u32,
    pub n_chunks: u64,
    pub n_free: u64,
    /// Of free chunks, headers included.
    pub free_bytes: u64,
    /// Of these, in the last chunks of arenas, which only trimming gives back.
    pub top_bytes: u64,
    /// Of `free_bytes`, in thread arenas.
    pub free_thread_bytes: u64,
    pub parameters: Option<Parameters>,
    /// Why an arena is not known: the first reason.
    pub obstacle: Option<Obstacle>,
    /// Why there may be more blocks.
    pub blocks_obstacle: Option<Obstacle>,
}

/// Surveys a running target within the limits.
pub fn take<M: ReadMemory>(
    memory: &M,
    place: &Place<'_>,
    limits: Limits,
    is_time_over: &dyn Fn() -> bool,
) -> Survey {
    let pages = Pages(place.pages);
    let mut survey = Survey::default();
    let mut tally = Tally::default();
    let mut heads = Heads::new(memory, pages, Budget::new(limits, is_time_over));
    let main = find_main(memory, place.libc_data);
    let heaps = thread_heap::find(memory, place.anonymous, pages);
    survey.heaps = heaps.iter().map(ThreadHeap::range).collect();
    // The main arena, and then the others.
    let mut left: Vec<Option<u64>> = Vec::from([None]);
    left.extend(arenas(memory, main, &heaps).into_iter().map(Some));
    survey.n_arenas = left.len() as u32;
    let others = without(place.anonymous, &survey.heaps);
    let mut mapped = None;
    for _ in 0..ROUNDS_MAX {
        survey.obstacle = None;
        left.retain(|arena| {
            let walked = match arena {
                None => walk_main(&mut heads, main, place, &others, &mut tally, &mut mapped),
                Some(arena) => walk_thread(&mut heads, *arena, &heaps, &mut tally),
            };
            survey.obstacle = survey.obstacle.or(walked.err());
            walked.is_err()
        });
        if survey.obstacle != Some(Obstacle::Changing) {
            break;
        }
    }
    survey.n_arenas_unknown = left.len() as u32;
    if main.is_none() {
        // There may be arenas that nobody named.
        survey.obstacle = survey.obstacle.or(Some(Obstacle::UnknownForm));
    }

    let mapped = mapped.unwrap_or_else(|| look_through(&mut heads, &others, place.stores, None));
    survey.blocks = mapped.blocks;
    survey.blocks_obstacle = mapped.obstacle;
    if !left.contains(&None) {
        survey.regions = mapped.regions;
    }
    survey.n_chunks = tally.counts.n_chunks;
    survey.n_free = tally.counts.n_free;
    survey.free_bytes = tally.counts.free_bytes;
    survey.top_bytes = tally.counts.top_bytes;
    survey.free_thread_bytes = tally.counts.free_thread_bytes;
    let brk = place.brk.first();
    survey.parameters = brk.and_then(|brk| parameters::find(memory, place.libc_data, brk.start));
    survey.free_pages = tally.free_pages;
    survey.free_pages.sort_unstable_by_key(|range| range.start);
    survey
}

/// The arena of the main thread, which grows by brk while it can. Where it could not, what is in the other mappings is found on the way.
fn walk_main<M: ReadMemory>(
    heads: &mut Heads<'_, M>,
    main: Option<Arena>,
    place: &Place<'_>,
    others: &[Range<u64>],
    tally: &mut Tally,
    mapped: &mut Option<Mapped>,
) -> Result<(), Obstacle> {
    let Some(main) = main else { return walk_brk(heads, None, place.brk, tally) };
    let is_contiguous = |memory: &M| main.is_contiguous(memory).ok_or(Obstacle::Changing);
    if is_contiguous(heads.memory)? {
        let walked = walk_brk(heads, Some(main), place.brk, tally);
        if walked.is_ok() || is_contiguous(heads.memory)? {
            return walked;
        }
    }
    let (walked, found) = walk_scattered(heads, main, place.brk, others, place.stores, tally);
    *mapped = Some(found);
    walked
}

/// A main arena that is one range.
fn walk_brk<M: ReadMemory>(
    heads: &mut Heads<'_, M>,
    main: Option<Arena>,
    brk: &[Range<u64>],
    tally: &mut Tally,
) -> Result<(), Obstacle> {
    let (first, last) = brk.first().zip(brk.last()).ok_or(Obstacle::UnknownForm)?;
    if !brk.windows(2).all(|pair| matches!(pair, [a, b] if a.end == b.start)) {
        return Err(Obstacle::UnknownForm);
    }
    let extent = Extent { first: first.start, end: last.end, is_main: true, last: Last::Top };
    let walked = match main {
        Some(main) => walk(heads, extent, Some(&|memory: &M| main.top(memory)), tally),
        None => walk(heads, extent, None, tally),
    };
    walked.map(drop)
}

/// All arenas besides the main one: those that the list names, and those whose heaps were seen.
fn arenas<M: ReadMemory>(memory: &M, main: Option<Arena>, heaps: &[ThreadHeap]) -> Vec<u64> {
    let mut all: Vec<u64> = heaps.iter().map(|heap| heap.arena).collect();
    let named = main.map(|main| thread_arenas(memory, &main)).unwrap_or_default();
    all.extend(named.iter().map(|(address, _)| *address));
    all.sort_unstable();
    all.dedup();
    all
}

/// All heaps of an arena, or none of them.
fn walk_thread<M: ReadMemory>(
    heads: &mut Heads<'_, M>,
    address: u64,
    heaps: &[ThreadHeap],
    tally: &mut Tally,
) -> Result<(), Obstacle> {
    let before = tally.counts;
    let walked = walk_heaps(heads, address, heaps, tally);
    if walked.is_err() {
        tally.return_to(before);
    }
    walked
}

fn walk_heaps<M: ReadMemory>(
    heads: &mut Heads<'_, M>,
    address: u64,
    heaps: &[ThreadHeap],
    tally: &mut Tally,
) -> Result<(), Obstacle> {
    let arena = Arena::read(heads.memory, address).ok_or(Obstacle::UnknownForm)?;
    let top = arena.top(heads.memory).ok_or(Obstacle::Changing)?;
    let mut own = heaps.iter().filter(|heap| heap.arena == address).peekable();
    if own.peek().is_none() {
        return Err(Obstacle::Changing);
    }
    let mut has_top = false;
    for heap in own {
        let extent = Extent {
            first: heap.first_chunk(arena.form.bytes),
            end: heap.start.saturating_add(heap.size),
            is_main: false,
            last: if heap.has(top) { Last::Top } else { Last::Fence },
        };
        has_top |= heap.has(top);
        walk(heads, extent, Some(&|memory: &M| arena.top(memory)), tally)?;
    }
    // Otherwise it is in a heap that was not there when the mappings were read.
    has_top.then_some(()).ok_or(Obstacle::Changing)
}

/// Ranges without those of a second list; both ascending, and without overlaps.
fn without(ranges: &[Range<u64>], others: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::new();
    for range in ranges {
        let mut start = range.start;
        let first = others.partition_point(|other| other.end <= range.start);
        for other in others.iter().skip(first).take_while(|other| other.start < range.end) {
            if start < other.start {
                left.push(start..other.start);
            }
            start = start.max(other.end);
        }
        if start < range.end {
            left.push(start..range.end);
        }
    }
    left
}
