//! Finds Node's array buffer allocators in a process and reads what they count: the exact
//! `process.memoryUsage().arrayBuffers`, without stopping anything. Knows nothing of single array buffers.
//!
//! Way there (v8-heap-census.md §1, §6): a V8 page's header names its `Heap` (`v8::page`); near it, in the same `Isolate`,
//! lies a pointer to the `node::NodeArrayBufferAllocator`, recognised by its vtable, which counts bytes.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::base::{Avma, Bytes, ReadMemory};
use crate::v8::object::word_in as word;
use crate::v8::page::is_pointer;

/// Where the allocator pointer lies, from `Heap` on: measured 0x2060 to 0x2440 in V8 10.2 to 14.6; the
/// margin is for versions to come.
const POINTER_SEARCH: Range<u64> = 0x1000..0x4000;

/// What the plan says about a binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocatorFacts {
    /// What the first word of a `node::NodeArrayBufferAllocator` points to.
    pub vtable: Avma,
    /// Byte offset of `total_mem_usage_`: 16 up to V8 12, 8 from 13 on.
    pub total_offset: u64,
}

/// Bytes that an allocator has handed out and not got back; `None` if it is no allocator (any more).
pub fn read_total(
    memory: &impl ReadMemory,
    facts: AllocatorFacts,
    allocator: Avma,
) -> Option<Bytes> {
    let mut words = [0u8; 24];
    memory.read(allocator, &mut words).ok()?;
    let vtable = word(&words, 0)?;
    (vtable == facts.vtable.0).then_some(())?;
    word(&words, usize::try_from(facts.total_offset).ok()?).map(Bytes)
}

/// The allocator of one heap.
pub fn allocator_of_heap(
    memory: &impl ReadMemory,
    facts: AllocatorFacts,
    heap: u64,
) -> Option<Avma> {
    let start = heap.checked_add(POINTER_SEARCH.start)?;
    let mut bytes =
        vec![0u8; usize::try_from(POINTER_SEARCH.end.checked_sub(POINTER_SEARCH.start)?).ok()?];
    memory.read(Avma(start), &mut bytes).ok()?;
    let words =
        bytes.chunks_exact(8).filter_map(|chunk| Some(u64::from_le_bytes(chunk.try_into().ok()?)));
    words
        .filter(|pointer| is_pointer(*pointer))
        .map(Avma)
        .find(|pointer| memory.read_u64(*pointer) == Ok(facts.vtable.0))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::MemoryError;

    /// Words by address; everything else is unmapped, page headers and the search range excepted.
    struct Fake(BTreeMap<u64, u64>);

    impl ReadMemory for Fake {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            if !self.0.keys().any(|at| at.abs_diff(address.0) < 0x8000) {
                return Err(MemoryError::Unmapped(address));
            }
            for (n, byte) in out.iter_mut().enumerate() {
                let at = address.0 + n as u64;
                let word = self.0.get(&(at & !7)).copied().unwrap_or(0);
                *byte = word.to_le_bytes()[(at & 7) as usize];
            }
            Ok(())
        }
    }

    const HEAP: u64 = 0x2000_0000;
    const ALLOCATOR: u64 = 0x3000_0000;
    const VTABLE: u64 = 0x40_0010;

    fn process() -> Fake {
        Fake(BTreeMap::from([
            (HEAP + 0x2298, ALLOCATOR),
            (ALLOCATOR, VTABLE),
            (ALLOCATOR + 16, 12_345),
        ]))
    }

    const FACTS: AllocatorFacts = AllocatorFacts { vtable: Avma(VTABLE), total_offset: 16 };

    #[test]
    fn from_a_heap_to_the_count() {
        let memory = process();
        assert_eq!(allocator_of_heap(&memory, FACTS, HEAP), Some(Avma(ALLOCATOR)));
        assert_eq!(read_total(&memory, FACTS, Avma(ALLOCATOR)), Some(Bytes(12_345)));
    }

    #[test]
    fn an_allocator_that_is_gone_is_not_read() {
        let mut memory = process();
        memory.0.insert(ALLOCATOR, 0x1234);
        assert_eq!(read_total(&memory, FACTS, Avma(ALLOCATOR)), None);
        assert_eq!(allocator_of_heap(&memory, FACTS, HEAP), None);
    }

    proptest! {
        #[test]
        fn any_memory_is_survived(
            words in proptest::collection::btree_map(0u64..0x400, any::<u64>(), 0..60),
            heap in any::<u64>(),
        ) {
            let memory = Fake(words.into_iter().map(|(at, word)| (HEAP + 0x1000 + at * 8, word)).collect());
            let _found = allocator_of_heap(&memory, FACTS, HEAP);
            let _other = allocator_of_heap(&memory, FACTS, heap);
        }
    }
}
