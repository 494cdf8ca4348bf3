//! Layer 3: the state of a target as the fold of its events. Pure: no I/O, no clock, no threads, and it
//! cannot fail. Questions about it are asked in `analysis`.
#![deny(clippy::wildcard_enum_match_arm)]

pub mod async_origin;
pub mod census;
pub mod freed;
pub mod gc;
pub mod latency;
pub mod lifetime;
pub mod limits;
pub mod live;
pub mod mapping;
pub mod origin;
mod own;
pub mod rate;
mod recall;
pub mod residency;
pub mod rss_step;
pub mod site;
pub mod survivors;
pub mod tally;
pub mod timeline;
pub mod totals;
pub mod window;

use std::sync::Arc;

use bufwatch_common::LiveStore;

use crate::base::{AsyncOriginId, Bytes, FastMap, FastSet, Nanos, StoreKey, Tid};
use crate::event::{
    CountersSampled, Creates, Event, HeapSampled, LiveSetRead, MemorySampled, Payload,
    StoreCreated, StoreKind, TargetIdentified, key_of,
};
use crate::model::census::CensusLog;
use crate::model::freed::FreedMemory;
use crate::model::gc::GcLog;
use crate::model::limits::DIED_MEANWHILE_MAX;
use crate::model::live::{LiveSet, Store};
use crate::model::mapping::AddressSpace;
pub use crate::model::own::{FrameCounts, SelfState, frame_kind_index};
pub use crate::model::recall::RecalledLive;
use crate::model::residency::{Residency, ResidencyLog};
use crate::model::rss_step::StepLog;
use crate::model::site::{SiteId, Sites};
use crate::model::survivors::Survivors;
use crate::model::timeline::Timeline;
use crate::model::totals::Totals;
use crate::model::window::Window;

/// What is going on with the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    #[default]
    Attaching,
    Live,
    /// The main isolate is being torn down: the process is about to end, and what it held till now is what
    /// matters.
    Ending,
    Execed,
    Exited {
        code: Option<i32>,
    },
}

/// Everything known about one target.
#[derive(Debug)]
pub struct Model {
    pub started_at: Nanos,
    /// Time of the last event.
    pub now: Nanos,
    pub target: TargetIdentified,
    pub phase: Phase,
    pub live: LiveSet,
    pub sites: Sites,
    pub gc: GcLog,
    pub address_space: AddressSpace,
    pub threads: FastMap<Tid, Arc<str>>,
    pub memory: MemorySampled,
    /// V8's own counters of all isolates, and when they were read.
    pub heaps: (Nanos, Arc<[HeapSampled]>),
    /// Bytes of stores older than the attach, inferred: what the allocators count beyond the tracked stores.
    pub before_attach: Option<Bytes>,
    pub counters: Option<CountersSampled>,
    pub totals: Totals,
    pub timeline: Timeline,
    pub residency: ResidencyLog,
    pub freed: FreedMemory,
    pub rss_steps: StepLog,
    pub survivors: Survivors,
    pub window: Window,
    pub census: CensusLog,
    /// With the time of their death: stores that died since a census began that is not done: in its eyes they may live.
    pub died_meanwhile: Vec<(Nanos, Store)>,
    pub own: SelfState,
    /// What stores that a recording does not tell one by one add up to.
    pub recalled: Option<RecalledLive>,
}

impl Model {
    pub fn new(started_at: Nanos) -> Self {
        Self {
            started_at,
            now: started_at,
            target: TargetIdentified::default(),
            phase: Phase::Attaching,
            live: LiveSet::default(),
            sites: Sites::default(),
            gc: GcLog::default(),
            address_space: AddressSpace::default(),
            threads: FastMap::default(),
            memory: MemorySampled::default(),
            heaps: (Nanos(0), Arc::from([])),
            before_attach: None,
            counters: None,
            totals: Totals::default(),
            timeline: Timeline::default(),
            residency: ResidencyLog::default(),
            freed: FreedMemory::default(),
            rss_steps: StepLog::default(),
            survivors: Survivors::default(),
            window: Window::default(),
            census: CensusLog::default(),
            died_meanwhile: Vec::new(),
            own: SelfState::default(),
            recalled: None,
        }
    }

