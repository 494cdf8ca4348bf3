//! Steps of RSS and what they come from: compares full scans, store by store and part by part. What is not explained is kept as that. The
//! words for it are `analysis::rss_steps`' business.

mod cause;
mod recall;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::base::{Bytes, Nanos};
use crate::event::SpaceChanges;
use crate::event::residency::{RssPart, RssSplit};
use crate::model::Model;
use crate::model::limits::{RSS_STEPS_MAX, STEP_CAUSES_MAX};
use crate::model::live::Store;
use crate::model::rss_step::cause::causes;
use crate::model::site::SiteId;

/// RSS moves by less than this without anybody asking why …
const STEP_MIN: Bytes = Bytes(16 << 20);

/// … and by less than this share of itself.
const STEP_SHARE: u64 = 50;

/// A scan in which more than this share of a step may be of stores that it did not look at is not the end of the step.
const UNSEEN_SHARE: u64 = 4;

/// How often a step is put off for that reason, since there may be such stores at any time.
const PUT_OFF_MAX: u32 = 2;

/// RSS that has moved by less than this share of a step is calm …
const CALM_SHARE: u64 = 8;

/// … and so is RSS that has moved, but stays where it is by now, within this share of a step …
const STILL_SHARE: u64 = 64;

/// … in so many looks after the first one there.
const STILL_LOOKS: u32 = 2;

/// A store that stands for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFacts {
    pub number: u64,
    pub size: Bytes,
    pub birth: Nanos,
}

/// Stores of one site that did the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoresOf {
    pub n: u64,
    /// The one with the most of these bytes.
    pub largest: StoreFacts,
    largest_bytes: Bytes,
}

/// Why RSS changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CauseKind {
    /// Pages came into memory, of stores that had none before.
    FirstWrite,
    /// More pages came into memory.
    MoreWritten,
    /// Stores were made, and written.
    Born,
    /// Stores died that had pages in memory.
    Freed,
    /// Pages of live stores went: with madvise, …
    Advised,
    /// … or into swap space, or nobody knows how.
    Reclaimed,
    /// Memory of dead stores that did not go back to the kernel.
    Kept,
    /// V8's heap.
    V8,
    /// A part of RSS that has nothing to do with stores.
    Part(RssPart),
}

impl CauseKind {
    /// Those that have nothing to do with a part of RSS.
    const PLAIN: [Self; 8] = [
        Self::FirstWrite,
        Self::MoreWritten,
        Self::Born,
        Self::Freed,
        Self::Advised,
        Self::Reclaimed,
        Self::Kept,
        Self::V8,
    ];

    /// `None` for what only another bufwatch knows.
    pub fn from_name(name: &str) -> Option<Self> {
        let parts = RssPart::ALL.into_iter().map(Self::Part);
        Self::PLAIN.into_iter().chain(parts).find(|kind| kind.name() == name)
    }

    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstWrite => "first-write",
            Self::MoreWritten => "more-written",
            Self::Born => "born",
            Self::Freed => "freed",
            Self::Advised => "advised",
            Self::Reclaimed => "reclaimed",
            Self::Kept => "kept",
            Self::V8 => "v8-heap",
            Self::Part(part) => part.name(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    pub kind: CauseKind,
    /// Of causes that concern stores.
    pub site: Option<SiteId>,
    /// Added to RSS.
    pub bytes: i64,
    pub stores: StoresOf,
}

/// From one full scan to a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RssStep {
    pub from: Nanos,
    pub to: Nanos,
    pub rss_before: Bytes,
    pub rss_after: Bytes,
    /// Largest first.
    pub causes: Vec<Cause>,
    /// What RSS changed by beyond all causes.
    pub unexplained: i64,
    /// Bytes of stores that were allocated meanwhile, written or not.
    pub created: Bytes,
    /// What was asked of the kernel meanwhile.
    pub asked: SpaceChanges,
}

impl RssStep {
    pub fn delta(&self) -> i64 {
        difference(self.rss_after, self.rss_before)
    }
}

/// What the next scan is compared with.
#[derive(Clone, Debug)]
struct Baseline {
    at: Nanos,
    /// The last scan at which RSS had hardly moved since: a step began after it.
    calm_at: Nanos,
    split: RssSplit,
    kept: BTreeMap<SiteId, Bytes>,
    /// Allocated from the attach to `calm_at`, …
    created: Bytes,
    /// … and asked of the kernel.
    asked: SpaceChanges,
    /// RSS when it last began to stand still, and the looks since then.
    still: (Bytes, u32),
    /// There was no look since.
    is_first: bool,
}

