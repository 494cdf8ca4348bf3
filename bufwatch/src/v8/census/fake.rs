//! Heaps made by hand for tests, laid out as V8 13.6 does it: pages, maps, array buffers, views. Not part of the program.

use std::collections::BTreeMap;

use crate::base::{Avma, MemoryError, ReadMemory};
use crate::v8::census::copy::{Destination, HeapCopy};
use crate::v8::metadata::{Layout, Metadata, Release, StatedNumbers};
use crate::v8::page::Page;

/// What Node 24.21.0 states of itself, as far as V8's metadata asks for it.
const STATED: &[(&str, u32)] = &[
    ("FirstContextType", 220),
    ("FirstJSFunctionType", 2065),
    ("LastContextType", 229),
    ("LastJSFunctionType", 2081),
    ("bit_field3_number_of_own_descriptors_mask", 0x000f_fc00),
    ("bit_field3_number_of_own_descriptors_shift", 10),
    ("class_BytecodeArray__data__uintptr_t", 64),
    ("class_BytecodeArray__length__SMI", 8),
    ("class_Code__flags__uint32_t", 52),
    ("class_Code__instruction_size__int", 56),
    ("class_ConsString__first__String", 16),
    ("class_ConsString__second__String", 24),
    ("class_DescriptorArray__header_size__uintptr_t", 24),
    ("class_FixedArrayBase__length__SMI", 8),
    ("class_FixedArray__data__uintptr_t", 16),
    ("class_JSArrayBufferView__byte_length__size_t", 56),
    ("class_JSArrayBufferView__byte_offset__size_t", 48),
    ("class_JSArrayBuffer__backing_store__uintptr_t", 56),
    ("class_JSArrayBuffer__byte_length__size_t", 40),
    ("class_JSFunction__context__*", 40),
    ("class_JSFunction__shared__SharedFunctionInfo", 32),
    ("class_JSObject__elements__Object", 16),
    ("class_JSReceiver__raw_properties_or_hash__*", 8),
    ("class_JSTypedArray__base_pointer__*", 80),
    ("class_JSTypedArray__external_pointer__uintptr_t", 72),
    ("class_Map__bit_field3__int", 16),
    ("class_Map__constructor_or_back_pointer__*", 32),
    ("class_Map__inobject_properties_start_or_constructor_function_index__char", 9),
    ("class_Map__instance_descriptors_offset", 40),
    ("class_Map__instance_size_in_words__char", 8),
    ("class_Map__instance_type__uint16_t", 12),
    ("class_Script__eval_from_position__SMI", 80),
    ("class_Script__eval_from_shared_or_wrapped_arguments*", 72),
    ("class_Script__name__Object", 16),
    ("class_Script__source__Object", 8),
    ("class_SeqOneByteString__chars__char", 16),
    ("class_SharedFunctionInfoWrapper__shared_info__*", 8),
    ("class_SharedFunctionInfo__flags__int", 56),
    ("class_SharedFunctionInfo__name_or_scope_info__*", 24),
    ("class_SharedFunctionInfo__script_*", 40),
    ("class_SlicedString__offset__SMI", 24),
    ("class_SlicedString__parent__String", 16),
    ("class_String__length__int32_t", 12),
    ("class_ThinString__actual__String", 16),
    ("context_min_slots", 2),
    ("frametype_WasmFrame", 4),
    ("prop_index_mask", 0x1ff8_0000),
    ("prop_index_shift", 19),
    ("prop_location_mask", 32),
    ("scopeinfo_idx_first_vars", 5),
    ("scopeinfo_idx_ncontextlocals", 2),
    ("type_ArrayList__ARRAY_LIST_TYPE", 259),
    ("type_ByteArray__BYTE_ARRAY_TYPE", 217),
    ("type_BytecodeArray__BYTECODE_ARRAY_TYPE", 186),
    ("type_Code__CODE_TYPE", 187),
    ("type_CoverageInfo__COVERAGE_INFO_TYPE", 263),
    ("type_DescriptorArray__DESCRIPTOR_ARRAY_TYPE", 252),
    ("type_FixedArray__FIXED_ARRAY_TYPE", 205),
    ("type_FixedDoubleArray__FIXED_DOUBLE_ARRAY_TYPE", 218),
    ("type_HeapNumber__HEAP_NUMBER_TYPE", 130),
    ("type_InstructionStream__INSTRUCTION_STREAM_TYPE", 192),
    ("type_InterpreterData__INTERPRETER_DATA_TYPE", 188),
    ("type_JSArrayBuffer__JS_ARRAY_BUFFER_TYPE", 2062),
    ("type_JSArray__JS_ARRAY_TYPE", 2119),
    ("type_JSDataView__JS_DATA_VIEW_TYPE", 2059),
    ("type_JSFunction__JS_FUNCTION_TYPE", 2065),
    ("type_JSGlobalObject__JS_GLOBAL_OBJECT_TYPE", 300),
    ("type_JSMap__JS_MAP_TYPE", 2112),
    ("type_JSPromise__JS_PROMISE_TYPE", 2115),
    ("type_JSProxy__JS_PROXY_TYPE", 299),
    ("type_JSRabGsabDataView__JS_RAB_GSAB_DATA_VIEW_TYPE", 2060),
    ("type_JSSet__JS_SET_TYPE", 2113),
    ("type_JSTypedArray__JS_TYPED_ARRAY_TYPE", 2061),
    ("type_JSWeakMap__JS_WEAK_MAP_TYPE", 2116),
    ("type_JSWeakRef__JS_WEAK_REF_TYPE", 2157),
    ("type_JSWeakSet__JS_WEAK_SET_TYPE", 2117),
    ("type_Map__MAP_TYPE", 272),
    ("type_PropertyArray__PROPERTY_ARRAY_TYPE", 277),
    ("type_PropertyCell__PROPERTY_CELL_TYPE", 278),
    ("type_ScopeInfo__SCOPE_INFO_TYPE", 280),
    ("type_Script__SCRIPT_TYPE", 167),
    ("type_SharedFunctionInfoWrapper__SHARED_FUNCTION_INFO_WRAPPER_TYPE", 195),
    ("type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE", 282),
    ("type_StrongDescriptorArray__STRONG_DESCRIPTOR_ARRAY_TYPE", 253),
    ("type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE", 196),
    ("type_WeakArrayList__WEAK_ARRAY_LIST_TYPE", 295),
    ("type_WeakCell__WEAK_CELL_TYPE", 296),
    ("type_WeakFixedArray__WEAK_FIXED_ARRAY_TYPE", 256),
];