    /// The only way state changes.
    pub fn apply(&mut self, event: &Event) {
        if !self.is_open_to(&event.payload) {
            return;
        }
        self.now = self.now.max(event.at);
        let at = event.at;
        match &event.payload {
            Payload::TargetIdentified(target) => self.target = target.clone(),
            Payload::Attached => self.phase = Phase::Live,
            Payload::StoreCreated(store) => self.store_born(at, store, true),
            Payload::StoreFound(store) => self.store_born(at, store, false),
            Payload::StoreReattached { key, tid, size } => {
                self.store_moved(*key, Some(*tid), *size, None);
            }
            Payload::StoreResized { key, size, data } => {
                self.store_moved(*key, None, *size, Some(*data));
            }
            Payload::StoreDestroyed { key } => self.store_destroyed(at, *key),
            Payload::StoreDestroyedUnknown { size } => self.totals.destroyed_unknown(*size),
            Payload::StackCaptured { .. } => {}
            Payload::StackResolved { id, creates, latency, frames, is_cut } => {
                self.own.resolve_latency.add(*latency);
                self.own.frames_resolved(frames);
                match creates {
                    Creates::Store => self.sites.stack_resolved(*id, frames, *is_cut),
                    Creates::AsyncResource => self.sites.async_origins.stack_resolved(*id, frames),
                }
            }
            Payload::AsyncOriginSeen(seen) => self.sites.async_origins.seen(seen),
            Payload::GcStarted { tid, kind } => self.gc.started(*tid, *kind, at),
            Payload::GcFinished { tid } => {
                let n_major = self.gc.n_major;
                self.gc.finished(*tid, at);
                if self.gc.n_major != n_major {
                    survivors::collected(self, at);
                }
            }
            Payload::Mapped { start, len } => self.mapped(*start, *len),
            Payload::Unmapped { start, len } => self.unmapped(*start, *len),
            Payload::Remapped { old_start, old_len, start, len } => {
                self.remapped((*old_start, *old_len), (*start, *len));
            }
            Payload::Advised { start, len, advice } => {
                if self.residency.advised(at, *start, *len, *advice) {
                    self.address_space.changes.advised += *len;
                }
            }
            Payload::BreakMoved { to } => self.break_moved(*to),
            Payload::MappingsSampled(mappings) => self.address_space.sampled(mappings),
            Payload::ThreadsSampled(threads) => {
                self.threads = threads.iter().map(|t| (t.tid, Arc::clone(&t.name))).collect();
            }
            Payload::TearingDown { tid } if tid.0 == self.target.pid => self.phase = Phase::Ending,
            Payload::TearingDown { .. } | Payload::ThreadExited { .. } | Payload::TaskForked => {}
            Payload::MemorySampled(memory) => self.memory_sampled(at, *memory),
            Payload::HeapsSampled(heaps) => self.heaps = (at, Arc::clone(heaps)),
            Payload::CountersSampled(counters) => self.counters = Some((**counters).clone()),
            Payload::ResidencyScanned(scan) => residency::scanned(self, scan),
            Payload::FirstTouchesRead(touches) => residency::touched(self, touches),
            Payload::CensusStarted => self.census.is_underway = true,
            Payload::CensusTaken(taken) => {
                let joined = census::join(self, at, taken);
                self.census.taken(joined);
                self.died_meanwhile = Vec::new();
            }
            Payload::CensusFailed { message, hint } => {
                self.census.failed(at, Arc::clone(message), Arc::clone(hint));
                self.died_meanwhile = Vec::new();
            }
            Payload::CoverageSampled { watched, whole } => self.coverage_sampled(*watched, *whole),
            Payload::SelfSampled { cpu, rss } => self.self_sampled(at, *cpu, *rss),
            Payload::LiveSetRead(read) => self.reconcile(at, read),
            Payload::RecordsLost { n } => self.own.n_lost += n,
            Payload::Execed => self.phase = Phase::Execed,
            Payload::Exited { code } => self.phase = Phase::Exited { code: *code },
            Payload::Recalled(recalled) => *self = recall::model(recalled),
        }
    }

