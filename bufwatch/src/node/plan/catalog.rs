//! What to look for in a Node image: spellings of symbols, from what has been seen to exist and fire in
//! Node 18 to 26, and what is lost without each. Which of them a binary has is `resolve`'s part.

use crate::elf::Pattern;
use crate::elf::Pattern::{Exact, Prefix};

/// `JSArrayBuffer::Attach(shared_ptr<BackingStore>)`: Node 18 to 22.
pub const ATTACH: Pattern = Prefix("_ZN2v88internal13JSArrayBuffer6AttachE");
/// `JSArrayBuffer::CreateExtension(Isolate*, shared_ptr<BackingStore>)`: Node 24 and 26, where `Attach` is
/// inlined.
pub const CREATE_EXTENSION: Pattern = Prefix("_ZN2v88internal13JSArrayBuffer15CreateExtensionE");
pub const DESTRUCTOR_D1: Pattern = Exact("_ZN2v88internal12BackingStoreD1Ev");
pub const DESTRUCTOR_D2: Pattern = Exact("_ZN2v88internal12BackingStoreD2Ev");
pub const RESIZE: Pattern = Prefix("_ZN2v88internal12BackingStore13ResizeInPlaceE");
pub const GROW: Pattern = Prefix("_ZN2v88internal12BackingStore11GrowInPlaceE");
pub const GROW_WASM: Pattern = Prefix("_ZN2v88internal12BackingStore21GrowWasmMemoryInPlaceE");
/// Node 18 has a clone with a constant argument besides it; both run collections.
pub const PERFORM_GC: Pattern = Prefix("_ZN2v88internal4Heap24PerformGarbageCollectionE");
pub const GC_EPILOGUE_SAFEPOINT: Pattern =
    Prefix("_ZN2v88internal4Heap36GarbageCollectionEpilogueInSafepointE");
pub const GC_EPILOGUE: Pattern = Prefix("_ZN2v88internal4Heap25GarbageCollectionEpilogueE");

/// Called once an isolate, when its worker or the process ends.
pub const HEAP_TEAR_DOWN: Pattern = Exact("_ZN2v88internal4Heap8TearDownEv");

/// What runs inside of is a garbage collection; the first is there even where the second is inlined.
pub const COLLECT_GARBAGE: Pattern = Prefix("_ZN2v88internal4Heap14CollectGarbageE");
pub const MICROTASK_QUEUE_VTABLE: Pattern = Exact("_ZTVN2v88internal14MicrotaskQueueE");

/// Operands of the instructions that deoptimisation data is written in; V8 12 and later matter.
pub const TRANSLATION_OPERANDS: Pattern =
    Exact("_ZZN2v88internal29TranslationOpcodeOperandCountENS0_17TranslationOpcodeEE6counts");
/// What V8 states of itself for debuggers.
pub const STATED_NUMBERS: Pattern = Prefix("v8dbg_");
/// Bytes of each bytecode; the full name, since V8 14 has another table `detail::kBytecodeSizes`.
pub const BYTECODE_SIZES: Pattern =
    Exact("_ZN2v88internal11interpreter9Bytecodes14kBytecodeSizesE");
pub const V8_VERSION: [Pattern; 4] = [
    Exact("_ZN2v88internal7Version6major_E"),
    Exact("_ZN2v88internal7Version6minor_E"),
    Exact("_ZN2v88internal7Version6build_E"),
    Exact("_ZN2v88internal7Version6patch_E"),
];
/// Pointer to what WebAssembly has once a process, its table of code among it.
pub const WASM_STATE: Pattern = Exact("_ZN2v88internal4wasm12_GLOBAL__N_117global_wasm_stateE");
/// Exported, so that addons find it: there even in a stripped binary.
pub const NAPI_GET_NODE_VERSION: Pattern = Exact("napi_get_node_version");
pub const NAPI_VERSION_DATA: Pattern = Exact("_ZZ21napi_get_node_versionE7version");
pub const ALLOCATOR_VTABLE: Pattern = Exact("_ZTVN4node24NodeArrayBufferAllocatorE");
/// Code from Node 20 on; in Node 18 a pointer to `BLOB_CODE_DATA`.
pub const BLOB_CODE: Pattern = Exact("v8_Default_embedded_blob_code_");
pub const BLOB_CODE_DATA: Pattern = Exact("v8_Default_embedded_blob_code_data_");
pub const BLOB_CODE_SIZE: Pattern = Exact("v8_Default_embedded_blob_code_size_");

/// Where frames of interpreted JavaScript return to.
pub const INTERPRETER_ENTRY: Pattern = Exact("Builtins_InterpreterEntryTrampoline");
/// Where they return to after their optimised code was given up, if the first is not it.
pub const INTERPRETER_RE_ENTRIES: [Pattern; 4] = [
    Exact("Builtins_InterpreterEnterAtBytecode"),
    Exact("Builtins_InterpreterEnterAtNextBytecode"),
    Exact("Builtins_BaselineOrInterpreterEnterAtBytecode"),
    Exact("Builtins_BaselineOrInterpreterEnterAtNextBytecode"),
];

/// libuv's event loop, and its waiting for I/O.
pub const EVENT_LOOP: Pattern = Exact("uv_run");
pub const EVENT_POLL: Pattern = Exact("uv__io_poll");

