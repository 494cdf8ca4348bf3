//! What a recording keeps, row by row, and the state that is put together from it again. Data only: `session::recording` makes the rows,
//! `recording` writes and reads them, `model::recall` takes the state over.

use std::sync::Arc;

use bufwatch_common::DropReason;

use crate::base::{Bytes, Nanos, StackId, StoreKey, Tid};
use crate::event::census::Census;
use crate::event::residency::{FirstTouch, PageBytes, RssSplit};
use crate::event::{
    Frame, GcKind, HeapSampled, MemorySampled, SpaceChanges, StoreKind, TargetIdentified, Thread,
};

/// A site: one way to allocate. Numbers 0 and 1 are always there: allocated without a stack, and beyond the limits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedSite {
    pub number: u32,
    /// Sites of one line and one API have the same.
    pub group: u32,
    pub stack: StackId,
    /// For people; what it is called follows from its frames.
    pub label: Arc<str>,
    pub via: Option<Arc<str>>,
    pub is_cut: bool,
    /// Its own frames, innermost first, and then those of what began it, if that is known.
    pub stacks: Vec<Arc<[Frame]>>,
    /// The innermost frame of the application, packages included, in the first of `stacks`.
    pub user_frame: Option<u32>,
}

/// What came from a site up to a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteTotal {
    pub site: u32,
    pub at: Nanos,
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub peak_bytes: Bytes,
    /// Of all sites of its group.
    pub group_peak_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
    pub created_bytes_per_s: f64,
    pub n_created_per_s: f64,
    /// Stores that were born and died between two flushes: counted here, without a row of their own.
    pub n_folded: u64,
    pub folded_bytes: Bytes,
    /// Of its dead stores, in the buckets of the model.
    pub lifetimes: Vec<u64>,
    pub majors_survived: Vec<u64>,
    /// `None` in files of an older bufwatch.
    pub live: Option<SiteLive>,
}

/// What the live stores of a site add up to, so that nobody has to look at all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SiteLive {
    /// Those that lived through two major collections.
    pub n_survivors: u64,
    /// Those whose pages were looked at, their sizes, and the pages.
    pub n_known: u64,
    pub known_bytes: Bytes,
    pub pages: PageBytes,
    /// `SharedArrayBuffer`s.
    pub n_shared: u64,
    pub shared_bytes: Bytes,
    /// Old ones whose pages were looked at, and what of them is in RAM or swapped out.
    pub n_old: u64,
    pub old_bytes: Bytes,
    pub old_held: Bytes,
    /// Such that no major collection has looked at yet.
    pub n_young: u64,
    pub young_bytes: Bytes,
}

/// Minor and major collections of one thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedGcCounts {
    pub n_minor: u32,
    pub n_major: u32,
}

/// A store that lived at a flush.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedStore {
    pub key: StoreKey,
    /// Running number since attach.
    pub number: u64,
    pub data: u64,
    pub size: Bytes,
    pub max_size: Bytes,
    pub kind: StoreKind,
    pub tid: Tid,
    pub birth: Nanos,
    pub stack: StackId,
    pub site: u32,
    pub gc_at_birth: RecordedGcCounts,
    pub placement: Option<RecordedPlacement>,
    pub pages: Option<RecordedPages>,
    pub first_touch: FirstTouch,
}

/// The mapping around the bytes of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedPlacement {
    pub kind: PlacementKind,
    pub start: u64,
    pub len: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementKind {
    Own,
    MainHeap,
    Shared,
}

/// What is known of a store's pages. [`Nanos`] of zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedPages {
    pub scanned_at: Nanos,
    pub pages: PageBytes,
    pub touched_at: Nanos,
    pub grew_at: Nanos,
    pub is_recycled: bool,
}

/// The death of a store that has a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedDeath {
    pub number: u64,
    pub birth: Nanos,
    pub at: Nanos,
    /// `None`: collections are not seen.
    pub survived: Option<RecordedGcCounts>,
}

/// A store that has a row was resized, or went to another thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedChange {
    pub number: u64,
    pub at: Nanos,
    pub size: Bytes,
    pub data: u64,
    pub tid: Tid,
    pub gc_at_birth: RecordedGcCounts,
}

/// A collection that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedGc {
    pub tid: Tid,
    /// When it ended.
    pub at: Nanos,
    pub pause: Nanos,
    pub kind: GcKind,
    /// Of this thread, with this one.
    pub counts: RecordedGcCounts,
}

/// All sums at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moment {
    pub at: Nanos,
    /// Rows of stores and sites are as of here.
    pub is_flush: bool,
    pub memory: MemorySampled,
    pub before_attach: Option<Bytes>,
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub peak_bytes: Bytes,
    pub live_allocator_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
    pub n_destroyed: u64,
    pub destroyed_bytes: Bytes,
    pub n_destroyed_unknown: u64,
    pub destroyed_unknown_bytes: Bytes,
    pub n_created_per_s: f64,
    pub created_bytes_per_s: f64,
    pub destroyed_bytes_per_s: f64,
    /// Stores below the limit of tracking; `None` until the kernel's counters were read.
    pub small: Option<SmallStores>,
    /// Collections; `None`: they are not seen.
    pub n_minor: Option<u64>,
    pub n_major: Option<u64>,
    pub gc_last: Option<Nanos>,
    pub gc_longest: Option<Nanos>,
    pub gc_total: Option<Nanos>,
    pub own: OwnMoment,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SmallStores {
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
}

