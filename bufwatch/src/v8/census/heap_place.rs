//! Finds the heaps of a process by V8's own structures: isolates by Node's platform, spaces by their heap. Which pages a space has is the
//! part of `page_lists`.
//!
//! `node::per_process::v8_platform` has a pointer to the `NodePlatform`, that a table of isolates (`src/node_platform.h`); `Space` is {vtable,
//! `Heap*`, …}. Measured on V8 10.2 to 14.6.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory, ReadPart};
use crate::v8::census::roots::{IsolatePlace, isolate_bytes, may_be_made, read_words};
use crate::v8::page::{SPACE_HEAP, is_pointer};

/// Words of `node::per_process::v8_platform`, up to the pointer to the platform, and of that up to its table: measured 16 or 40, and 0x30.
const V8_PLATFORM_BYTES: u64 = 0x30;
const PLATFORM_BYTES: u64 = 0x100;

/// Isolates of a process, and buckets of the table of them.
const ISOLATES_MAX: u64 = 1_024;
const BUCKETS_MAX: u64 = 1 << 20;

/// An isolate has 12 to 14.
const SPACES_MAX: usize = 64;

/// An isolate with its spaces, which it keeps to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapPlace {
    pub place: IsolatePlace,
    pub(super) spaces: Vec<Avma>,
}

/// The heaps of all isolates that Node's platform knows; those of `known` are not searched for spaces again. Empty if there is no such
/// table.
pub fn heaps_of_platform(
    memory: &impl ReadMemory,
    v8_platform: Avma,
    heap_in_isolate: u64,
    known: &[HeapPlace],
) -> Vec<HeapPlace> {
    let pointers = read_words(memory, v8_platform, V8_PLATFORM_BYTES);
    let platforms = pointers.into_iter().filter(|word| is_pointer(*word));
    for platform in platforms {
        let words = read_words(memory, Avma(platform), PLATFORM_BYTES);
        for [buckets, n_buckets, first, n] in words.array_windows::<4>() {
            let is_table = is_pointer(*buckets)
                && is_pointer(*first)
                && (1..=ISOLATES_MAX).contains(n)
                && (1..=BUCKETS_MAX).contains(n_buckets);
            let isolates = if is_table { isolates_in(memory, *first, *n) } else { None };
            let heaps: Option<Vec<HeapPlace>> = isolates
                .unwrap_or_default()
                .into_iter()
                .map(|isolate| heap_of(memory, isolate, heap_in_isolate, known))
                .collect();
            if let Some(heaps) = heaps.filter(|heaps| !heaps.is_empty()) {
                return heaps;
            }
        }
    }
    Vec::new()
}

/// Nodes {next, key, …} of a hash table.
fn isolates_in(memory: &impl ReadMemory, first: u64, n: u64) -> Option<Vec<u64>> {
    let mut isolates = Vec::new();
    let mut node = first;
    for _ in 0..n {
        let words = read_words(memory, Avma(node), 16);
        let [next, isolate] = *words else { return None };
        is_pointer(isolate).then_some(())?;
        isolates.push(isolate);
        node = next;
    }
    (node == 0).then_some(isolates)
}

/// `None` if it is no isolate.
fn heap_of(
    memory: &impl ReadMemory,
    isolate: u64,
    heap_in_isolate: u64,
    known: &[HeapPlace],
) -> Option<HeapPlace> {
    let place =
        IsolatePlace { isolate: Avma(isolate), heap: Avma(isolate.checked_add(heap_in_isolate)?) };
    if let Some(heap) = known.iter().find(|heap| heap.place == place)
        && are_spaces(memory, &heap.spaces, place.heap).iter().all(|is_space| *is_space)
    {
        return Some(heap.clone());
    }
    let words = read_words(memory, place.isolate, isolate_bytes(memory, place.isolate));
    let mut pointers: Vec<u64> = words.into_iter().filter(|word| may_be_made(*word)).collect();
    pointers.sort_unstable();
    pointers.dedup();
    let pointers: Vec<Avma> = pointers.into_iter().map(Avma).collect();
    let are_spaces = are_spaces(memory, &pointers, place.heap);
    let spaces = pointers.iter().zip(are_spaces).filter(|(_, is_space)| *is_space);
    let spaces: Vec<Avma> = spaces.map(|(at, _)| *at).take(SPACES_MAX).collect();
    (!spaces.is_empty()).then_some(HeapPlace { place, spaces })
}

/// A space knows its heap.
fn are_spaces(memory: &impl ReadMemory, candidates: &[Avma], heap: Avma) -> Vec<bool> {
    let at = |space: &Avma| space.0.saturating_add(SPACE_HEAP);
    let blocks = read_blocks::<8>(memory, candidates.iter().map(at));
    blocks.iter().map(|block| *block == Some(heap.0.to_le_bytes())).collect()
}

/// Blocks of the same size; `None` where nothing can be read, and at address 0.
pub(super) fn read_blocks<const N: usize>(
    memory: &impl ReadMemory,
    addresses: impl Iterator<Item = u64>,
) -> Vec<Option<[u8; N]>> {
    let addresses: Vec<u64> = addresses.collect();
    let mut blocks = vec![[0_u8; N]; addresses.len()];
    let wanted = addresses.iter().zip(blocks.iter_mut()).filter(|(address, _)| **address != 0);
    let mut parts: Vec<ReadPart<'_>> = wanted
        .map(|(address, block)| ReadPart::new(Avma(*address), block.as_mut_slice()))
        .collect();
    memory.read_parts(&mut parts);
    let mut are_read = parts.iter().map(|part| part.is_read).collect::<Vec<_>>().into_iter();
    let was_read: Vec<bool> =
        addresses.iter().map(|at| *at != 0 && are_read.next().unwrap_or(false)).collect();
    blocks.into_iter().zip(was_read).map(|(block, is_read)| is_read.then_some(block)).collect()
}
