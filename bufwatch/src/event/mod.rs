//! Layer 1: the one stream. Everything bufwatch learns of a target is an [`Event`]; this module says what
//! there is to learn, not how it is learned or what follows from it.

pub mod backend;
pub mod census;
pub mod course;
pub mod decode;
pub mod place;
pub mod recorded;
pub mod residency;
pub mod space;

use std::sync::Arc;

use bufwatch_common::{LiveStore, N_SIZE_CLASSES, RawFrame, SizeClassCounters};
use serde::{Deserialize, Serialize};

use crate::base::{AsyncOriginId, Avma, Bytes, Nanos, StackId, StoreKey, Tid};
pub use crate::event::backend::{Backend, Sees};
use crate::event::census::Census;
use crate::event::recorded::Recalled;
use crate::event::residency::{ResidencyScanned, StoreTouch};
pub use crate::event::space::SpaceChanges;

/// Something that happened, and when (`CLOCK_MONOTONIC`).
#[derive(Clone, Debug)]
pub struct Event {
    pub at: Nanos,
    pub payload: Payload,
}

#[derive(Clone, Debug)]
pub enum Payload {
    TargetIdentified(TargetIdentified),
    /// Probes are in place: from now on every store is seen.
    Attached,
    StoreCreated(StoreCreated),
    /// It was there when somebody looked for the first time: it is older than the attach.
    StoreFound(StoreCreated),
    StoreReattached {
        key: StoreKey,
        tid: Tid,
        size: Bytes,
    },
    StoreResized {
        key: StoreKey,
        size: Bytes,
        data: u64,
    },
    StoreDestroyed {
        key: StoreKey,
    },
    /// Destroyed without its creation having been seen: older than the attach, or native scratch memory.
    StoreDestroyedUnknown {
        size: Bytes,
    },
    StackCaptured {
        id: StackId,
        /// Thread that ran it: names of JavaScript belong to its isolate.
        tid: Tid,
        frames: Arc<[RawFrame]>,
        is_cut: bool,
        creates: Creates,
    },
    StackResolved {
        id: StackId,
        creates: Creates,
        /// From the probe to the names.
        latency: Nanos,
        frames: Arc<[Frame]>,
        is_cut: bool,
    },
    AsyncOriginSeen(AsyncOriginSeen),
    GcStarted {
        tid: Tid,
        kind: GcKind,
    },
    GcFinished {
        tid: Tid,
    },
    Mapped {
        start: u64,
        len: Bytes,
    },
    Unmapped {
        start: u64,
        len: Bytes,
    },
    Remapped {
        old_start: u64,
        old_len: Bytes,
        start: u64,
        len: Bytes,
    },
    Advised {
        start: u64,
        len: Bytes,
        advice: u32,
    },
    /// malloc's heap ends here now (brk(2)).
    BreakMoved {
        to: u64,
    },
    /// The whole address space as /proc says, replacing what mapping events built up.
    MappingsSampled(Arc<[Mapping]>),
    ThreadsSampled(Arc<[Thread]>),
    ThreadExited {
        tid: Tid,
    },
    /// The isolate of this thread is being torn down: what it holds goes with it.
    TearingDown {
        tid: Tid,
    },
    /// A new thread or child process: the list of threads is stale.
    TaskForked,
    MemorySampled(MemorySampled),
    /// All isolates of the process.
    HeapsSampled(Arc<[HeapSampled]>),
    /// Boxed: a kilobyte, while other events are a tenth of that.
    CountersSampled(Box<CountersSampled>),
    /// How long the probes were in place so far, and of how long, where what they cost is limited.
    CoverageSampled {
        watched: Nanos,
        whole: Nanos,
    },
    /// Boxed for its rareness.
    ResidencyScanned(Box<ResidencyScanned>),
    FirstTouchesRead(Arc<[StoreTouch]>),
    CensusStarted,
    /// What was alive in the V8 heaps of the target at one moment: the event's time is when it stood still.
    CensusTaken(Arc<Census>),
    /// A census was tried and could not be had.
    CensusFailed {
        message: Arc<str>,
        hint: Arc<str>,
    },
    SelfSampled {
        cpu: Nanos,
        rss: Bytes,
    },
    /// The kernel's live map, read after a loss.
    LiveSetRead(LiveSetRead),
    /// Records were lost since the last notice.
    RecordsLost {
        n: u64,
    },
    /// The target runs another program now; nothing after this concerns the old one.
    Execed,
    Exited {
        code: Option<i32>,
    },
    /// The state that a recording has of one moment, in place of all before it.
    Recalled(Arc<Recalled>),
}

