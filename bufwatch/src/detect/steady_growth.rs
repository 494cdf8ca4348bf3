//! `STEADY_GROWTH`: what one line allocated and collections did not free becomes more and more.
//!
//! The shape: bytes of a line's stores that have outlived at least two major collections rise from collection to collection, by a slope whose
//! whole interval is above zero, and still rise in the second half of what was seen. The young are left out, so that a burst is no growth.
//!
//! Not accused: what rises and falls, what has stopped rising (a cache that is full), less than 16 MiB. A cache that fills looks the same
//! until it is full. Lines of which a census finding tells more are that finding's.

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::slope::slope;
use crate::analysis::snapshot::{GroupRow, SurvivorPoint};
use crate::base::text::count;
use crate::base::{Bytes, Nanos};
use crate::detect::process;

/// Looks after collections at least: fewer have no interval worth the name in their second half.
const POINTS_MIN: usize = 8;

/// So many, over so long, are no start-up.
const POINTS_SURE: usize = 20;
const SPAN_SURE: Nanos = Nanos::from_secs(60);

/// Growth that may be a table or a cache of a program that starts: what Node, express and their like have in all is a fifth of it.
const WORTH: Bytes = Bytes(16 << 20);

/// In its second half it rises by at least this share of its slope.
const STILL: f64 = 0.5;

pub(super) fn find(snapshot: &Snapshot, told: &[Finding]) -> Vec<Finding> {
    let is_told = |group: &GroupRow| {
        told.iter().any(|it| it.site.as_ref() == Some(&group.label) && it.via == group.via)
    };
    let groups = snapshot.groups.iter().filter(|group| !is_told(group));
    groups.filter_map(finding).collect()
}

fn points(survivors: &[SurvivorPoint]) -> Vec<(f64, f64)> {
    survivors.iter().map(|it| (it.at.as_secs_f64(), it.bytes.0 as f64)).collect()
}

fn finding(group: &GroupRow) -> Option<Finding> {
    let survivors = &group.survivors;
    let (first, last) = (survivors.first()?, survivors.last()?);
    let span = last.at.since(first.at);
    let grew = last.bytes.saturating_sub(first.bytes);
    if survivors.len() < POINTS_MIN || grew < WORTH {
        return None;
    }
    let whole = slope(&points(survivors))?;
    let second_half = slope(&points(survivors.get(survivors.len() / 2..)?))?;
    let is_sure_to_grow = whole.least * span.as_secs_f64() >= WORTH.0 as f64 / 2.0;
    if !is_sure_to_grow || second_half.median < whole.median * STILL {
        return None;
    }
    let confidence = if survivors.len() >= POINTS_SURE && span >= SPAN_SURE {
        Confidence::High
    } else {
        Confidence::Medium
    };
    let per_min = |bytes_per_s: f64| Bytes((bytes_per_s * 60.0).max(0.0) as u64);
    let mut finding = process::finding(FindingKind::SteadyGrowth, confidence, grew);
    finding.n_parents = last.n;
    finding.summary = format!(
        "stores allocated at {} that outlive collections grow by {} a minute: {} now",
        group.text(),
        per_min(whole.median),
        last.bytes
    );
    finding.evidence = vec![
        format!(
            "the slope is {} to {} a minute with 95 % (Theil-Sen), by {} looks after major collections in {span}",
            per_min(whole.least),
            per_min(whole.most),
            count(survivors.len() as u64)
        ),
        format!(
            "from {} in {} stores to {} in {}, of stores that have outlived two major collections or more",
            first.bytes,
            count(first.n),
            last.bytes,
            count(last.n)
        ),
        "a cache that fills looks the same until it is full".to_owned(),
    ];
    finding.remedy = Remedy {
        words: "Something keeps them. A census says what: press c, or run it as below, and look for the holder of this line's array \
                buffers. If it is a cache, give it an upper limit."
            .to_owned(),
        code: Some("bufwatch census --pid PID".to_owned()),
    };
    finding.n_major_survived = Some(2);
    process::at(&mut finding, group);
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MIB, group};

    fn find_in(mib: impl Iterator<Item = u64>) -> Vec<Finding> {
        let points = mib.enumerate().map(|(n, mib)| SurvivorPoint {
            at: Nanos::from_secs(10 + 5 * n as u64),
            n_major: n as u64,
            n: mib,
            bytes: Bytes(mib * MIB),
        });
        let mut snapshot = Snapshot::blank();
        let mut line = group("keep (app.js:3)");
        line.survivors = points.collect();
        snapshot.groups = [line].into();
        find(&snapshot, &[])
    }

    #[test]
    fn growth_is_told_with_its_slope() {
        let found = find_in((0..30).map(|n| n * 10));
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((found.bytes, found.confidence), (Bytes(290 * MIB), Confidence::High));
        assert!(found.summary.contains("120 MiB a minute"), "{}", found.summary);
        assert_eq!(find_in((0..10).map(|n| n * 10))[0].confidence, Confidence::Medium);
    }

    #[test]
    fn what_does_not_go_on_growing_is_not_accused() {
        assert!(find_in((0..5).map(|n| n * 100)).is_empty(), "too few");
        assert!(find_in((0..30).map(|n| n.min(10) * 10)).is_empty(), "a cache that is full");
        assert!(find_in((0..30).map(|n| 50 + n % 7 * 10)).is_empty(), "up and down");
        assert!(find_in(0..14).is_empty(), "little");
        assert!(find_in((0..30).map(|n| 500 - n * 10)).is_empty(), "falls");
    }

    #[test]
    fn a_line_of_which_more_is_known_is_not_told_twice() {
        let mut line = group("keep (app.js:3)");
        line.survivors = (0..30)
            .map(|n| SurvivorPoint {
                at: Nanos::from_secs(n),
                n_major: n,
                n,
                bytes: Bytes(n * 10 * MIB),
            })
            .collect();
        let mut told = process::finding(FindingKind::PinnedParent, Confidence::High, Bytes(1));
        process::at(&mut told, &line);
        let mut snapshot = Snapshot::blank();
        snapshot.groups = [line].into();
        assert!(find(&snapshot, &[told]).is_empty());
        assert_eq!(find(&snapshot, &[]).len(), 1);
    }
}
