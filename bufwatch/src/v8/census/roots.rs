//! What keeps V8's objects alive from outside of its heap, read while the process stands still: words of the isolate, strong global
//! handles, handle scopes, microtask queues, and the part of a thread's stack that JavaScript uses. Marks nothing.
//!
//! All of it is found from the `Isolate`, by structures that check themselves: they point back to the isolate or to each other
//! (V8 `src/handles/global-handles.cc`, `src/api/api.h`, `src/execution/microtask-queue.h`; measured on V8 10.2 to 14.6).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, ReadMemory, ReadPart};
pub use crate::event::census::RootKind;
use crate::v8::census::area::{AllocationArea, allocation_areas};
use crate::v8::census::stack::isolate_of;
use crate::v8::census::traced::TracedHandle;
use crate::v8::page::is_pointer;

/// Bytes of an `Isolate`, if the size that malloc notes before it makes no sense: measured 0xecd0 to 0x11650.
const ISOLATE_BYTES: u64 = 0x12000;
const ISOLATE_BYTES_PLAUSIBLE: Range<u64> = 0x8000..0x40_000;

/// `GlobalHandles::NodeBlock`: 256 nodes of 32 bytes, then next block, `GlobalHandles*`, `NodeSpace*`.
const NODES_PER_BLOCK: usize = 256;
const NODE_BYTES: usize = 32;
/// 16 million handles.
const NODE_BLOCKS_MAX: usize = 65_536;

/// `kHandleBlockSize`: words of a block of local handles.
pub(super) const HANDLE_BLOCK_WORDS: usize = 1_022;
const HANDLE_BLOCKS_MAX: usize = 16_384;

/// First words that are read of what an isolate points to.
pub(super) const PART_WORDS: usize = 8;

const MICROTASKS_MAX: u64 = 1 << 22;
const MICROTASK_QUEUES_MAX: usize = 64;

/// One word that keeps an object alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    pub kind: RootKind,
    /// Index of the isolate.
    pub isolate: u16,
    pub word: u64,
    /// Beyond `Heap*` in the isolate: there some lists are weak.
    pub is_in_heap: bool,
}

/// An isolate in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsolatePlace {
    pub heap: Avma,
    pub isolate: Avma,
}

/// A thread as the stop found it.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ThreadState {
    pub tid: u32,
    pub stack_pointer: u64,
    pub frame_pointer: u64,
    pub instruction_pointer: u64,
    pub fs_base: u64,
    pub general: Vec<u64>,
    /// End of the mapping that the stack is in.
    pub stack_end: u64,
}

/// What was found for one isolate.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IsolateRoots {
    /// The thread that runs it.
    pub tid: Option<u32>,
    pub n_global_handles: usize,
    pub has_global_handles: bool,
    pub has_handle_scopes: bool,
    pub has_eternal_handles: bool,
    pub has_microtasks: bool,
    pub is_in_javascript: bool,
    /// A garbage collection is running on its thread.
    pub is_collecting: bool,
}

/// All roots of all isolates.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    pub words: Vec<Root>,
    pub isolates: Vec<IsolateRoots>,
    /// These hold nothing by themselves.
    pub traced: Vec<TracedHandle>,
    /// Where objects are made just now; some may be none.
    pub areas: Vec<AllocationArea>,
}

/// What is known of the binary.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct RootFacts {
    /// What the first word of a `MicrotaskQueue` points to.
    pub microtask_queue_vtable: Option<Avma>,
    /// `node::per_process::v8_platform`, by which all isolates are found.
    #[serde(default)]
    pub v8_platform: Option<Avma>,
    /// Offset in a heap of what says whether its objects are being moved or swept.
    #[serde(default)]
    pub gc_state: Option<u64>,
    /// Code of the functions that run collections.
    pub collector_code: Vec<Range<u64>>,
}

