//! What a breakpoint means: on the tracer's thread, while the thread that met it stands still, it becomes an event. The same rules as those of
//! the eBPF programs (`bufwatch-ebpf::backing_store`): a store is known by its address and id, and small ones are only counted.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bufwatch_common::{
    DropReason, LiveStore, N_SIZE_CLASSES, ProbeConfig, RawFrame, SizeClassCounters, size_class,
};

use crate::base::{
    AsyncOriginId, Avma, Bytes, FastMap, FastSet, Nanos, ReadMemory as _, StackId, StoreKey, Tid,
};
use crate::event::{Creates, Event, GcKind, Payload, StoreCreated};
use crate::source::breakpoints::walk::{self, Start};
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::sys::tracer::{Hit, Observer};

/// Events that wait to be taken: with more, the program waits as well, …
const EVENTS_MAX: usize = 1 << 20;

/// … but so long only; then the event is lost, and counted.
const ROOM_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Stores that are kept; of more only the number is known.
const LIVE_MAX: usize = 4 << 20;

/// Stacks that are known by their words until the next collection.
const SHORTCUTS_MAX: usize = 1 << 16;

/// Stacks that were sent; with more they are sent again.
const STACKS_MAX: usize = 1 << 18;

/// Bytes of a `BackingStore` up to its flags.
const STORE_BYTES: usize = 72;

/// What a breakpoint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// An array buffer takes a store; which argument is the address of its `shared_ptr`.
    Created {
        argument: usize,
    },
    /// The first argument is the store.
    Destroyed,
    /// The first argument is the store; what it changes to is known when it returns.
    Resizing,
    GcStarted,
    GcFinished,
    TornDown,
}

/// What both threads have.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) events: VecDeque<Event>,
    pub(super) size_classes: [SizeClassCounters; N_SIZE_CLASSES],
    pub(super) drops: [u64; DropReason::COUNT],
    /// By the address of their `BackingStore`.
    pub(super) live: FastMap<u64, LiveStore>,
    /// Stores that are being resized, and since when.
    pub(super) resizing: Vec<(StoreKey, Nanos)>,
    has_new_stack: bool,
    /// Nobody takes events any more.
    is_closed: bool,
}