/// What the watched process is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetIdentified {
    pub pid: u32,
    /// Its pid as it sees it itself, if that is another one.
    pub inner_pid: Option<u32>,
    /// The container that it is in, as people name it.
    pub container: Option<String>,
    /// What the events come from, and with it what there are events of.
    pub backend: Backend,
    pub command: String,
    pub node_version: Option<String>,
    pub v8_version: Option<String>,
    /// Which `BackingStore` flag bits mean what in this V8.
    pub store_flags: StoreFlagBits,
    pub min_size: Bytes,
}

/// Masks of `v8::internal::BackingStore`'s flags word; they move between versions (js-stacks.md §1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFlagBits {
    pub shared: u16,
    pub resizable: u16,
    pub wasm: u16,
    pub custom_deleter: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCreated {
    pub key: StoreKey,
    /// First byte of its data; zero for an empty one.
    pub data: u64,
    pub size: Bytes,
    /// Most it can grow to.
    pub max_size: Bytes,
    pub flags: u16,
    pub tid: Tid,
    pub stack: StackId,
    /// Of the async resource in whose turn it was made.
    pub async_origin: AsyncOriginId,
}

/// What was created when a stack was captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Creates {
    #[default]
    Store,
    /// A request, socket, … of Node (`node::AsyncWrap`), whose callbacks run later.
    AsyncResource,
}

/// A way in which async resources were created, for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncOriginSeen {
    pub id: AsyncOriginId,
    pub stack: StackId,
    /// Origin of the resource in whose turn it was.
    pub parent: AsyncOriginId,
}

/// What a backing store is for, from its flags.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum StoreKind {
    #[default]
    Plain,
    Shared,
    Resizable,
    GrowableShared,
    Wasm,
    SharedWasm,
    /// Memory owned by somebody else, with a deleter: N-API external buffers, `Buffer::New`.
    External,
}

impl StoreKind {
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::Shared,
        Self::Resizable,
        Self::GrowableShared,
        Self::Wasm,
        Self::SharedWasm,
        Self::External,
    ];

    pub fn from_flags(flags: u16, bits: StoreFlagBits) -> Self {
        let has = |mask: u16| flags & mask != 0;
        match (has(bits.wasm), has(bits.shared), has(bits.resizable)) {
            (true, true, _) => Self::SharedWasm,
            (true, false, _) => Self::Wasm,
            (false, true, true) => Self::GrowableShared,
            (false, true, false) => Self::Shared,
            (false, false, true) => Self::Resizable,
            (false, false, false) if has(bits.custom_deleter) => Self::External,
            (false, false, false) => Self::Plain,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Shared => "shared",
            Self::Resizable => "resizable",
            Self::GrowableShared => "growable-shared",
            Self::Wasm => "wasm",
            Self::SharedWasm => "shared-wasm",
            Self::External => "external",
        }
    }

    /// True if its memory comes from the isolate's array buffer allocator, which counts it in `arrayBuffers`.
    pub const fn is_counted_by_allocator(self) -> bool {
        matches!(self, Self::Plain | Self::Shared)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum GcKind {
    Minor,
    Major,
}

/// A frame with what could be said about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    pub kind: FrameKind,
    /// Demangled and shortened; for an unresolved JavaScript frame its identity, marked so.
    pub function: Arc<str>,
    /// Path, `file://` URL or `node:` name of the script, as V8 knows it.
    pub script: Option<Arc<str>>,
    /// 1-based.
    pub line: Option<u32>,
    /// 1-based, in UTF-16 units.
    pub column: Option<u32>,
    /// `line` may be that of an enclosing statement, or where the function begins: shown with `~`.
    pub is_approximate: bool,
    /// What a source map says `line` was made from.
    pub original: Option<Arc<OriginalPlace>>,
    pub is_resolved: bool,
}

