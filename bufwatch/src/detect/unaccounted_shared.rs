//! `UNACCOUNTED_SHARED`: shared array buffers come and go, and V8 does not count them: it sees no reason to collect.
//!
//! The shape: much live shared memory that V8's `external` does not have in it, of lines that go on allocating it. Dead ones wait for a
//! collection that nothing asks for (nodejs/node#34703: 6.9 GiB).
//!
//! Not accused: shared memory that a program makes once and keeps; versions of V8 that count it.

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::snapshot::GroupRow;
use crate::base::Bytes;
use crate::base::text::count;
use crate::detect::process::{self, MUCH};

/// Shared stores at least: a program has one a worker, and these are few.
const STORES_MIN: u64 = 8;

/// A line that has made no store for ten seconds or so goes on no more: its rate has faded by then (`model::rate`).
const RATE_MIN: f64 = 0.1;

pub(super) fn find(snapshot: &Snapshot) -> Option<Finding> {
    let is_going_on = |group: &&GroupRow| {
        let tally = &group.tally;
        tally.live.shared.n > 0
            && (tally.n_created_per_s >= RATE_MIN || tally.n_created > tally.n_live)
    };
    let groups: Vec<&GroupRow> = snapshot.groups.iter().filter(is_going_on).collect();
    let bytes: Bytes = groups.iter().map(|group| group.tally.live.shared.bytes).sum();
    let n: u64 = groups.iter().map(|group| group.tally.live.shared.n).sum();
    let usage = snapshot.memory.usage.as_ref()?;
    let (external, buffers) = (usage.all.external?, usage.all.array_buffers?);
    // Node's allocator counts shared memory; what V8 has less is what it does not know of.
    let is_uncounted = buffers.saturating_sub(external).0 >= bytes.0 / 2;
    if bytes < MUCH || n < STORES_MIN || !is_uncounted {
        return None;
    }
    let top = groups.into_iter().max_by_key(|group| group.tally.live.shared.bytes)?;
    let mut finding = process::finding(FindingKind::UnaccountedShared, Confidence::Medium, bytes);
    finding.n_parents = n;
    finding.summary = format!(
        "{bytes} in {} SharedArrayBuffers that V8 does not count, and more come, most from {}: it does not collect for them",
        count(n),
        top.text()
    );
    finding.evidence = vec![
        format!("V8's `external` says {external}, while Node's allocator has handed out {buffers}"),
        format!(
            "{} of {} made at {} live, none is counted",
            count(top.tally.n_live),
            count(top.tally.n_created),
            top.text()
        ),
    ];
    finding.remedy = Remedy {
        words: "Dead ones go with the next major collection, which they do not bring about. Use a fixed number of them again and again, one \
                for each worker; an ArrayBuffer that is transferred is counted, if only one side needs it at a time."
            .to_owned(),
        code: Some("worker.postMessage(buffer, [buffer]); // an ArrayBuffer, transferred".to_owned()),
    };
    process::at(&mut finding, top);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::snapshot::{Counted, HeapNumbers, MemoryUsage};
    use crate::detect::made_up::{MIB, group};

    fn find_in(n: u64, per_s: f64, external_mib: u64) -> Option<Finding> {
        let mut snapshot = Snapshot::blank();
        let mut line = group("send (app.js:7)");
        let tally = &mut line.tally;
        (tally.n_created, tally.n_live, tally.n_created_per_s) = (n, n, per_s);
        tally.live.shared = Counted { n, bytes: Bytes(n * 10 * MIB) };
        snapshot.groups = [line].into();
        let all = HeapNumbers {
            external: Some(Bytes(external_mib * MIB)),
            array_buffers: Some(Bytes((n * 10 + 5) * MIB)),
            ..HeapNumbers::default()
        };
        snapshot.memory.usage = Some(MemoryUsage { all, ..MemoryUsage::default() });
        find(&snapshot)
    }

    #[test]
    fn only_what_goes_on_and_is_not_counted_is_told() {
        assert_eq!(find_in(100, 5.0, 3).unwrap().bytes, Bytes(1_000 * MIB));
        assert_eq!(find_in(100, 0.0, 3), None, "made once and kept");
        assert_eq!(find_in(100, 5.0, 1_000), None, "counted");
        assert_eq!(find_in(6, 5.0, 3), None, "one a worker");
    }
}