/// Everything searched for in one pass.
pub const PATTERNS: &[Pattern] = &[
    ATTACH,
    CREATE_EXTENSION,
    DESTRUCTOR_D1,
    DESTRUCTOR_D2,
    RESIZE,
    GROW,
    GROW_WASM,
    PERFORM_GC,
    GC_EPILOGUE_SAFEPOINT,
    GC_EPILOGUE,
    HEAP_TEAR_DOWN,
    COLLECT_GARBAGE,
    MICROTASK_QUEUE_VTABLE,
    STATED_NUMBERS,
    BYTECODE_SIZES,
    TRANSLATION_OPERANDS,
    WASM_STATE,
    V8_VERSION[0],
    V8_VERSION[1],
    V8_VERSION[2],
    V8_VERSION[3],
    NAPI_GET_NODE_VERSION,
    NAPI_VERSION_DATA,
    ALLOCATOR_VTABLE,
    BLOB_CODE,
    BLOB_CODE_DATA,
    BLOB_CODE_SIZE,
    INTERPRETER_ENTRY,
    INTERPRETER_RE_ENTRIES[0],
    INTERPRETER_RE_ENTRIES[1],
    INTERPRETER_RE_ENTRIES[2],
    INTERPRETER_RE_ENTRIES[3],
    EVENT_LOOP,
    EVENT_POLL,
];

/// What a probe is for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProbePurpose {
    /// An array buffer takes a store: rsi is the address of its `shared_ptr`.
    StoreCreatedArg1,
    /// The same with the `shared_ptr`'s address in rdx.
    StoreCreatedArg2,
    /// rdi is the `BackingStore`, its fields still valid.
    StoreDestroyed,
    /// rdi is the `BackingStore`, rdx the new length; needs the return as well.
    StoreResize,
    /// As `StoreResize`, for growable shared array buffers.
    StoreGrow,
    /// As `StoreResize`, rdx in wasm pages to add.
    WasmGrow,
    /// rdi is the `Heap`, sil the collector: 0 scavenger, 1 mark-compact, 2 minor mark-sweep.
    GcStarted,
    GcFinished,
    /// rdi is the `Heap`.
    HeapTearDown,
    /// rax is the result; rdi, rsi, rdx, r10, r8, r9 are the arguments of the system call.
    Mmap,
    /// As `Mmap`.
    Munmap,
    /// As `Mmap`.
    Mremap,
    /// As `Mmap`.
    Madvise,
}

impl ProbePurpose {
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreCreatedArg1 | Self::StoreCreatedArg2 => "store created",
            Self::StoreDestroyed => "store destroyed",
            Self::StoreResize => "store resized",
            Self::StoreGrow => "store grown",
            Self::WasmGrow => "wasm memory grown",
            Self::GcStarted => "gc started",
            Self::GcFinished => "gc finished",
            Self::HeapTearDown => "heap torn down",
            Self::Mmap => "mmap",
            Self::Munmap => "munmap",
            Self::Mremap => "mremap",
            Self::Madvise => "madvise",
        }
    }

    /// What the user loses without it.
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::StoreCreatedArg1 | Self::StoreCreatedArg2 | Self::StoreDestroyed => {
                "no stores are seen: this binary cannot be traced"
            }
            Self::StoreResize | Self::StoreGrow => {
                "resizable array buffers keep the size they were created with"
            }
            Self::WasmGrow => "shared WebAssembly memories keep the size they were created with",
            Self::GcStarted => "no GC marks, and no counts of survived GCs",
            Self::GcFinished => "GC pauses have no duration",
            Self::HeapTearDown => {
                "stores that a process frees at its end vanish from its last state"
            }
            Self::Mmap | Self::Munmap | Self::Mremap => "placement of stores is only sampled",
            Self::Madvise => "released pages are only seen when residency is sampled",
        }
    }

    /// Nothing can be traced without it.
    pub const fn is_required(self) -> bool {
        matches!(self, Self::StoreCreatedArg1 | Self::StoreCreatedArg2 | Self::StoreDestroyed)
    }

    /// A return probe goes with it, so only the function's entry will do.
    pub const fn has_return_probe(self) -> bool {
        matches!(self, Self::StoreResize | Self::StoreGrow | Self::WasmGrow)
    }
}

/// A function of the C library that makes one system call.
#[derive(Clone, Copy, Debug)]
pub struct SyscallWrapper {
    pub purpose: ProbePurpose,
    /// Spellings, the preferred one first.
    pub names: &'static [Pattern],
    /// x86-64 system call number.
    pub number: u32,
}

pub const SYSCALL_WRAPPERS: [SyscallWrapper; 4] = [
    SyscallWrapper {
        purpose: ProbePurpose::Mmap,
        names: &[Exact("mmap"), Exact("mmap64")],
        number: 9,
    },
    SyscallWrapper { purpose: ProbePurpose::Munmap, names: &[Exact("munmap")], number: 11 },
    SyscallWrapper { purpose: ProbePurpose::Mremap, names: &[Exact("mremap")], number: 25 },
    SyscallWrapper { purpose: ProbePurpose::Madvise, names: &[Exact("madvise")], number: 28 },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pattern_continues_a_prefix() {
        // `elf::symbols` looks only at the nearest pattern.
        for prefix in PATTERNS.iter().filter(|it| matches!(it, Prefix(_))) {
            let n = PATTERNS.iter().filter(|it| it.text().starts_with(prefix.text())).count();
            assert_eq!(n, 1, "{prefix:?}");
        }
    }
}
