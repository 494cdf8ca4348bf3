//! `DEMAND_PAGED`: RSS grows while nothing is allocated: memory that was allocated before is written to for the first time.
//!
//! The shape: in the last minutes, steps of RSS come from first writes to stores that were seen untouched before, and hardly anything was
//! allocated meanwhile. Not a leak: the kernel gives pages when they are written, not when they are allocated. What it says is where the
//! memory was allocated, and how much is still to come.
//!
//! Not accused: stores that are written as they are made, growth with as much allocation, and growth that has other causes.

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::snapshot::{CauseKind, GroupRow, RssStepRow};
use crate::base::{Bytes, FastMap, Nanos};
use crate::detect::process::{self, MUCH};

/// What happened before is over.
const RECENT: Nanos = Nanos::from_secs(120);

/// Allocated bytes are at most this share of the written ones.
const CREATED_SHARE: u64 = 4;

/// Written bytes are at least this share of all growth.
const GROWTH_SHARE: u64 = 2;

pub(super) fn find(snapshot: &Snapshot) -> Option<Finding> {
    let steps: Vec<&RssStepRow> =
        snapshot.rss_steps.iter().filter(|step| step.ago < RECENT && step.delta > 0).collect();
    let mut by_site: FastMap<&str, Bytes> = FastMap::default();
    let mut written = Bytes(0);
    for cause in steps.iter().flat_map(|step| &step.causes) {
        let is_written = matches!(cause.kind, CauseKind::FirstWrite | CauseKind::MoreWritten);
        if let Some(site) = cause.site.as_deref().filter(|_| is_written && cause.bytes > 0) {
            let bytes = Bytes(cause.bytes.unsigned_abs());
            written += bytes;
            *by_site.entry(site).or_default() += bytes;
        }
    }
    let grew: Bytes = steps.iter().map(|step| Bytes(step.delta.unsigned_abs())).sum();
    let created: Bytes = steps.iter().map(|step| step.created).sum();
    let is_most = process::is_share(written, grew, GROWTH_SHARE);
    if written < MUCH || !is_most || created.0.saturating_mul(CREATED_SHARE) > written.0 {
        return None;
    }
    let group = snapshot
        .groups
        .iter()
        .max_by_key(|group| (by_site.get(group.label.as_ref()).copied(), group.live_untouched()))
        .filter(|group| by_site.contains_key(group.label.as_ref()));
    let mut finding = process::finding(FindingKind::DemandPaged, Confidence::High, written);
    let at = group.map_or_else(String::new, |group| format!(", allocated at {}", group.text()));
    finding.summary = format!(
        "RSS grew by {grew}, while {created} were allocated: first writes to older stores{at}; not a leak"
    );
    finding.evidence = steps.iter().rev().take(3).map(|step| step.text.clone()).collect();
    let left: Bytes = snapshot.groups.iter().map(GroupRow::live_untouched).sum();
    finding.evidence.push(format!("{left} of live stores are still untouched: so much may follow"));
    if let Some(group) = group {
        process::at(&mut finding, group);
        finding.n_parents = group.tally.live.old.n;
    }
    finding.remedy = Remedy {
        words: "The kernel gives pages when they are first written, so RSS follows the writes and not the allocations: plan memory limits \
                with the allocated bytes. If the whole will never be needed, allocate less, in chunks as they fill up. If it will, write to \
                all of it at the start, and RSS is from then on what it will be."
            .to_owned(),
        code: Some("buffer.fill(0);".to_owned()),
    };
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::snapshot::StepCauseRow;
    use crate::detect::made_up::{MIB, group};

    fn step(kind: CauseKind, mib: u64, created_mib: u64, ago: u64) -> RssStepRow {
        let bytes = (mib * MIB).cast_signed();
        let site = Some("reserve (app.js:3)".into());
        RssStepRow {
            ago: Nanos::from_secs(ago),
            took: Nanos::SECOND,
            rss: Bytes(0),
            delta: bytes,
            text: format!("+{mib} MiB"),
            causes: vec![StepCauseRow { kind, bytes, site, n_stores: Some(1), store: Some(1) }],
            unexplained: 0,
            created: Bytes(created_mib * MIB),
            asked: crate::event::SpaceChanges::default(),
        }
    }

    fn find_in(steps: Vec<RssStepRow>) -> Option<Finding> {
        let mut snapshot = Snapshot::blank();
        snapshot.rss_steps = steps.into();
        let mut line = group("reserve (app.js:3)");
        line.tally.live.old.add(Bytes(1_000 * MIB));
        line.tally.live.old_held = Bytes(300 * MIB);
        snapshot.groups = [group("other (app.js:9)"), line].into();
        find(&snapshot)
    }

    #[test]
    fn growth_by_first_writes_is_told_with_what_may_follow() {
        let steps = vec![
            step(CauseKind::FirstWrite, 100, 0, 50),
            step(CauseKind::MoreWritten, 100, 10, 20),
        ];
        let found = find_in(steps).unwrap();
        assert_eq!((found.bytes, found.n_parents), (Bytes(200 * MIB), 1));
        assert_eq!(found.site.as_deref(), Some("reserve (app.js:3)"));
        assert!(found.evidence.iter().any(|it| it.starts_with("700 MiB")), "{found:?}");
    }

    #[test]
    fn growth_of_another_kind_is_not_accused() {
        assert_eq!(find_in(vec![step(CauseKind::Born, 200, 200, 5)]), None);
        assert_eq!(find_in(vec![step(CauseKind::FirstWrite, 200, 100, 5)]), None, "allocated");
        assert_eq!(find_in(vec![step(CauseKind::FirstWrite, 200, 0, 500)]), None, "long ago");
        assert_eq!(find_in(vec![step(CauseKind::FirstWrite, 30, 0, 5)]), None, "little");
        let mixed = vec![step(CauseKind::FirstWrite, 100, 0, 5), step(CauseKind::V8, 300, 0, 5)];
        assert_eq!(find_in(mixed), None, "the heap is the most of it");
    }
}