/// What bufwatch itself cost and lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnMoment {
    pub n_lost: u64,
    pub n_reconciled: u64,
    pub n_closed_by_reconcile: u64,
    pub cpu_share: Option<f64>,
    pub rss: Option<Bytes>,
    /// Of the time since the attach, that in which probes were in place; `None`: always, or an older file.
    pub coverage: Option<f64>,
    pub resolve_p50: Option<Nanos>,
    pub resolve_p99: Option<Nanos>,
    /// Of js, node, builtin, native: frames, those without a name, those with a line that is only about right.
    pub frames: [[u64; 3]; 4],
}

/// One point of the curves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CurvePoint {
    pub at: Nanos,
    pub rss: Option<Bytes>,
    pub array_buffers: Option<Bytes>,
    pub v8_heap: Option<Bytes>,
    pub live_bytes: Bytes,
    pub created_bytes_per_s: f64,
    pub destroyed_bytes_per_s: f64,
}

/// From one full scan to a later one, as the model told it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedStep {
    pub known_at: Nanos,
    pub from: Nanos,
    pub to: Nanos,
    pub rss_before: Bytes,
    pub rss_after: Bytes,
    /// In one line, for people.
    pub text: String,
    /// Largest first.
    pub causes: Vec<RecordedCause>,
    pub unexplained: i64,
    pub created: Bytes,
    pub asked: SpaceChanges,
}

/// One reason of a step, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedCause {
    pub kind: String,
    pub site: Option<u32>,
    pub bytes: i64,
    pub n_stores: u64,
    /// The largest of them: number, size, birth.
    pub store: u64,
    pub store_size: Bytes,
    pub store_birth: Nanos,
}

/// V8's counters of one heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedHeap {
    pub heap: HeapSampled,
    /// It lies where the main thread's does.
    pub is_in_main_heap: bool,
}

/// A census with what tracing knew of its parents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedCensus {
    /// When the target stood still.
    pub at: Nanos,
    /// When it was analysed.
    pub known_at: Nanos,
    pub census: Arc<Census>,
    /// As long as the census has parents.
    pub traced: Vec<Option<RecordedTraced>>,
    /// Traced stores without array buffer, with their sizes.
    pub orphans: Vec<(Bytes, RecordedTraced)>,
}

/// What tracing knew of a store when a census was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordedTraced {
    pub key: StoreKey,
    pub number: u64,
    pub age: Nanos,
    /// `None`: collections are not seen.
    pub n_major_survived: Option<u32>,
    pub site: u32,
}

/// What is remembered of all censuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecalledCensuses {
    pub last: Option<RecordedCensus>,
    pub previous: Option<RecordedCensus>,
    pub failure: Option<RecordedFailure>,
    pub n_taken: u64,
    pub longest_stop: Nanos,
    pub total_stop: Nanos,
}

/// A census that could not be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedFailure {
    pub at: Nanos,
    pub message: Arc<str>,
    pub hint: Arc<str>,
}

/// How things stand with the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordedPhase {
    #[default]
    Attaching,
    Live,
    Execed,
    Exited {
        code: Option<i32>,
    },
}

/// Everything a model knew at one moment, as far as a recording keeps it.
#[derive(Clone, Debug, Default)]
pub struct Recalled {
    pub started_at: Nanos,
    pub target: TargetIdentified,
    pub phase: RecordedPhase,
    pub moment: Moment,
    pub sites: Arc<[RecordedSite]>,
    pub totals: Vec<SiteTotal>,
    /// Live at that moment.
    pub stores: Vec<RecordedStore>,
    /// Only some of them are in `stores`: what all add up to is in `totals`.
    pub is_partial: bool,
    pub threads: Arc<[Thread]>,
    /// Up to that moment, in order.
    pub curves: Vec<CurvePoint>,
    pub gc_counts: Vec<(Tid, RecordedGcCounts)>,
    /// The most recent collections, in order.
    pub gc_marks: Vec<(Nanos, GcKind)>,
    /// The last full scan: when it began, and what it found.
    pub split: Option<(Nanos, RssSplit)>,
    /// The most recent ones, oldest first.
    pub steps: Vec<RecordedStep>,
    /// By site: memory of dead stores that is still there.
    pub freed: Vec<(u32, Bytes)>,
    /// When they were read, and what they said.
    pub heaps: (Nanos, Vec<RecordedHeap>),
    pub censuses: RecalledCensuses,
    pub drops: Vec<(DropReason, u64)>,
}
