//! From the first chunk of a heap to its last: which are free. A heap that contradicts itself is read again from some chunks before.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::ReadMemory;
use crate::event::residency::Obstacle;
use crate::malloc::PAGE;
use crate::malloc::chunk::{ALIGNMENT, FREE_HEADER_BYTES, HEADER_BYTES, Header};
use crate::malloc::heads::Heads;

/// Times that a heap is read again from before a contradiction.
const ATTEMPTS_MAX: usize = 24;

/// Windows back, at most, before a heap is begun anew.
const BACK_MAX: usize = 16;

/// Free ranges kept: each has at least a page, so this is 1 GB in single pages.
const RANGES_MAX: usize = 1 << 18;

/// How a stretch of chunks ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// With what `sysmalloc` leaves of a heap that is full, where the extent ends.
    Fence,
    /// With the arena's top, which may have grown beyond the extent.
    Top,
    /// With two chunks of 16 bytes or the top, at some page's end inside of the extent.
    FencesOrTop,
}

/// One stretch of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Where the first chunk begins.
    pub(super) first: u64,
    /// Exclusive.
    pub(super) end: u64,
    pub(super) is_main: bool,
    pub(super) last: Last,
}

/// How a stretch of chunks was seen to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    pub(super) end: u64,
    pub(super) has_top: bool,
}

/// What was counted in heaps so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) n_chunks: u64,
    pub(super) n_free: u64,
    /// Of free chunks, headers included.
    pub(super) free_bytes: u64,
    /// Of these, in the last chunk of an arena.
    pub(super) top_bytes: u64,
    /// Of free chunks, in thread arenas.
    pub(super) free_thread_bytes: u64,
    n_ranges: usize,
}

/// The same, with the ranges.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// Whole pages in free chunks, without those that have glibc's links in them.
    pub(super) free_pages: Vec<Range<u64>>,
}

impl Tally {
    /// Forgets what was counted since.
    pub(super) fn return_to(&mut self, counts: Counts) {
        self.counts = counts;
        self.free_pages.truncate(counts.n_ranges);
    }

    fn add_free(&mut self, range: Range<u64>) -> Result<(), Obstacle> {
        let counts = &mut self.counts;
        counts.n_free = counts.n_free.saturating_add(1);
        let bytes = range.end.saturating_sub(range.start);
        counts.free_bytes = counts.free_bytes.saturating_add(bytes);
        let links_end = range.start.saturating_add(FREE_HEADER_BYTES);
        let first = links_end.checked_next_multiple_of(PAGE).ok_or(Obstacle::Changing)?;
        let last = range.end & !(PAGE - 1);
        if first < last {
            if counts.n_ranges >= RANGES_MAX {
                return Err(Obstacle::TooLarge);
            }
            counts.n_ranges = counts.n_ranges.saturating_add(1);
            self.free_pages.push(first..last);
        }
        Ok(())
    }
}

/// A chunk, and what was counted before it.
#[derive(Clone, Copy, Debug)]
struct Position {
    at: u64,
    previous: Option<(u64, Header)>,
    counts: Counts,
}

/// Where an arena says that its last chunk is.
pub(super) type AskTop<'a, M> = &'a dyn Fn(&M) -> Option<u64>;

/// Adds the chunks of an extent to `tally`, all of them or none. Without a question for the top, the last chunk must end with the extent.
pub(super) fn walk<M: ReadMemory>(
    heads: &mut Heads<'_, M>,
    extent: Extent,
    ask_top: Option<AskTop<'_, M>>,
    tally: &mut Tally,
) -> Result<Walked, Obstacle> {
    let start = Position { at: extent.first, previous: None, counts: tally.counts };
    let mut walk = Walk { heads, extent, ask_top, top: 0, tally, marks: Vec::new() };
    walk.heads.forget();
    let mut position = start;
    let mut back = 1;
    for _ in 0..ATTEMPTS_MAX {
        match walk.run(&mut position) {
            Err(Obstacle::Changing) => {
                let n_left = walk.marks.len().saturating_sub(back);
                let is_far = back > BACK_MAX;
                position = walk.marks.get(n_left).copied().filter(|_| !is_far).unwrap_or(start);
                walk.marks.truncate(if is_far { 0 } else { n_left });
                back = back.saturating_mul(2);
                walk.return_to(&position);
            }
            Err(other) => {
                walk.return_to(&start);
                return Err(other);
            }
            Ok(walked) => return Ok(walked),
        }
    }
    walk.return_to(&start);
    Err(Obstacle::Changing)
}

