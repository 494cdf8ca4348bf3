//! What a detector says: a verdict with its evidence and remedy. Data only; the judging is `detect`'s part.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::base::{Bytes, Nanos};

/// What is wrong with the target, as far as it can be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub confidence: Confidence,
    /// What the remedy would give back.
    pub bytes: Bytes,
    pub n_parents: u64,
    /// One line: what, how much, where.
    pub summary: String,
    /// The facts that it rests on, one line each, with their numbers.
    pub evidence: Vec<String>,
    pub remedy: Remedy,
    /// Where the memory was allocated, if that was traced: the user frame in short and the API it called.
    pub site: Option<Arc<str>>,
    pub via: Option<Arc<str>>,
    /// Who keeps it alive, from the root on: the steps of the path without keys.
    pub holder: Vec<String>,
    /// Of the oldest of its parents, and the most major collections that one survived; `None` if none was traced.
    pub age: Option<Nanos>,
    pub n_major_survived: Option<u32>,
}

/// What to change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remedy {
    pub words: String,
    /// JavaScript, a line or a few.
    pub code: Option<String>,
}

/// The verdicts (prior-art.md, verdict catalogue).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FindingKind {
    /// Small views keep large parents alive.
    PinnedParent,
    /// Small pooled Buffers keep whole slabs of Node's pool alive.
    PoolSlabPin,
    /// A pool of buffers that only grows, most of them unused.
    GrowOnlyPool,
    /// Held by native code: no JavaScript refers to it.
    NativeRetained,
    /// Views of different types over the same bytes.
    AliasedViews,
    /// Freed memory that malloc keeps.
    FreedButResident,
    /// RSS grows by first writes to what was allocated before.
    DemandPaged,
    /// Allocated and never written.
    UntouchedReservation,
    /// What outlives collections becomes more and more.
    SteadyGrowth,
    /// Dead, and not collected yet.
    GcLag,
    /// `SharedArrayBuffer`s, which V8 does not count.
    UnaccountedShared,
    /// V8's heap, not array buffers.
    JsHeap,
}

impl FindingKind {
    pub const ALL: [Self; 12] = [
        Self::PinnedParent,
        Self::PoolSlabPin,
        Self::GrowOnlyPool,
        Self::NativeRetained,
        Self::AliasedViews,
        Self::FreedButResident,
        Self::DemandPaged,
        Self::UntouchedReservation,
        Self::SteadyGrowth,
        Self::GcLag,
        Self::UnaccountedShared,
        Self::JsHeap,
    ];

    /// It can be told only of what a census found.
    pub const fn needs_census(self) -> bool {
        match self {
            Self::PinnedParent
            | Self::PoolSlabPin
            | Self::GrowOnlyPool
            | Self::NativeRetained
            | Self::AliasedViews => true,
            Self::FreedButResident
            | Self::DemandPaged
            | Self::UntouchedReservation
            | Self::SteadyGrowth
            | Self::GcLag
            | Self::UnaccountedShared
            | Self::JsHeap => false,
        }
    }

    /// The remedy gives the bytes of the finding back; else it is about so many.
    pub const fn gives_back(self) -> bool {
        !matches!(self, Self::DemandPaged | Self::UntouchedReservation | Self::GcLag | Self::JsHeap)
    }

    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PinnedParent => "PINNED_PARENT",
            Self::PoolSlabPin => "POOL_SLAB_PIN",
            Self::GrowOnlyPool => "GROW_ONLY_POOL",
            Self::NativeRetained => "NATIVE_RETAINED",
            Self::AliasedViews => "ALIASED_VIEWS",
            Self::FreedButResident => "FREED_BUT_RESIDENT",
            Self::DemandPaged => "DEMAND_PAGED",
            Self::UntouchedReservation => "UNTOUCHED_RESERVATION",
            Self::SteadyGrowth => "STEADY_GROWTH",
            Self::GcLag => "GC_LAG",
            Self::UnaccountedShared => "UNACCOUNTED_SHARED",
            Self::JsHeap => "JS_HEAP",
        }
    }
}

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Confidence {
    /// May be meant so.
    Low,
    /// The facts are measured, what follows from them is likely.
    Medium,
    /// The facts are measured and leave no other reading.
    High,
}

impl Confidence {
    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}