#[derive(Clone, Debug, Default)]
pub struct StepLog {
    baseline: Option<Baseline>,
    /// Oldest first.
    pub steps: VecDeque<RssStep>,
    /// Older ones that are no longer remembered.
    pub n_forgotten: u64,
    /// Stores that were in memory at the baseline and died since.
    freed: BTreeMap<SiteId, (Bytes, StoresOf)>,
    n_put_off: u32,
}

impl StepLog {
    pub(super) fn died(&mut self, store: &Store) {
        let bytes = store.residency.at_baseline;
        if bytes > Bytes(0) {
            let (sum, stores) = self.freed.entry(store.site).or_default();
            *sum += bytes;
            stores.add(store, bytes);
        }
    }

    fn continues_last(&self, step: &RssStep) -> bool {
        self.steps.back().is_some_and(|last| last.to == step.from && is_continued(last, step))
    }

    fn push(&mut self, step: RssStep) {
        if self.continues_last(&step)
            && let Some(last) = self.steps.back_mut()
        {
            *last = joined(last, &step);
            return;
        }
        if self.steps.len() >= RSS_STEPS_MAX {
            self.steps.pop_front();
            self.n_forgotten += 1;
        }
        self.steps.push_back(step);
    }
}

impl StoresOf {
    fn add(&mut self, store: &Store, bytes: Bytes) {
        self.n += 1;
        if bytes >= self.largest_bytes {
            self.largest_bytes = bytes;
            self.largest =
                StoreFacts { number: store.number, size: store.size, birth: store.birth };
        }
    }

    /// Of two steps of which the second continues the first.
    fn with(self, other: Self, kind: CauseKind) -> Self {
        let larger = if self.largest_bytes >= other.largest_bytes { self } else { other };
        // A store is born and freed once, but may be written in both.
        let is_once = matches!(kind, CauseKind::Born | CauseKind::Freed | CauseKind::FirstWrite);
        let n = if is_once { self.n.saturating_add(other.n) } else { self.n.max(other.n) };
        Self { n, ..larger }
    }
}

/// Compares a full scan with the one that the last step ended with.
pub(super) fn observe(model: &mut Model, at: Nanos, split: &RssSplit) {
    let Some(baseline) = model.rss_steps.baseline.take() else {
        begin(model, at, split);
        return;
    };
    let kept = model.freed.resident_by_site();
    let delta = difference(split.rss, baseline.split.rss);
    let least = STEP_MIN.max(Bytes(baseline.split.rss.0 / STEP_SHARE));
    let n_freed: Bytes = model.rss_steps.freed.values().map(|(bytes, _)| *bytes).sum();
    let n_kept: Bytes = kept.values().copied().sum();
    let was_kept: Bytes = baseline.kept.values().copied().sum();
    // Stores went, and RSS did not.
    let is_kept = n_kept.saturating_sub(was_kept).min(n_freed) >= least;
    let is_step = delta.unsigned_abs() >= least.0 || is_kept;
    let may_be_tail = baseline.is_first && delta.unsigned_abs() >= least.0 / CALM_SHARE;
    let is_unclear = (is_step || may_be_tail) && is_unclear(model, &baseline, split);
    if is_step && is_unclear && model.rss_steps.n_put_off < PUT_OFF_MAX {
        model.rss_steps.n_put_off += 1;
        model.rss_steps.baseline = Some(baseline);
        return;
    }
    let may_be_told = is_step || (may_be_tail && !is_unclear);
    let step = may_be_told.then(|| step(model, &baseline, at, split, &kept));
    // The scan before came in the middle of a step, and this is the little that was left of it: or it is nothing.
    if let Some(step) = step.filter(|step| is_step || model.rss_steps.continues_last(step)) {
        model.rss_steps.push(step);
        begin(model, at, split);
        return;
    }
    let is_still = split.rss.0.abs_diff(baseline.still.0.0) < least.0 / STILL_SHARE;
    let still = if is_still { (baseline.still.0, baseline.still.1 + 1) } else { (split.rss, 0) };
    let is_calm = delta.unsigned_abs() < least.0 / CALM_SHARE || still.1 >= STILL_LOOKS;
    let baseline = Baseline { still, is_first: false, ..baseline };
    model.rss_steps.baseline = Some(if is_calm {
        let (created, asked) = (model.totals.created_bytes, model.address_space.changes);
        Baseline { calm_at: at, created, asked, ..baseline }
    } else {
        baseline
    });
}

