//! Which bytes of a copied heap a census never looks at: bodies of objects that hold no pointers. What recordings leave out of them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::ops::Range;

use crate::v8::census::copy::HeapCopy;
use crate::v8::census::sizes::{FIRST_NON_STRING, is_raw};
use crate::v8::census::walk::Walk;
use crate::v8::metadata::Layout;

/// Bytes of a string, header included, that is no name: sources, messages, paths.
const NAME_BYTES_MAX: usize = 32;

/// `Name::raw_hash_field` (V8 src/objects/name.h, all supported versions).
const HASH_OFFSET: u64 = 8;
const HASH_BYTES: u64 = 4;

/// Map and length.
const HEADER_WORDS: usize = 2;

/// Of a `BytecodeArray`, whose fields end before: 56 to 72 bytes (V8 src/objects/bytecode-array.tq, 10.2 to 14.6).
const BYTECODE_HEADER_WORDS: usize = 10;

/// Addresses, ascending.
pub fn without_pointers(heap: &HeapCopy, layout: &Layout) -> Vec<Range<u64>> {
    let walk = Walk::take(heap, layout);
    let mut ranges = Vec::new();
    for page in heap.pages() {
        let area = page.area();
        let mut next = walk.starts.at_or_after(area.start, area.end);
        while let Some(index) = next {
            next = walk.starts.next_after(index, area.end);
            let Some(map) = walk.facts(heap, index, layout) else { continue };
            let end = walk.end_of(heap, index, map, layout).min(area.end);
            let n_words = end.saturating_sub(index);
            let is_string = map.kind < FIRST_NON_STRING;
            let is_name = is_string && n_words.saturating_mul(8) <= NAME_BYTES_MAX;
            if is_string {
                let hash = page.address(index).saturating_add(HASH_OFFSET);
                ranges.push(hash..hash.saturating_add(HASH_BYTES));
            }
            let is_bytecode = map.kind == layout.type_bytecode_array;
            let n_header = if is_bytecode { BYTECODE_HEADER_WORDS } else { HEADER_WORDS };
            let body = index.saturating_add(n_header);
            // External strings have pointers to outside of the heap, and numbers nothing to blank.
            let is_body = body < end && map.instance_bytes == 0;
            if (is_raw(map.kind, layout) || is_bytecode) && !is_name && is_body {
                ranges.push(page.address(body)..page.address(end));
            }
        }
    }
    ranges
}
