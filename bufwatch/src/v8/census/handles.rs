//! Handles of native code that are neither global ones nor those of scopes: eternal handles, handles of compilations that run beside
//! JavaScript, and arrays that native code registers as roots. Each is recognised by how its parts refer to each other.
//!
//! Layouts: V8 src/api/api.h (`EternalHandles`), src/handles/persistent-handles.h, src/heap/heap.h (`StrongRootsEntry`); the same in
//! V8 10.2 to 14.6.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::census::roots::{
    Collector, HANDLE_BLOCK_WORDS, PART_WORDS, RootKind, read_pointees, read_words,
};
use crate::v8::page::is_pointer;

/// `EternalHandles::kSize`: handles of a block.
const ETERNALS_PER_BLOCK: u64 = 256;
const ETERNALS_MAX: u64 = 1 << 16;

/// Compilations under way, and arrays registered, each a list.
const LIST_MAX: usize = 4_096;

/// Words of an array that is registered as roots, or of a block.
const ARRAY_WORDS_MAX: u64 = 1 << 20;

impl<M: ReadMemory> Collector<'_, M> {
    pub(super) fn handles(&mut self) {
        self.eternal_handles();
        self.persistent_handles();
        self.registered_arrays();
    }

    /// `EternalHandles` {int size, vector of blocks {begin, end, end of storage}, …}: Node keeps hundreds of strings so.
    fn eternal_handles(&mut self) {
        for (_, words) in self.pointees.clone() {
            let [size, begin, end, storage_end, ..] = words;
            let n_handles = size & 0xffff_ffff;
            let n_blocks = n_handles.div_ceil(ETERNALS_PER_BLOCK);
            let is_vector = (1..=ETERNALS_MAX).contains(&n_handles)
                && is_pointer(begin)
                && end.checked_sub(begin) == n_blocks.checked_mul(8)
                && end <= storage_end;
            if !is_vector {
                continue;
            }
            let blocks = read_words(self.memory, Avma(begin), n_blocks.saturating_mul(8));
            let mut handles = Vec::new();
            let mut left = n_handles;
            for block in blocks {
                let n = left.min(ETERNALS_PER_BLOCK);
                handles.extend(read_words(self.memory, Avma(block), n.saturating_mul(8)));
                left = left.saturating_sub(n);
            }
            let are_objects = handles.iter().all(|word| word & 3 == 1);
            if handles.len() as u64 != n_handles || !are_objects {
                continue;
            }
            self.found.has_eternal_handles = true;
            for word in handles {
                self.push(RootKind::EternalHandle, word);
            }
            return;
        }
    }

    /// `PersistentHandlesList` {mutex, first}; the mutex is the C library's up to V8 12, since then a word.
    fn persistent_handles(&mut self) {
        let firsts = |(_, words): &(Avma, [u64; PART_WORDS])| {
            let [one, two, three, four, five, six, ..] = *words;
            // A mutex that nobody waits for: owner, kind and links, or one word of state.
            let behind_word = u32::try_from(one).is_ok().then_some(two);
            let is_mutex = u32::try_from(three).is_ok() && four == 0 && five == 0;
            [behind_word, is_mutex.then_some(six)]
        };
        let candidates: Vec<u64> = self.pointees.iter().flat_map(firsts).flatten().collect();
        let firsts = read_pointees(self.memory, &candidates);
        for (first, _) in firsts {
            let (mut at, mut before) = (first.0, 0);
            for _ in 0..LIST_MAX {
                let Some(next) = self.handles_of_compilation(at, before) else { break };
                before = at;
                at = next;
            }
        }
    }

    /// `PersistentHandles` {Isolate*, vector of blocks {begin, end, end of storage}, next free, limit, previous, next}.
    fn handles_of_compilation(&mut self, at: u64, before: u64) -> Option<u64> {
        is_pointer(at).then_some(())?;
        let block_bytes = (HANDLE_BLOCK_WORDS as u64).checked_mul(8)?;
        let words = read_words(self.memory, Avma(at), 64);
        let [isolate, begin, end, storage_end, free, limit, previous, next] = *words else {
            return None;
        };
        let n_bytes = end.checked_sub(begin)?;
        let is_list = isolate == self.place.isolate.0
            && previous == before
            && end <= storage_end
            && (1..=LIST_MAX as u64).contains(&(n_bytes / 8));
        is_list.then_some(())?;
        let blocks = read_words(self.memory, Avma(begin), n_bytes);
        let last = *blocks.last()?;
        // The last block is filled up to `free`.
        let is_in_last =
            last.checked_add(block_bytes) == Some(limit) && (last..=limit).contains(&free);
        is_in_last.then_some(())?;
        for block in blocks {
            let n_bytes = if block == last { free.saturating_sub(block) } else { block_bytes };
            for word in read_words(self.memory, Avma(block), n_bytes) {
                self.push(RootKind::HandleScope, word);
            }
        }
        Some(next)
    }

    /// `StrongRootsEntry` {label, start, end, previous, next}: vectors of handles of native functions that run now.
    fn registered_arrays(&mut self) {
        for (first, words) in self.pointees.clone() {
            let [label, start, end, previous, next, ..] = words;
            let may_be = previous == 0
                && is_pointer(label)
                && is_pointer(start)
                && start <= end
                && (next == 0 || is_pointer(next));
            if !may_be {
                continue;
            }
            let (mut at, mut before) = (first.0, 0);
            for _ in 0..LIST_MAX {
                let Some(next) = self.registered_array(at, before) else { break };
                before = at;
                at = next;
            }
        }
    }

    fn registered_array(&mut self, at: u64, before: u64) -> Option<u64> {
        is_pointer(at).then_some(())?;
        let words = read_words(self.memory, Avma(at), 40);
        let [label, start, end, previous, next] = *words else { return None };
        let n_bytes = end.checked_sub(start)?;
        let is_entry = previous == before
            && n_bytes.is_multiple_of(8)
            && n_bytes / 8 <= ARRAY_WORDS_MAX
            && self.is_label(label);
        is_entry.then_some(())?;
        if n_bytes > 0 {
            for word in read_words(self.memory, Avma(start), n_bytes) {
                self.push(RootKind::HandleScope, word);
            }
        }
        Some(next)
    }

    /// A C string that reads like a name in V8's source.
    fn is_label(&self, at: u64) -> bool {
        const LABEL_BYTES: u64 = 64;
        let words = read_words(self.memory, Avma(at & !7), LABEL_BYTES);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let text = bytes.get((at & 7) as usize..).unwrap_or_default();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        text.len() >= 4
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_:<> ".contains(byte))
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use proptest::prelude::*;

    use crate::base::Avma;
    use crate::v8::census::fake::FakeMemory;
    use crate::v8::census::roots::{IsolatePlace, RootFacts, RootKind, Roots};

    const ISOLATE: u64 = 0x50_0000;
    const HEAP: u64 = ISOLATE + 0x9000;
    const PART: u64 = 0x60_0000;
    const BLOCK: u64 = 0x70_0000;
    const LABEL: u64 = 0x80_0000;
    const OBJECT: u64 = 0x1234_5678_0001;

    fn collect(memory: &FakeMemory) -> Roots {
        let places = [IsolatePlace { heap: Avma(HEAP), isolate: Avma(ISOLATE) }];
        Roots::collect(memory, &RootFacts::default(), &places, &[])
    }

    /// An isolate that refers to one structure.
    fn isolate(part: &[u64]) -> FakeMemory {
        let mut memory = FakeMemory::default();
        memory.fill(ISOLATE - 8, &[0x9809]);
        memory.fill(ISOLATE, &vec![0; 0x1300]);
        memory.fill(ISOLATE + 0x100, &[PART]);
        memory.fill(PART, &[0; 64]);
        memory.fill(PART, part);
        memory
    }

    fn words(roots: &Roots, kind: RootKind) -> Vec<u64> {
        roots.words.iter().filter(|root| root.kind == kind).map(|root| root.word).collect()
    }

    #[test]
    fn eternal_handles_are_roots() {
        let mut memory = isolate(&[3, BLOCK + 0x10_0000, BLOCK + 0x10_0008, BLOCK + 0x10_0008]);
        memory.fill(BLOCK + 0x10_0000, &[BLOCK]);
        memory.fill(BLOCK, &[OBJECT, OBJECT + 8, OBJECT + 16, OBJECT + 24]);
        let roots = collect(&memory);
        assert!(roots.isolates[0].has_eternal_handles);
        assert_eq!(words(&roots, RootKind::EternalHandle), [OBJECT, OBJECT + 8, OBJECT + 16]);
        // A count that is none.
        memory.fill(BLOCK, &[OBJECT + 1]);
        assert!(!collect(&memory).isolates[0].has_eternal_handles);
    }

    #[test]
    fn handles_of_compilations_are_roots() {
        const HANDLES: u64 = 0x90_0000;
        let block_bytes = 1_022 * 8;
        for list in [[0, HANDLES, 0, 0, 0, 0], [0, 0, 0, 0, 0, HANDLES]] {
            let mut memory = isolate(&list);
            let blocks = HANDLES + 0x100;
            let (free, limit) = (BLOCK + 16, BLOCK + block_bytes);
            memory.fill(HANDLES, &[ISOLATE, blocks, blocks + 8, blocks + 8, free, limit, 0, 0]);
            memory.fill(blocks, &[BLOCK]);
            memory.fill(BLOCK, &[OBJECT, OBJECT + 8, OBJECT + 16]);
            let found = words(&collect(&memory), RootKind::HandleScope);
            assert_eq!(found, [OBJECT, OBJECT + 8]);
            // Not of this isolate.
            memory.fill(HANDLES, &[ISOLATE + 8]);
            assert!(words(&collect(&memory), RootKind::HandleScope).is_empty());
        }
    }

    #[test]
    fn open_scopes_are_told_from_other_vectors_of_the_isolate() {
        const STALE: u64 = BLOCK + 0x10_0000;
        const BLOCKS: u64 = 0x90_0000;
        let behind = STALE + 0x4000;
        // A part with a vector of two blocks, and a vector of the isolate that lies behind the second.
        let mut memory = isolate(&[ISOLATE, BLOCKS, 8, 2]);
        memory.fill(BLOCKS, &[STALE, behind]);
        memory.fill(STALE, &[OBJECT + 8; 1_022]);
        memory.fill(ISOLATE + 0x180, &[behind + 0x100, behind + 0x120, behind + 0x120]);
        assert!(!collect(&memory).isolates[0].has_handle_scopes);
        // The scopes, of which two are open and sealed.
        let (data, part) = (BLOCK + 16, PART + 0x1000);
        memory.fill(ISOLATE + 0x300, &[data, data, 0x2_0000_0002, 0, part]);
        memory.fill(part, &[ISOLATE, BLOCKS + 0x100, 32, 1, 0, 0, 0, 0]);
        memory.fill(BLOCKS + 0x100, &[BLOCK]);
        memory.fill(BLOCK, &[OBJECT, OBJECT + 16, OBJECT + 24]);
        let roots = collect(&memory);
        assert!(roots.isolates[0].has_handle_scopes);
        assert_eq!(words(&roots, RootKind::HandleScope), [OBJECT, OBJECT + 16]);
    }

    #[test]
    fn registered_arrays_are_roots() {
        let mut memory = isolate(&[LABEL, BLOCK, BLOCK + 16, 0, PART + 64]);
        memory.fill(PART + 64, &[LABEL, BLOCK + 32, BLOCK + 40, PART, 0]);
        memory.fill(
            LABEL,
            &[u64::from_le_bytes(*b"Identity"), u64::from_le_bytes(*b"Map\0\0\0\0\0")],
        );
        memory.fill(LABEL + 16, &[0; 8]);
        memory.fill(BLOCK, &[OBJECT, OBJECT + 8, 0, 0, OBJECT + 32]);
        let found = words(&collect(&memory), RootKind::HandleScope);
        assert_eq!(found, [OBJECT, OBJECT + 8, OBJECT + 32]);
        memory.fill(LABEL, &[0x0102_0304_0506_0708]);
        assert!(words(&collect(&memory), RootKind::HandleScope).is_empty());
    }

    proptest! {
        #[test]
        fn any_structure_is_survived(part in proptest::collection::vec(prop_oneof![
            any::<u64>(), Just(PART), Just(BLOCK), Just(ISOLATE), 0_u64..9, (0_u64..64).prop_map(|n| PART + n * 8),
        ], 1..64)) {
            let mut memory = isolate(&part);
            memory.fill(BLOCK, &part);
            prop_assert_eq!(collect(&memory).isolates.len(), 1);
        }
    }
}
