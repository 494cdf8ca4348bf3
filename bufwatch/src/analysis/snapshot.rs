//! Everything a screen or an exporter may show, frozen at one moment. Who looks at it cannot tell whether
//! it came from a live target or from a recording. Taking it from the model is `take`'s job.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use bufwatch_common::DropReason;

use crate::analysis::finding::Finding;
use crate::analysis::query::StoreQuery;
pub use crate::analysis::residency::{
    CauseKind, Counted, FirstWrite, FreedRow, HeapNumbers, LiveFacts, MemoryUsage, Recent,
    ResidencyTotals, RssStepRow, StepCauseRow, StorePages, StoresAt, SurvivorPoint,
};
use crate::base::{Bytes, Fidelity, Nanos, Series, StackId, StoreKey, Tid};
use crate::event::residency::{RssSplit, StoreMap};
use crate::event::{Backend, Frame, FrameKind, GcKind, StoreKind};
pub use crate::model::async_origin::AsyncStack;
pub use crate::model::census::{
    CensusFailure, CensusLog, JoinedCensus, Orphan, TracedSite, TracedStore,
};
pub use crate::model::gc::GcCounts;
pub use crate::model::lifetime::{
    LIFETIME_FIRST_NS, N_GC_BUCKETS, N_LIFETIME_BUCKETS, lifetime_bucket_end,
};
pub use crate::model::mapping::Placement;
pub use crate::model::site::{GroupId, SiteId};
pub use crate::model::{FrameCounts, frame_kind_index};

/// Sites of a snapshot at most, half of them by live bytes and half by allocated bytes; the rest is in the
/// totals.
pub const SITES_MAX: usize = 1_000;

/// Groups of a snapshot at most, chosen like the sites.
pub const GROUPS_MAX: usize = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// What was found in the V8 heap, when somebody looked.
    pub census: CensusLog,
    /// What is wrong, the most bytes first; filled by whoever wires `detect`, empty before.
    pub findings: Arc<[Finding]>,
    /// `CLOCK_MONOTONIC` when it was taken.
    pub taken_at: Nanos,
    /// Since the session began.
    pub elapsed: Nanos,
    pub target: Target,
    pub memory: Memory,
    pub stores: StoreTotals,
    /// `None`: collections are not seen.
    pub gc: Option<GcTotals>,
    pub history: Arc<History>,
    /// By live bytes, largest first; at most [`SITES_MAX`].
    pub sites: Arc<[SiteRow]>,
    /// Before the limit.
    pub n_sites_total: usize,
    /// By live bytes, largest first; at most [`GROUPS_MAX`].
    pub groups: Arc<[GroupRow]>,
    /// Before the limit.
    pub n_groups_total: usize,
    pub table: StoreTable,
    /// What RSS rose and fell by, the newest last.
    pub rss_steps: Arc<[RssStepRow]>,
    pub recent: Recent,
    /// Memory of dead stores that is still in RAM, by the line that had allocated them, the most first.
    pub freed: Arc<[FreedRow]>,
    /// The store whose detail was asked for, if it is known.
    pub detail: Option<StoreDetail>,
    pub health: Health,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub pid: u32,
    /// Its pid as it sees it itself, if that is another one.
    pub inner_pid: Option<u32>,
    /// The container that it is in, as people name it.
    pub container: Option<String>,
    /// What the facts come from, and with it which there are.
    pub backend: Backend,
    pub command: String,
    pub node_version: Option<String>,
    pub v8_version: Option<String>,
    pub state: TargetState,
    /// Stores of at least this size are tracked one by one.
    pub min_size: Bytes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetState {
    /// Probes are not in place yet.
    #[default]
    Attaching,
    Live,
    /// It runs another program now; what is shown is the last of the old one.
    Execed,
    /// It ended; what is shown is its last state.
    Exited {
        code: Option<i32>,
    },
}

