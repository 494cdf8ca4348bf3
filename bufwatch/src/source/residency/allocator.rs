//! From mappings to a survey of the allocator, and from the survey to claims on resident memory. How its heap is read is `malloc`'s part.

use std::ops::Range;

use crate::base::{Bytes, Nanos};
use crate::event::residency::{
    Allocator, AllocatorSurvey, MallocThresholds, Obstacle, PageBytes, RssPart, UntracedMapped,
};
use crate::malloc::{self, Limits, Place, Survey};
use crate::source::residency::StoreRange;
use crate::source::residency::claim::{Claim, Claims};
use crate::source::residency::sweep::StoreSweep;
use crate::source::residency::v8_pages::V8Pages;
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::pagemap::PageRun;
use crate::sys::procfs::MapEntry;
use crate::sys::turns::UnhurriedMemory;

/// A survey that has to wait for a processor gives up after this: RSS is to be sampled meanwhile.
const WAIT_MAX: Nanos = Nanos::SECOND;

/// What the allocator's own records say, and what follows.
#[derive(Debug, Default)]
pub(super) struct Surveyed {
    pub(super) facts: AllocatorSurvey,
    found: Survey,
}

/// Looks at the allocator of a process, if it is glibc's. `pages` are those of all mappings, ascending.
pub(super) fn survey(
    pid: u32,
    allocator: Option<Allocator>,
    maps: &[MapEntry],
    v8: &V8Pages,
    stores: &[StoreRange],
    pages: &[PageRun],
) -> Surveyed {
    let mut facts = AllocatorSurvey { allocator, ..AllocatorSurvey::default() };
    if allocator != Some(Allocator::Glibc) {
        facts.obstacle =
            Some(allocator.map_or(Obstacle::UnknownForm, |_| Obstacle::OtherAllocator));
        return Surveyed { facts, found: Survey::default() };
    }
    let started_at = clock::now();
    let ranges = |wanted: &dyn Fn(&MapEntry) -> bool| -> Vec<Range<u64>> {
        maps.iter().filter(|entry| wanted(entry)).map(|entry| entry.start..entry.end).collect()
    };
    let stores: Vec<Range<u64>> =
        stores.iter().map(|it| it.start..it.start.saturating_add(it.len)).collect();
    let place = Place {
        brk: &ranges(&|entry| entry.path == "[heap]"),
        anonymous: &ranges(&|entry| is_anonymous(entry) && !v8.has(entry)),
        libc_data: &ranges(&is_libc_data),
        stores: &stores,
        pages,
    };
    let limits = Limits::default();
    let memory = UnhurriedMemory::new(ProcessMemory::new(pid));
    let cpu_before = clock::thread_cpu();
    let is_time_over = || {
        let cpu = clock::thread_cpu().since(cpu_before);
        cpu > limits.time || clock::now().since(started_at) > WAIT_MAX
    };
    let found = malloc::take(&memory, &place, limits, &is_time_over);
    facts.obstacle = found.obstacle;
    facts.n_arenas = found.n_arenas;
    facts.n_arenas_unknown = found.n_arenas_unknown;
    facts.n_chunks = found.n_chunks;
    facts.n_free = found.n_free;
    facts.free = Bytes(found.free_bytes);
    facts.free_at_end = Bytes(found.top_bytes);
    facts.free_in_threads = Bytes(found.free_thread_bytes);
    facts.thresholds = found.parameters.map(|it| MallocThresholds {
        mmap: Bytes(it.mmap_threshold),
        trim: Bytes(it.trim_threshold),
        is_fixed: it.is_fixed,
    });
    facts.untraced_mapped = found.blocks_obstacle.is_none().then(|| untraced(&found, pages));
    facts.took = clock::now().since(started_at);
    Surveyed { facts, found }
}

/// The process has more runs of pages than can be kept in mind.
pub(super) fn too_large(allocator: Option<Allocator>) -> Surveyed {
    let obstacle = Some(Obstacle::TooLarge);
    let facts = AllocatorSurvey { allocator, obstacle, ..AllocatorSurvey::default() };
    Surveyed { facts, found: Survey::default() }
}

impl Surveyed {
    /// Without overlaps.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let claim =
            |part| move |range: &Range<u64>| Claim { start: range.start, end: range.end, part };
        let free = self.found.free_pages.iter().map(claim(RssPart::AllocatorFree)).collect();
        let others = self.found.heaps.iter().chain(&self.found.blocks);
        Claims::new(free, others.map(claim(RssPart::AllocatorOther)).collect()).into_all()
    }

    /// In memory of a thread arena.
    pub(super) fn is_in_heap(&self, address: u64) -> bool {
        let heaps = &self.found.heaps;
        let after = heaps.partition_point(|heap| heap.start <= address);
        after.checked_sub(1).and_then(|at| heaps.get(at)).is_some_and(|heap| address < heap.end)
    }
}

/// The blocks that are no traced store, with their pages.
fn untraced(found: &Survey, pages: &[PageRun]) -> UntracedMapped {
    let blocks: Vec<StoreRange> = found
        .blocks
        .iter()
        .map(|block| StoreRange {
            start: block.start,
            len: block.end.saturating_sub(block.start),
            ..StoreRange::default()
        })
        .collect();
    let mut sweep = StoreSweep::new(&blocks);
    for run in pages {
        sweep.take(run);
    }
    let resident = |pages: PageBytes| pages.resident;
    UntracedMapped {
        n: blocks.len() as u64,
        bytes: blocks.iter().map(|block| Bytes(block.len)).sum(),
        resident: sweep.finish().into_iter().map(resident).sum(),
    }
}

/// Memory that malloc may have mapped. With `glibc.mem.decorate_maps` the C library gives it a name (glibc 2.39).
fn is_anonymous(entry: &MapEntry) -> bool {
    entry.inode == 0
        && entry.is_readable
        && entry.is_writable
        && !entry.is_executable
        && !entry.is_shared
        && (entry.path.is_empty() || entry.path.starts_with("[anon: glibc: malloc"))
}

fn is_libc_data(entry: &MapEntry) -> bool {
    let name = entry.file_name();
    let is_libc = name == "libc.so.6" || name.starts_with("libc-2.");
    is_libc && entry.inode != 0 && entry.is_readable && entry.is_writable && !entry.is_shared
}
