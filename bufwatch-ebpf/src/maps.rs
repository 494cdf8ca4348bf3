//! Every map: key, value, size, who reads it and what happens when it is full. No logic.

use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf};
use bufwatch_common::fault::FaultBlock;
use bufwatch_common::{
    CallbackFunctions, DropReason, FRAMES_MAX, InterpreterCopies, LiveKey, LiveStore,
    N_SIZE_CLASSES, ProbeConfig, RawFrame, SizeClassCounters, StackRecord,
};

/// Records for user space, which may set another size before loading. Full: the record is lost, counted
/// as `RingFull`, and user space reads `LIVE` again.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(8 << 20, 0);

/// One entry, written by user space before anything is attached.
#[map]
pub static CONFIG: Array<ProbeConfig> = Array::with_max_entries(1, 0);

/// One entry: where else the interpreter is mapped. User space writes what it finds at attach, `copies` what comes and goes later.
/// Full: interpreted frames of further workers have a function, and a line that is approximate.
#[map]
pub static COPIES: Array<InterpreterCopies> = Array::with_max_entries(1, 0);

/// What is alive: the authority, together with `LIVE_MORE`. Preallocated, since allocating an entry in the
/// probe costs the target 0.3 µs at birth and as much at death; 7 MB, enough for all but few targets.
#[map]
pub static LIVE: HashMap<LiveKey, LiveStore> = HashMap::with_max_entries(1 << 16, 0);

/// What `LIVE` has no room for, allocated entry by entry. Full: the store is not tracked, counted as
/// `LiveMapFull`.
#[map]
pub static LIVE_MORE: HashMap<LiveKey, LiveStore> =
    HashMap::with_max_entries(1 << 20, BPF_F_NO_PREALLOC);

/// Entries in `LIVE_MORE`, so that nobody looks there in vain.
#[map]
pub static N_LIVE_MORE: Array<u64> = Array::with_max_entries(1, 0);

/// Stack ids that user space has been sent. Evicted: the stack is sent once more.
#[map]
pub static STACKS: LruHashMap<u64, u64> = LruHashMap::with_max_entries(16_384, 0);

/// Hash of the stack words as they are in memory now → stack id, each at its place by hash; a newer one
/// replaces an older. It holds until the next garbage collection, which moves functions, and saves reading
/// them again for a repeated site.
#[map]
pub static SHORTCUTS: Array<Shortcut> = Array::with_max_entries(N_SHORTCUTS, 0);

/// Places for shortcuts; a busy server allocates from a few hundred stacks.
pub const N_SHORTCUTS: u32 = 8_192;

/// Written without a lock: `hash_and_id` is the hash mixed with the id, so that halves do not fit together.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Shortcut {
    pub hash_and_id: u64,
    pub stack_id: u64,
}

/// Stores below the individual-tracking size, by class; summed up by user space. One entry, since each costs user space a system call.
#[map]
pub static SIZE_CLASSES: PerCpuArray<[SizeClassCounters; N_SIZE_CLASSES]> =
    PerCpuArray::with_max_entries(1, 0);

/// One entry, indexed by `DropReason`; summed up by user space.
#[map]
pub static DROPS: PerCpuArray<[u64; DropReason::COUNT]> = PerCpuArray::with_max_entries(1, 0);

/// Records of this CPU so far, written or lost.
#[map]
pub static SEQUENCES: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// When user space was last woken up, `CLOCK_MONOTONIC` nanoseconds.
#[map]
pub static WOKEN_UP: Array<u64> = Array::with_max_entries(1, 0);

/// Garbage collections so far, begun or ended, of any isolate: validity of `SHORTCUTS`.
#[map]
pub static GC_EPOCH: Array<u64> = Array::with_max_entries(1, 0);

/// Thread → store whose resize it has entered. Full: the resize is missed, counted as `ResizeUnpaired`.
#[map]
pub static RESIZING: HashMap<u64, u64> = HashMap::with_max_entries(1_024, 0);