/// A place in a file that a script was made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OriginalPlace {
    /// A path where the map's folder tells it, else as the map spells it (`webpack://…`).
    pub source: Arc<str>,
    /// 1-based.
    pub line: u32,
    /// 1-based.
    pub column: u32,
    /// Of the function or variable there, if the map has it.
    pub name: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FrameKind {
    /// JavaScript of the application.
    Js,
    /// JavaScript of Node itself (`node:internal`).
    Node,
    /// Code that V8 generates for itself: builtins, entry and exit stubs.
    Builtin,
    #[default]
    Native,
}

impl FrameKind {
    pub const ALL: [Self; 4] = [Self::Js, Self::Node, Self::Builtin, Self::Native];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Js => "js",
            Self::Node => "node",
            Self::Builtin => "builtin",
            Self::Native => "native",
        }
    }
}

/// One line of /proc/PID/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    pub kind: MappingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingKind {
    /// The brk heap: glibc's main arena.
    Heap,
    Stack,
    File,
    Anonymous,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    pub tid: Tid,
    pub name: Arc<str>,
}

/// What the process holds, as the kernel and Node's own counters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemorySampled {
    pub rss: Option<Bytes>,
    /// `process.memoryUsage().arrayBuffers` summed over isolates, read from the allocators.
    pub array_buffers: Option<Bytes>,
    /// Resident bytes of V8's memory, as of the last full look at the page tables.
    pub v8_heap: Option<Bytes>,
    pub n_isolates: u32,
    /// RSS as Node reads it, from /proc/PID/stat: the kernel adds up its per-CPU counters later there.
    pub rss_in_node: Option<Bytes>,
    /// Page faults of all its threads since it began. Not recorded.
    pub n_faults: Option<u64>,
}

/// One isolate's heap by V8's own counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeapSampled {
    /// `Heap*`, which lies in the `Isolate`.
    pub heap: Avma,
    pub total: Bytes,
    /// What is used is between these, but for what a collection leaves unswept for some time after it.
    pub used_min: Bytes,
    pub used_max: Bytes,
    pub external: Option<Bytes>,
    pub array_buffers: Option<Bytes>,
}

/// The counters that the programs keep, summed over CPUs, since attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountersSampled {
    pub size_classes: [SizeClassCounters; N_SIZE_CLASSES],
    /// Indexed by `DropReason`.
    pub drops: [u64; bufwatch_common::DropReason::COUNT],
}

impl CountersSampled {
    /// Small stores alive now: count and bytes.
    pub fn small_live(&self) -> (u64, Bytes) {
        let live = |born: u64, dead: u64| born.saturating_sub(dead);
        self.size_classes.iter().fold((0, Bytes(0)), |(n, bytes), class| {
            let class_bytes = live(class.created_bytes, class.destroyed_bytes);
            (n + live(class.n_created, class.n_destroyed), bytes + Bytes(class_bytes))
        })
    }

    /// Small stores created since attach: count and bytes.
    pub fn small_created(&self) -> (u64, Bytes) {
        self.size_classes.iter().fold((0, Bytes(0)), |(n, bytes), class| {
            (n + class.n_created, bytes + Bytes(class.created_bytes))
        })
    }
}

/// The identity of a store of the kernel's live map.
pub const fn key_of(address: u64, store: &LiveStore) -> StoreKey {
    StoreKey { address, id: store.id }
}

/// The individually tracked stores of the kernel's live map. Read between `started_at` and the event's time.
#[derive(Clone, Debug)]
pub struct LiveSetRead {
    pub started_at: Nanos,
    pub stores: Arc<[(u64, LiveStore)]>,
}
