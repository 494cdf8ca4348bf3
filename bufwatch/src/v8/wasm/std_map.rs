//! `std::map` in the memory of another process, searched by key. Not for maps that are not keyed by addresses.
//!
//! libstdc++ `bits/stl_tree.h`, the same since GCC 3: a red-black tree whose header lies behind the comparator. Another thread of the
//! target may be changing it: what is found is checked by the caller.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::object::Heap;

const HEADER: u64 = 8;

/// In nodes; in the header root, first and last node.
const PARENT: u64 = 8;
const LEFT: u64 = 16;
const RIGHT: u64 = 24;
const KEY: u64 = 32;
const VALUE: u64 = 40;

/// Twice the binary logarithm of more nodes than there can be.
const DEPTH_MAX: usize = 64;

impl<M: ReadMemory> Heap<'_, M> {
    /// The entry with the greatest key below `limit`, whichever way the map is sorted: the key, and where the value is.
    pub(super) fn map_entry_below(&self, map: Avma, limit: u64) -> Option<(u64, Avma)> {
        let header = map.checked_add(HEADER)?;
        let key = |node: Avma| self.word(node, KEY);
        let link = |node: Avma, which| self.word(node, which).map(Avma);
        let is_ascending = key(link(header, LEFT)?)? <= key(link(header, RIGHT)?)?;
        let (lower, higher) = if is_ascending { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
        let mut node = link(header, PARENT)?;
        let mut best = None;
        for _ in 0..DEPTH_MAX {
            if node.0 == 0 {
                break;
            }
            let at = key(node)?;
            if at < limit {
                best = Some((at, node.checked_add(VALUE)?));
                node = link(node, higher)?;
            } else {
                node = link(node, lower)?;
            }
        }
        best
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::MemoryError;
    use crate::v8::wasm::tests::layout;

    struct Words(BTreeMap<u64, u64>);

    impl ReadMemory for Words {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let word = self.0.get(&address.0).ok_or(MemoryError::Unmapped(address))?;
            out.copy_from_slice(word.to_le_bytes().get(..out.len()).unwrap_or_default());
            Ok(())
        }
    }

    const MAP: u64 = 0x1000;

    /// A root and its two children.
    fn map(keys: [u64; 3]) -> Words {
        let nodes = [0x2000, 0x3000, 0x4000];
        let header = MAP + HEADER;
        let mut words = BTreeMap::from([
            (header + PARENT, nodes[1]),
            (header + LEFT, nodes[0]),
            (header + RIGHT, nodes[2]),
        ]);
        for (node, key) in nodes.into_iter().zip(keys) {
            words.extend([(node + LEFT, 0), (node + RIGHT, 0), (node + KEY, key)]);
        }
        words.extend([(nodes[1] + LEFT, nodes[0]), (nodes[1] + RIGHT, nodes[2])]);
        Words(words)
    }

    #[test]
    fn the_greatest_key_below_is_found_in_either_order() {
        let layout = layout();
        for keys in [[10, 20, 30], [30, 20, 10]] {
            let memory = map(keys);
            let heap = Heap::new(&memory, &layout);
            let found = |limit| heap.map_entry_below(Avma(MAP), limit).map(|(key, _)| key);
            assert_eq!(
                [5, 10, 11, 20, 25, 99].map(found),
                [None, None, Some(10), Some(10), Some(20), Some(30)]
            );
        }
    }

    #[test]
    fn a_tree_that_points_to_itself_ends() {
        let layout = layout();
        let mut memory = map([10, 20, 30]);
        memory.0.insert(0x4000 + RIGHT, 0x3000);
        let heap = Heap::new(&memory, &layout);
        assert!(heap.map_entry_below(Avma(MAP), 99).is_some());
    }

    proptest! {
        #[test]
        fn any_memory_is_survived(words in prop::collection::btree_map(0u64..64, 0u64..64, 0..64), limit in 0u64..512) {
            let memory = Words(words.into_iter().map(|(at, to)| (MAP + at * 8, MAP + to * 8)).collect());
            let layout = layout();
            let _found = Heap::new(&memory, &layout).map_entry_below(Avma(MAP), MAP + limit);
        }
    }
}