impl Told {
    fn dropped(&mut self, reason: DropReason) {
        if let Some(n) = self.drops.get_mut(reason.index() as usize) {
            *n += 1;
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Post {
    told: Mutex<Told>,
    comes: Condvar,
    goes: Condvar,
}

impl Post {
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until a new stack comes.
    pub(super) fn wait(&self, limit: Nanos) {
        let told = self.lock();
        let limit = std::time::Duration::from_nanos(limit.0);
        let waited = self.comes.wait_timeout_while(told, limit, |told| !told.has_new_stack);
        match waited {
            Ok((mut told, _)) => told.has_new_stack = false,
            Err(_) => tracing::debug!("the tracer ended by a bug"),
        }
    }

    /// At most `limit` events; true if there are more.
    pub(super) fn take(&self, limit: usize, events: &mut Vec<Event>) -> bool {
        let mut told = self.lock();
        let n = told.events.len().min(limit);
        events.extend(told.events.drain(..n));
        self.goes.notify_all();
        !told.events.is_empty()
    }

    /// From now on nothing is kept.
    pub(super) fn close(&self) {
        let mut told = self.lock();
        told.is_closed = true;
        told.events.clear();
        self.goes.notify_all();
    }

    fn send(&self, told: MutexGuard<'_, Told>, event: Event) {
        let is_full = |told: &mut Told| told.events.len() >= EVENTS_MAX;
        let waited = self.goes.wait_timeout_while(told, ROOM_WITHIN, is_full);
        let (mut told, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if told.is_closed {
            return;
        }
        if waited.timed_out() {
            told.dropped(DropReason::RingFull);
            return;
        }
        let is_stack = matches!(event.payload, Payload::StackCaptured { .. });
        told.has_new_stack |= is_stack;
        told.events.push_back(event);
        drop(told);
        if is_stack {
            self.comes.notify_all();
        }
    }
}

/// Where the interpreter is mapped, asked when it is needed.
pub(super) type FindCopies = Box<dyn Fn() -> Vec<u64> + Send>;

/// Makes events of hits.
pub(super) struct Hits {
    pub(super) memory: ProcessMemory,
    pub(super) config: ProbeConfig,
    pub(super) meanings: Vec<Meaning>,
    pub(super) find_copies: FindCopies,
    pub(super) post: Arc<Post>,
    copies: Vec<u64>,
    /// Threads that began after which copies were not looked for.
    threads: FastSet<u32>,
    shortcuts: FastMap<u64, u64>,
    stacks: FastSet<u64>,
}

/// A `BackingStore` (js-stacks.md §1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    data: u64,
    size: u64,
    max_size: u64,
    id: u32,
    flags: u16,
}

impl Hits {
    pub(super) fn new(
        memory: ProcessMemory,
        config: ProbeConfig,
        meanings: Vec<Meaning>,
        find_copies: FindCopies,
        post: Arc<Post>,
    ) -> Self {
        Self {
            memory,
            config,
            meanings,
            find_copies,
            post,
            copies: Vec::new(),
            threads: FastSet::default(),
            shortcuts: FastMap::default(),
            stacks: FastSet::default(),
        }
    }

    fn tell(&self, at: Nanos, payload: Payload) {
        self.post.send(self.post.lock(), Event { at, payload });
    }

    fn dropped(&self, reason: DropReason) {
        self.post.lock().dropped(reason);
    }

    fn fields(&self, address: u64) -> Option<Fields> {
        let mut bytes = [0; STORE_BYTES];
        self.memory.read(Avma(address), &mut bytes).ok()?;
        let word = |at: usize| -> Option<u64> {
            bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
        };
        let flags = if self.config.store_flags_offset == 56 { word(56)? } else { word(64)? };
        Some(Fields {
            data: word(0)?,
            size: word(8)?,
            max_size: word(16)?.max(word(8)?),
            id: word(32)? as u32,
            flags: flags as u16,
        })
    }

    fn created(&mut self, at: Nanos, hit: &Hit, shared_ptr: u64) {
        let Ok(address) = self.memory.read_u64(Avma(shared_ptr)) else {
            return self.dropped(DropReason::SharedPtrUnreadable);
        };
        if address == 0 {
            return self.dropped(DropReason::StoreNull);
        }
        let Some(fields) = self.fields(address) else {
            return self.dropped(DropReason::StoreUnreadable);
        };
        let known = self.post.lock().live.get(&address).copied();
        if let Some(known) = known.filter(|known| known.id == fields.id) {
            return self.attached_again(at, hit.tid, address, known, fields);
        }
        let is_tracked = fields.max_size >= self.config.min_size_bytes;
        let stack_id = if is_tracked { self.capture(at, hit).unwrap_or(0) } else { 0 };
        let live = LiveStore {
            birth_ns: at.0,
            data: fields.data,
            size_bytes: fields.size,
            max_size_bytes: fields.max_size,
            stack_id,
            origin_id: 0,
            id: fields.id,
            tid: hit.tid,
            flags: fields.flags,
            is_tracked: u16::from(is_tracked),
            reserved: 0,
        };
        let mut told = self.post.lock();
        if told.live.len() >= LIVE_MAX && !told.live.contains_key(&address) {
            drop(told);
            return self.dropped(DropReason::LiveMapFull);
        }
        told.live.insert(address, live);
        if !is_tracked {
            count_small(&mut told, &live, true);
            return;
        }
        let payload = Payload::StoreCreated(StoreCreated {
            key: StoreKey { address, id: fields.id },
            data: fields.data,
            size: Bytes(fields.size),
            max_size: Bytes(fields.max_size),
            flags: fields.flags,
            tid: Tid(hit.tid),
            stack: StackId(stack_id),
            async_origin: AsyncOriginId::NONE,
        });
        self.post.send(told, Event { at, payload });
    }

    /// A transfer, a clone of a shared store, or a WebAssembly memory that grew in place.
    fn attached_again(&self, at: Nanos, tid: u32, address: u64, known: LiveStore, now: Fields) {
        let is_resized = known.size_bytes != now.size;
        if known.is_tracked == 0 || (!is_resized && known.tid == tid) {
            return;
        }
        let key = StoreKey { address, id: now.id };
        let live = LiveStore { tid, size_bytes: now.size, data: now.data, ..known };
        let size = Bytes(now.size);
        let payload = if is_resized {
            Payload::StoreResized { key, size, data: now.data }
        } else {
            Payload::StoreReattached { key, tid: Tid(tid), size }
        };
        let mut told = self.post.lock();
        told.live.insert(address, live);
        self.post.send(told, Event { at, payload });
    }

    fn destroyed(&self, at: Nanos, address: u64) {
        let mut told = self.post.lock();
        if let Some(live) = told.live.remove(&address) {
            if live.is_tracked == 0 {
                count_small(&mut told, &live, false);
            } else {
                let key = StoreKey { address, id: live.id };
                self.post.send(told, Event { at, payload: Payload::StoreDestroyed { key } });
            }
            return;
        }
        drop(told);
        self.dropped(DropReason::DestroyedUnknown);
        if let Some(fields) = self.fields(address)
            && fields.size >= self.config.min_size_bytes
        {
            self.tell(at, Payload::StoreDestroyedUnknown { size: Bytes(fields.size) });
        }
    }

    fn resizing(&self, at: Nanos, address: u64) {
        let mut told = self.post.lock();
        let live = told.live.get(&address).copied();
        if let Some(live) = live.filter(|live| live.is_tracked != 0) {
            told.resizing.push((StoreKey { address, id: live.id }, at));
        }
    }

    /// The id of the stack; if it is new it is told. `None` if it cannot be read.
    fn capture(&mut self, at: Nanos, hit: &Hit) -> Option<u64> {
        let start = Start {
            tid: hit.tid,
            stack_pointer: hit.stack_pointer,
            frame_pointer: hit.frame_pointer,
        };
        let mut walked = walk::walk(&self.memory, &self.config, &self.copies, start);
        // The isolate of a thread that runs JavaScript has mapped its copy by now.
        if walked.as_ref().is_some_and(|walk| walk.has_foreign_code) && self.threads.insert(hit.tid)
        {
            self.copies = (self.find_copies)();
            walked = walk::walk(&self.memory, &self.config, &self.copies, start);
        }
        let Some(mut walk) = walked else {
            self.dropped(DropReason::StackUnreadable);
            return None;
        };
        if let Some(id) = self.shortcuts.get(&walk.hash) {
            return Some(*id);
        }
        let id = walk::identify(&self.memory, &self.config, hit.tid, &mut walk.frames);
        if self.shortcuts.len() >= SHORTCUTS_MAX {
            self.shortcuts.clear();
        }
        self.shortcuts.insert(walk.hash, id);
        if self.stacks.len() >= STACKS_MAX {
            self.stacks.clear();
            self.dropped(DropReason::StackMapFull);
        }
        if self.stacks.insert(id) {
            let frames: Arc<[RawFrame]> = walk.frames.into();
            let (tid, is_cut) = (Tid(hit.tid), walk.is_cut);
            let (id, creates) = (StackId(id), Creates::Store);
            self.tell(at, Payload::StackCaptured { id, tid, frames, is_cut, creates });
        }
        Some(id)
    }

    /// Functions move: what was read of them by their address no longer holds.
    fn collected(&mut self) {
        self.shortcuts.clear();
    }
}

impl Observer for Hits {
    fn hit(&mut self, hit: &Hit) {
        let at = clock::now();
        let [first, second, _] = hit.arguments;
        let tid = Tid(hit.tid);
        match self.meanings.get(hit.n).copied() {
            Some(Meaning::Created { argument }) => {
                let shared_ptr = hit.arguments.get(argument).copied().unwrap_or(0);
                self.created(at, hit, shared_ptr);
            }
            Some(Meaning::Destroyed) => self.destroyed(at, first),
            Some(Meaning::Resizing) => self.resizing(at, first),
            Some(Meaning::GcStarted) => {
                self.collected();
                // An 8-bit enum: 0 scavenger, 1 mark-compact, 2 minor mark-sweep.
                let kind = if second & 0xff == 1 { GcKind::Major } else { GcKind::Minor };
                self.tell(at, Payload::GcStarted { tid, kind });
            }
            Some(Meaning::GcFinished) => {
                self.collected();
                self.tell(at, Payload::GcFinished { tid });
            }
            Some(Meaning::TornDown) => self.tell(at, Payload::TearingDown { tid }),
            None => {}
        }
    }

    fn thread_began(&mut self) {
        self.tell(clock::now(), Payload::TaskForked);
    }

    fn thread_ended(&mut self, tid: u32) {
        // The kernel uses the number again.
        self.threads.remove(&tid);
        self.tell(clock::now(), Payload::ThreadExited { tid: Tid(tid) });
    }

    fn execed(&mut self) {
        self.tell(clock::now(), Payload::Execed);
    }
}

fn count_small(told: &mut Told, live: &LiveStore, is_birth: bool) {
    let class = size_class(live.size_bytes) as usize;
    let Some(class) = told.size_classes.get_mut(class) else { return };
    if is_birth {
        class.n_created += 1;
        class.created_bytes += live.size_bytes;
    } else {
        class.n_destroyed += 1;
        class.destroyed_bytes += live.size_bytes;
    }
}
