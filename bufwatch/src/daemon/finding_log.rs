//! Findings of one process over time: each is opened once, when it has stayed for a while, and closed once, when it has been gone for a
//! while. Pure: what it says is told by others.

use std::collections::BTreeMap;

use crate::analysis::finding::{Finding, FindingKind};
use crate::base::Nanos;
use crate::daemon::config::Findings;

/// Findings of one process that are followed at once; a process with more has other worries.
const KNOWN_MAX: usize = 64;

/// What makes two findings the same: how much it is about may change.
type Key = (FindingKind, String, Vec<String>);

/// A finding that was told.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Counts the findings of the process.
    pub number: u64,
    pub opened_at: Nanos,
    pub finding: Finding,
}

/// What is to be told now.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Opened(Told),
    /// `None`: the process ended.
    Closed {
        told: Told,
        is_process_over: bool,
    },
}

#[derive(Debug)]
struct Known {
    finding: Finding,
    first_seen: Nanos,
    last_seen: Nanos,
    /// Number and moment.
    opened: Option<(u64, Nanos)>,
}

/// The findings of one process.
#[derive(Debug, Default)]
pub struct FindingLog {
    known: BTreeMap<Key, Known>,
    n_opened: u64,
}

impl FindingLog {
    /// Takes what the detectors say at a moment.
    pub fn judge(&mut self, findings: &[Finding], at: Nanos, limits: &Findings) -> Vec<Change> {
        for finding in findings {
            let key = key(finding);
            let is_known = self.known.get(&key).is_some_and(|known| known.opened.is_some());
            let min = if is_known { limits.min_bytes.0 / 2 } else { limits.min_bytes.0 };
            if finding.bytes.0 < min {
                continue;
            }
            if let Some(known) = self.known.get_mut(&key) {
                // Two of one key at one moment: the larger one.
                if known.last_seen < at || known.finding.bytes < finding.bytes {
                    known.finding = finding.clone();
                }
                known.last_seen = at;
            } else if self.known.len() < KNOWN_MAX {
                let known =
                    Known { finding: finding.clone(), first_seen: at, last_seen: at, opened: None };
                self.known.insert(key, known);
            }
        }
        let mut changes = Vec::new();
        let n_opened = &mut self.n_opened;
        self.known.retain(|_, known| match known.opened {
            None if known.last_seen < at => false,
            None => {
                if at.since(known.first_seen) >= limits.open_after {
                    *n_opened += 1;
                    known.opened = Some((*n_opened, at));
                    changes.extend(known.told().map(Change::Opened));
                }
                true
            }
            Some(_) if at.since(known.last_seen) >= limits.close_after => {
                let closed = |told| Change::Closed { told, is_process_over: false };
                changes.extend(known.told().map(closed));
                false
            }
            Some(_) => true,
        });
        changes
    }

    /// Nothing more will come: what is open is closed.
    pub fn end(&mut self) -> Vec<Change> {
        let known = std::mem::take(&mut self.known);
        let told = known.values().filter_map(Known::told);
        told.map(|told| Change::Closed { told, is_process_over: true }).collect()
    }

    pub fn is_any_open(&self) -> bool {
        self.known.values().any(|known| known.opened.is_some())
    }

    /// What is open, the most bytes first.
    pub fn open(&self) -> Vec<Told> {
        let mut open: Vec<Told> = self.known.values().filter_map(Known::told).collect();
        open.sort_by_key(|told| std::cmp::Reverse(told.finding.bytes));
        open
    }
}

impl Known {
    fn told(&self) -> Option<Told> {
        let (number, opened_at) = self.opened?;
        Some(Told { number, opened_at, finding: self.finding.clone() })
    }
}

