//! Measures what is in memory: of the stores that are asked for, and of the whole process by what it is for. When to look is the session's
//! decision; it reads page tables, and of the memory itself only the allocator's records.

mod allocator;
mod claim;
mod known_full;
mod mapping_use;
mod pass;
mod store_map;
mod sweep;
mod v8_pages;

use std::io;
use std::sync::Arc;

use crate::base::{Avma, Bytes, FastMap, Nanos, StoreKey};
use crate::event::census::Census;
use crate::event::residency::{
    Allocator, Obstacle, PageBytes, RangeResidency, ResidencyScanned, RssPart, RssSplit,
    StoreResidency,
};
use crate::event::{Event, Payload};
use crate::source::residency::allocator::Surveyed;
use crate::source::residency::claim::{Claim, Claims};
use crate::source::residency::known_full::{FullRange, KnownFull};
use crate::source::residency::mapping_use::{MappingUse, use_of};
use crate::source::residency::pass::Pass;
use crate::source::residency::sweep::StoreSweep;
use crate::source::residency::v8_pages::{Candidates, V8Pages};
use crate::source::sampler::SamplerFacts;
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::pagemap::{PageMap, PageRun, PageState};
use crate::sys::procfs::{self, MapEntry};
use crate::sys::turns::UnhurriedMemory;
use crate::v8::heap_usage::HeapUsage;

/// What is to be looked at.
#[derive(Clone, Debug, Default)]
pub struct ScanOrder {
    /// In any order.
    pub stores: Vec<StoreRange>,
    /// Memory of dead stores, `start..end`; only looked at together with the whole process.
    pub freed: Vec<(u64, u64)>,
    /// Where the target gave memory back since the last look at the whole process, `start..end`.
    pub given_back: Vec<(u64, u64)>,
    /// All live stores are in it, and the whole process is looked at as well.
    pub is_full: bool,
    /// The store whose pages are wanted one by one.
    pub map: Option<StoreRange>,
}

/// Parts may add up to so much more than RSS, which is read a moment later: this share of it, and this much.
const SLACK_SHARE: u64 = 200;
const SLACK_MIN: Bytes = Bytes(1 << 20);

/// The bytes of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreRange {
    pub key: StoreKey,
    pub start: u64,
    pub len: u64,
    /// A WebAssembly memory or a resizable buffer: a reservation that grows.
    pub is_growable: bool,
}

/// Scans one process.
#[derive(Debug)]
pub struct Scanner {
    pid: u32,
    pages: PageMap,
    memory: UnhurriedMemory,
    v8: V8Pages,
    /// Mappings in which a thread's stack was seen, by their starts: threads that run do not say where theirs is.
    stacks: FastMap<u64, u64>,
    allocator: Option<Allocator>,
    full: KnownFull,
}

impl Scanner {
    /// Needs ptrace access to the process. Without a page layout V8's memory cannot be told from other anonymous memory.
    pub fn new(pid: u32, facts: SamplerFacts) -> io::Result<Self> {
        Ok(Self {
            pid,
            pages: PageMap::open(pid)?.unhurried(),
            memory: UnhurriedMemory::new(ProcessMemory::new(pid)),
            v8: V8Pages::new(facts.page_layout, facts.heap_usage),
            stacks: FastMap::default(),
            allocator: facts.malloc,
            full: KnownFull::default(),
        })
    }

    /// False where the kernel cannot tell pages that were only read from written ones.
    pub const fn tells_zero_pages(&self) -> bool {
        self.pages.tells_zero_pages()
    }

    /// V8's own counters of each heap, as of the last full scan.
    pub fn heap_usages(&self) -> &[HeapUsage] {
        self.v8.usages()
    }

    /// Looks at the pages; `None` if the process is going away.
    pub fn scan(&mut self, mut order: ScanOrder) -> Option<Event> {
        let started_at = clock::now();
        let cpu_before = clock::thread_cpu();
        order.stores.retain(|store| store.start != 0 && store.len > 0);
        order.stores.sort_unstable_by_key(|store| (store.start, store.key));
        let freed = freed_stores(&order.freed);
        let (split, pages, freed_pages) = if order.is_full {
            let (split, pages, freed_pages) = self.look_at_all(&order, &freed, started_at).ok()?;
            (Some(Box::new(split)), pages, freed_pages)
        } else {
            let mut sweep = StoreSweep::new(&order.stores);
            for range in ranges_of(&order.stores) {
                self.pages.scan(range.0, range.1, &mut |run| sweep.take(&run)).ok()?;
            }
            (None, sweep.finish(), Vec::new())
        };
        let stores = order.stores.iter().zip(pages);
        let stores = stores.map(|(store, pages)| StoreResidency {
            key: store.key,
            start: store.start,
            len: Bytes(store.len),
            pages,
        });
        // While it changes it is not known what of them is free.
        let survey = split.as_ref().map(|split| split.survey);
        let is_free_known =
            survey.is_some_and(|survey| survey.obstacle != Some(Obstacle::Changing));
        let freed = if is_free_known { freed.as_slice() } else { &[] };
        let ranges = freed.iter().zip(freed_pages).map(|(range, pages)| RangeResidency {
            start: range.start,
            end: range.start.saturating_add(range.len),
            resident: pages.resident,
        });
        let scanned = ResidencyScanned {
            started_at,
            cpu: clock::thread_cpu().since(cpu_before),
            is_full: order.is_full,
            stores: stores.collect(),
            freed: ranges.collect(),
            split,
            map: order.map.and_then(|store| store_map::look(&self.pages, &store)).map(Arc::new),
        };
        Some(Event { at: clock::now(), payload: Payload::ResidencyScanned(Box::new(scanned)) })
    }

