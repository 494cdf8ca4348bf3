//! What /proc and the target's own counters say, now and then, as events. Cheap questions are asked often,
//! expensive ones the more rarely the longer they take.

use std::sync::Arc;

use crate::base::{Avma, Bytes, Nanos, Tid};
use crate::event::residency::Allocator;
use crate::event::{Event, HeapSampled, Mapping, MappingKind, MemorySampled, Payload, Thread};
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::procfs::{self, MemoryFiles};
use crate::v8::allocator::{AllocatorFacts, allocator_of_heap, read_total};
use crate::v8::heap_usage::{HeapUsage, HeapUsageFacts};
use crate::v8::page::PageLayout;

/// A new worker has no isolate for so long.
const WORKER_STARTS: Nanos = Nanos::from_millis(500);

/// Between two readings of maps at least this many times what the last one took: 0.5 % of a core.
const RARE_FACTOR: u64 = 200;

/// What the plan says about a binary, as far as samples need it. What is missing stays unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct SamplerFacts {
    /// How to find the allocators, which count `arrayBuffers`.
    pub allocator: Option<AllocatorFacts>,
    /// Who gives it memory that is not V8's.
    pub malloc: Option<Allocator>,
    /// How to recognise V8's pages.
    pub page_layout: Option<PageLayout>,
    pub heap_usage: Option<HeapUsageFacts>,
}

/// Samples one process.
#[derive(Debug)]
pub struct Sampler {
    pid: u32,
    /// `None`: it ended before it was looked at, or /proc is not there.
    files: Option<MemoryFiles>,
    own_files: Option<MemoryFiles>,
    memory: ProcessMemory,
    facts: SamplerFacts,
    /// Each with its `Heap*`.
    allocators: Vec<(Avma, Avma)>,
    /// As of the last full scan of the page tables.
    v8_heap: Option<Bytes>,
    /// At least this long between two readings of maps.
    rare_min: Nanos,
    rare_due: Nanos,
    /// Before this it would cost more than its share.
    rare_earliest: Nanos,
}

impl Sampler {
    pub fn new(pid: u32, facts: SamplerFacts, rare_min: Nanos) -> Self {
        Self {
            pid,
            files: MemoryFiles::open(pid).ok(),
            own_files: MemoryFiles::open(std::process::id()).ok(),
            rare_min,
            memory: ProcessMemory::new(pid),
            facts,
            allocators: Vec::new(),
            v8_heap: None,
            rare_due: Nanos(0),
            rare_earliest: Nanos(0),
        }
    }

    /// Asks what is due. An empty answer means that the process is going away.
    pub fn sample(&mut self, events: &mut Vec<Event>) {
        let started_at = clock::now();
        if started_at >= self.rare_due {
            self.sample_rarely(started_at, events);
            let took = clock::now().since(started_at);
            let pause = Nanos(took.0.saturating_mul(RARE_FACTOR));
            self.rare_earliest = Nanos(started_at.0.saturating_add(pause.0));
            self.rare_due = Nanos(started_at.0.saturating_add(pause.max(self.rare_min).0));
        }
        let Some(rss) = self.files.as_ref().and_then(|files| files.rss().ok()) else { return };
        let in_stat = self.files.as_ref().and_then(|files| files.in_stat().ok());
        let memory = MemorySampled {
            rss: Some(rss),
            array_buffers: self.array_buffers(),
            v8_heap: self.v8_heap,
            n_isolates: self.allocators.len() as u32,
            rss_in_node: in_stat.map(|it| it.rss),
            n_faults: in_stat.map(|it| it.n_faults),
        };
        events.push(event(Payload::MemorySampled(memory)));
        let own_rss =
            self.own_files.as_ref().and_then(|files| files.rss().ok()).unwrap_or_default();
        events.push(event(Payload::SelfSampled { cpu: clock::own_cpu(), rss: own_rss }));
    }

    /// Takes what a full scan has found: V8's heaps, and how much of its memory is resident.
    pub fn found_heaps(&mut self, usages: &[HeapUsage], resident: Bytes) -> Event {
        self.v8_heap = Some(resident);
        let heaps = usages.iter().map(|usage| HeapSampled {
            heap: usage.heap,
            total: usage.total,
            used_min: usage.used_min,
            used_max: usage.used_max,
            external: usage.external,
            array_buffers: self.array_buffers_of(usage.heap),
        });
        let heaps = heaps.collect();
        event(Payload::HeapsSampled(heaps))
    }

    fn array_buffers_of(&mut self, heap: Avma) -> Option<Bytes> {
        let facts = self.facts.allocator?;
        let known = self.allocators.iter().find(|(of, _)| *of == heap).map(|(_, known)| *known);
        if let Some(total) = known.and_then(|known| read_total(&self.memory, facts, known)) {
            return Some(total);
        }
        let found = allocator_of_heap(&self.memory, facts, heap.0)?;
        self.allocators.retain(|(of, _)| *of != heap);
        self.allocators.push((heap, found));
        read_total(&self.memory, facts, found)
    }

    /// Looks for new threads and mappings soon, but not more often than is cheap.
    pub fn look_again(&mut self) {
        let soon = Nanos(clock::now().0.saturating_add(WORKER_STARTS.0));
        self.rare_due = self.rare_due.min(soon.max(self.rare_earliest));
    }

    fn array_buffers(&mut self) -> Option<Bytes> {
        let facts = self.facts.allocator?;
        let memory = self.memory;
        let mut sum = None;
        let mut seen: Vec<Avma> = Vec::new();
        // One whose isolate is gone no longer has the vtable.
        self.allocators.retain(|(_, allocator)| {
            let total = read_total(&memory, facts, *allocator);
            // Isolates may share one.
            if let Some(total) = total
                && !seen.contains(allocator)
            {
                seen.push(*allocator);
                sum = Some(sum.unwrap_or_default() + total);
            }
            total.is_some()
        });
        sum
    }

    fn sample_rarely(&self, now: Nanos, events: &mut Vec<Event>) {
        if let Ok(maps) = procfs::maps_unhurried(self.pid) {
            let mappings: Arc<[Mapping]> = maps.iter().map(mapping).collect();
            events.push(Event { at: now, payload: Payload::MappingsSampled(mappings) });
        }
        let threads = procfs::threads(self.pid).into_iter();
        let threads: Arc<[Thread]> = threads
            .map(|(tid, name)| Thread { tid: Tid(tid), name: crate::base::sanitize(&name).into() })
            .collect();
        events.push(Event { at: now, payload: Payload::ThreadsSampled(threads) });
    }
}

fn event(payload: Payload) -> Event {
    Event { at: clock::now(), payload }
}

fn mapping(entry: &procfs::MapEntry) -> Mapping {
    let kind = match entry.path.as_str() {
        "[heap]" => MappingKind::Heap,
        "[stack]" => MappingKind::Stack,
        _ if entry.inode != 0 => MappingKind::File,
        _ => MappingKind::Anonymous,
    };
    Mapping { start: entry.start, end: entry.end, kind }
}
