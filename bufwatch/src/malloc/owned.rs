//! Whether a mapping is malloc's, by its first bytes alone: it begins with a block that has its own mapping, or it is a thread arena's heap.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::malloc::chunk::Header;
use crate::malloc::thread_heap::{INFO_BYTES, ThreadHeap};

/// First bytes of a mapping that are looked at: chunk headers and `heap_info`, never a block's own bytes.
pub const FIRST_BYTES: usize = INFO_BYTES;

/// True if malloc has this mapping. `first` are its first bytes. The kernel makes one mapping of neighbouring blocks, of which the first is enough.
pub fn is_mallocs(mapping: &Range<u64>, first: &[u8; FIRST_BYTES]) -> bool {
    let Some(room) = mapping.end.checked_sub(mapping.start) else { return false };
    let block = Header::parse(first).and_then(Header::mapping_bytes);
    block.is_some_and(|bytes| bytes <= room)
        || ThreadHeap::parse(mapping.start, first, room).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: [u64; 4]) -> [u8; FIRST_BYTES] {
        let mut bytes = [0; FIRST_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn blocks_and_heaps_are_mallocs_and_pages_of_v8_are_not() {
        let at = 0x7f00_0400_0000;
        let is = |words, len| is_mallocs(&(at..at + len), &bytes(words));
        assert!(is([0, 0x10_1002, 7, 7], 0x10_1000));
        assert!(is([0, 0x10_1002, 7, 7], 0x30_0000));
        assert!(!is([0, 0x10_1002, 7, 7], 0x10_0000), "a block that is larger than its mapping");
        assert!(is([at + 48, 0, 0x2_1000, 0x2_1000], 0x2_1000));
        assert!(is([0x7f00_0000_0020, 0x7f00_0000_0000, 0x2_1000, 0x2_1000], 0x2_1000));
        assert!(!is([at + 64, 0, 0x2_1000, 0x2_1000], 0x2_1000));
        // V8 10 to 11, 12, and from 13.
        assert!(!is([0x4_0000, 10, 0x1320_9338, at + 0x1118], 0x4_0000));
        assert!(!is([0, at, 0x4_0000, 0x1320_9338], 0x4_0000));
        assert!(!is([0, 0x1320_9340, 7, 7], 0x4_0000));
        assert!(!is([0; 4], 0x4_0000));
    }
}