impl Roots {
    pub fn collect(
        memory: &impl ReadMemory,
        facts: &RootFacts,
        isolates: &[IsolatePlace],
        threads: &[ThreadState],
    ) -> Self {
        let mut roots = Self::default();
        let mut scopes_at = None;
        let mut traced = Vec::new();
        let running: Vec<(Option<Avma>, &ThreadState)> =
            threads.iter().map(|thread| (isolate_of(memory, thread, isolates), thread)).collect();
        for (number, place) in isolates.iter().enumerate() {
            let threads = running.iter().filter(|(isolate, _)| *isolate == Some(place.isolate));
            let thread = threads.map(|(_, thread)| *thread).min_by_key(|thread| thread.tid);
            let words = read_words(memory, place.isolate, isolate_bytes(memory, place.isolate));
            let pointees = read_pointees(memory, &words);
            roots.areas.extend(allocation_areas(memory, place.heap, &words, &pointees));
            let mut collector = Collector {
                memory,
                facts,
                place: *place,
                number: number as u16,
                pointees,
                words,
                roots: &mut roots.words,
                found: IsolateRoots { tid: thread.map(|thread| thread.tid), ..Default::default() },
                scopes_at: None,
            };
            collector.isolate_words();
            collector.global_handles();
            collector.handle_scopes();
            collector.microtasks();
            collector.handles();
            traced.extend(collector.traced_handles());
            if let Some(thread) = thread {
                collector.thread(thread);
            }
            let by_stack = collector.found.is_collecting;
            collector.found.is_collecting |= collector.is_heap_changing();
            if collector.found.is_collecting != by_stack {
                tracing::debug!(isolate = number, "a collection that no stack shows");
            }
            scopes_at = scopes_at.or(collector.scopes_at);
            let found = collector.found;
            roots.isolates.push(found);
        }
        roots.traced = traced;
        // A worker that waits has no open scope, which looks like many other things: what it is in one isolate it is in all.
        for (place, found) in isolates.iter().zip(&mut roots.isolates) {
            let field = scopes_at.and_then(|offset| place.isolate.checked_add(offset));
            let part = field.and_then(|at| memory.read_u64(at).ok()).map(Avma);
            let words = part.map_or_else(Vec::new, |part| read_words(memory, part, 32));
            found.has_handle_scopes |=
                words.first() == Some(&place.isolate.0) && words.get(3) == Some(&0);
        }
        roots
    }
}

/// How many scopes are open, at least one where there are blocks, and how many were when one was sealed: two numbers of 32 bits.
const fn are_scope_levels(word: u64) -> bool {
    const LEVEL_MAX: u64 = 0xffff;
    let (level, sealed) = (word & 0xffff_ffff, word >> 32);
    level > 0 && level <= LEVEL_MAX && sealed <= level
}

/// Words of one kind for one isolate.
pub(super) struct Collector<'a, M> {
    pub(super) memory: &'a M,
    pub(super) facts: &'a RootFacts,
    pub(super) place: IsolatePlace,
    number: u16,
    /// Of the isolate itself.
    pub(super) words: Vec<u64>,
    /// The first words of what the isolate points to, by address.
    pub(super) pointees: Vec<(Avma, [u64; PART_WORDS])>,
    roots: &'a mut Vec<Root>,
    pub(super) found: IsolateRoots,
    /// Offset in the isolate of the pointer to its `HandleScopeImplementer`.
    scopes_at: Option<u64>,
}

