//! `JSArrayBuffer`s and the views over them, read from a copied heap and checked: what contradicts itself is not a buffer but a word that
//! looks like one. Knows nothing of who is alive.
//!
//! Rules: v8-heap-census.md §2 ("Semantics that matter", "Validation").
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, Bytes, FastMap, ReadMemory};
use crate::v8::census::mark::HeapView;
use crate::v8::metadata::Layout;

/// Bits of `JSArrayBuffer::bit_field` (src/objects/js-array-buffer.tq), the same in V8 10 to 14.
const DETACHABLE: u64 = 0x2;
const DETACHED: u64 = 0x4;
const SHARED: u64 = 0x10;
const RESIZABLE: u64 = 0x20;
const KNOWN_BITS: u64 = 0x3ff;

/// Bits of `JSArrayBufferView::bit_field`; those above are never written and never read.
const LENGTH_TRACKING: u64 = 1;

/// `v8::TypedArray::kMaxByteLength`.
const LENGTH_MAX: u64 = 1 << 53;

/// An array buffer as its object says it.
#[expect(clippy::struct_excessive_bools, reason = "they are bits of one word in V8")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferFacts {
    /// Of the object in the copy.
    pub index: usize,
    pub byte_length: Bytes,
    /// Address of the bytes.
    pub store: Avma,
    /// Address of the `ArrayBufferExtension`.
    pub extension: Avma,
    pub is_detached: bool,
    pub is_detachable: bool,
    pub is_shared: bool,
    pub is_resizable: bool,
}

impl BufferFacts {
    /// It has bytes outside of V8's heap, or may get some. Until it has its extension, which owns them, its other words are what was there
    /// before (`JSArrayBuffer::Setup` calls `Attach` so, to V8 12): a program is stopped there often that has a breakpoint there. When
    /// `Setup` begins, a handle refers to the object, and all words but its flags are `undefined`: a tagged pointer.
    pub const fn has_store(&self) -> bool {
        let has_some = self.store.0 != 0 && (self.byte_length.0 > 0 || self.is_resizable);
        let is_attached = self.extension.0 != 0 && self.extension.0.is_multiple_of(8);
        has_some && !self.is_detached && is_attached
    }
}

/// What an array buffer or view is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewFacts {
    pub index: usize,
    /// Number of its array buffer.
    pub buffer: usize,
    pub offset: u64,
    pub byte_length: Bytes,
    pub is_data_view: bool,
    /// Its bytes are in V8's heap.
    pub is_on_heap: bool,
}

/// All buffers and views that withstood the checks.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    pub buffers: Vec<BufferFacts>,
    pub views: Vec<ViewFacts>,
    pub n_buffers_rejected: u64,
    pub n_views_rejected: u64,
}

impl Buffers {
    /// `live` is the process itself, for the lengths that only the store knows.
    pub fn read(view: HeapView<'_>, live: &impl ReadMemory) -> Self {
        let mut found = Self::default();
        let mut numbers = FastMap::default();
        for index in &view.walk.buffers {
            match buffer(view, *index, live) {
                Some(facts) => {
                    numbers.insert(*index, found.buffers.len());
                    found.buffers.push(facts);
                }
                None => found.n_buffers_rejected = found.n_buffers_rejected.saturating_add(1),
            }
        }
        for index in &view.walk.views {
            match read_view(view, *index, &numbers, &found.buffers) {
                Some(facts) => found.views.push(facts),
                None => found.n_views_rejected = found.n_views_rejected.saturating_add(1),
            }
        }
        found
    }
}

fn buffer(view: HeapView<'_>, index: usize, live: &impl ReadMemory) -> Option<BufferFacts> {
    let layout = view.layout;
    let word = |offset| view.heap.word_at(index, offset);
    let flags = word(layout.buffer_flags)? & 0xffff_ffff;
    let mut byte_length = word(layout.buffer_byte_length)?;
    let max_byte_length = word(layout.buffer_max_byte_length)?;
    let store = word(layout.buffer_backing_store)?;
    let extension = word(layout.buffer_extension)?;
    let has = |bit: u64| flags & bit != 0;
    let is_buffer = flags & !KNOWN_BITS == 0
        && byte_length <= LENGTH_MAX
        && (max_byte_length >= byte_length || has(RESIZABLE))
        && (!has(DETACHED) || byte_length == 0)
        && store >> 47 == 0;
    if !is_buffer {
        return None;
    }
    if has(SHARED) && has(RESIZABLE) {
        // The object of a growable shared buffer has no length of its own.
        byte_length = length_of_store(live, extension, store).unwrap_or(max_byte_length);
    }
    Some(BufferFacts {
        index,
        byte_length: Bytes(byte_length),
        store: Avma(store),
        extension: Avma(extension),
        is_detached: has(DETACHED),
        is_detachable: has(DETACHABLE),
        is_shared: has(SHARED),
        is_resizable: has(RESIZABLE),
    })
}

/// `BackingStore` {bytes, length, greatest length}, behind a pointer in the first words of the extension; the bytes must be the same.
fn length_of_store(live: &impl ReadMemory, extension: u64, store: u64) -> Option<u64> {
    let candidates = [0_u64, 8, 16]
        .into_iter()
        .filter_map(|offset| live.read_u64(Avma(extension.checked_add(offset)?)).ok());
    candidates.filter(|pointer| pointer % 8 == 0 && *pointer > 0xffff).find_map(|pointer| {
        let mut bytes = [0; 24];
        live.read(Avma(pointer), &mut bytes).ok()?;
        let (words, _) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let (start, length, limit) = (words.next()?, words.next()?, words.next()?);
        (start == store && length <= limit).then_some(length)
    })
}

fn read_view(
    view: HeapView<'_>,
    index: usize,
    numbers: &FastMap<usize, usize>,
    buffers: &[BufferFacts],
) -> Option<ViewFacts> {
    let layout = view.layout;
    let word = |offset| view.heap.word_at(index, offset);
    let number = *numbers.get(&view.field(index, layout.view_buffer)?)?;
    let buffer = buffers.get(number)?;
    let kind = view.kind(index)?;
    let is_data_view = kind == layout.type_data_view || kind == layout.type_rab_data_view;
    let offset = word(layout.view_byte_offset)?;
    let is_length_tracking =
        layout.view_flags != Layout::MISSING && word(layout.view_flags)? & LENGTH_TRACKING != 0;
    let stated = word(layout.view_byte_length)?;
    let is_on_heap = !is_data_view && word(layout.view_base_pointer)? & 1 != 0;
    if offset > LENGTH_MAX || stated > LENGTH_MAX {
        return None;
    }
    let byte_length = if buffer.is_detached {
        0
    } else if is_length_tracking {
        buffer.byte_length.0.saturating_sub(offset)
    } else {
        stated
    };
    let is_in_range = offset.checked_add(byte_length)? <= buffer.byte_length.0;
    if !is_on_heap && !buffer.is_detached && !is_in_range && !buffer.is_resizable {
        return None;
    }
    if !is_data_view && !is_on_heap && !buffer.is_detached && buffer.store.0 != 0 {
        let data = word(layout.view_external_pointer)?;
        (data == buffer.store.0.checked_add(offset)?).then_some(())?;
    }
    // A view that a shrunken buffer no longer covers shows nothing.
    let byte_length = if is_on_heap || is_in_range { byte_length } else { 0 };
    Some(ViewFacts {
        index,
        buffer: number,
        offset,
        byte_length: Bytes(byte_length),
        is_data_view,
        is_on_heap,
    })
}