/// What the process holds. `None`: not known (yet).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub rss: Option<Bytes>,
    /// Exact, read from Node's allocator (`process.memoryUsage().arrayBuffers`).
    pub array_buffers: Option<Bytes>,
    /// Resident part of V8's own mappings; sampled less often than the rest.
    pub v8_heap: Option<Bytes>,
    /// `array_buffers` less the tracked stores that the allocator counts: stores older than the attach.
    pub before_attach: Option<Bytes>,
    pub before_attach_fidelity: Fidelity,
    pub n_isolates: u32,
    /// RSS by what it is for, as of the last full scan: how long ago that began, and what it found.
    pub split: Option<(Nanos, RssSplit)>,
    pub residency: ResidencyTotals,
    /// `None` until V8's pages were found.
    pub usage: Option<MemoryUsage>,
}

/// Stores since attach. "Tracked" ones are those of at least `min_size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoreTotals {
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub peak_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
    pub n_destroyed: u64,
    pub destroyed_bytes: Bytes,
    /// Stores below `min_size`; `None`: not counted (yet).
    pub small: Option<SmallTotals>,
    /// Destroyed without their creation having been seen.
    pub n_destroyed_unknown: u64,
    /// Allocated and freed bytes per second over the last few seconds, tracked stores.
    pub created_bytes_per_s: u64,
    pub destroyed_bytes_per_s: u64,
    pub n_created_per_s: f64,
}

/// Stores too small to be tracked one by one, counted by the kernel: live now, created in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallTotals {
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcTotals {
    pub n_minor: u64,
    pub n_major: u64,
    /// Duration of the last one and of the longest.
    pub last: Option<Nanos>,
    pub longest: Option<Nanos>,
    /// All pauses together.
    pub total: Nanos,
}

/// Curves over the whole session.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct History {
    pub rss: Series,
    pub array_buffers: Series,
    pub v8_heap: Series,
    pub live_bytes: Series,
    pub created_bytes_per_s: Series,
    pub destroyed_bytes_per_s: Series,
    /// The most recent collections: when they ended since the session began, and which kind.
    pub gcs: Vec<(Nanos, GcKind)>,
}

/// A stack that allocated, and all that came from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SiteRow {
    pub id: SiteId,
    pub stack: StackId,
    /// Innermost first; empty: allocated without a stack.
    pub frames: Arc<[Frame]>,
    pub is_cut: bool,
    /// Where that was begun which it ran for; `None` if that is not known, or was not asked for.
    pub async_stack: Option<Arc<AsyncStack>>,
    /// The line that it goes by: all sites with the same user frame and API.
    pub group: GroupId,
    /// The innermost frame of the application, packages included: an index into `frames`.
    pub user_frame: Option<usize>,
    /// The innermost frame of the application outside of packages; often the same.
    pub app_frame: Option<usize>,
    /// The user frame in short; without one, what made it.
    pub label: Arc<str>,
    /// The API that the user frame called, if one is on the stack.
    pub via: Option<Arc<str>>,
    pub tally: TallyRow,
}

/// A line of the application and the API it called, with all that came from there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GroupRow {
    pub id: GroupId,
    /// The user frame in short; without one, what made it.
    pub label: Arc<str>,
    /// The API that the user frame called, if one is on its stacks.
    pub via: Option<Arc<str>>,
    /// Distinct stacks through this line.
    pub n_sites: usize,
    pub tally: TallyRow,
    /// The stack of most live bytes: where the frames of the two names are looked up.
    pub heaviest: Heaviest,
    /// What has outlived major collections, after each, oldest first.
    pub survivors: Arc<[SurvivorPoint]>,
}

/// The stack that stands for a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Heaviest {
    pub stack: StackId,
    pub frames: Arc<[Frame]>,
    pub is_cut: bool,
    pub user_frame: Option<usize>,
    pub app_frame: Option<usize>,
    pub async_stack: Option<Arc<AsyncStack>>,
}

/// What came from somewhere since the attach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TallyRow {
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub peak_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
    pub created_bytes_per_s: u64,
    pub n_created_per_s: f64,
    /// Lifetimes of its destroyed stores, by time and by major GCs survived.
    pub lifetimes: [u64; N_LIFETIME_BUCKETS],
    pub majors_survived: [u64; N_GC_BUCKETS],
    /// Of all its stores that are dead or have lived through two major GCs, the share that lived through two.
    /// `None` while there are none.
    pub survival: Option<f64>,
    /// Of its live stores, as far as they were looked at; `None` if none was.
    pub resident: Option<Bytes>,
    pub live: LiveFacts,
}

