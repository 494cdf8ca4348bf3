//! `UNTOUCHED_RESERVATION`: array buffers that were allocated and never written to.
//!
//! The shape: of the stores of a line that are older than ten seconds, hardly any page was ever written. They take no RAM, but
//! `arrayBuffers` and `external` count them, and V8 collects more often for what it believes is used.
//!
//! Not accused: WebAssembly memories and resizable buffers, which are reservations by design; a line of which an eighth is in use; what is
//! young; lines that `DEMAND_PAGED` tells of, which are being written now. It may be meant so, hence never more than `low`.

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::residency::OLD;
use crate::analysis::snapshot::GroupRow;
use crate::base::Bytes;
use crate::base::text::{count, percent};
use crate::detect::process::{self, MUCH};

/// A line of which more than this share is in RAM is in use: a pool of buffers is filled one after the other.
const HELD_SHARE: u64 = 8;

/// `written_now`: the line that is accused of being written to right now.
pub(super) fn find(snapshot: &Snapshot, written_now: Option<&Finding>) -> Vec<Finding> {
    let is_written_now = |group: &&GroupRow| {
        written_now.is_some_and(|it| it.site.as_deref() == Some(group.label.as_ref()))
    };
    let groups = snapshot.groups.iter().filter(|group| !is_written_now(group));
    groups.filter(|group| is_untouched(group)).map(finding).collect()
}

fn is_untouched(group: &GroupRow) -> bool {
    let live = &group.tally.live;
    group.live_untouched() >= MUCH && live.old_held.0.saturating_mul(HELD_SHARE) <= live.old.bytes.0
}

fn finding(group: &GroupRow) -> Finding {
    let live = &group.tally.live;
    let bytes = group.live_untouched();
    let mut finding = process::finding(FindingKind::UntouchedReservation, Confidence::Low, bytes);
    finding.n_parents = live.old.n;
    let n = count(live.old.n);
    let stores = if live.old.n == 1 { "store" } else { "stores" };
    finding.summary = format!(
        "{} in {n} {stores} allocated at {} were never written to: they take no RAM, but V8 counts them",
        live.old.bytes,
        group.text()
    );
    finding.evidence = vec![
        format!(
            "{} of {} are in RAM, {}, of stores older than {OLD}",
            live.old_held,
            live.old.bytes,
            percent(live.old_held.0 as f64 / live.old.bytes.0.max(1) as f64)
        ),
        "memory that is only read takes no RAM either: the kernel shows its page of zeros"
            .to_owned(),
    ];
    finding.remedy = Remedy {
        words: "Nothing is wrong with RAM. If they are there in advance for what may come, a resizable ArrayBuffer says so: only its present \
                length counts. If they are larger than what they ever hold, allocate what is needed; `arrayBuffers`, on which V8 decides when \
                to collect, falls with it."
            .to_owned(),
        code: Some("new ArrayBuffer(present, { maxByteLength: most });".to_owned()),
    };
    process::at(&mut finding, group);
    finding
}

impl GroupRow {
    /// Of its older live stores, what was never written.
    pub(super) fn live_untouched(&self) -> Bytes {
        let live = &self.tally.live;
        live.old.bytes.saturating_sub(live.old_held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MIB, group};

    fn snapshot(size_mib: u64, held_mib: u64) -> Snapshot {
        let mut snapshot = Snapshot::blank();
        let mut line = group("prepare (app.js:3)");
        line.tally.live.old.add(Bytes(size_mib * MIB));
        line.tally.live.old_held = Bytes(held_mib * MIB);
        snapshot.groups = [line].into();
        snapshot
    }

    #[test]
    fn what_nobody_wrote_is_told_with_little_confidence() {
        let found = find(&snapshot(500, 2), None);
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((found.bytes, found.confidence), (Bytes(498 * MIB), Confidence::Low));
        assert_eq!(found.site.as_deref(), Some("prepare (app.js:3)"));
    }

    #[test]
    fn what_is_in_use_or_little_is_not_accused() {
        assert!(find(&snapshot(500, 100), None).is_empty());
        assert!(find(&snapshot(50, 0), None).is_empty());
        let line = group("prepare (app.js:3)");
        let mut written = process::finding(FindingKind::DemandPaged, Confidence::High, Bytes(1));
        process::at(&mut written, &line);
        assert!(find(&snapshot(500, 2), Some(&written)).is_empty());
    }
}