    /// The whole process: RSS by what it is for, the pages of the stores, those of memory of dead stores. Stores that are known to be in
    /// memory are taken as they were, unless RSS is less than that makes.
    fn look_at_all(
        &mut self,
        order: &ScanOrder,
        freed: &[StoreRange],
        now: Nanos,
    ) -> io::Result<(RssSplit, Vec<PageBytes>, Vec<PageBytes>)> {
        loop {
            let full = self.full.ranges(&order.stores, &order.given_back, now);
            let mut sweep = StoreSweep::new(&order.stores);
            let mut freed_sweep = StoreSweep::new(freed);
            let split = self.scan_process(&order.stores, &full, &mut sweep, &mut freed_sweep)?;
            let slack = Bytes(split.rss.0 / SLACK_SHARE).max(SLACK_MIN);
            if !full.is_empty() && split.total() > split.rss + slack {
                self.full.forget();
                continue;
            }
            let pages = sweep.finish();
            self.full.found(&order.stores, &pages, now);
            return Ok((split, pages, freed_sweep.finish()));
        }
    }

    /// One pass over all mappings, so that the parts are of nearly one moment; then the allocator is asked which of its memory is free.
    fn scan_process(
        &mut self,
        stores: &[StoreRange],
        full: &[FullRange],
        sweep: &mut StoreSweep<'_>,
        freed: &mut StoreSweep<'_>,
    ) -> io::Result<RssSplit> {
        let pass = Pass::quiet(self.pid, &self.pages, full)?;
        let maps = pass.maps.as_slice();
        let stacks = self.stack_pointers(maps);
        let mut candidates = Candidates::default();
        let mut unclaimed = Claims::new(store_ranges(stores), Vec::new());
        pass.each(&self.pages, full, &mut |entry, run| {
            sweep.take(&run);
            if run.state == PageState::Resident {
                let mut at = run.start;
                unclaimed.divide(run.start, run.end, |part, bytes| {
                    if part.is_none() {
                        self.v8.consider(&mut candidates, entry, at, at + bytes);
                    }
                    at += bytes;
                });
            }
        })?;
        self.v8.look(&self.memory, &candidates);
        let mapped: u64 = maps.iter().map(|entry| entry.end - entry.start).sum();
        let present = (pass.resident + pass.swapped).0;
        let mut split = RssSplit {
            rss: pass.rss,
            swapped: pass.swapped,
            untouched: Bytes(mapped.saturating_sub(present)),
            ..RssSplit::default()
        };
        let surveyed = pass.kept().map_or_else(
            || allocator::too_large(self.allocator),
            |runs| allocator::survey(self.pid, self.allocator, maps, &self.v8, stores, runs),
        );
        split.survey = surveyed.facts;
        split.is_allocator_known = surveyed.facts.obstacle.is_none();
        let mut others = self.v8.claims();
        others.append(&mut surveyed.claims());
        let mut claims = Claims::new(store_claims(stores, maps, &surveyed), others);
        let use_of_rest = |entry: &MapEntry| match use_of(entry, self.v8.has(entry), &stacks) {
            MappingUse::Part(part) => (entry.start, part),
            MappingUse::Kernel | MappingUse::HugeTlb => (entry.start, RssPart::Other),
        };
        let mut last = None;
        pass.each(&self.pages, full, &mut |entry, run| {
            if run.state != PageState::Resident {
                return;
            }
            let known = last.filter(|(start, _)| *start == entry.start);
            let (start, rest) = known.unwrap_or_else(|| use_of_rest(entry));
            last = Some((start, rest));
            let mut at = run.start;
            claims.divide(run.start, run.end, |part, bytes| {
                let part = part.unwrap_or(rest);
                split.add(part, Bytes(bytes));
                if is_freed(part, split.is_allocator_known) {
                    freed.take(&PageRun { start: at, end: at + bytes, ..run });
                }
                at += bytes;
            });
        })?;
        Ok(split)
    }

