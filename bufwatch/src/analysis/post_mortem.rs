//! A recorded session as a whole: its state at one moment, and what led there. Pure; reading it from a recording is `session`'s part.

use std::cmp::Reverse;

use crate::analysis::finding::Finding;
use crate::analysis::snapshot::Snapshot;
use crate::base::{FastMap, Nanos};
use crate::event::course::{CensusPoint, GcPoint};

/// All that a report tells. Times of the course are since the session began.
#[derive(Clone, Debug)]
pub struct PostMortem {
    /// As of the moment that is told.
    pub snapshot: Snapshot,
    /// When the session began, since 1970.
    pub started_unix: Option<Nanos>,
    /// Of the whole recording, also if an earlier moment is told.
    pub length: Nanos,
    pub bufwatch_version: Option<String>,
    pub ending: Ending,
    pub censuses: Vec<CensusPoint>,
    /// The most recent ones, of how many.
    pub gcs: Vec<GcPoint>,
    pub n_gcs: u64,
    /// By the most bytes that each was ever about.
    pub told: Vec<ToldFinding>,
    /// There were more findings than were read.
    pub is_told_cut: bool,
}

/// How a recording ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// It has no end: bufwatch was killed, or still records.
    #[default]
    Cut,
    /// bufwatch stopped watching; the process lived on.
    Stopped,
    Exited {
        code: Option<i32>,
    },
    Execed,
    NeverAttached,
}

impl Ending {
    /// `how`, `exit_code`: as the recording spells them.
    pub fn of(how: Option<&str>, exit_code: Option<i32>) -> Self {
        match how {
            Some("exited") => Self::Exited { code: exit_code },
            Some("execed") => Self::Execed,
            Some("never attached") => Self::NeverAttached,
            Some(_) => Self::Stopped,
            None => Self::Cut,
        }
    }

    pub fn text(self) -> String {
        match self {
            Self::Cut => {
                "the recording has no end: bufwatch was killed, or still records".to_owned()
            }
            Self::Stopped => "bufwatch stopped watching, the process lived on".to_owned(),
            Self::Exited { code: Some(code) } => format!("the process exited with code {code}"),
            Self::Exited { code: None } => "the process ended".to_owned(),
            Self::Execed => "the process executed another program".to_owned(),
            Self::NeverAttached => "the probes were never in place: nothing was traced".to_owned(),
        }
    }
}

/// A finding over time: the same verdict of the same line and holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldFinding {
    /// As it was when it was about the most bytes.
    pub worst: Finding,
    pub worst_at: Nanos,
    /// When it was told first.
    pub first: Nanos,
    /// When it was told no more; `None` if it still is.
    pub gone: Option<Nanos>,
}

/// Joins sets of findings, each of which replaces the one before, in order.
pub fn told_findings(sets: impl IntoIterator<Item = (Nanos, Vec<Finding>)>) -> Vec<ToldFinding> {
    let mut told: Vec<ToldFinding> = Vec::new();
    let mut by_key: FastMap<_, usize> = FastMap::default();
    for (at, set) in sets {
        let mut is_told = vec![false; told.len()];
        for finding in set {
            let key =
                (finding.kind, finding.site.clone(), finding.via.clone(), finding.holder.clone());
            let index = *by_key.entry(key).or_insert(told.len());
            if let Some(is_told) = is_told.get_mut(index) {
                *is_told = true;
            }
            match told.get_mut(index) {
                Some(known) => {
                    known.gone = None;
                    if finding.bytes >= known.worst.bytes {
                        (known.worst, known.worst_at) = (finding, at);
                    }
                }
                None => {
                    told.push(ToldFinding { worst: finding, worst_at: at, first: at, gone: None });
                }
            }
        }
        for (known, is_told) in told.iter_mut().zip(is_told) {
            if !is_told && known.gone.is_none() {
                known.gone = Some(at);
            }
        }
    }
    told.sort_by_key(|it| (Reverse(it.worst.bytes), it.first));
    told
}

impl PostMortem {
    /// When a finding of the snapshot was told first.
    pub fn first_told(&self, finding: &Finding) -> Option<Nanos> {
        let is_same = |it: &&ToldFinding| {
            it.worst.kind == finding.kind
                && it.worst.site == finding.site
                && it.worst.via == finding.via
                && it.worst.holder == finding.holder
        };
        self.told.iter().find(is_same).map(|it| it.first)
    }

    /// Findings that were told once and are no more.
    pub fn gone(&self) -> impl Iterator<Item = &ToldFinding> {
        self.told.iter().filter(|it| it.gone.is_some())
    }

    /// An earlier moment than the end is told.
    pub fn is_of_a_moment(&self) -> bool {
        // Between two flushes.
        self.length.since(self.snapshot.elapsed) > Nanos::SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::finding::{Confidence, FindingKind, Remedy};
    use crate::base::Bytes;

    fn finding(holder: &str, bytes: u64) -> Finding {
        Finding {
            kind: FindingKind::PinnedParent,
            confidence: Confidence::High,
            bytes: Bytes(bytes),
            n_parents: 1,
            summary: String::new(),
            evidence: Vec::new(),
            remedy: Remedy::default(),
            site: None,
            via: None,
            holder: vec![holder.to_owned()],
            age: None,
            n_major_survived: None,
        }
    }

    #[test]
    fn a_finding_has_a_first_a_worst_and_a_last_time() {
        let sets = [
            (Nanos(10), vec![finding("a", 5)]),
            (Nanos(20), vec![finding("a", 9), finding("b", 7)]),
            (Nanos(30), vec![finding("b", 3)]),
            (Nanos(40), Vec::new()),
            (Nanos(50), vec![finding("b", 1)]),
        ];
        let told: Vec<_> = told_findings(sets)
            .into_iter()
            .map(|it| {
                (it.worst.holder.concat(), it.worst.bytes.0, it.first.0, it.worst_at.0, it.gone)
            })
            .collect();
        let gone = Some(Nanos(30));
        assert_eq!(told, [("a".to_owned(), 9, 10, 20, gone), ("b".to_owned(), 7, 20, 20, None)]);
        assert!(told_findings([]).is_empty());
    }

    #[test]
    fn how_it_ended_is_read_as_it_is_written() {
        assert_eq!(Ending::of(Some("exited"), Some(3)), Ending::Exited { code: Some(3) });
        assert_eq!(Ending::of(None, None), Ending::Cut);
        assert_eq!(Ending::of(Some("in some way of the future"), None), Ending::Stopped);
    }
}
