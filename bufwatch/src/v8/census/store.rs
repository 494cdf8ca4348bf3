//! Whose memory an array buffer is, as its `BackingStore` says: the allocator's, a WebAssembly memory, or native code's own; and which store
//! it is. Read from the process itself, since stores are not in V8's heap: one that has gone meanwhile is unknown.
//!
//! Way there: `JSArrayBuffer::extension` → `ArrayBufferExtension` {…, shared pointer} → `BackingStore` (V8
//! src/objects/js-array-buffer.h, src/objects/backing-store.h; js-stacks.md §1.1).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, Bytes, ReadMemory, ReadPart, StoreKey};
use crate::event::census::StoreIdentity;
use crate::v8::census::buffer::BufferFacts;
use crate::v8::page::is_pointer;

/// Words of an extension of which one is the pointer to the store.
const EXTENSION_WORDS: usize = 3;

/// Bytes of a store that are read: up to its flags.
const STORE_BYTES: usize = 72;

/// Stores read with one question.
const BATCH: usize = 1_024;

/// Words of a store before its id, which is 32 bits.
const ID_WORD: usize = 4;

/// Where a `BackingStore` says what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoreFacts {
    /// Of its flags, a u16.
    pub flags_offset: usize,
    pub wasm: u16,
    pub custom_deleter: u16,
}

/// Who owns the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Node's allocator, or V8 itself.
    Allocator,
    Wasm,
    /// Native code, which gave a function to free them with.
    Native,
}

/// A store as it is in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreRead {
    pub owner: Owner,
    pub identity: StoreIdentity,
}

/// What a store says that was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreNow {
    /// Of its bytes.
    pub data: u64,
    pub size: Bytes,
}

/// Looks at stores by their keys, again: `None` where there is none of that id any more. When a store is destroyed it forgets its bytes
/// (`BackingStore::Clear`, V8 src/objects/backing-store.cc), and the next one at its address has another id.
pub fn look_again(memory: &impl ReadMemory, keys: &[StoreKey]) -> Vec<Option<StoreNow>> {
    let mut found = Vec::with_capacity(keys.len());
    for batch in keys.chunks(BATCH) {
        let addresses: Vec<u64> = batch.iter().map(|key| key.address).collect();
        let stores = read_each::<{ (ID_WORD + 1) * 8 }>(memory, &addresses);
        found.extend(stores.iter().zip(batch).map(|(store, key)| {
            let store = store.as_ref()?;
            let (data, size, limit) = (word_at(store, 0)?, word_at(store, 1)?, word_at(store, 2)?);
            let is_it = data != 0 && size <= limit && word_at(store, ID_WORD)? as u32 == key.id;
            is_it.then_some(StoreNow { data, size: Bytes(size) })
        }));
    }
    found
}

/// The store of each buffer; `None` where it could not be read or is another one by now.
pub fn stores(
    memory: &impl ReadMemory,
    facts: StoreFacts,
    buffers: &[BufferFacts],
) -> Vec<Option<StoreRead>> {
    let mut all = Vec::with_capacity(buffers.len());
    for batch in buffers.chunks(BATCH) {
        let extensions: Vec<u64> = batch.iter().map(|buffer| buffer.extension.0).collect();
        let extensions = read_each::<{ EXTENSION_WORDS * 8 }>(memory, &extensions);
        let mut found: Vec<Option<StoreRead>> = vec![None; batch.len()];
        // All stores of one word at once: the word is the same for all, but which one differs between versions.
        for word in 0..EXTENSION_WORDS {
            let pointers: Vec<u64> = extensions
                .iter()
                .zip(&found)
                .map(|(bytes, known)| match (bytes, known) {
                    (Some(bytes), None) => word_at(bytes, word).unwrap_or(0),
                    _ => 0,
                })
                .collect();
            let stores = read_each::<STORE_BYTES>(memory, &pointers);
            let stores = stores.iter().zip(&pointers);
            for ((found, (store, address)), buffer) in found.iter_mut().zip(stores).zip(batch) {
                if let Some(store) = store {
                    *found = found.or_else(|| store_of(*address, store, facts, buffer));
                }
            }
        }
        all.extend(found);
    }
    all
}

/// `BackingStore` {bytes, length, greatest length, capacity, id, …, flags}, if it is the buffer's.
fn store_of(
    address: u64,
    store: &[u8],
    facts: StoreFacts,
    buffer: &BufferFacts,
) -> Option<StoreRead> {
    let (start, length, limit) = (word_at(store, 0)?, word_at(store, 1)?, word_at(store, 2)?);
    (start == buffer.store.0 && length <= limit).then_some(())?;
    // A store that was shared or resized may be longer than its buffer says.
    (buffer.byte_length.0 <= limit).then_some(())?;
    let flags = store.get(facts.flags_offset..)?.first_chunk::<2>()?;
    let flags = u16::from_le_bytes(*flags);
    let owner = if flags & facts.custom_deleter != 0 {
        Owner::Native
    } else if flags & facts.wasm != 0 {
        Owner::Wasm
    } else {
        Owner::Allocator
    };
    let key = StoreKey { address, id: word_at(store, ID_WORD)? as u32 };
    Some(StoreRead { owner, identity: StoreIdentity { key, max_size: Bytes(limit), flags } })
}