    /// `is_new`: it was made now. Otherwise it was there before, and only its age from now on is known.
    fn store_born(&mut self, at: Nanos, created: &StoreCreated, is_new: bool) {
        match self.live.find(created.key.address) {
            // Read with the live set before its record was.
            Some(known) if known.key.id == created.key.id => return,
            // The address is in use again: the death of the older one was lost.
            Some(older) => {
                let key = older.key;
                self.store_destroyed(at, key);
            }
            None => {}
        }
        let end = created.data.saturating_add(created.size.0);
        let there_at_birth = self.freed.remove(created.data, end);
        let store = Store {
            key: created.key,
            number: self.totals.n_known() + 1,
            data: created.data,
            size: created.size,
            max_size: created.max_size,
            birth: at,
            kind: StoreKind::from_flags(created.flags, self.target.store_flags),
            tid: created.tid,
            site: self.sites.of_store(created.stack, created.async_origin),
            stack: created.stack,
            gc_at_birth: self.gc.counts(created.tid),
            residency: Residency { there_at_birth, ..Residency::default() },
        };
        if is_new {
            self.totals.created(store.size, store.kind);
            self.sites.created(store.site, store.size);
        } else {
            self.totals.found(store.size, store.kind);
            self.sites.found(store.site, store.size);
        }
        self.live.insert(store);
    }

    fn store_moved(&mut self, key: StoreKey, tid: Option<Tid>, size: Bytes, data: Option<u64>) {
        let gc_now = tid.map(|tid| (tid, self.gc.counts(tid)));
        let Some(store) = self.live.find_mut(key) else { return };
        if let Some((tid, counts)) = gc_now {
            store.hand_over(tid, counts, &self.gc);
        }
        let old_size = std::mem::replace(&mut store.size, size);
        if let Some(data) = data.filter(|data| *data != store.data) {
            store.data = data;
            store.residency.moved();
        }
        self.totals.resized(old_size, size, store.kind);
        self.sites.resized(store.site, old_size, size);
    }

    fn store_destroyed(&mut self, at: Nanos, key: StoreKey) {
        let Some(store) = self.live.remove(key) else { return };
        if self.census.is_underway && self.died_meanwhile.len() < DIED_MEANWHILE_MAX {
            self.died_meanwhile.push((at, store.clone()));
        }
        // Whoever does not see mappings come and go does not know what has another use by now.
        if self.target.backend.sees().mappings && !self.own.is_sampled() {
            self.freed.died(&store, at);
        }
        self.rss_steps.died(&store);
        let n_majors = self.gc.majors_survived_at_death(store.tid, store.gc_at_birth);
        self.totals.destroyed(store.size, store.kind);
        self.sites.destroyed(store.site, store.size, at.since(store.birth), n_majors);
    }

    fn memory_sampled(&mut self, at: Nanos, memory: MemorySampled) {
        self.memory = MemorySampled {
            rss: memory.rss.or(self.memory.rss),
            array_buffers: memory.array_buffers.or(self.memory.array_buffers),
            v8_heap: memory.v8_heap.or(self.memory.v8_heap),
            n_isolates: memory.n_isolates.max(self.memory.n_isolates),
            rss_in_node: memory.rss_in_node.or(self.memory.rss_in_node),
            n_faults: memory.n_faults,
        };
        self.infer_before_attach();
        self.totals.tick(at);
        self.window.stores(at, &mut self.totals);
        self.sites.tick(at);
        let elapsed = at.since(self.started_at);
        self.timeline.push(elapsed, &self.memory, &self.totals);
    }