struct Walk<'a, 'b, M> {
    heads: &'a mut Heads<'b, M>,
    extent: Extent,
    ask_top: Option<AskTop<'a, M>>,
    /// As of the last time that it was asked.
    top: u64,
    tally: &'a mut Tally,
    /// Where windows began.
    marks: Vec<Position>,
}

impl<M: ReadMemory> Walk<'_, '_, M> {
    fn return_to(&mut self, position: &Position) {
        self.tally.return_to(position.counts);
        self.heads.forget();
    }

    fn run(&mut self, position: &mut Position) -> Result<Walked, Obstacle> {
        if self.is_open() {
            self.top = self.ask_top()?;
        }
        loop {
            if !self.heads.has(position.at) {
                if self.marks.len() > BACK_MAX.saturating_mul(4) {
                    self.marks.drain(..BACK_MAX.saturating_mul(2));
                }
                self.marks.push(*position);
            }
            // A heap that has grown since its mapping was read ends behind its top.
            let top_end = if self.is_open() { 0 } else { self.top.saturating_add(HEADER_BYTES) };
            let header = self.heads.at(position.at, self.extent.end.max(top_end))?;
            self.end_previous(position, header)?;
            if let Some(walked) = self.last(position.at, header)? {
                return Ok(walked);
            }
            let next = self.next(position.at, header)?;
            self.count_chunk();
            let previous = Some((position.at, header));
            *position = Position { at: next, previous, counts: self.tally.counts };
        }
    }

    /// Only the header behind a chunk tells whether the chunk is free.
    fn end_previous(&mut self, position: &Position, header: Header) -> Result<(), Obstacle> {
        let is_in_use = header.is_previous_in_use();
        let Some((start, previous)) = position.previous else {
            return is_in_use.then_some(()).ok_or(Obstacle::Changing);
        };
        if is_in_use {
            let is_ours = previous.is_of_thread_arena() != self.extent.is_main
                // The rest of a former top that was too small to be freed.
                || header.size() == 0;
            return is_ours.then_some(()).ok_or(Obstacle::Changing);
        }
        // Two free neighbours would have been made one.
        if header.previous_size != previous.size() || !previous.is_previous_in_use() {
            return Err(Obstacle::Changing);
        }
        self.add_free(start, previous.size())
    }

    /// Foreign bytes must not claim what is not the heap's.
    fn add_free(&mut self, start: u64, size: u64) -> Result<(), Obstacle> {
        let end = start.saturating_add(size).min(self.extent.end);
        if !self.extent.is_main {
            let bytes = &mut self.tally.counts.free_thread_bytes;
            *bytes = bytes.saturating_add(end.saturating_sub(start));
        }
        self.tally.add_free(start..end)
    }

    fn count_chunk(&mut self) {
        let n_chunks = &mut self.tally.counts.n_chunks;
        *n_chunks = n_chunks.saturating_add(1);
    }

    /// The end is not known before, and the top may be elsewhere.
    fn is_open(&self) -> bool {
        self.extent.last == Last::FencesOrTop
    }

    fn ask_top(&self) -> Result<u64, Obstacle> {
        self.ask_top.and_then(|ask| ask(self.heads.memory)).ok_or(Obstacle::Changing)
    }

