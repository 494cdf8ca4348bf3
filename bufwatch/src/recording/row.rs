//! What the writer takes at once: everything since the last flush.

use std::sync::Arc;

use crate::base::{Bytes, Nanos};
use crate::event::Thread;
use crate::event::recorded::{
    Moment, RecordedCensus, RecordedChange, RecordedDeath, RecordedFailure, RecordedGc,
    RecordedHeap, RecordedPages, RecordedPlacement, RecordedSite, RecordedStep, RecordedStore,
    SiteTotal,
};
use crate::event::residency::{FirstTouch, RssSplit};

/// Rows of one transaction, in the order in which they are written.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub facts: Vec<(&'static str, Fact)>,
    pub threads: Option<Arc<[Thread]>>,
    pub sites: Vec<RecordedSite>,
    pub totals: Vec<SiteTotal>,
    /// Born since the last flush and alive.
    pub stores: Vec<RecordedStore>,
    pub changes: Vec<RecordedChange>,
    /// Of stores by their number that had none when they were written: the address space is read now and then.
    pub placements: Vec<(u64, RecordedPlacement)>,
    /// Of stores that have rows.
    pub deaths: Vec<RecordedDeath>,
    /// When that was known, of which store by its number.
    pub pages: Vec<(Nanos, u64, RecordedPages)>,
    /// When that was known, of which store by its number.
    pub first_touches: Vec<(Nanos, u64, FirstTouch)>,
    /// When that was known, when the scan began, what it found.
    pub splits: Vec<(Nanos, Nanos, RssSplit)>,
    pub steps: Vec<RecordedStep>,
    /// When that was known, of which site by its number: memory of its dead stores that is still there.
    pub freed: Vec<(Nanos, u32, Bytes)>,
    /// When that was known, when V8's counters were read, what they said.
    pub heaps: Vec<(Nanos, Nanos, Vec<RecordedHeap>)>,
    pub moments: Vec<Moment>,
    pub gcs: Vec<RecordedGc>,
    pub censuses: Vec<RecordedCensus>,
    pub census_failures: Vec<RecordedFailure>,
    /// All findings as of a moment, the most bytes first.
    pub findings: Vec<(Nanos, Vec<FindingRow>)>,
    /// What is missing, and how much of it up to that moment.
    pub losses: Vec<(Nanos, String, u64)>,
    pub notices: Vec<NoticeList>,
}

impl Batch {
    /// About how much memory waits to be written.
    pub fn n_rows(&self) -> usize {
        self.totals.len()
            + self.stores.len()
            + self.changes.len()
            + self.deaths.len()
            + self.pages.len()
            + self.first_touches.len()
            + self.moments.len()
            + self.gcs.len()
            + self.freed.len()
            + self.heaps.len()
    }
}

/// All that is to be told as of a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeList {
    pub at: Nanos,
    /// Limits that were reached, as opposed to what could not be done at attach.
    pub is_limit: bool,
    pub texts: Vec<String>,
}

/// Something about the recording as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Number(u64),
    Text(String),
}

/// A finding, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindingRow {
    pub kind: String,
    pub confidence: String,
    pub bytes: u64,
    pub n_parents: u64,
    pub summary: String,
    pub evidence: Vec<String>,
    pub remedy: String,
    pub remedy_code: Option<String>,
    pub site: Option<String>,
    pub via: Option<String>,
    pub holder: Vec<String>,
    pub age: Option<Nanos>,
    pub n_major_survived: Option<u32>,
}
