//! What V8 counts of its own heap, the numbers behind `process.memoryUsage()`: from headers of pages, and counters and lists of spaces.
//! Which pages there are is found elsewhere.
//!
//! Offsets were measured on the official builds of Node 18 to 26 (docs/residency.md says how near the numbers come); for other versions of
//! V8 only what page headers say is told.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod space;
#[cfg(test)]
mod tests;

use std::ops::Range;

use crate::base::{Avma, Bytes, FastMap, FastSet, ReadMemory};
use crate::v8::heap_usage::space::{LinearAreas, Links, Space};
use crate::v8::page::{Page, PageLayout, is_space_of};

/// Where this V8 keeps what page headers do not say, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapUsageFacts {
    external: External,
    /// In `Space`: its first page.
    first_page: u64,
    /// In a page's header, or its metadata: the next page of its space.
    next_page: u64,
    /// In `SemiSpace`: the page in which objects are made now.
    current_page: u64,
    /// From `Isolate` to `Heap`, and in `Isolate` the linear areas of new and old space: `start`, `top` and `limit` of each.
    areas: Option<(u64, u64)>,
    /// What pages count as allocated has the rest of linear areas in it.
    counts_areas: bool,
}

/// Where in `Heap` is what `v8::HeapStatistics::external_memory` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum External {
    Counter(u64),
    /// Bytes of array buffers, in the `ArrayBufferSweeper` that this field points to, and bytes of strings.
    Parts {
        sweeper: u64,
        buffers: u64,
        strings: u64,
    },
}

impl HeapUsageFacts {
    /// For a version of V8.
    pub const fn of(major: u32, minor: u32) -> Option<Self> {
        let counter = External::Counter;
        let (external, first_page, next_page, current_page, areas) = match (major, minor) {
            (10, 2) => (counter(0x128), 0xa8, 0xe8, 0x100, None),
            (11, 3) => (counter(0x128), 0x28, 0x108, 0x88, Some((0xd2c0, 0xb8))),
            (12, 4) => (counter(0x90), 0x28, 0x108, 0x88, Some((0xdea0, 0xc0))),
            (13, 6) => (counter(0x98), 0x28, 0x108, 0x70, Some((0xeff8, 0xc8))),
            (14, 6) => {
                let parts = External::Parts { sweeper: 0x7a8, buffers: 0x60, strings: 0xab8 };
                (parts, 0x28, 0x100, 0x60, Some((0xf3c0, 0xc8)))
            }
            _ => return None,
        };
        let counts_areas = major >= 12;
        Some(Self { external, first_page, next_page, current_page, areas, counts_areas })
    }
}

/// One isolate's heap as V8 counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeapUsage {
    /// `Heap*`.
    pub heap: Avma,
    /// `heapTotal`: exact, where this version of V8 is known.
    pub total: Bytes,
    /// `heapUsed` is between these, but for what a collection leaves unswept for some time after it.
    pub used_min: Bytes,
    pub used_max: Bytes,
    /// `external`: exact.
    pub external: Option<Bytes>,
}

impl HeapUsage {
    fn add(&mut self, committed: u64, used: &Range<u64>) {
        let plus = |sum: &mut Bytes, n: u64| *sum = Bytes(sum.0.saturating_add(n));
        plus(&mut self.total, committed);
        plus(&mut self.used_min, used.start);
        plus(&mut self.used_max, used.end);
    }
}

/// All heaps of a process.
#[derive(Debug, Default)]
pub struct HeapSurvey {
    /// In the order of their first pages.
    pub usages: Vec<HeapUsage>,
    /// Pages, by their starts, that V8 has but no space does: kept for later use, with headers of old.
    pub pooled: FastSet<u64>,
}

/// `facts`: without them only bounds are told, and no page is known to be pooled.
pub fn survey(
    memory: &impl ReadMemory,
    layout: PageLayout,
    facts: Option<HeapUsageFacts>,
    pages: &[Page],
) -> HeapSurvey {
    let mut survey = HeapSurvey::default();
    let links = facts.map(|facts| Links::read(memory, layout, facts, pages));
    let mut heaps: Vec<Avma> = Vec::new();
    let mut spaces: FastMap<(Avma, u64), Vec<usize>> = FastMap::default();
    for (n, page) in pages.iter().enumerate() {
        let Some(heap) = page.heap else { continue };
        if !heaps.contains(&heap) {
            heaps.push(heap);
        }
        spaces.entry((heap, page.owner)).or_default().push(n);
    }
    for heap in heaps {
        let areas = facts.and_then(|facts| LinearAreas::read(memory, facts, heap));
        let mut usage = HeapUsage {
            heap,
            total: Bytes(0),
            used_min: Bytes(0),
            used_max: Bytes(0),
            external: facts.and_then(|facts| external(memory, facts, heap)),
        };
        for ((_, owner), members) in spaces.iter().filter(|((of, _), _)| *of == heap) {
            let members: Vec<&Page> = members.iter().filter_map(|n| pages.get(*n)).collect();
            let space = match facts.zip(links.as_ref()) {
                Some(_) if !is_space_of(memory, *owner, heap) => Space::default(),
                Some((facts, links)) => {
                    links.walk(memory, facts, *owner).unwrap_or_else(|| Space::of_pages(&members))
                }
                None => Space::of_pages(&members),
            };
            let used_starts = space.starts();
            let starts = members.iter().map(|page| page.start);
            survey.pooled.extend(starts.filter(|start| !used_starts.contains(start)));
            let used = space.used(facts, areas.as_ref());
            usage.add(space.committed, &used);
        }
        // Of an isolate that is no more, only headers are left.
        if usage.total > Bytes(0) {
            survey.usages.push(usage);
        }
    }
    survey
}

fn external(memory: &impl ReadMemory, facts: HeapUsageFacts, heap: Avma) -> Option<Bytes> {
    let word = |base: u64, offset: u64| memory.read_u64(Avma(base.checked_add(offset)?)).ok();
    match facts.external {
        External::Counter(at) => word(heap.0, at).map(Bytes),
        External::Parts { sweeper, buffers, strings } => {
            let buffers = word(word(heap.0, sweeper)?, buffers)?;
            buffers.checked_add(word(heap.0, strings)?).map(Bytes)
        }
    }
}
