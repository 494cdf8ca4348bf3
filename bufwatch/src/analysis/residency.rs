//! What a snapshot says of memory in RAM, and of Node's own counters. How it is found out is the model's business.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Bytes, Nanos};
use crate::event::SpaceChanges;
use crate::event::residency::{PageBytes, RssPart, RssSplit};
pub use crate::model::rss_step::CauseKind;
use crate::model::site::GroupId;
pub use crate::model::survivors::SurvivorPoint;
pub use crate::model::window::StoresAt;

/// What `process.memoryUsage()` says, told from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// How long ago V8's counters were read.
    pub age: Nanos,
    /// As Node reads it, which on newer kernels is some hundred kilobytes from `Memory::rss`.
    pub rss: Option<Bytes>,
    /// Of the main thread; `None` if it cannot be told which isolate that has.
    pub main: Option<HeapNumbers>,
    /// All isolates together.
    pub all: HeapNumbers,
    pub n_isolates: u32,
}

/// V8's counters of one or more heaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapNumbers {
    /// Exact.
    pub total: Bytes,
    /// What is used is between these, but for what a collection leaves unswept for some time after it.
    pub used_min: Bytes,
    pub used_max: Bytes,
    /// Exact, where this version of V8 is known.
    pub external: Option<Bytes>,
    /// Exact.
    pub array_buffers: Option<Bytes>,
}

/// Freed memory that malloc keeps in RAM; `None` where its records could not be read at all. Only a lower bound if not all of them could.
pub fn kept_by_malloc(split: &RssSplit) -> Option<Bytes> {
    let is_surveyed = split.survey.n_arenas > split.survey.n_arenas_unknown;
    is_surveyed.then(|| split.get(RssPart::AllocatorFree))
}

/// From one look at all pages to a later one, and what changed in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RssStepRow {
    /// How long ago the later look was, and how long after the earlier one.
    pub ago: Nanos,
    pub took: Nanos,
    /// RSS at the later look.
    pub rss: Bytes,
    pub delta: i64,
    /// In one line.
    pub text: String,
    /// Largest first; at most some.
    pub causes: Vec<StepCauseRow>,
    /// What RSS changed by beyond all causes.
    pub unexplained: i64,
    /// Bytes of stores that were allocated meanwhile, written or not.
    pub created: Bytes,
    /// What was asked of the kernel meanwhile; zero where mappings are not followed.
    pub asked: SpaceChanges,
}

/// One reason why RSS changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepCauseRow {
    pub kind: CauseKind,
    pub bytes: i64,
    /// Of causes that concern stores: who allocated them, how many there are, and the number of the largest.
    pub site: Option<Arc<str>>,
    pub n_stores: Option<u64>,
    pub store: Option<u64>,
}

/// Pages of the live tracked stores, as far as they were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidencyTotals {
    pub n_known: u64,
    /// Sizes of those that were looked at, and their pages.
    pub known_bytes: Bytes,
    pub pages: PageBytes,
}

impl ResidencyTotals {
    pub(super) fn add(&mut self, size: Bytes, pages: PageBytes) {
        self.n_known += 1;
        self.known_bytes += size;
        self.pages.resident += pages.resident;
        self.pages.zero += pages.zero;
        self.pages.swapped += pages.swapped;
        self.pages.huge += pages.huge;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.n_known += other.n_known;
        self.known_bytes += other.known_bytes;
        self.pages.resident += other.pages.resident;
        self.pages.zero += other.pages.zero;
        self.pages.swapped += other.pages.swapped;
        self.pages.huge += other.pages.huge;
    }
}

/// How much of a store is in memory, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorePages {
    pub pages: PageBytes,
    /// How long ago it was looked at.
    pub scanned: Nanos,
    /// How long ago a scan first saw any page of it, and last saw more than before.
    pub touched: Option<Nanos>,
    pub grew: Option<Nanos>,
    pub first_write: FirstWrite,
    /// Freed memory that the allocator gave out again: in RAM from birth on.
    pub is_recycled: bool,
}

/// When a store was first written to, by page faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirstWrite {
    /// Page faults are not followed, or it was not written to.
    #[default]
    Unknown,
    /// No fault has told of it.
    Unseen,
    /// So long ago, by the program itself.
    ByProgram(Nanos),
    /// By the kernel for it, as in read(2).
    ByKernel(Nanos),
}

/// Memory of dead stores of one line that is still in RAM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreedRow {
    pub group: GroupId,
    pub site: Arc<str>,
    pub via: Option<Arc<str>>,
    /// Where malloc's records are known, only what they say is free.
    pub resident: Bytes,
}

/// The last minute, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recent {
    /// When each look at the whole process began, and what it found.
    pub splits: Arc<[(Nanos, RssSplit)]>,
    pub stores: Arc<[StoresAt]>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { splits: Arc::from([]), stores: Arc::from([]) }
    }
}

/// So many stores, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    pub n: u64,
    pub bytes: Bytes,
}

impl Counted {
    pub fn add(&mut self, size: Bytes) {
        self.n += 1;
        self.bytes += size;
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.n += other.n;
        self.bytes += other.bytes;
    }
}

/// What the live stores of one line are like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFacts {
    /// `SharedArrayBuffer`s.
    pub shared: Counted,
    /// Older than [`OLD`] and looked at; reservations that may grow are not among them.
    pub old: Counted,
    /// Of these, bytes in RAM or swapped out.
    pub old_held: Bytes,
    /// Such that no major collection has looked at yet.
    pub young: Counted,
}

/// What is written at all is written by then, as a rule: twice the time after which a request is over.
pub const OLD: Nanos = Nanos::from_secs(10);

impl LiveFacts {
    pub(super) fn merge(&mut self, other: &Self) {
        self.shared.merge(other.shared);
        self.old.merge(other.old);
        self.old_held += other.old_held;
        self.young.merge(other.young);
    }
}
