//! How long an object is, by its type and its first words. What is not known here ends where the next object begins.
//!
//! Rules: v8-heap-census.md §2; the order of instance types is that of V8 `src/objects/object-list-macros.h`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::copy::HeapCopy;
use crate::v8::metadata::Layout;
use crate::v8::object::Tagged;

/// `kIsNotStringMask`: instance types from here on are no strings.
pub(super) const FIRST_NON_STRING: u64 = 128;
const REPRESENTATION_MASK: u64 = 7;
const ONE_BYTE: u64 = 8;

/// What the layout word of a map says (`Map::instance_size_in_words` at 8 to `bit_field2` at 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFacts {
    pub kind: u64,
    /// Of each of its objects; zero if they differ.
    pub instance_bytes: u64,
}

impl MapFacts {
    /// Of the map at this index.
    #[inline]
    pub fn read(heap: &HeapCopy, map: usize, layout: &Layout) -> Option<Self> {
        let words = heap.word_at(map, layout.map_instance_words)? & 0xff;
        let kind = heap.word_at(map, layout.map_instance_type)? & 0xffff;
        Some(Self { kind, instance_bytes: words.checked_mul(8)? })
    }
}

/// Size of the object at `index`; `None` if no rule knows.
#[inline]
pub(super) fn object_bytes(
    heap: &HeapCopy,
    index: usize,
    map: MapFacts,
    layout: &Layout,
) -> Option<u64> {
    if map.instance_bytes != 0 {
        return Some(map.instance_bytes);
    }
    let second = heap.word(index.checked_add(1)?)?;
    let n = || u64::try_from(Tagged(second).as_smi()?).ok();
    // A length of another form than a Smi is none.
    let exact = || if second.trailing_zeros() >= 32 { n() } else { None };
    let kind = map.kind;
    let array = |header: u64, unit: u64, n: u64| header.checked_add(n.checked_mul(unit)?);
    let bytes = if kind < FIRST_NON_STRING {
        if kind & REPRESENTATION_MASK != 0 {
            return None;
        }
        let unit = if kind & ONE_BYTE != 0 { 1 } else { 2 };
        array(16, unit, second >> 32)
    } else if kind == layout.type_free_space {
        n()?.checked_mul(layout.free_space_unit)
    } else if is_native_context(kind, layout) {
        // Behind the slots is the pointer to the microtask queue (`NativeContext::kSize`, src/objects/contexts.h).
        array(24, 8, exact()?)
    } else if is_array_of_tagged(kind, layout) {
        array(16, 8, exact()?)
    } else if kind == layout.type_byte_array || kind == layout.type_trusted_byte_array {
        array(16, 1, exact()?)
    } else if kind == layout.type_fixed_double_array || kind == layout.type_weak_fixed_array {
        array(16, 8, exact()?)
    } else if kind == layout.type_property_array {
        // `PropertyArray::LengthField`; the hash is in the upper bits.
        array(16, 8, n()? & 0x3ff)
    } else if kind == layout.type_weak_array_list || kind == layout.type_array_list {
        array(24, 8, exact()?)
    } else if kind == layout.type_big_int {
        // `BigInt::LengthBits`.
        array(16, 8, (second >> 1) & 0x3fff_ffff)
    } else if kind == layout.type_descriptor_array || kind == layout.type_strong_descriptor_array {
        array(layout.descriptors_header, 24, second & 0xffff)
    } else {
        None
    };
    bytes?.checked_next_multiple_of(8)
}

/// `FixedArray` and its family, hash tables included, and contexts.
pub(super) const fn is_array_of_tagged(kind: u64, layout: &Layout) -> bool {
    let end = if layout.type_byte_array < layout.type_fixed_double_array {
        layout.type_byte_array
    } else {
        layout.type_fixed_double_array
    };
    kind >= layout.type_fixed_array && kind < end || is_context(kind, layout)
}

pub(super) const fn is_context(kind: u64, layout: &Layout) -> bool {
    kind >= layout.type_first_context && kind <= layout.type_last_context
}

/// `NATIVE_CONTEXT_TYPE` is the eighth of ten kinds of contexts (src/objects/object-list-macros.h).
pub(super) const fn is_native_context(kind: u64, layout: &Layout) -> bool {
    layout.type_first_context != Layout::MISSING
        && kind == layout.type_first_context.saturating_add(7)
}

/// `SCRIPT_CONTEXT_TYPE` is the ninth: what `let` and `const` at the top of a script declare.
pub(super) const fn is_script_context(kind: u64, layout: &Layout) -> bool {
    layout.type_first_context != Layout::MISSING
        && kind == layout.type_first_context.saturating_add(8)
}

pub(super) const fn is_function(kind: u64, layout: &Layout) -> bool {
    kind >= layout.type_first_function && kind <= layout.type_last_function
}

/// A generator, an async function or an async generator; `JS_GENERATOR_OBJECT_TYPE` comes first and is the only one not stated.
pub(super) const fn is_generator(kind: u64, layout: &Layout) -> bool {
    kind.saturating_add(1) >= layout.type_async_function_object
        && kind <= layout.type_async_generator_object
        && layout.type_async_generator_object != Layout::MISSING
}

/// Something that JavaScript can hold, besides strings and numbers.
pub(super) const fn is_receiver(kind: u64, layout: &Layout) -> bool {
    layout.type_first_receiver != Layout::MISSING && kind >= layout.type_first_receiver
}

/// It holds no pointers.
pub(super) const fn is_raw(kind: u64, layout: &Layout) -> bool {
    if kind < FIRST_NON_STRING {
        // Sequential and external strings.
        return matches!(kind & REPRESENTATION_MASK, 0 | 2);
    }
    kind == layout.type_byte_array
        || kind == layout.type_trusted_byte_array
        || kind == layout.type_fixed_double_array
        || kind == layout.type_heap_number
        || kind == layout.type_big_int
        || kind == layout.type_free_space
        || kind == layout.type_coverage_info
}