impl<M: ReadMemory> Collector<'_, M> {
    pub(super) fn push(&mut self, kind: RootKind, word: u64) {
        if word & 7 == 1 && word < 1 << 47 {
            let isolate = self.number;
            self.roots.push(Root { kind, isolate, word, is_in_heap: false });
        }
    }

    fn isolate_words(&mut self) {
        let heap_offset = self.place.heap.0.saturating_sub(self.place.isolate.0);
        let isolate = self.number;
        for (n, word) in self.words.iter().enumerate() {
            if word & 7 == 1 && *word < 1 << 47 {
                let is_in_heap = (n as u64).saturating_mul(8) >= heap_offset;
                self.roots.push(Root { kind: RootKind::Isolate, isolate, word: *word, is_in_heap });
            }
        }
    }

    /// Objects that the isolate points to and that begin with a pointer back to it.
    pub(super) fn parts(&self) -> Vec<(Avma, Vec<u64>)> {
        let is_part = |words: &[u64; PART_WORDS]| words.first() == Some(&self.place.isolate.0);
        let parts = self.pointees.iter().filter(|(_, words)| is_part(words));
        parts.map(|(address, words)| (*address, words.to_vec())).collect()
    }

    /// `GlobalHandles` `{Isolate*, (bool,) NodeSpace*}`, `NodeSpace` `{GlobalHandles*, first block}`.
    fn global_handles(&mut self) {
        for (handles, words) in self.parts() {
            let space = words.iter().skip(1).take(2).find_map(|space| {
                let space = Avma(*space);
                if !is_pointer(space.0) {
                    return None;
                }
                let words = read_words(self.memory, space, 16);
                (words.first() == Some(&handles.0)).then_some((space, *words.get(1)?))
            });
            let Some((space, first_block)) = space else { continue };
            self.found.has_global_handles = true;
            let mut block = first_block;
            for _ in 0..NODE_BLOCKS_MAX {
                let Some(next) = self.node_block(block, handles, space) else { break };
                block = next;
            }
            return;
        }
    }

    fn node_block(&mut self, block: u64, handles: Avma, space: Avma) -> Option<u64> {
        /// `NodeState` is in the lowest bits of a node's flags; this one is a strong handle.
        const NORMAL: u8 = 1;
        const STATE_MASK: u8 = 3;
        if !is_pointer(block) {
            return None;
        }
        let n_nodes_bytes = (NODES_PER_BLOCK.checked_mul(NODE_BYTES)?) as u64;
        let words = read_words(self.memory, Avma(block), n_nodes_bytes.checked_add(24)?);
        let nodes = (n_nodes_bytes / 8) as usize;
        let tail = words.get(nodes..)?;
        let [next, of_handles, of_space] = *tail else { return None };
        if of_handles != handles.0 || of_space != space.0 {
            return None;
        }
        for node in words.get(..nodes)?.chunks_exact(NODE_BYTES / 8) {
            let [object, state, ..] = *node else { continue };
            // class id u16, index u8, flags u8.
            let flags = state.to_le_bytes().get(3).copied().unwrap_or(0);
            if flags & STATE_MASK == NORMAL {
                self.found.n_global_handles = self.found.n_global_handles.saturating_add(1);
                self.push(RootKind::GlobalHandle, object);
            }
        }
        Some(next)
    }

    /// `HandleScopeImplementer` `{Isolate*, vector of blocks {data, capacity, size}, …}`; `HandleScopeData` `{next, limit, level, sealed level}`
    /// is part of the isolate, and points into the last block (V8 `src/handles/handles.h`). Other parts have such vectors, and the isolate
    /// others {begin, end, end of storage} that may lie behind what those hold; they have no levels.
    fn handle_scopes(&mut self) {
        let block_bytes = (HANDLE_BLOCK_WORDS as u64).saturating_mul(8);
        for (part, words) in self.parts() {
            let [_, data, capacity, n_blocks, ..] = *words.as_slice() else { continue };
            let is_vector = is_pointer(data)
                && n_blocks <= capacity
                && capacity <= HANDLE_BLOCKS_MAX as u64
                && n_blocks > 0;
            if !is_vector {
                continue;
            }
            let blocks = read_words(self.memory, Avma(data), n_blocks.saturating_mul(8));
            let Some(last) = blocks.last().copied().filter(|last| is_pointer(*last)) else {
                continue;
            };
            let limit = last.saturating_add(block_bytes);
            // A scope's limit may be lowered to end a sealed scope: any end inside the block will do.
            let next = self.words.array_windows::<3>().find_map(|[next, end, levels]| {
                let is_data = *next >= last
                    && next <= end
                    && *end <= limit
                    && *end > last
                    && are_scope_levels(*levels);
                is_data.then_some(*next)
            });
            let Some(next) = next else { continue };
            self.found.has_handle_scopes = true;
            let field = self.words.iter().position(|word| *word == part.0);
            self.scopes_at = field.map(|n| (n as u64).saturating_mul(8));
            for block in blocks {
                let n_bytes = if block == last { next.saturating_sub(last) } else { block_bytes };
                for word in read_words(self.memory, Avma(block), n_bytes) {
                    self.push(RootKind::HandleScope, word);
                }
            }
            return;
        }
    }

    /// `MicrotaskQueue` {vtable, n finished, size, capacity, start, ring buffer, next, previous}; the queues of an isolate are a ring.
    fn microtasks(&mut self) {
        let Some(vtable) = self.facts.microtask_queue_vtable else { return };
        let read = |queue: u64| -> Option<[u64; 8]> {
            let words = read_words(self.memory, Avma(queue), 64);
            let words: [u64; 8] = words.try_into().ok()?;
            words.first().is_some_and(|word| *word == vtable.0).then_some(words)
        };
        let is_queue = |words: &[u64; PART_WORDS]| words.first() == Some(&vtable.0);
        let Some((first, _)) = self.pointees.iter().find(|(_, words)| is_queue(words)) else {
            return;
        };
        let first = first.0;
        let mut jobs = Vec::new();
        let mut queue = first;
        for _ in 0..MICROTASK_QUEUES_MAX {
            let Some([_, _, size, capacity, start, ring, next, _]) = read(queue) else { break };
            self.found.has_microtasks = true;
            if size > 0 && size <= capacity && capacity <= MICROTASKS_MAX && start < capacity {
                let words = read_words(self.memory, Avma(ring), capacity.saturating_mul(8));
                let waiting = words.iter().cycle().skip(start as usize).take(size as usize);
                jobs.extend(waiting.copied());
            }
            if next == first {
                break;
            }
            queue = next;
        }
        for job in jobs {
            self.push(RootKind::Microtask, job);
        }
    }
}

