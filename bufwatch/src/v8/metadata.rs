//! What must be known of a build of V8 to read its heap from outside: object types, byte offsets, code kinds, each with where the
//! number comes from. Reads nothing of a process.
//!
//! Most numbers are stated by the binary in its `v8dbg_*` symbols (V8 `tools/gen-postmortem-metadata.py`); the tables hold what those
//! lack, measured on the official builds of Node 18, 20, 22, 24 and 26 (js-stacks.md §3, v8-heap-census.md §2).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::BTreeMap;

use crate::base::Constant;
use crate::v8::origin::{ABSENT, Rule, derived, stated, stated_or, table};
pub use crate::v8::origin::{MEASURED, Release, StatedNumbers};

/// `function_literal_id` lies behind the flags.
const BEHIND_FLAGS: Rule = Rule {
    name: "class_SharedFunctionInfo__flags__int",
    derive: |flags| flags.checked_add(4),
    text: "4 bytes behind SharedFunctionInfo::flags",
};

/// Since some V8 12, plain flags and two words of positions come before the variables of a `ScopeInfo`.
const SCOPE_POSITION: Rule = Rule {
    name: "scopeinfo_idx_first_vars",
    derive: |first| if first == 5 { Some(32) } else { None },
    text: "two words before the first variable",
};

const SCOPE_FLAGS_ARE_SMI: Rule = Rule {
    name: "scopeinfo_idx_first_vars",
    derive: |first| match first {
        3 => Some(1),
        5 => Some(0),
        _ => None,
    },
    text: "they are where positions come behind the variables",
};