struct Node24;

impl StatedNumbers for Node24 {
    fn stated(&self, names: &[&str]) -> Option<(u32, String)> {
        names.iter().find_map(|name| {
            let (_, value) = STATED.iter().find(|(known, _)| known == name)?;
            Some((*value, (*name).to_owned()))
        })
    }
}

pub(crate) fn layout() -> Layout {
    Metadata::resolve(&Node24, Some(Release { major: 13, minor: 6 })).layout()
}

const PAGE: u64 = 0x0012_3400_0000;
const AREA: u64 = PAGE + 16;

/// Memory of one page; everything else is unmapped.
#[derive(Debug)]
pub(crate) struct FakeHeap {
    pub(crate) layout: Layout,
    pub(crate) words: Vec<u64>,
    maps: BTreeMap<(u64, u64), u64>,
    meta: u64,
}

impl FakeHeap {
    pub(crate) fn new() -> Self {
        let layout = layout();
        let mut heap = Self { layout, words: vec![0, 0], maps: BTreeMap::new(), meta: 0 };
        heap.meta = heap.object_of(PAGE + 16, &[9 | layout.type_map << 32, 0, 0, 0, 0, 0, 0, 0]);
        heap
    }

    /// Puts an object at the end; the address is a tagged one.
    fn object_of(&mut self, map: u64, fields: &[u64]) -> u64 {
        let address = PAGE + self.words.len() as u64 * 8;
        self.words.push(map | 1);
        self.words.extend(fields);
        address | 1
    }

    /// The map of objects of `n_words`; zero if they differ.
    pub(crate) fn map(&mut self, kind: u64, n_words: u64) -> u64 {
        if let Some(map) = self.maps.get(&(kind, n_words)) {
            return *map;
        }
        let map = self.object_of(self.meta, &[n_words | kind << 32, 0, 0, 0, 0, 0, 0, 0]);
        self.maps.insert((kind, n_words), map);
        map
    }

    pub(crate) fn object(&mut self, kind: u64, fields: &[u64]) -> u64 {
        let map = self.map(kind, fields.len() as u64 + 1);
        self.object_of(map, fields)
    }

    pub(crate) fn array(&mut self, kind: u64, items: &[u64]) -> u64 {
        let map = self.map(kind, 0);
        let mut fields = vec![(items.len() as u64) << 32];
        fields.extend(items);
        self.object_of(map, &fields)
    }

    pub(crate) fn buffer(&mut self, store: u64, length: u64) -> u64 {
        let kind = self.layout.type_array_buffer;
        // An extension that is not to be looked at.
        self.object(kind, &[0, 0, 0, 0, length, length, store, 0x7e00_0000, 2])
    }

    pub(crate) fn view(&mut self, buffer: u64, store: u64, offset: u64, length: u64) -> u64 {
        let kind = self.layout.type_typed_array;
        // The upper bits of the flags are never written.
        let flags = 0xdead_beef_0000_0000;
        let data = store + offset;
        self.object(kind, &[0, 0, 0, buffer, flags, offset, length, length, data, 0])
    }

    pub(crate) fn page(&self) -> Page {
        Page {
            start: PAGE,
            size: 256 << 10,
            committed: 256 << 10,
            allocated: 0,
            area_start: AREA,
            area_end: PAGE + self.words.len() as u64 * 8,
            heap: Some(Avma(0x5000_0000)),
            owner: 0,
            flags: 0,
            is_writable: true,
            is_executable: false,
        }
    }

    pub(crate) fn copy(&self) -> HeapCopy {
        let pages = [self.page()];
        HeapCopy::read(self, &pages, Destination::default(), 2, || true)
    }
}

impl ReadMemory for FakeHeap {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let offset = address.0.checked_sub(PAGE).ok_or(MemoryError::Unmapped(address))?;
        if offset >= 256 << 10 {
            return Err(MemoryError::Unmapped(address));
        }
        for (n, byte) in out.iter_mut().enumerate() {
            let at = offset as usize + n;
            let word = self.words.get(at / 8).copied().unwrap_or(0);
            *byte = word.to_le_bytes()[at % 8];
        }
        Ok(())
    }
}

/// Words by address; everything else is unmapped.
#[derive(Clone, Debug, Default)]
pub(crate) struct FakeMemory {
    words: BTreeMap<u64, u64>,
}

impl FakeMemory {
    pub(crate) fn fill(&mut self, address: u64, words: &[u64]) {
        self.words.extend((address..).step_by(8).zip(words.iter().copied()));
    }
}

impl ReadMemory for FakeMemory {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        for (n, byte) in (address.0..).zip(out) {
            let word = self.words.get(&(n & !7)).ok_or(MemoryError::Unmapped(address))?;
            *byte = word.to_le_bytes()[(n & 7) as usize];
        }
        Ok(())
    }
}