fn word_at(bytes: &[u8], word: usize) -> Option<u64> {
    let (words, _) = bytes.as_chunks::<8>();
    words.get(word).map(|word| u64::from_le_bytes(*word))
}

/// Reads a block at each address that may be one.
fn read_each<const N: usize>(memory: &impl ReadMemory, addresses: &[u64]) -> Vec<Option<[u8; N]>> {
    let mut blocks = vec![[0_u8; N]; addresses.len()];
    let mut parts: Vec<ReadPart<'_>> = addresses
        .iter()
        .zip(&mut blocks)
        .filter(|(address, _)| is_pointer(**address))
        .map(|(address, block)| ReadPart::new(Avma(*address), block.as_mut_slice()))
        .collect();
    memory.read_parts(&mut parts);
    let mut are_read = parts.iter().map(|part| part.is_read).collect::<Vec<_>>().into_iter();
    addresses
        .iter()
        .zip(blocks)
        .map(|(address, block)| {
            let is_read = is_pointer(*address) && are_read.next().unwrap_or(false);
            is_read.then_some(block)
        })
        .collect()
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::MemoryError;

    struct Fake(BTreeMap<u64, u64>);

    impl ReadMemory for Fake {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            for (n, byte) in out.iter_mut().enumerate() {
                let at = address.0 + n as u64;
                let word = self.0.get(&(at & !7)).ok_or(MemoryError::Unmapped(address))?;
                *byte = word.to_le_bytes()[(at & 7) as usize];
            }
            Ok(())
        }
    }

    const EXTENSION: u64 = 0x20_0000;
    const STORE: u64 = 0x30_0000;
    const BYTES: u64 = 0x7000_0000;
    const FACTS: StoreFacts = StoreFacts { flags_offset: 56, wasm: 4, custom_deleter: 0x80 };

    fn buffer(store: u64, extension: u64) -> BufferFacts {
        BufferFacts {
            index: 0,
            byte_length: Bytes(100),
            store: Avma(store),
            extension: Avma(extension),
            is_detached: false,
            is_detachable: true,
            is_shared: false,
            is_resizable: false,
        }
    }

    /// The pointer to the store in a word of the extension, and the store.
    fn process(word: u64, flags: u64) -> Fake {
        let mut words: BTreeMap<u64, u64> = (0..9).map(|n| (STORE + n * 8, 0)).collect();
        words.extend((0..3).map(|n| (EXTENSION + n * 8, 0)));
        words.insert(EXTENSION + word * 8, STORE);
        words.extend([(STORE, BYTES), (STORE + 8, 100), (STORE + 16, 100), (STORE + 56, flags)]);
        Fake(words)
    }

    #[test]
    fn the_flags_of_the_store_say_who_owns_it() {
        for word in 0..3 {
            let of = |flags| {
                let found = stores(&process(word, flags), FACTS, &[buffer(BYTES, EXTENSION)]);
                found.first().copied().flatten().map(|it| it.owner)
            };
            assert_eq!(of(0x10), Some(Owner::Allocator));
            assert_eq!(of(0x35), Some(Owner::Wasm));
            assert_eq!(of(0x80), Some(Owner::Native));
        }
    }

    #[test]
    fn a_store_of_other_bytes_is_not_believed() {
        let buffers = [buffer(BYTES + 8, EXTENSION), buffer(BYTES, 0), buffer(BYTES, EXTENSION)];
        let found = stores(&process(0, 0x80), FACTS, &buffers);
        let owners: Vec<_> = found.iter().map(|it| it.map(|it| it.owner)).collect();
        assert_eq!(owners, [None, None, Some(Owner::Native)]);
    }

    #[test]
    fn a_store_is_known_again_until_it_is_destroyed() {
        let mut process = process(1, 0);
        process.0.insert(STORE + 32, 7);
        let found = stores(&process, FACTS, &[buffer(BYTES, EXTENSION)]);
        let key = found[0].unwrap().identity.key;
        assert_eq!(key, StoreKey { address: STORE, id: 7 });
        let now = StoreNow { data: BYTES, size: Bytes(100) };
        assert_eq!(look_again(&process, &[key, StoreKey { id: 8, ..key }]), [Some(now), None]);
        process.0.insert(STORE, 0);
        assert_eq!(look_again(&process, &[key, StoreKey { address: 8, id: 7 }]), [None, None]);
    }

    proptest! {
        #[test]
        fn any_memory_is_survived(words in proptest::collection::btree_map(0_u64..64, any::<u64>(), 0..64)) {
            let memory = Fake(words.into_iter().map(|(at, word)| (EXTENSION + at * 8, word)).collect());
            let buffers = [buffer(BYTES, EXTENSION), buffer(BYTES, EXTENSION + 8)];
            prop_assert_eq!(stores(&memory, FACTS, &buffers).len(), 2);
        }
    }
}