macro_rules! metadata {
    ($($(#[$doc:meta])* $field:ident: $title:literal = $origin:expr;)*) => {
        /// The numbers with their provenance; part of a probe plan. Kept as a map: code that reads and writes each field by itself is a
        /// quarter of a megabyte, over which the compiler sits for minutes.
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "BTreeMap<String, Constant<u32>>", into = "BTreeMap<String, Constant<u32>>")]
        pub struct Metadata {
            $($(#[$doc])* pub $field: Constant<u32>,)*
        }

        impl From<Metadata> for BTreeMap<String, Constant<u32>> {
            fn from(metadata: Metadata) -> Self {
                [$((stringify!($field), metadata.$field),)*]
                    .into_iter()
                    .map(|(name, constant)| (name.to_owned(), constant))
                    .collect()
            }
        }

        impl TryFrom<BTreeMap<String, Constant<u32>>> for Metadata {
            type Error = AbsentField;

            fn try_from(mut constants: BTreeMap<String, Constant<u32>>) -> Result<Self, AbsentField> {
                let mut absent = None;
                let metadata = Self {
                    $($field: take(&mut constants, stringify!($field), &mut absent),)*
                };
                absent.map_or(Ok(metadata), Err)
            }
        }

        /// The numbers themselves. What is missing is [`Layout::MISSING`]: an offset at which nothing can be read, a type that no
        /// object has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct Layout {
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Metadata {
            pub fn resolve(binary: &impl StatedNumbers, release: Option<Release>) -> Self {
                Self { $($field: $origin.resolve(binary, release),)* }
            }

            /// Name and number, for people.
            pub fn rows(&self) -> Vec<(&'static str, &Constant<u32>)> {
                vec![$(($title, &self.$field),)*]
            }

            pub fn layout(&self) -> Layout {
                Layout { $($field: self.$field.get().map_or(Layout::MISSING, u64::from),)* }
            }
        }

        impl Default for Layout {
            fn default() -> Self {
                Self { $($field: Self::MISSING,)* }
            }
        }
    };
}

/// Called a hundred times in a row: inlined, it is what the compiler sits over.
#[inline(never)]
fn take(
    constants: &mut BTreeMap<String, Constant<u32>>,
    name: &'static str,
    absent: &mut Option<AbsentField>,
) -> Constant<u32> {
    constants.remove(name).unwrap_or_else(|| {
        *absent = Some(AbsentField(name));
        Constant::missing("absent")
    })
}

/// What another bufwatch has written has not all of the numbers.
#[derive(Debug, thiserror::Error)]
#[error("there is no `{0}`")]
pub struct AbsentField(&'static str);

/// The tables were measured on this release.
pub fn is_measured(release: Option<Release>) -> bool {
    MEASURED.iter().any(|(measured, _)| Some(*measured) == release)
}

impl Layout {
    /// Adding it to an address fails, and it equals no instance type.
    pub const MISSING: u64 = u64::MAX;
}

metadata! {
    map_instance_type: "Map::instance_type" = stated(&["class_Map__instance_type__uint16_t"]);

    type_map: "MAP_TYPE" = stated(&["type_Map__MAP_TYPE"]);
    type_shared: "SHARED_FUNCTION_INFO_TYPE" = stated(&["type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE"]);
    type_script: "SCRIPT_TYPE" = stated(&["type_Script__SCRIPT_TYPE"]);
    type_scope_info: "SCOPE_INFO_TYPE" = stated(&["type_ScopeInfo__SCOPE_INFO_TYPE"]);
    type_bytecode_array: "BYTECODE_ARRAY_TYPE" = stated(&["type_BytecodeArray__BYTECODE_ARRAY_TYPE"]);
    type_interpreter_data: "INTERPRETER_DATA_TYPE" = stated(&["type_InterpreterData__INTERPRETER_DATA_TYPE"]);
    type_code: "CODE_TYPE" = stated(&["type_Code__CODE_TYPE"]);
    /// What holds machine code: `Code` itself up to V8 10.
    type_instructions: "INSTRUCTION_STREAM_TYPE" =
        stated(&["type_InstructionStream__INSTRUCTION_STREAM_TYPE", "type_Code__CODE_TYPE"]);
    type_code_data_container: "CODE_DATA_CONTAINER_TYPE" =
        stated(&["type_CodeDataContainer__CODE_DATA_CONTAINER_TYPE"]);
    type_byte_array: "BYTE_ARRAY_TYPE" = stated(&["type_ByteArray__BYTE_ARRAY_TYPE"]);
    type_trusted_byte_array: "TRUSTED_BYTE_ARRAY_TYPE" =
        stated(&["type_TrustedByteArray__TRUSTED_BYTE_ARRAY_TYPE"]);
    type_fixed_array: "FIXED_ARRAY_TYPE" = stated(&["type_FixedArray__FIXED_ARRAY_TYPE"]);
    type_shared_wrapper: "SHARED_FUNCTION_INFO_WRAPPER_TYPE" =
        stated(&["type_SharedFunctionInfoWrapper__SHARED_FUNCTION_INFO_WRAPPER_TYPE"]);

    string_length: "String::length" = stated(&["class_String__length__int32_t"]);
    string_chars: "SeqString::chars" = stated(&["class_SeqOneByteString__chars__char"]);
    cons_first: "ConsString::first" = stated(&["class_ConsString__first__String"]);
    cons_second: "ConsString::second" = stated(&["class_ConsString__second__String"]);
    sliced_parent: "SlicedString::parent" = stated(&["class_SlicedString__parent__String"]);
    sliced_offset: "SlicedString::offset" = stated(&["class_SlicedString__offset__SMI"]);
    thin_actual: "ThinString::actual" = stated(&["class_ThinString__actual__String"]);
    /// Pointer to the characters, behind the pointer to the resource.
    external_data: "ExternalString::resource_data" = table([24; 5]);

    array_length: "FixedArrayBase::length" = stated(&["class_FixedArrayBase__length__SMI"]);
    array_data: "FixedArray::data" = stated(&["class_FixedArray__data__uintptr_t"]);

    function_shared: "JSFunction::shared" = stated(&["class_JSFunction__shared__SharedFunctionInfo"]);
    shared_function_data: "SharedFunctionInfo::function_data" =
        stated_or(&["class_SharedFunctionInfo__function_data__*"], [8; 5]);
    shared_name_or_scope_info: "SharedFunctionInfo::name_or_scope_info" =
        stated(&["class_SharedFunctionInfo__name_or_scope_info__*"]);
    shared_script: "SharedFunctionInfo::script" = stated(&["class_SharedFunctionInfo__script_*"]);
    /// Behind the flags.
    shared_literal_id: "SharedFunctionInfo::function_literal_id" =
        derived(BEHIND_FLAGS, [52, 52, 52, 60, 60]);
    shared_flags: "SharedFunctionInfo::flags" = stated(&["class_SharedFunctionInfo__flags__int"]);
    /// Before V8 12 these functions have a name that says so. Since V8 14 there are two kinds of each, one behind the other; they are
    /// the last kinds.
    kind_members_initializer: "FunctionKind::kClassMembersInitializerFunction" =
        table([ABSENT, ABSENT, 24, 24, 24]);
    kind_static_initializer: "FunctionKind::kClassStaticInitializerFunction" =
        table([ABSENT, ABSENT, 25, 25, 26]);
    wrapper_shared: "SharedFunctionInfoWrapper::shared_info" =
        stated(&["class_SharedFunctionInfoWrapper__shared_info__*"]);

    script_source: "Script::source" = stated(&["class_Script__source__Object"]);
    script_name: "Script::name" = stated(&["class_Script__name__Object"]);
    script_line_offset: "Script::line_offset" = table([24; 5]);
    script_column_offset: "Script::column_offset" = table([32; 5]);
    script_type: "Script::type" = stated_or(&["class_Script__type__SMI"], [48; 5]);
    script_id: "Script::id" = table([64; 5]);
    script_eval_from_shared: "Script::eval_from_shared" =
        stated(&["class_Script__eval_from_shared_or_wrapped_arguments*"]);
    script_eval_from_position: "Script::eval_from_position" =
        stated(&["class_Script__eval_from_position__SMI"]);
    /// A `WeakFixedArray`: the function with literal id n, if V8 has made it, is the n-th.
    script_functions: "Script::shared_function_infos" = table([88; 5]);
    script_source_url: "Script::source_url" = table([104, 112, 112, 112, 112]);
    script_source_mapping_url: "Script::source_mapping_url" = table([112, 120, 120, 120, 120]);

    scope_flags: "ScopeInfo::flags" = table([8; 5]);
    /// 1 if the flags are a Smi, 0 if a plain word.
    scope_flags_are_smi: "ScopeInfo::flags is a Smi" =
        derived(SCOPE_FLAGS_ARE_SMI, [1, 1, 1, 0, 0]);
    /// As an index of words behind the map and the flags.
    scope_n_locals: "ScopeInfo::context_local_count, word" = stated(&["scopeinfo_idx_ncontextlocals"]);
    scope_first_local: "ScopeInfo::first variable, word" = stated(&["scopeinfo_idx_first_vars"]);
    /// Absent where positions come after the variable part.
    scope_position: "ScopeInfo::position_info" =
        derived(SCOPE_POSITION, [ABSENT, ABSENT, ABSENT, 32, 32]);

    bytecode_length: "BytecodeArray::length" = stated_or(&["class_BytecodeArray__length__SMI"], [8; 5]);
    bytecode_data: "BytecodeArray::data" = stated(&["class_BytecodeArray__data__uintptr_t"]);
    bytecode_positions: "BytecodeArray::source_position_table" = table([32, 32, 24, 24, 24]);
    interpreter_data_bytecode: "InterpreterData::bytecode_array" = table([8; 5]);

    /// Of baseline code the same word is its bytecode array or interpreter data.
    code_deopt_data: "Code::deoptimization_data" =
        stated_or(&["class_Code__deoptimization_data__*"], [16, 16, 8, 8, 8]);
    /// Of baseline code the same word is its table of bytecode offsets.
    code_positions: "Code::source_position_table" =
        stated_or(&["class_Code__source_position_table__*"], [24, 24, 16, 16, 16]);
    /// Absent where the code lies behind the header itself, at `code_header_bytes`.
    code_start: "Code::instruction_start" = table([ABSENT, 40, 40, 40, 40]);
    code_header_bytes: "Code::header size" =
        table([128, ABSENT, ABSENT, ABSENT, ABSENT]);
    code_size: "Code::instruction_size" = stated_or(&["class_Code__instruction_size__int"], [40, 56, 52, 56, 56]);
    code_flags: "Code::flags" = stated_or(&["class_Code__flags__uint32_t"], [48, 48, 48, 52, 52]);
    code_kind_baseline: "CodeKind::BASELINE" = table([11, 11, 10, 10, 11]);
    code_kind_maglev: "CodeKind::MAGLEV" = table([ABSENT, 12, 11, 11, 12]);
    code_kind_turbofan: "CodeKind::TURBOFAN_JS" = table([13, 13, 12, 12, 13]);

    deopt_translations: "DeoptimizationData::frame_translation, index" = table([0; 5]);
    deopt_literals: "DeoptimizationData::literal_array, index" = table([2, 2, 2, 3, 3]);
    deopt_shared: "DeoptimizationData::shared_function_info, index" = table([6, 6, 6, 7, 7]);
    deopt_inlining_positions: "DeoptimizationData::inlining_positions, index" = table([7, 7, 7, 8, 8]);

    deopt_first_entry: "DeoptimizationData::first deopt entry, index" = table([11, 11, 11, 12, 12]);

    /// The value of a stub frame's type word; WebAssembly code says so there.
    frame_wasm: "StackFrame::WASM" = stated(&["frametype_WasmFrame"]);
    frame_wasm_to_js: "StackFrame::WASM_TO_JS" = stated(&["frametype_WasmToJsFrame"]);
    frame_js_to_wasm: "StackFrame::JS_TO_WASM" = stated(&["frametype_JsToWasmFrame"]);

    type_foreign: "FOREIGN_TYPE" =
        stated_or(&["type_Foreign__FOREIGN_TYPE"], [204, ABSENT, ABSENT, ABSENT, ABSENT]);
    type_wasm_instance: "WASM_INSTANCE_OBJECT_TYPE" =
        stated(&["type_WasmInstanceObject__WASM_INSTANCE_OBJECT_TYPE"]);
    type_wasm_module: "WASM_MODULE_OBJECT_TYPE" =
        stated(&["type_WasmModuleObject__WASM_MODULE_OBJECT_TYPE"]);
    /// Absent where frames hold the instance object itself.
    wasm_data_instance: "WasmTrustedInstanceData::instance_object" =
        table([ABSENT, ABSENT, 160, 152, 104]);
    wasm_instance_module: "WasmInstanceObject::module_object" = table([208, 208, 32, 32, 32]);
    wasm_module_script: "WasmModuleObject::script" = table([40, 32, 32, 32, 32]);
    script_wasm_native_module: "Script::wasm_managed_native_module" =
        stated(&["class_Script__wasm_managed_native_module__*"]);
    foreign_address: "Foreign::foreign_address" = table([8; 5]);
    managed_shared_ptr: "ManagedPtrDestructor::shared_ptr_ptr_" = table([24; 5]);
    /// Behind the pointer to the process's `GlobalWasmState`, of which it is the first part.
    wasm_lookup_map: "WasmCodeManager::lookup_map_" = table([72, 64, 64, 32, 32]);
    native_module_wire_bytes: "NativeModule::wire_bytes_" = table([312, 200, 200, 240, 232]);
    /// `new_owned_code_` and `code_table_` follow.
    native_module_owned_code: "NativeModule::owned_code_" = table([416, 304, 392, 312, 304]);
    wasm_code_tables: "WasmCode::meta_data_" = table([24, 16, 16, 24, 24]);
    /// The sizes of relocations and source positions follow.
    wasm_code_size: "WasmCode::instructions_size_" = table([32, 24, 24, 32, 32]);
    wasm_code_inlining_size: "WasmCode::inlining_positions_size_" =
        table([ABSENT, 36, 36, 44, 44]);
    wasm_code_trapping_size: "WasmCode::trapping_instructions_size_" =
        table([44, 40, 40, 52, 52]);
    wasm_code_index: "WasmCode::index_" = table([48, 44, 44, 56, 56]);
    /// Packed function index, since V8 12 whether it was a tail call, position in the caller.
    wasm_inlining_bytes: "WasmInliningPosition, size" = table([ABSENT, 12, 13, 13, 13]);

    // From here on: what the heap census needs (v8-heap-census.md §2, measured in the processes themselves).

    map_instance_words: "Map::instance_size_in_words" = stated(&["class_Map__instance_size_in_words__char"]);
    map_first_field: "Map::inobject_properties_start" =
        stated(&["class_Map__inobject_properties_start_or_constructor_function_index__char"]);
    map_bit_field3: "Map::bit_field3" = stated(&["class_Map__bit_field3__int"]);
    map_constructor: "Map::constructor_or_back_pointer" =
        stated(&["class_Map__constructor_or_back_pointer__*"]);
    map_descriptors: "Map::instance_descriptors" = stated(&["class_Map__instance_descriptors_offset"]);
    map_own_descriptors_mask: "Map::number_of_own_descriptors, mask" =
        stated(&["bit_field3_number_of_own_descriptors_mask"]);
    map_own_descriptors_shift: "Map::number_of_own_descriptors, shift" =
        stated(&["bit_field3_number_of_own_descriptors_shift"]);
    descriptors_header: "DescriptorArray::header size" =
        stated_or(&["class_DescriptorArray__header_size__uintptr_t"], [24, 24, 24, 24, 32]);
    property_location_mask: "PropertyDetails::location, mask" = stated(&["prop_location_mask"]);
    property_index_mask: "PropertyDetails::field_index, mask" = stated(&["prop_index_mask"]);
    property_index_shift: "PropertyDetails::field_index, shift" = stated(&["prop_index_shift"]);

    type_array_buffer: "JS_ARRAY_BUFFER_TYPE" = stated(&["type_JSArrayBuffer__JS_ARRAY_BUFFER_TYPE"]);
    type_typed_array: "JS_TYPED_ARRAY_TYPE" = stated(&["type_JSTypedArray__JS_TYPED_ARRAY_TYPE"]);
    /// From V8 14 on.
    type_detached_typed_array: "JS_DETACHED_TYPED_ARRAY_TYPE" =
        stated(&["type_JSDetachedTypedArray__JS_DETACHED_TYPED_ARRAY_TYPE"]);
    type_data_view: "JS_DATA_VIEW_TYPE" = stated(&["type_JSDataView__JS_DATA_VIEW_TYPE"]);
    /// From V8 11 on.
    type_rab_data_view: "JS_RAB_GSAB_DATA_VIEW_TYPE" =
        stated(&["type_JSRabGsabDataView__JS_RAB_GSAB_DATA_VIEW_TYPE"]);
    /// Before V8 13 `FreeSpace` says its size in bytes, since then in words.
    type_free_space: "FREE_SPACE_TYPE" = stated_or(&["type_FreeSpace__FREE_SPACE_TYPE"], [247, 251, 260, 268, 273]);
    free_space_unit: "FreeSpace::size, bytes of a unit" = table([1, 1, 1, 8, 8]);
    type_ephemeron_table: "EPHEMERON_HASH_TABLE_TYPE" =
        stated_or(&["type_EphemeronHashTable__EPHEMERON_HASH_TABLE_TYPE"], [181, 177, 176, 207, 207]);
    type_fixed_double_array: "FIXED_DOUBLE_ARRAY_TYPE" = stated(&["type_FixedDoubleArray__FIXED_DOUBLE_ARRAY_TYPE"]);
    type_property_array: "PROPERTY_ARRAY_TYPE" = stated(&["type_PropertyArray__PROPERTY_ARRAY_TYPE"]);
    type_weak_fixed_array: "WEAK_FIXED_ARRAY_TYPE" = stated(&["type_WeakFixedArray__WEAK_FIXED_ARRAY_TYPE"]);
    type_weak_array_list: "WEAK_ARRAY_LIST_TYPE" = stated(&["type_WeakArrayList__WEAK_ARRAY_LIST_TYPE"]);
    type_array_list: "ARRAY_LIST_TYPE" = stated(&["type_ArrayList__ARRAY_LIST_TYPE"]);
    type_descriptor_array: "DESCRIPTOR_ARRAY_TYPE" = stated(&["type_DescriptorArray__DESCRIPTOR_ARRAY_TYPE"]);
    type_strong_descriptor_array: "STRONG_DESCRIPTOR_ARRAY_TYPE" =
        stated(&["type_StrongDescriptorArray__STRONG_DESCRIPTOR_ARRAY_TYPE"]);
    type_heap_number: "HEAP_NUMBER_TYPE" = stated(&["type_HeapNumber__HEAP_NUMBER_TYPE"]);
    /// Beside `HEAP_NUMBER_TYPE` and `SYMBOL_TYPE`, which are stated.
    type_big_int: "BIGINT_TYPE" = table([129; 5]);
    type_coverage_info: "COVERAGE_INFO_TYPE" = stated(&["type_CoverageInfo__COVERAGE_INFO_TYPE"]);
    type_property_cell: "PROPERTY_CELL_TYPE" = stated(&["type_PropertyCell__PROPERTY_CELL_TYPE"]);
    type_weak_cell: "WEAK_CELL_TYPE" = stated(&["type_WeakCell__WEAK_CELL_TYPE"]);
    type_weak_ref: "JS_WEAK_REF_TYPE" = stated(&["type_JSWeakRef__JS_WEAK_REF_TYPE"]);
    type_weak_map: "JS_WEAK_MAP_TYPE" = stated(&["type_JSWeakMap__JS_WEAK_MAP_TYPE"]);
    type_weak_set: "JS_WEAK_SET_TYPE" = stated(&["type_JSWeakSet__JS_WEAK_SET_TYPE"]);
    type_js_map: "JS_MAP_TYPE" = stated(&["type_JSMap__JS_MAP_TYPE"]);
    type_js_set: "JS_SET_TYPE" = stated(&["type_JSSet__JS_SET_TYPE"]);
    type_js_promise: "JS_PROMISE_TYPE" = stated(&["type_JSPromise__JS_PROMISE_TYPE"]);
    type_js_array: "JS_ARRAY_TYPE" = stated(&["type_JSArray__JS_ARRAY_TYPE"]);
    type_bound_function: "JS_BOUND_FUNCTION_TYPE" = stated(&["type_JSBoundFunction__JS_BOUND_FUNCTION_TYPE"]);
    type_async_function_object: "JS_ASYNC_FUNCTION_OBJECT_TYPE" =
        stated(&["type_JSAsyncFunctionObject__JS_ASYNC_FUNCTION_OBJECT_TYPE"]);
    type_async_generator_object: "JS_ASYNC_GENERATOR_OBJECT_TYPE" =
        stated(&["type_JSAsyncGeneratorObject__JS_ASYNC_GENERATOR_OBJECT_TYPE"]);
    type_promise_reaction: "PROMISE_REACTION_TYPE" = stated(&["type_PromiseReaction__PROMISE_REACTION_TYPE"]);
    type_source_text_module: "SOURCE_TEXT_MODULE_TYPE" =
        stated(&["type_SourceTextModule__SOURCE_TEXT_MODULE_TYPE"]);
    type_cell: "CELL_TYPE" = stated(&["type_Cell__CELL_TYPE"]);
    type_first_function: "FIRST_JS_FUNCTION_TYPE" =
        stated_or(&["FirstJSFunctionType", "type_JSFunction__JS_FUNCTION_TYPE"], [2065, 2066, 2066, 2065, 2066]);
    type_last_function: "LAST_JS_FUNCTION_TYPE" =
        stated_or(&["LastJSFunctionType"], [2081, 2082, 2082, 2081, 2082]);
    type_global_object: "JS_GLOBAL_OBJECT_TYPE" = stated(&["type_JSGlobalObject__JS_GLOBAL_OBJECT_TYPE"]);
    /// The first kind of receiver; what comes before is internal to V8, but for WebAssembly's objects.
    type_first_receiver: "JS_PROXY_TYPE" = stated(&["type_JSProxy__JS_PROXY_TYPE"]);
    type_first_context: "FIRST_CONTEXT_TYPE" = stated(&["FirstContextType"]);
    type_last_context: "LAST_CONTEXT_TYPE" = stated(&["LastContextType"]);

    buffer_byte_length: "JSArrayBuffer::byte_length" = stated(&["class_JSArrayBuffer__byte_length__size_t"]);
    /// Behind the length.
    buffer_max_byte_length: "JSArrayBuffer::max_byte_length" = table([32, 40, 40, 48, 48]);
    buffer_backing_store: "JSArrayBuffer::backing_store" =
        stated(&["class_JSArrayBuffer__backing_store__uintptr_t"]);
    /// Behind the pointer to the bytes: a malloc'ed object that shares the `BackingStore`.
    buffer_extension: "JSArrayBuffer::extension" = table([48, 56, 56, 64, 64]);
    buffer_flags: "JSArrayBuffer::bit_field" = table([56, 64, 64, 72, 72]);
    view_buffer: "JSArrayBufferView::buffer" = table([24, 24, 24, 32, 32]);
    view_flags: "JSArrayBufferView::bit_field" = table([48, 48, 48, 40, 40]);
    view_byte_offset: "JSArrayBufferView::byte_offset" = stated(&["class_JSArrayBufferView__byte_offset__size_t"]);
    view_byte_length: "JSArrayBufferView::byte_length" = stated(&["class_JSArrayBufferView__byte_length__size_t"]);
    view_external_pointer: "JSTypedArray::external_pointer" =
        stated(&["class_JSTypedArray__external_pointer__uintptr_t"]);
    view_base_pointer: "JSTypedArray::base_pointer" = stated(&["class_JSTypedArray__base_pointer__*"]);

    object_properties: "JSReceiver::properties" = stated(&["class_JSReceiver__raw_properties_or_hash__*"]);
    object_elements: "JSObject::elements" = stated(&["class_JSObject__elements__Object"]);
    collection_table: "JSCollection::table" = table([24; 5]);
    /// Bits of `Symbol::flags` of private names and brands.
    symbol_private_mask: "Symbol::is_private, mask" = table([1, 1, 1, 1, 3]);
    property_cell_name: "PropertyCell::name" = table([8; 5]);
    weak_ref_target: "JSWeakRef::target" = table([24; 5]);
    weak_cell_target: "WeakCell::target" = table([16, 16, 16, 16, 24]);
    function_context: "JSFunction::context" = stated(&["class_JSFunction__context__*"]);
    function_code: "JSFunction::code" = table([48, 48, 24, 24, 24]);
    context_first_slot: "Context::MIN_CONTEXT_SLOTS" = stated(&["context_min_slots"]);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Binary;

    impl StatedNumbers for Binary {
        fn stated(&self, names: &[&str]) -> Option<(u32, String)> {
            names.contains(&"class_Map__instance_type__uint16_t").then(|| (12, "it".to_owned()))
        }
    }

    #[test]
    fn what_the_binary_states_wins_and_the_nearest_release_before_it_is_next() {
        let of = |major, minor| Metadata::resolve(&Binary, Some(Release { major, minor }));
        assert_eq!(of(13, 6).map_instance_type.get(), Some(12));
        assert_eq!(of(13, 6).shared_literal_id.provenance(), "table: V8 13.6");
        let between = of(12, 9).shared_literal_id;
        assert_eq!(between.get(), Some(52));
        assert!(between.provenance().contains("nearest"), "{}", between.provenance());
        assert_eq!(of(99, 0).shared_literal_id.get(), Some(60));
        assert_eq!(of(10, 2).code_kind_maglev.get(), None);
    }

    #[test]
    fn all_of_them_come_back_from_json() {
        let metadata = Metadata::resolve(&Binary, Some(Release { major: 12, minor: 4 }));
        let json = serde_json::to_string(&metadata).unwrap();
        assert_eq!(serde_json::from_str::<Metadata>(&json).unwrap(), metadata);
        let less = json.replace("\"map_instance_type\"", "\"of_another_bufwatch\"");
        let error = serde_json::from_str::<Metadata>(&less).unwrap_err().to_string();
        assert!(error.contains("there is no `map_instance_type`"), "{error}");
    }

    #[test]
    fn what_is_missing_can_be_read_nowhere() {
        let layout = Metadata::resolve(&Binary, None).layout();
        assert_eq!(layout.map_instance_type, 12);
        assert_eq!(layout.script_id, Layout::MISSING);
    }
}
