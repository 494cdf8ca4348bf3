//! What /proc and the target's own counters say, now and then, as events. Cheap questions are asked often,
//! expensive ones the more rarely the longer they take.

use std::sync::Arc;

use crate::base::{Avma, Bytes, Nanos, Tid};
use crate::event::{Event, Mapping, MappingKind, MemorySampled, Payload, Thread};
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::procfs;
use crate::v8::allocator::{AllocatorFacts, allocator_of_heap, read_total};

/// Between two looks at RSS and the allocators: about 30 µs each.
pub const TICK: Nanos = Nanos::from_millis(250);

/// At least this long between two readings of maps …
const RARE_MIN: Nanos = Nanos::from_secs(5);

/// … and at least this many times what the last one took: 0.5 % of a core.
const RARE_FACTOR: u64 = 200;

/// Samples one process.
#[derive(Debug)]
pub struct Sampler {
    pid: u32,
    memory: ProcessMemory,
    facts: Option<AllocatorFacts>,
    allocators: Vec<Avma>,
    /// As of the last full scan of the page tables.
    v8_heap: Option<Bytes>,
    rare_due: Nanos,
    /// Before this it would cost more than its share.
    rare_earliest: Nanos,
}

impl Sampler {
    /// `facts`: how to find the allocators; without them `arrayBuffers` is unknown.
    pub fn new(pid: u32, facts: Option<AllocatorFacts>) -> Self {
        Self {
            pid,
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
            self.rare_due = Nanos(started_at.0.saturating_add(pause.max(RARE_MIN).0));
        }
        let Ok(rss) = procfs::rss(self.pid) else { return };
        let memory = MemorySampled {
            rss: Some(rss),
            array_buffers: self.array_buffers(),
            v8_heap: self.v8_heap,
            n_isolates: self.allocators.len() as u32,
        };
        events.push(event(Payload::MemorySampled(memory)));
        let own_rss = procfs::rss(std::process::id()).unwrap_or_default();
        events.push(event(Payload::SelfSampled { cpu: clock::own_cpu(), rss: own_rss }));
    }

    /// Takes what a full scan has found: V8's heaps, and how much of them is in memory.
    pub fn found_heaps(&mut self, heaps: &[Avma], resident: Bytes) {
        self.v8_heap = Some(resident);
        let Some(facts) = self.facts else { return };
        for heap in heaps {
            if let Some(allocator) = allocator_of_heap(&self.memory, facts, heap.0)
                && !self.allocators.contains(&allocator)
            {
                self.allocators.push(allocator);
            }
        }
    }

    /// Looks for new threads and mappings soon, but not more often than is cheap.
    pub fn look_again(&mut self) {
        // Not at once: a new worker has no isolate yet.
        let soon = Nanos(clock::now().0.saturating_add(TICK.0 * 2));
        self.rare_due = self.rare_due.min(soon.max(self.rare_earliest));
    }

    fn array_buffers(&mut self) -> Option<Bytes> {
        let facts = self.facts?;
        let memory = self.memory;
        let mut sum = None;
        // One whose isolate is gone no longer has the vtable.
        self.allocators.retain(|allocator| {
            let total = read_total(&memory, facts, *allocator);
            sum = total.map(|total| sum.unwrap_or_default() + total).or(sum);
            total.is_some()
        });
        sum
    }

    fn sample_rarely(&self, now: Nanos, events: &mut Vec<Event>) {
        if let Ok(maps) = procfs::maps(self.pid) {
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
