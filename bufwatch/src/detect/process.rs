//! What detectors of a whole process have in common: what lasts and what is only a moment, and the form of what they say.

use std::sync::Arc;

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::snapshot::GroupRow;
use crate::base::{Bytes, Nanos};
use crate::event::residency::RssSplit;

/// What is so for this long is no moment: ten looks, and twice what may be in flight (`look::IN_FLIGHT_MAX`).
pub(super) const LASTS: Nanos = Nanos::from_secs(10);

/// Looks at least, of a process that is too large for one a second.
const LOOKS_MIN: usize = 3;

/// Below this much of RAM nothing is told: what glibc itself may keep at the end of its heap (the largest trim threshold that it gives
/// itself, `2 * DEFAULT_MMAP_THRESHOLD_MAX`, malloc/malloc.c).
pub(super) const MUCH: Bytes = Bytes(64 << 20);

/// A number that was never below this for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lasting {
    pub(super) least: Bytes,
    pub(super) since: Nanos,
    pub(super) n_looks: usize,
}

/// The least of a number in the looks of the last [`LASTS`]; `None` if it was unknown in one, or there were too few.
pub(super) fn lasting(
    snapshot: &Snapshot,
    of: impl Fn(&RssSplit) -> Option<Bytes>,
) -> Option<Lasting> {
    let splits = &snapshot.recent.splits;
    let (newest, _) = splits.last()?;
    let mut least: Option<Bytes> = None;
    for (n, (at, split)) in splits.iter().rev().enumerate() {
        let value = of(split)?;
        least = Some(least.map_or(value, |least| least.min(value)));
        let since = newest.since(*at);
        if since >= LASTS && n + 1 >= LOOKS_MIN {
            return Some(Lasting { least: least?, since, n_looks: n + 1 });
        }
    }
    None
}

/// At least this share of it, `of` to one.
pub(super) const fn is_share(part: Bytes, whole: Bytes, of: u64) -> bool {
    part.0.saturating_mul(of) >= whole.0
}

/// A finding that is about no array buffers in particular.
pub(super) fn finding(kind: FindingKind, confidence: Confidence, bytes: Bytes) -> Finding {
    Finding {
        kind,
        confidence,
        bytes,
        n_parents: 0,
        summary: String::new(),
        evidence: Vec::new(),
        remedy: Remedy::default(),
        site: None,
        via: None,
        holder: Vec::new(),
        age: None,
        n_major_survived: None,
    }
}

/// Says where it was allocated.
pub(super) fn at(finding: &mut Finding, group: &GroupRow) {
    finding.site = Some(Arc::clone(&group.label));
    finding.via.clone_from(&group.via);
}