/// The size that malloc notes before the object.
pub(super) fn isolate_bytes(memory: &impl ReadMemory, isolate: Avma) -> u64 {
    let noted = isolate.0.checked_sub(8).and_then(|at| memory.read_u64(Avma(at)).ok());
    let noted = noted.map(|size| (size & !7).saturating_sub(8));
    noted.filter(|size| ISOLATE_BYTES_PLAUSIBLE.contains(size)).unwrap_or(ISOLATE_BYTES)
}

/// The words from an address on; none if they cannot be read.
pub(super) fn read_words(memory: &impl ReadMemory, start: Avma, n_bytes: u64) -> Vec<u64> {
    let mut bytes = vec![0_u8; usize::try_from(n_bytes & !7).unwrap_or(0)];
    if memory.read(start, &mut bytes).is_err() {
        return Vec::new();
    }
    words_of(&bytes)
}

/// The same, or fewer where memory ends before (`ReadMemory::read_start`).
pub(super) fn read_first_words(memory: &impl ReadMemory, start: Avma, n_bytes: u64) -> Vec<u64> {
    let mut bytes = vec![0_u8; usize::try_from(n_bytes & !7).unwrap_or(0)];
    let n_read = memory.read_start(start, &mut bytes).unwrap_or(0);
    words_of(bytes.get(..n_read).unwrap_or_default())
}

fn words_of(bytes: &[u8]) -> Vec<u64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// An address that malloc may have given: never a multiple of 4 GiB. Such a word of an isolate is a pointer of old of which one half was
/// overwritten with zero, and what is there may be an array buffer's.
pub(super) const fn may_be_made(word: u64) -> bool {
    is_pointer(word) && word.trailing_zeros() < 32
}

/// Hundreds of small objects with few system calls.
pub(super) fn read_pointees(
    memory: &impl ReadMemory,
    words: &[u64],
) -> Vec<(Avma, [u64; PART_WORDS])> {
    let mut addresses: Vec<u64> = words.iter().copied().filter(|word| may_be_made(*word)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut blocks = vec![[0_u8; PART_WORDS * 8]; addresses.len()];
    let mut parts: Vec<ReadPart<'_>> = addresses
        .iter()
        .zip(&mut blocks)
        .map(|(address, block)| ReadPart::new(Avma(*address), block.as_mut_slice()))
        .collect();
    memory.read_parts(&mut parts);
    let are_read: Vec<bool> = parts.iter().map(|part| part.is_read).collect();
    let read = addresses.iter().zip(&blocks).zip(are_read).filter(|(_, is_read)| *is_read);
    read.map(|((address, block), _)| {
        let (chunks, _) = block.as_chunks::<8>();
        let mut words = [0; PART_WORDS];
        for (word, chunk) in words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        (Avma(*address), words)
    })
    .collect()
}
