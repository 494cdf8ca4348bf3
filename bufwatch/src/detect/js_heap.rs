//! `JS_HEAP`: most of RSS is V8's heap, not array buffers: other tools say more about it.
//!
//! The shape: resident pages of V8's heaps are most of RSS, and much, for some time. No accusation: it says where to look, and where not.
//!
//! Not told of: a heap below 256 MiB, which a server of some size has; less than three fifths of RSS.

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::base::Bytes;
use crate::base::text::percent;
use crate::detect::process::{self, lasting};

/// Four times the memory below which nothing else is told either: an idle Node has 75 MB, a large server's code and modules twice that.
const WORTH: Bytes = Bytes(4 * process::MUCH.0);

pub(super) fn find(snapshot: &Snapshot) -> Option<Finding> {
    let is_most = |heap: Bytes, rss: Bytes| heap.0.saturating_mul(5) >= rss.0.saturating_mul(3);
    let lasting = lasting(snapshot, |split| {
        let heap = split.v8();
        Some(if is_most(heap, split.rss) { heap } else { Bytes(0) })
    })?;
    let (_, split) = snapshot.memory.split?;
    let bytes = lasting.least;
    if bytes < WORTH {
        return None;
    }
    let mut finding = process::finding(FindingKind::JsHeap, Confidence::High, bytes);
    let share = percent(bytes.0 as f64 / split.rss.0.max(1) as f64);
    finding.summary =
        format!("{bytes} of RSS, {share}, are V8's heap: JavaScript objects, not array buffers");
    finding.evidence = vec![format!(
        "resident pages of its heaps, never less than {bytes} in {}; live stores have {} in RAM",
        lasting.since, snapshot.memory.residency.pages.resident
    )];
    if let Some(usage) = &snapshot.memory.usage {
        let all = &usage.all;
        finding.evidence.push(format!(
            "heapTotal {}, heapUsed {} to {}, external {}",
            all.total,
            all.used_min,
            all.used_max,
            all.external.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string())
        ));
    }
    finding.remedy = Remedy {
        words: "bufwatch looks at array buffers. For objects, take two heap snapshots some minutes apart and compare them in DevTools, or \
                run with --heap-prof for the lines that allocate; a snapshot stops the process for seconds and may double its memory. \
                --max-old-space-size says how large V8 lets it become."
            .to_owned(),
        code: Some("node --heapsnapshot-signal=SIGUSR2 app.js   # then: kill -USR2 PID".to_owned()),
    };
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MIB, splits};
    use crate::event::residency::{RssPart, RssSplit};

    fn split(heap_mib: u64, rss_mib: u64) -> RssSplit {
        let mut split = RssSplit { rss: Bytes(rss_mib * MIB), ..RssSplit::default() };
        split.add(RssPart::V8Old, Bytes(heap_mib * MIB));
        split
    }

    #[test]
    fn only_a_large_heap_that_is_most_of_it_is_told() {
        let found = |heap, rss, n| find(&splits(&vec![split(heap, rss); n]));
        assert_eq!(found(400, 500, 12).unwrap().bytes, Bytes(400 * MIB));
        assert_eq!(found(200, 250, 12), None, "not large");
        assert_eq!(found(400, 900, 12), None, "not most");
        assert_eq!(found(400, 500, 4), None, "a moment");
    }
}
