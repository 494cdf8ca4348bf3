//! What one census of a V8 heap found: which array buffers and views are alive, which views pin which parent, and who holds them. Data only;
//! how it is found is the part of `v8::census`, what follows from it that of `analysis` and `detect`.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::base::{Avma, Bytes, Nanos, StoreKey};
use crate::event::residency::PageBytes;

/// Everything that one census found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Census {
    pub isolates: Vec<Isolate>,
    /// Live array buffers outside of V8's heap, each store once, the largest first.
    pub parents: Vec<Parent>,
    /// Who holds how much, parents of the same path together; the largest first.
    pub holders: Vec<HolderGroup>,
    pub timing: Timing,
    pub counts: Counts,
    /// What the census does not cover, for people.
    pub gaps: Vec<String>,
}

/// How long the process stood still, and how long all took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// When the last try began to stop it (`CLOCK_MONOTONIC`).
    pub stopped_at: Nanos,
    pub stopped: Nanos,
    pub total: Nanos,
}

/// How the numbers came about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub heap_bytes: Bytes,
    pub n_pages: u64,
    pub n_objects: u64,
    pub n_live_objects: u64,
    /// Found and looked like a buffer or view, but contradict themselves.
    pub n_rejected: u64,
    /// Stops that met a garbage collection, or of which a thread was not part, and were tried again.
    pub n_retries: u64,
    /// Of live stores that Node's allocator has handed out.
    pub allocator_bytes: Option<Bytes>,
    /// Of live buffers in this census.
    pub live_bytes: Bytes,
}

/// A V8 heap of its own: the main thread's or a worker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolate {
    /// `None` if no thread had entered it.
    pub tid: Option<u32>,
    pub address: Avma,
    pub heap_bytes: Bytes,
    /// JavaScript was on its stack when the process stood still.
    pub is_in_javascript: bool,
}

/// What kind of memory a parent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ParentKind {
    /// Of one array buffer.
    #[default]
    Own,
    /// A slab that Node cuts small Buffers from.
    Pool,
    /// A chunk that Node read from a file or socket into, of which the application has views.
    Read,
    /// `SharedArrayBuffer`.
    Shared,
    /// `WebAssembly.Memory`.
    Wasm,
    /// Memory of native code that it frees itself, by a function it gave with it: an addon's, or Node's own (`node::Buffer::New`).
    External,
}

impl ParentKind {
    pub const ALL: [Self; 6] =
        [Self::Own, Self::Pool, Self::Read, Self::Shared, Self::Wasm, Self::External];

    /// As the JSON contract and recordings spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Pool => "pool",
            Self::Read => "read",
            Self::Shared => "shared",
            Self::Wasm => "wasm",
            Self::External => "external",
        }
    }
}

/// What the path to an object begins with.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum RootKind {
    /// V8 itself: the global object, compiled code, its tables.
    #[default]
    Isolate,
    /// A `v8::Global` that is not weak: native code.
    GlobalHandle,
    /// A `v8::TracedReference`: native code that V8 traces.
    TracedHandle,
    /// A `v8::Eternal`: native code, until the isolate ends.
    EternalHandle,
    /// A `v8::Local`: a native function that runs now.
    HandleScope,
    /// A job that waits to run.
    Microtask,
    /// A JavaScript function that runs now, or a native one between such.
    Stack,
}

impl RootKind {
    pub const ALL: [Self; 7] = [
        Self::Isolate,
        Self::GlobalHandle,
        Self::TracedHandle,
        Self::EternalHandle,
        Self::HandleScope,
        Self::Microtask,
        Self::Stack,
    ];

    /// As the JSON contract and recordings spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Isolate => "isolate",
            Self::GlobalHandle => "global_handle",
            Self::TracedHandle => "traced_handle",
            Self::EternalHandle => "eternal_handle",
            Self::HandleScope => "handle_scope",
            Self::Microtask => "microtask",
            Self::Stack => "stack",
        }
    }
}

/// The `BackingStore` of a parent: the same one, as long as its key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreIdentity {
    pub key: StoreKey,
    /// Most it can grow to.
    pub max_size: Bytes,
    pub flags: u16,
}

/// A backing store that live objects refer to.
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Of its bytes.
    pub address: Avma,
    pub size: Bytes,
    pub kind: ParentKind,
    /// Which `BackingStore` it is; `None` if that could not be read, and in a recording.
    pub store: Option<StoreIdentity>,
    pub is_resizable: bool,
    /// Something besides its views refers to an array buffer over it: whoever that is can reach all of its bytes.
    pub is_held_itself: bool,
    /// Numbers of the isolates that have a buffer over it.
    pub isolates: Vec<u16>,
    pub n_views: u64,
    /// Sum of the views' lengths.
    pub views_bytes: Bytes,
    /// Union of the ranges that views show.
    pub covered: Bytes,
    /// Views of different types show the same bytes.
    pub has_aliases: bool,
    /// A view shows a part of what another view shows.
    pub has_overlaps: bool,
    /// Where its bytes are, right after the stop; `None` if nobody looked.
    pub pages: Option<PageBytes>,
    /// By offset; of a parent with many, the first ones.
    pub views: Vec<View>,
    /// The most frequent first.
    pub holders: Vec<Holder>,
    /// What would die with its views; without views with its array buffers. Less than its size off the heap if something else holds the
    /// array buffer too.
    pub retained: Option<Retained>,
}

impl Parent {
    /// In RAM, if somebody looked.
    pub fn resident(&self) -> Option<Bytes> {
        self.pages.map(|pages| pages.resident)
    }

    /// Neither written to nor read since they were asked for, or given back since, if somebody looked.
    pub fn untouched(&self) -> Option<Bytes> {
        let pages = self.pages?;
        Some(Bytes(self.size.0.saturating_sub((pages.held() + pages.zero).0)))
    }
}

/// What would be unreachable without some objects, in the sense of DevTools: themselves, and all that only they keep alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retained {
    /// In V8's heap.
    pub heap: Bytes,
    /// Of backing stores, each with all of its array buffers among these objects.
    pub off_heap: Bytes,
}

impl Retained {
    pub const fn total(self) -> Bytes {
        Bytes(self.heap.0.saturating_add(self.off_heap.0))
    }
}

/// A live view.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// `Buffer`, `Uint8Array`, `DataView`, the name of a class.
    pub type_name: Arc<str>,
    pub offset: u64,
    pub length: Bytes,
}

/// Who keeps views of one parent alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// From the root to the view.
    pub path: Vec<String>,
    /// What the path begins with; of a shortened one too.
    pub root: RootKind,
    /// A function, variable or class of the application, packages included, is on the path.
    pub is_by_application: bool,
    pub n_views: u64,
}

/// Who keeps parents alive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderGroup {
    /// As that of a [`Holder`], with `[…]` for what differs.
    pub path: Vec<String>,
    pub root: RootKind,
    pub is_by_application: bool,
    pub n_parents: u64,
    pub n_views: u64,
    pub bytes: Bytes,
    /// Of the ranges that the views show.
    pub covered: Bytes,
    /// The object that all of its views hang on: `Map`, `variables of parse()`. `None` if there is none, as for what native code holds.
    pub holder: Option<Arc<str>>,
    /// What would die with this object.
    pub retained: Option<Retained>,
}