/// The rows a query found, best first.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreTable {
    pub query: StoreQuery,
    pub rows: Arc<[StoreRow]>,
    /// Stores that match, of which `rows` are the first.
    pub n_matched: u64,
}

/// One live store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoreRow {
    pub key: StoreKey,
    /// Running number since attach: what people call it ("store #812").
    pub number: u64,
    pub data: u64,
    pub size: Bytes,
    pub max_size: Bytes,
    pub kind: StoreKind,
    /// At least, where not every store is seen.
    pub age: Nanos,
    /// `None`: collections are not seen.
    pub survived: Option<GcCounts>,
    pub tid: Tid,
    pub thread: Option<Arc<str>>,
    /// The first stack of its site.
    pub stack: StackId,
    /// The label of its site, and the API that it came through.
    pub site: Arc<str>,
    pub via: Option<Arc<str>>,
    pub placement: Placement,
    /// `None` until its pages were looked at.
    pub residency: Option<StorePages>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoreDetail {
    /// As it is, or as it last was.
    pub row: StoreRow,
    pub is_live: bool,
    pub frames: Arc<[Frame]>,
    pub is_cut: bool,
    pub user_frame: Option<usize>,
    pub app_frame: Option<usize>,
    /// As in [`SiteRow`].
    pub async_stack: Option<Arc<AsyncStack>>,
    /// Where its pages are, and how long ago they were looked at.
    pub map: Option<(Nanos, Arc<StoreMap>)>,
}

/// How well bufwatch itself is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Records lost in all, and how often the live set was read again because of it.
    pub n_lost: u64,
    pub n_reconciled: u64,
    /// Stores whose death was noticed only by reading the live set, at an unknown time.
    pub n_closed_by_reconcile: u64,
    /// Reasons of the programs, with their counts; only those that occurred.
    #[serde(with = "drops")]
    pub drops: Vec<(DropReason, u64)>,
    /// Limits that were reached, in words.
    pub limits: Vec<String>,
    /// Frames of all distinct stacks by their kind, indexed by [`frame_kind_index`].
    pub frames: [FrameCounts; 4],
    /// From a probe to the names of its stack: half, and 99 of 100 new stacks, were faster.
    pub resolve_p50: Option<Nanos>,
    pub resolve_p99: Option<Nanos>,
    /// Share of one core used by bufwatch since it began and over the last seconds, and its memory.
    pub cpu_share: Option<f64>,
    pub rss: Option<Bytes>,
    /// Of the time since the attach, that in which probes were in place; `None` where that is always so.
    pub coverage: Option<f64>,
    /// What could not be done at attach (missing probes and the like), in words.
    pub notices: Vec<String>,
}

/// Reasons by their numbers: the crate that names them has no serde.
mod drops {
    use bufwatch_common::DropReason;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(
        drops: &[(DropReason, u64)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let numbered: Vec<(u32, u64)> = drops.iter().map(|(it, n)| (it.index(), *n)).collect();
        numbered.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(DropReason, u64)>, D::Error> {
        let numbered: Vec<(u32, u64)> = Vec::deserialize(deserializer)?;
        let reason = |index| DropReason::ALL.into_iter().find(|it| it.index() == index);
        Ok(numbered.into_iter().filter_map(|(index, n)| Some((reason(index)?, n))).collect())
    }
}

impl Health {
    /// Frames of a kind.
    pub fn frames_of(&self, kind: FrameKind) -> FrameCounts {
        self.frames.get(frame_kind_index(kind)).copied().unwrap_or_default()
    }

    /// Frames of all kinds.
    pub fn all_frames(&self) -> FrameCounts {
        self.frames.iter().fold(FrameCounts::default(), |sum, counts| FrameCounts {
            n: sum.n + counts.n,
            n_unresolved: sum.n_unresolved + counts.n_unresolved,
            n_approximate: sum.n_approximate + counts.n_approximate,
        })
    }

    /// True if nothing was lost and no limit was reached.
    pub fn is_fine(&self) -> bool {
        self.n_lost == 0 && self.limits.is_empty()
    }
}
