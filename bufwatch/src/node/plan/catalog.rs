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

/// `AsyncWrap::AsyncReset(Local<Object>, …)`, which every constructor calls; not the one that JavaScript calls.
pub const ASYNC_RESET: Pattern = Prefix("_ZN4node9AsyncWrap10AsyncResetEN2v85LocalINS1_6ObjectEEE");
/// All callbacks of an `AsyncWrap` into JavaScript go through it, but those of promises and some of HTTP.
pub const MAKE_CALLBACK: Pattern =
    Exact("_ZN4node9AsyncWrap12MakeCallbackEN2v85LocalINS1_8FunctionEEEiPNS2_INS1_5ValueEEE");
/// Makes the store of what was read before it calls back.
pub const STREAM_READ: Pattern = Prefix("_ZN4node15LibuvStreamWrap8OnUvReadE");
/// `Instantiate(Environment*, AsyncWrap* parent, SocketType)`, for a connection that a server accepted.
pub const ACCEPT_TCP: Pattern = Prefix("_ZN4node7TCPWrap11InstantiateE");
pub const ACCEPT_PIPE: Pattern = Prefix("_ZN4node8PipeWrap11InstantiateE");
/// Settle the promises of `fs.promises`; those for statistics of a file system and in `BigInt` are left out.
pub const PROMISE_RESOLVE: Pattern = Exact(
    "_ZN4node2fs12FSReqPromiseINS_17AliasedBufferBaseIdN2v812Float64ArrayEEEE7ResolveENS3_5LocalINS3_5ValueEEE",
);
pub const PROMISE_RESOLVE_STAT: Pattern = Exact(
    "_ZN4node2fs12FSReqPromiseINS_17AliasedBufferBaseIdN2v812Float64ArrayEEEE11ResolveStatEPK9uv_stat_t",
);
/// Node 26 reads small files in one job, and makes the store before it calls back.
pub const READ_FILE_JOB: Pattern = Exact("_ZN4node2fs11ReadFileJob19AfterThreadPoolWorkEi");
/// Makes the stores of what a message carries before it calls back.
pub const PORT_MESSAGE: Pattern = Prefix("_ZN4node6worker11MessagePort9OnMessageE");

/// What runs inside of is a garbage collection; the first is there even where the second is inlined.
pub const COLLECT_GARBAGE: Pattern = Prefix("_ZN2v88internal4Heap14CollectGarbageE");
/// Sets a field of the heap while its objects are moved or swept, and does nothing else.
pub const SET_GC_STATE: Pattern = Prefix("_ZN2v88internal4Heap10SetGCStateE");
/// `node::V8Platform`, by way of which all isolates are found.
pub const V8_PLATFORM: Pattern = Exact("_ZN4node11per_process11v8_platformE");
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
    ASYNC_RESET,
    MAKE_CALLBACK,
    STREAM_READ,
    ACCEPT_TCP,
    ACCEPT_PIPE,
    PROMISE_RESOLVE,
    PROMISE_RESOLVE_STAT,
    READ_FILE_JOB,
    PORT_MESSAGE,
    COLLECT_GARBAGE,
    SET_GC_STATE,
    V8_PLATFORM,
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
    /// As `Mmap`, with one argument.
    Brk,
    /// rdi is the `AsyncWrap`.
    AsyncCreated,
    /// rdi is the `AsyncWrap`, whose callback runs in this function.
    AsyncCallback,
    /// As `AsyncCallback`.
    AsyncStreamRead,
    /// As `AsyncCallback`.
    AsyncFile,
    /// As `AsyncCallback`.
    AsyncMessage,
    /// As `AsyncCallback`, with the `AsyncWrap` in rsi.
    AsyncAccept,
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
            Self::Brk => "brk",
            Self::AsyncCreated => "async created",
            Self::AsyncCallback => "async callback",
            Self::AsyncStreamRead => "async stream read",
            Self::AsyncFile => "async file",
            Self::AsyncMessage => "async message",
            Self::AsyncAccept => "async accept",
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
            Self::Brk => "steps of RSS do not say what malloc's heap grew or shrank by",
            Self::AsyncCreated | Self::AsyncCallback => "--async-origin is not available",
            Self::AsyncStreamRead => "what sockets and pipes read has no async origin",
            Self::AsyncFile => {
                "what fs.promises reads (in Node 26 fs.readFile too) has no async origin"
            }
            Self::AsyncMessage => "what messages carry has no async origin",
            Self::AsyncAccept => "what accepted connections read has no async origin",
        }
    }

    /// Nothing can be traced without it.
    pub const fn is_required(self) -> bool {
        matches!(self, Self::StoreCreatedArg1 | Self::StoreCreatedArg2 | Self::StoreDestroyed)
    }

    /// Only attached with `--async-origin`.
    pub const fn is_for_async_origin(self) -> bool {
        self.runs_callbacks() || matches!(self, Self::AsyncCreated)
    }

    /// The function runs callbacks of an async resource.
    pub const fn runs_callbacks(self) -> bool {
        matches!(
            self,
            Self::AsyncCallback
                | Self::AsyncStreamRead
                | Self::AsyncFile
                | Self::AsyncMessage
                | Self::AsyncAccept
        )
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
    pub n_arguments: usize,
}

pub const SYSCALL_WRAPPERS: [SyscallWrapper; 5] = [
    wrapper(ProbePurpose::Mmap, &[Exact("mmap"), Exact("mmap64")], 9, 6),
    wrapper(ProbePurpose::Munmap, &[Exact("munmap")], 11, 2),
    wrapper(ProbePurpose::Mremap, &[Exact("mremap")], 25, 5),
    wrapper(ProbePurpose::Madvise, &[Exact("madvise")], 28, 3),
    wrapper(ProbePurpose::Brk, &[Exact("brk"), Exact("__brk")], 12, 1),
];

const fn wrapper(
    purpose: ProbePurpose,
    names: &'static [Pattern],
    number: u32,
    n_arguments: usize,
) -> SyscallWrapper {
    SyscallWrapper { purpose, names, number, n_arguments }
}

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