fn key(finding: &Finding) -> Key {
    let site = finding.site.as_deref().unwrap_or_default().to_owned();
    (finding.kind, site, finding.holder.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::finding::{Confidence, Remedy};
    use crate::base::Bytes;

    fn finding(kind: FindingKind, site: &str, mib: u64) -> Finding {
        Finding {
            kind,
            confidence: Confidence::High,
            bytes: Bytes(mib << 20),
            n_parents: 1,
            summary: String::new(),
            evidence: Vec::new(),
            remedy: Remedy::default(),
            site: Some(site.into()),
            via: None,
            holder: Vec::new(),
            age: None,
            n_major_survived: None,
        }
    }

    fn limits() -> Findings {
        Findings {
            min_bytes: Bytes(4 << 20),
            open_after: Nanos::from_secs(10),
            close_after: Nanos::from_secs(30),
        }
    }

    /// What is told at each second from `from` on, if the same is found at each.
    fn run(log: &mut FindingLog, found: &[Finding], seconds: std::ops::Range<u64>) -> Vec<String> {
        let mut said = Vec::new();
        for second in seconds {
            for change in log.judge(found, Nanos::from_secs(second), &limits()) {
                said.push(match change {
                    Change::Opened(told) => format!("{second} opened {}", told.number),
                    Change::Closed { told, .. } => format!("{second} closed {}", told.number),
                });
            }
        }
        said
    }

    #[test]
    fn a_finding_is_opened_once_and_closed_once() {
        let mut log = FindingLog::default();
        let found = [finding(FindingKind::PinnedParent, "a.js:1", 10)];
        assert_eq!(run(&mut log, &found, 100..200), ["110 opened 1"]);
        assert_eq!(log.open().len(), 1);
        assert_eq!(run(&mut log, &[], 200..300), ["229 closed 1"]);
        assert!(log.open().is_empty());
        assert_eq!(run(&mut log, &found, 300..320), ["310 opened 2"]);
    }

    #[test]
    fn what_comes_and_goes_is_not_told() {
        let mut log = FindingLog::default();
        let found = [finding(FindingKind::GcLag, "a.js:1", 10)];
        for second in (0..400).step_by(8) {
            assert!(run(&mut log, &found, second..second + 7).is_empty());
            assert!(run(&mut log, &[], second + 7..second + 8).is_empty());
        }
        run(&mut log, &found, 400..420);
        for second in (420..800).step_by(29) {
            assert!(run(&mut log, &[], second..second + 28).is_empty(), "still open");
            assert!(run(&mut log, &found, second + 28..second + 29).is_empty());
        }
    }

    #[test]
    fn size_has_two_thresholds() {
        let mut log = FindingLog::default();
        let sized = |mib| [finding(FindingKind::PinnedParent, "a.js:1", mib)];
        assert!(run(&mut log, &sized(3), 0..60).is_empty());
        assert_eq!(run(&mut log, &sized(4), 60..80), ["70 opened 1"]);
        assert!(run(&mut log, &sized(2), 80..160).is_empty());
        assert_eq!(run(&mut log, &sized(1), 160..260), ["189 closed 1"]);
    }

    #[test]
    fn two_sites_are_two_findings_and_end_with_the_process() {
        let mut log = FindingLog::default();
        let found = [
            finding(FindingKind::PinnedParent, "a.js:1", 10),
            finding(FindingKind::PinnedParent, "b.js:1", 20),
            finding(FindingKind::PinnedParent, "b.js:1", 15),
        ];
        assert_eq!(run(&mut log, &found, 0..20).len(), 2);
        assert_eq!(log.open().first().unwrap().finding.bytes, Bytes(20 << 20));
        let over = log.end();
        assert_eq!(over.len(), 2);
        assert!(over.iter().all(|it| matches!(it, Change::Closed { is_process_over: true, .. })));
        assert!(log.end().is_empty());
    }

    #[test]
    fn there_is_a_limit() {
        let mut log = FindingLog::default();
        let found: Vec<Finding> = (0..500)
            .map(|n| finding(FindingKind::PinnedParent, &format!("{n}.js:1"), 10))
            .collect();
        assert_eq!(run(&mut log, &found, 0..20).len(), KNOWN_MAX);
    }
}
