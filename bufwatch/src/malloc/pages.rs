//! Which pages of the target a survey may read: only those that are in memory, so that reading brings nothing in.

use crate::malloc::PAGE;
use crate::sys::pagemap::{PageRun, PageState};

/// Ascending runs, as one pass over the page tables found them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a>(pub(super) &'a [PageRun]);

/// What is known of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// In memory, up to this address.
    UpTo(u64),
    Swapped,
    /// Nowhere, or the page of zeros; it may have been written since the pass.
    Nowhere,
}

impl Pages<'_> {
    pub(super) fn at(self, address: u64) -> Found {
        let after = self.0.partition_point(|run| run.start <= address);
        let before = after.checked_sub(1).and_then(|at| self.0.get(at));
        match before.filter(|run| address < run.end) {
            Some(PageRun { state: PageState::Resident, end, .. }) => Found::UpTo(*end),
            Some(PageRun { state: PageState::Swapped, .. }) => Found::Swapped,
            _ => Found::Nowhere,
        }
    }

    /// The first page from `address` on, itself a page's begin, that is in memory; and where its run ends.
    pub(super) fn next_resident(self, address: u64) -> Option<(u64, u64)> {
        let first = self.0.partition_point(|run| run.end <= address);
        let runs = self.0.get(first..).unwrap_or_default();
        let run = runs.iter().find(|run| run.state == PageState::Resident)?;
        let start = run.start.max(address).checked_next_multiple_of(PAGE)?;
        (start < run.end).then_some((start, run.end))
    }
}