/// One entry, written by user space before anything is attached: which functions run callbacks of async resources.
#[map]
pub static CALLBACK_FUNCTIONS: Array<CallbackFunctions> = Array::with_max_entries(1, 0);

/// Thread → the callbacks that it has entered, some of which it may have left. Evicted: what they make has no async
/// origin. This and the next two have one entry each unless async origins were asked for.
#[map]
pub static CALLBACKS: LruHashMap<u32, Callbacks> = LruHashMap::with_max_entries(1_024, 0);

/// Address of an `AsyncWrap` → its origin. An address that is used again is written again. Evicted: what its
/// callbacks make has no async origin.
#[map]
pub static ASYNC_RESOURCES: LruHashMap<u64, u64> = LruHashMap::with_max_entries(65_536, 0);

/// Origins that user space has been sent. Evicted: it is sent once more, and new ones do not refer to it.
#[map]
pub static ASYNC_ORIGINS: LruHashMap<u64, AsyncOrigin> = LruHashMap::with_max_entries(16_384, 0);

/// Block of addresses → when its pages were last written to for the first time; 8 GiB of them, in 26 MB. Evicted: the first touch of a
/// store that user space has not asked for until then is not known; it asks within seconds. One entry unless it was asked for.
#[map]
pub static FAULTS: LruHashMap<u64, FaultBlock> = LruHashMap::with_max_entries(1 << 17, 0);

/// Callbacks of one thread inside each other; Node has two or three. More: the outer ones are forgotten.
pub const N_CALLBACKS: usize = 8;

/// A stack of callbacks, outermost first. One whose frame pointer is below that of a later one was left.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Callbacks {
    pub n: u64,
    pub entries: [Callback; N_CALLBACKS],
}

/// A call of a function that runs callbacks of an async resource.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Callback {
    /// Frame pointer of the call.
    pub fp: u64,
    /// Address of the `AsyncWrap`.
    pub resource: u64,
}

/// How async resources were created.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct AsyncOrigin {
    pub stack_id: u64,
    /// Origins that this one goes back to.
    pub depth: u64,
}

/// uprobe programs can be preempted, so one scratch a CPU would be shared by two threads of the target:
/// each run takes one of a few. None free: the store is recorded without a stack, counted as `ScratchBusy`.
#[map]
pub static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(N_SCRATCH, 0);

/// Scratch buffers a CPU: threads of one target preempting each other inside a probe, at once.
pub const N_SCRATCH: u32 = 4;

/// Bytes of stack copied at once. Node stacks at allocation span 2.8 to 3.1 KiB (js-stacks.md §2.1); a copy
/// costs 0.1 µs by itself, so that smaller pieces measured slower.
pub const CHUNK_BYTES: usize = 4_096;

/// Working memory of one stack walk; too large for the 512-byte BPF stack.
#[repr(C)]
pub struct Scratch {
    /// 1 while a run owns it.
    pub is_taken: u64,
    /// Target address of `chunk[0]`.
    pub chunk_start: u64,
    /// Valid bytes in `chunk`.
    pub chunk_len: u64,
    /// Frame pointer of the frame to look at next; zero at the end.
    pub fp: u64,
    /// Program counter in that frame.
    pub pc: u64,
    /// Running hash.
    pub hash: u64,
    /// 1 if the frames are to be written down, not only hashed.
    pub is_recording: u64,
    /// Frame pointer of the innermost callback that the walk has not passed yet; all ones if there is none.
    pub callback_fp: u64,
    /// Its place among the callbacks of the thread.
    pub callback_at: u64,
    /// `AsyncWrap` whose callback the thread is in; zero if none was found.
    pub resource: u64,
    /// 1 if a frame is of a script of the application; only looked for where a resource is created.
    pub is_of_app: u64,
    /// The one under construction.
    pub record: StackRecord,
    pub chunk: [u64; CHUNK_BYTES / 8],
}

/// Frames are written through a raw pointer; this keeps the compile-time sizes together.
pub const FRAME_BYTES: usize = size_of::<RawFrame>();
const _: () = assert!(FRAMES_MAX * FRAME_BYTES < 4_096);