    /// How the extent ends, if it does with this chunk.
    fn last(&mut self, at: u64, header: Header) -> Result<Option<Walked>, Obstacle> {
        let is_fence = match self.extent.last {
            Last::Top => false,
            Last::Fence => {
                // A chunk of 16 bytes and one of none, or the latter alone.
                let distance = self.extent.end.saturating_sub(at);
                let is_fence = (header.size() == HEADER_BYTES && distance == 2 * HEADER_BYTES)
                    || (header.size() == 0 && distance == HEADER_BYTES);
                return Ok(is_fence.then_some(Walked { end: self.extent.end, has_top: false }));
            }
            Last::FencesOrTop => header.size() == HEADER_BYTES,
        };
        if is_fence {
            let end = self.end_of_fences(at)?;
            return Ok(Some(Walked { end, has_top: false }));
        }
        if !self.is_top(at, header)? {
            return Ok(None);
        }
        let end = at.checked_add(header.size()).ok_or(Obstacle::Changing)?;
        let is_beyond = self.is_open() && end > self.extent.end;
        if is_beyond || !header.is_previous_in_use() || header.is_mmapped() {
            return Err(Obstacle::Changing);
        }
        self.count_chunk();
        let before = self.tally.counts.free_bytes;
        self.add_free(at, header.size())?;
        let counts = &mut self.tally.counts;
        let top_bytes = counts.free_bytes.saturating_sub(before);
        counts.top_bytes = counts.top_bytes.saturating_add(top_bytes);
        Ok(Some(Walked { end, has_top: true }))
    }

    /// The arena's last chunk; a contradiction if it should have come by now.
    fn is_top(&mut self, at: u64, header: Header) -> Result<bool, Obstacle> {
        let distance = self.extent.end.saturating_sub(at);
        let is_top = if self.ask_top.is_none() {
            if header.size() < distance {
                return Ok(false);
            }
            header.size() == distance
        } else {
            if self.is_top_elsewhere(at) {
                return Ok(false);
            }
            self.top = self.ask_top()?;
            if self.is_top_elsewhere(at) {
                return Ok(false);
            }
            // Between two steps of glibc the top is not where its arena says.
            let end = at.saturating_add(header.size());
            self.top == at && header.has_chunk_size() && end.is_multiple_of(PAGE)
        };
        is_top.then_some(true).ok_or(Obstacle::Changing)
    }

    /// It comes later, or not in this extent.
    fn is_top_elsewhere(&self, at: u64) -> bool {
        at < self.top || (self.is_open() && self.top < self.extent.first)
    }

    /// Where the two chunks end that keep what follows a former top from being made one with it. A top of 48 bytes leaves one more.
    fn end_of_fences(&mut self, at: u64) -> Result<u64, Obstacle> {
        let n = if (at % PAGE).saturating_add(3 * HEADER_BYTES) == PAGE { 3 } else { 2 };
        let mut end = at;
        for _ in 0..n {
            let fence = self.heads.at(end, self.extent.end)?;
            if fence.size() != HEADER_BYTES || (end != at && !fence.is_previous_in_use()) {
                return Err(Obstacle::Changing);
            }
            end = end.checked_add(HEADER_BYTES).ok_or(Obstacle::Changing)?;
        }
        let is_inside = end.is_multiple_of(PAGE) && end <= self.extent.end;
        is_inside.then_some(end).ok_or(Obstacle::Changing)
    }

    /// Two chunks of 16 bytes stand where a main heap that is one range goes on elsewhere: somebody else called `sbrk` (`sysmalloc`).
    fn end_of_part(&mut self, at: u64) -> Result<Obstacle, Obstacle> {
        let second = at.saturating_add(HEADER_BYTES);
        let is_end = self.heads.at(second, self.extent.end)?.size() == HEADER_BYTES;
        Ok(if is_end { Obstacle::UnknownForm } else { Obstacle::Changing })
    }

    /// Where the next chunk begins.
    fn next(&mut self, at: u64, header: Header) -> Result<u64, Obstacle> {
        if self.extent.is_main && header.size() == HEADER_BYTES {
            return Err(self.end_of_part(at)?);
        }
        let next = at.checked_add(header.size()).ok_or(Obstacle::Changing)?;
        let is_chunk = header.has_chunk_size()
            && !header.is_mmapped()
            && !(self.extent.is_main && header.is_of_thread_arena())
            && (next < self.extent.end || (!self.is_open() && next <= self.top))
            && at.is_multiple_of(ALIGNMENT);
        is_chunk.then_some(next).ok_or(Obstacle::Changing)
    }
}