fn step(
    model: &Model,
    baseline: &Baseline,
    at: Nanos,
    split: &RssSplit,
    kept: &BTreeMap<SiteId, Bytes>,
) -> RssStep {
    let causes = causes(model, baseline, split, kept);
    let explained: i64 = causes.iter().map(|cause| cause.bytes).sum();
    RssStep {
        from: baseline.calm_at,
        to: at,
        rss_before: baseline.split.rss,
        rss_after: split.rss,
        unexplained: difference(split.rss, baseline.split.rss).saturating_sub(explained),
        created: model.totals.created_bytes.saturating_sub(baseline.created),
        asked: model.address_space.changes.since(&baseline.asked),
        causes: ranked(causes),
    }
}

/// Too much of it may be of stores that the scan did not look at.
fn is_unclear(model: &Model, baseline: &Baseline, split: &RssSplit) -> bool {
    let unseen: Bytes = model
        .live
        .iter()
        .filter(|store| store.birth >= baseline.at && store.residency.known().is_none())
        .map(|store| store.size)
        .chain([model.freed.unseen()])
        .sum();
    let delta = difference(split.rss, baseline.split.rss);
    unseen.0 > delta.unsigned_abs() / UNSEEN_SHARE
}

/// From now on this is compared with.
fn begin(model: &mut Model, at: Nanos, split: &RssSplit) {
    for store in model.live.iter_mut() {
        store.residency.at_baseline = store.residency.pages.resident;
        store.residency.is_advised = false;
    }
    let kept = model.freed.resident_by_site();
    let log = &mut model.rss_steps;
    log.freed.clear();
    log.n_put_off = 0;
    log.baseline = Some(Baseline {
        at,
        calm_at: at,
        split: *split,
        kept,
        created: model.totals.created_bytes,
        asked: model.address_space.changes,
        still: (split.rss, 0),
        is_first: true,
    });
}

/// The largest, and equal ones in the same order each time.
fn ranked(mut causes: Vec<Cause>) -> Vec<Cause> {
    causes.sort_unstable_by_key(|cause| {
        (std::cmp::Reverse(cause.bytes.unsigned_abs()), cause.kind, cause.site)
    });
    causes.truncate(STEP_CAUSES_MAX);
    causes
}

/// One thing that takes longer than a scan is one step.
fn is_continued(last: &RssStep, next: &RssStep) -> bool {
    let lead = |step: &RssStep| step.causes.first().map(|it| (subject(it), it.bytes.signum()));
    lead(last).is_some() && lead(last) == lead(next)
}

/// After a first write, more is written.
fn subject(cause: &Cause) -> (CauseKind, Option<SiteId>) {
    let kind = match cause.kind {
        CauseKind::MoreWritten => CauseKind::FirstWrite,
        kind @ (CauseKind::FirstWrite
        | CauseKind::Born
        | CauseKind::Freed
        | CauseKind::Advised
        | CauseKind::Reclaimed
        | CauseKind::Kept
        | CauseKind::V8
        | CauseKind::Part(_)) => kind,
    };
    (kind, cause.site)
}

fn joined(first: &RssStep, second: &RssStep) -> RssStep {
    let mut causes: Vec<Cause> = first.causes.clone();
    for cause in &second.causes {
        match causes.iter_mut().find(|known| subject(known) == subject(cause)) {
            Some(known) => {
                known.bytes += cause.bytes;
                known.stores = known.stores.with(cause.stores, cause.kind);
            }
            None => causes.push(*cause),
        }
    }
    RssStep {
        from: first.from,
        to: second.to,
        rss_before: first.rss_before,
        rss_after: second.rss_after,
        causes: ranked(causes),
        unexplained: first.unexplained.saturating_add(second.unexplained),
        created: first.created + second.created,
        asked: first.asked.with(&second.asked),
    }
}

fn difference(a: Bytes, b: Bytes) -> i64 {
    a.signed().saturating_sub(b.signed())
}
