//! Snapshots of a recording, as a session would have published them.

use std::path::Path;
use std::sync::Arc;

use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::marks::{Mark, Marks};
use crate::analysis::{Interest, Snapshot, StoreSort, take};
use crate::base::sanitize::sanitize_to;
use crate::base::text::count;
use crate::base::{Bytes, Nanos, sanitize};
use crate::model::Model;
use crate::recording::reader::About;
use crate::recording::{FindingRow, RecordingError, StoreOrder, StoresWanted, THINNED_PREFIX};
use crate::source::replay::ReplaySource;

/// A recording, open.
#[derive(Debug)]
pub struct Replay {
    source: ReplaySource,
}

impl Replay {
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        ReplaySource::open(path).map(|source| Self { source })
    }

    pub(super) fn source(&self) -> &ReplaySource {
        &self.source
    }

    pub fn about(&self) -> &About {
        self.source.about()
    }

    /// From the start of the session to the last flush.
    pub fn length(&self) -> Nanos {
        self.about().last_at.since(self.about().started_at)
    }

    /// What was known so long after the start, as of the last flush up to then; beyond the end, the last state. Findings are those that
    /// the session told, not what the detectors of this bufwatch would say.
    pub fn snapshot_at(
        &self,
        elapsed: Nanos,
        interest: &Interest,
    ) -> Result<Snapshot, RecordingError> {
        let about = self.about();
        let at = Nanos(about.started_at.0.saturating_add(elapsed.0)).min(about.last_at);
        let replayed = self.source.at(at, &wanted(interest))?;
        let mut model = Model::new(about.started_at);
        model.apply(&replayed.event);
        let notices = self.notices(replayed.notices);
        let limits = self.limits(replayed.limits);
        let interest = Interest { notices, limits, ..interest.clone() };
        let mut snapshot = take(&model, &interest, replayed.event.at);
        snapshot.recent.splits = self.source.splits_before(replayed.event.at)?.into();
        snapshot.findings = replayed.findings.into_iter().filter_map(finding).collect();
        Ok(snapshot)
    }

    /// The moments worth a visit.
    pub fn marks(&self) -> Result<Marks, RecordingError> {
        let recorded = self.source.marks()?;
        let since = |at: Nanos| at.since(self.about().started_at);
        let finding = |(at, kind, site): (Nanos, String, Option<String>)| {
            let site = site.map_or_else(String::new, |site| format!(": {site}"));
            Mark { at: since(at), text: format!("{}{site}", kind.replace('_', " ")) }
        };
        let census = |(at, n): (Nanos, u64)| Mark {
            at: since(at),
            text: format!("census of {} array buffers", count(n)),
        };
        let step =
            |(at, text): (Nanos, String)| Mark { at: since(at), text: format!("RSS {text}") };
        Ok(Marks {
            findings: recorded.findings.into_iter().map(finding).collect(),
            steps: recorded.steps.into_iter().map(step).collect(),
            censuses: recorded.censuses.into_iter().map(census).collect(),
            gcs: thinned(recorded.gcs.into_iter().map(since), self.length()),
        })
    }

    /// The moment, since the start, whose state is shown at another one: those in between look the same.
    pub fn state_time(&self, elapsed: Nanos) -> Result<Option<Nanos>, RecordingError> {
        let at = Nanos(self.about().started_at.0.saturating_add(elapsed.0));
        let found = self.source.state_time(at)?;
        Ok(found.map(|at| at.since(self.about().started_at)))
    }

    /// What it has lost to its limit of size, as it is at its end.
    fn limits(&self, mut limits: Vec<String>) -> Vec<String> {
        limits.retain(|limit| !limit.starts_with(THINNED_PREFIX));
        limits.extend(self.about().thinned.map(|thinned| thinned.text()));
        limits
    }

    /// A recording that was cut says so.
    fn notices(&self, mut notices: Vec<String>) -> Vec<String> {
        if self.about().how_it_ended.is_none() {
            notices.push(
                "the recording has no end: bufwatch was killed, or still records; up to half a second is missing"
                    .to_owned(),
            );
        }
        notices
    }
}

/// Which stores a table needs: those at its top, if that can be told without looking at all of them.
fn wanted(interest: &Interest) -> StoresWanted {
    let query = &interest.query;
    let order = match (query.sort, query.is_ascending) {
        (StoreSort::Size, false) => Some(StoreOrder::Largest),
        (StoreSort::Size, true) => Some(StoreOrder::Smallest),
        (StoreSort::Age, false) => Some(StoreOrder::Oldest),
        (StoreSort::Age, true) => Some(StoreOrder::Youngest),
        (StoreSort::InRam | StoreSort::MajorsSurvived | StoreSort::Site, _) => None,
    };
    let order = order.filter(|_| query.filter.conditions.is_empty());
    StoresWanted { first: order.map(|order| (order, query.limit)), also: interest.detail }
}

/// Characters of one text of a finding, and lines of its code.
const PROSE_MAX: usize = 4_096;
const CODE_LINES_MAX: usize = 100;

/// One moment in each of many equal parts: no terminal has as many columns.
fn thinned(moments: impl Iterator<Item = Nanos>, length: Nanos) -> Arc<[Nanos]> {
    const PARTS: u128 = 4_000;
    let mut last = None;
    let is_new = |at: &Nanos| {
        let part = u128::from(at.0) * PARTS / u128::from(length.0.max(1));
        last.replace(part) != Some(part)
    };
    moments.filter(is_new).collect()
}

/// `None` for a kind that only another bufwatch knows. Made safe to print: a file may hold anything.
pub(super) fn finding(row: FindingRow) -> Option<Finding> {
    let prose = |text: &str| sanitize_to(text, PROSE_MAX);
    let code = |code: String| {
        let lines: Vec<String> = code.lines().take(CODE_LINES_MAX).map(sanitize).collect();
        lines.join("\n")
    };
    let confidences = [Confidence::Low, Confidence::Medium, Confidence::High];
    Some(Finding {
        kind: FindingKind::ALL.into_iter().find(|kind| kind.name() == row.kind)?,
        confidence: confidences.into_iter().find(|it| it.name() == row.confidence)?,
        bytes: Bytes(row.bytes),
        n_parents: row.n_parents,
        summary: prose(&row.summary),
        evidence: row.evidence.iter().map(|text| prose(text)).collect(),
        remedy: Remedy { words: prose(&row.remedy), code: row.remedy_code.map(code) },
        site: row.site.map(Arc::from),
        via: row.via.map(Arc::from),
        holder: row.holder,
        age: row.age,
        n_major_survived: row.n_major_survived,
    })
}
