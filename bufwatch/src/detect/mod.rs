//! Layer 4: judges a snapshot. One file per detector, each a pure function from a snapshot to findings; thresholds stand with their derivation.

use crate::analysis::Snapshot;
use crate::analysis::finding::Finding;

/// All findings, the most bytes first.
pub fn detect(_snapshot: &Snapshot) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    findings.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.kind.cmp(&b.kind)));
    findings
}
