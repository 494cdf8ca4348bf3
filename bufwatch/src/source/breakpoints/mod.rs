//! Exact events without BPF, of a program that bufwatch started: its tracer has breakpoints where the eBPF backend has probes. This takes what
//! they tell to the session; which breakpoints there are is said by who starts it, what a hit means by `hits`.

mod hits;
mod walk;

use std::io;
use std::sync::Arc;

use bufwatch_common::{LiveStore, ProbeConfig};

pub use hits::Meaning;

use crate::base::{Avma, Nanos, Svma};
use crate::event::{Backend, CountersSampled, Event, Payload};
use crate::node::identity::NodeIdentity;
use crate::source::Source;
use crate::source::breakpoints::hits::{Hits, Post};
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::tracer::{TraceError, Tracer};
use crate::v8::census::store::look_again;

/// So long after it began a store is looked at for its new size. Most resizes take microseconds.
const RESIZED_WITHIN: Nanos = Nanos::from_millis(500);

/// A breakpoint.
#[derive(Clone, Copy, Debug)]
pub struct BreakpointAt {
    pub address: Avma,
    pub meaning: Meaning,
}

/// What to watch.
#[derive(Debug)]
pub struct BreakpointConfig {
    pub tracer: Tracer,
    pub probe: ProbeConfig,
    pub points: Vec<BreakpointAt>,
    pub identity: NodeIdentity,
    /// Of which each isolate maps a copy.
    pub interpreter: Option<std::ops::Range<Svma>>,
}

/// A watched program. Dropping it removes the breakpoints.
#[derive(Debug)]
pub struct BreakpointSource {
    tracer: Tracer,
    memory: ProcessMemory,
    post: Arc<Post>,
}

impl BreakpointSource {
    /// While the program is held.
    pub fn start(config: BreakpointConfig) -> Result<Self, TraceError> {
        let BreakpointConfig { tracer, probe, points, identity, interpreter } = config;
        let memory = ProcessMemory::new(probe.tgid);
        let post = Arc::new(Post::default());
        let meanings = points.iter().map(|point| point.meaning).collect();
        let find_copies = move || {
            interpreter.as_ref().map(|range| identity.find_copies(range)).unwrap_or_default()
        };
        let hits = Hits::new(memory, probe, meanings, Box::new(find_copies), Arc::clone(&post));
        let addresses = points.iter().map(|point| point.address.0).collect();
        tracer.watch(addresses, Box::new(hits))?;
        Ok(Self { tracer, memory, post })
    }

    /// Stores whose resize has returned meanwhile; what they changed to is read instead of trusted: a resize may fail.
    fn look_at_resized(&self, events: &mut Vec<Event>) {
        let resizing = std::mem::take(&mut self.post.lock().resizing);
        if resizing.is_empty() {
            return;
        }
        let at = clock::now();
        let keys: Vec<_> = resizing.iter().map(|(key, _)| *key).collect();
        let looks = look_again(&self.memory, &keys);
        let mut told = self.post.lock();
        for ((key, since), now) in resizing.into_iter().zip(looks) {
            let live = told.live.get_mut(&key.address).filter(|live| live.id == key.id);
            if let Some((live, now)) = live.zip(now) {
                if live.size_bytes != now.size.0 {
                    (live.size_bytes, live.data) = (now.size.0, now.data);
                    let payload = Payload::StoreResized { key, size: now.size, data: now.data };
                    events.push(Event { at, payload });
                }
                if at.since(since) < RESIZED_WITHIN {
                    told.resizing.push((key, since));
                }
            }
        }
    }
}

impl Source for BreakpointSource {
    fn backend(&self) -> Backend {
        Backend::Breakpoints
    }

    fn wait(&self, limit: Nanos) {
        self.post.wait(limit);
    }

    fn drain(&mut self, limit: usize, events: &mut Vec<Event>) -> bool {
        let is_more = self.post.take(limit, events);
        if !is_more {
            self.look_at_resized(events);
        }
        is_more
    }

    fn sample_counters(&self, now: Nanos) -> Option<Event> {
        let told = self.post.lock();
        let sampled = CountersSampled { size_classes: told.size_classes, drops: told.drops };
        Some(Event { at: now, payload: Payload::CountersSampled(Box::new(sampled)) })
    }

    fn n_missing(&self) -> u64 {
        0
    }

    fn read_live_set(&self) -> io::Result<Vec<(u64, LiveStore)>> {
        let told = self.post.lock();
        let tracked = told.live.iter().filter(|(_, live)| live.is_tracked != 0);
        let mut stores: Vec<(u64, LiveStore)> =
            tracked.map(|(address, live)| (*address, *live)).collect();
        drop(told);
        stores.sort_unstable_by_key(|(address, _)| *address);
        Ok(stores)
    }
}

impl Drop for BreakpointSource {
    fn drop(&mut self) {
        // Who waits for room waits for nobody any more.
        self.post.close();
        self.tracer.forget();
    }
}
