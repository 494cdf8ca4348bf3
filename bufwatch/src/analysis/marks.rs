//! The moments of a recording that are worth a visit: what a time axis marks, and what one jumps to.

use std::sync::Arc;

use crate::base::Nanos;

/// A moment, and what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Since the start of the recording.
    pub at: Nanos,
    pub text: String,
}

/// Each in the order of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Findings, when they were told first.
    pub findings: Arc<[Mark]>,
    /// Steps of RSS, when they were over.
    pub steps: Arc<[Mark]>,
    pub censuses: Arc<[Mark]>,
    /// Major collections, when they were over.
    pub gcs: Arc<[Nanos]>,
}

impl Default for Marks {
    fn default() -> Self {
        let none = || Arc::from([]);
        Self { findings: none(), steps: none(), censuses: none(), gcs: Arc::from([]) }
    }
}

/// The first mark after a moment.
pub fn next(marks: &[Mark], after: Nanos) -> Option<&Mark> {
    marks.get(marks.partition_point(|mark| mark.at <= after))
}

/// The last mark before a moment.
pub fn previous(marks: &[Mark], before: Nanos) -> Option<&Mark> {
    marks.get(marks.partition_point(|mark| mark.at < before).checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_gets_from_each_mark_to_its_neighbours() {
        let mark = |ns| Mark { at: Nanos(ns), text: String::new() };
        let marks = [mark(5), mark(9), mark(9), mark(20)];
        let at = |found: Option<&Mark>| found.map(|mark| mark.at.0);
        assert_eq!(
            [0, 5, 9, 20].map(|ns| at(next(&marks, Nanos(ns)))),
            [Some(5), Some(9), Some(20), None]
        );
        assert_eq!(
            [5, 9, 20, 99].map(|ns| at(previous(&marks, Nanos(ns)))),
            [None, Some(5), Some(9), Some(20)]
        );
    }
}