    /// Where stacks are: of threads that wait now, and of mappings that were seen to be one before.
    fn stack_pointers(&mut self, maps: &[MapEntry]) -> Vec<u64> {
        let mut pointers = procfs::stack_pointers(self.pid);
        let known = std::mem::take(&mut self.stacks);
        for entry in maps {
            let is_known = known.get(&entry.start) == Some(&entry.end);
            if is_known || pointers.iter().any(|sp| (entry.start..entry.end).contains(sp)) {
                self.stacks.insert(entry.start, entry.end);
                if is_known {
                    pointers.push(entry.start);
                }
            }
        }
        pointers
    }
}

/// Whether memory where a store was may still be nobody's: for certain only if the allocator's records say so.
const fn is_freed(part: RssPart, is_allocator_known: bool) -> bool {
    match part {
        RssPart::AllocatorFree => true,
        RssPart::AllocatorOther | RssPart::Other => !is_allocator_known,
        _ => false,
    }
}

/// Stores as ranges, whatever part they are.
fn store_ranges(stores: &[StoreRange]) -> Vec<Claim> {
    let claim = |store: &StoreRange| Claim {
        start: store.start,
        end: store.start.saturating_add(store.len),
        part: RssPart::StoresMapped,
    };
    stores.iter().map(claim).collect()
}

/// Ranges as the sweep takes them, ascending.
fn freed_stores(ranges: &[(u64, u64)]) -> Vec<StoreRange> {
    let mut ranges: Vec<StoreRange> = ranges
        .iter()
        .map(|(start, end)| StoreRange {
            start: *start,
            len: end.saturating_sub(*start),
            ..StoreRange::default()
        })
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges
}

/// Stores as parts of RSS: with a mapping of their own, or inside of one of the allocator.
fn store_claims(stores: &[StoreRange], maps: &[MapEntry], surveyed: &Surveyed) -> Vec<Claim> {
    stores
        .iter()
        .map(|store| {
            let end = store.start.saturating_add(store.len);
            let part = if store.is_growable {
                RssPart::Growable
            } else if is_own_mapping(store, maps) && !surveyed.is_in_heap(store.start) {
                RssPart::StoresMapped
            } else {
                RssPart::StoresInAllocator
            };
            Claim { start: store.start, end, part }
        })
        .collect()
}

/// glibc gives large blocks a mapping of their own: the bytes begin 16 after a page's start, and the mapping ends with them. The kernel
/// merges neighbouring mappings, so that only heaps are certain not to be one.
fn is_own_mapping(store: &StoreRange, maps: &[MapEntry]) -> bool {
    /// glibc's header before the memory that it returns (malloc/malloc.c, "chunk").
    const CHUNK_HEADER: u64 = 16;
    let after = maps.partition_point(|entry| entry.start <= store.start);
    let entry = after.checked_sub(1).and_then(|at| maps.get(at));
    let is_heap = entry.is_none_or(|entry| entry.path == "[heap]");
    !is_heap && store.start % crate::sys::pagemap::PAGE_BYTES == CHUNK_HEADER
}

/// Ranges that cover the stores, neighbours as one; stores are sorted.
fn ranges_of(stores: &[StoreRange]) -> Vec<(u64, u64)> {
    /// Below this much between two stores one question is cheaper than two: a question costs as much as 500 pages.
    const GAP_MAX: u64 = 1 << 20;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for store in stores {
        let end = store.start.saturating_add(store.len);
        match ranges.last_mut() {
            Some(last) if store.start <= last.1.saturating_add(GAP_MAX) => last.1 = last.1.max(end),
            _ => ranges.push((store.start, end)),
        }
    }
    ranges
}

/// The pages of ranges that are no traced stores, such as the parents of a census; `None` for each where nothing can be read.
fn pages_of(pid: u32, ranges: &[(Avma, Bytes)]) -> Vec<Option<PageBytes>> {
    let Ok(map) = PageMap::open(pid).map(PageMap::unhurried) else {
        return vec![None; ranges.len()];
    };
    let started_at = clock::now();
    ranges
        .iter()
        .map(|(start, len)| {
            if clock::now().since(started_at) > RANGES_TIME_MAX {
                return None;
            }
            let mut pages = PageBytes::default();
            let end = start.0.saturating_add(len.0);
            map.scan(start.0, end, &mut |run| sweep::count(&mut pages, &run)).ok()?;
            Some(pages)
        })
        .collect()
}

/// Says of the parents of a census how much of them is in memory, the largest first; the target runs meanwhile.
pub fn look_at_parents(pid: u32, census: &mut Census) {
    let ranges: Vec<(Avma, Bytes)> =
        census.parents.iter().map(|parent| (parent.address, parent.size)).collect();
    for (parent, pages) in census.parents.iter_mut().zip(pages_of(pid, &ranges)) {
        parent.pages = pages;
    }
}

/// What [`pages_of`] may take; ranges that are left then stay unknown. About 6 ms a gigabyte, and 3 µs a range.
const RANGES_TIME_MAX: Nanos = Nanos::from_millis(500);