    /// Such stores can only become fewer, so the smallest difference seen holds: single ones are off by what
    /// was allocated between reading the allocators and reading the ring buffer.
    fn infer_before_attach(&mut self) {
        if self.own.is_sampled() {
            return;
        }
        let Some((counters, array_buffers)) = self.counters.as_ref().zip(self.memory.array_buffers)
        else {
            return;
        };
        let tracked = self.totals.live_allocator_bytes + counters.small_live().1;
        let beyond = array_buffers.saturating_sub(tracked);
        self.before_attach = Some(self.before_attach.map_or(beyond, |before| before.min(beyond)));
    }

    /// What died unseen, and what uses its memory now, is not known from the first pause on.
    fn coverage_sampled(&mut self, watched: Nanos, whole: Nanos) {
        let was_sampled = self.own.is_sampled();
        let share = || watched.as_secs_f64() / whole.as_secs_f64();
        self.own.coverage = (watched < whole).then(share);
        if self.own.is_sampled() && !was_sampled {
            self.freed = FreedMemory::default();
            self.before_attach = None;
        }
    }

    fn self_sampled(&mut self, at: Nanos, cpu: Nanos, rss: Bytes) {
        if let Some(before) = self.own.sampled_at {
            let elapsed = at.since(before).as_secs_f64();
            if elapsed > 0.0 {
                self.own.cpu_share = Some(cpu.since(self.own.cpu).as_secs_f64() / elapsed);
            }
        }
        self.own.sampled_at = Some(at);
        self.own.cpu = cpu;
        self.own.rss = Some(rss);
    }

    /// Makes the live set equal to the kernel's. Records still under way are no harm: a creation that
    /// arrives twice and a death of a store already closed are both ignored.
    fn reconcile(&mut self, at: Nanos, read: &LiveSetRead) {
        self.own.n_reconciled += 1;
        for (address, store) in read.stores.iter() {
            if self.live.find(*address).is_none_or(|known| known.key.id != store.id) {
                self.store_born(Nanos(store.birth_ns), &created_from(*address, store), true);
            }
        }
        let gone = self.gone(read);
        self.own.n_closed_by_reconcile += gone.len() as u64;
        for key in gone {
            self.store_destroyed(at, key);
        }
    }

    /// Stores that the kernel no longer has.
    pub fn gone(&self, read: &LiveSetRead) -> Vec<StoreKey> {
        let alive: FastSet<StoreKey> = read.stores.iter().map(|(a, s)| key_of(*a, s)).collect();
        let is_gone = |store: &&Store| store.birth < read.started_at && !alive.contains(&store.key);
        self.live.iter().filter(is_gone).map(|store| store.key).collect()
    }

    /// False for an event that will not change this state: neither the tidying up of a process that ends nor a new program in its place
    /// changes the last one.
    pub fn is_open_to(&self, payload: &Payload) -> bool {
        let is_over = matches!(self.phase, Phase::Ending | Phase::Execed | Phase::Exited { .. });
        !(is_over && is_of_target(payload))
    }

    /// The name of a thread, if it was sampled.
    pub fn thread_name(&self, tid: Tid) -> Option<Arc<str>> {
        self.threads.get(&tid).cloned()
    }

    /// Site of a store, for labels.
    pub fn site_label(&self, site: SiteId) -> Arc<str> {
        self.sites.label(site)
    }
}

fn created_from(address: u64, store: &LiveStore) -> StoreCreated {
    StoreCreated {
        key: key_of(address, store),
        data: store.data,
        size: Bytes(store.size_bytes),
        max_size: Bytes(store.max_size_bytes),
        flags: store.flags,
        tid: Tid(store.tid),
        stack: crate::base::StackId(store.stack_id),
        async_origin: AsyncOriginId(store.origin_id),
    }
}

/// False for what concerns bufwatch itself, and for the end.
fn is_of_target(payload: &Payload) -> bool {
    !matches!(
        payload,
        Payload::SelfSampled { .. }
            | Payload::RecordsLost { .. }
            | Payload::Exited { .. }
            | Payload::Recalled(_)
    )
}

#[cfg(test)]
mod tests;
