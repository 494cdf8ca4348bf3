//! A recording as a source: the state of any moment of it as an event. What was said beside the events comes with it.

use std::path::Path;

use crate::base::Nanos;
use crate::event::residency::RssSplit;
use crate::event::{Event, Payload};
use crate::recording::reader::About;
use crate::recording::{Course, FindingRow, Reader, RecordedMarks, RecordingError, StoresWanted};

/// A recording, open.
#[derive(Debug)]
pub struct ReplaySource {
    reader: Reader,
}

/// A moment of it.
#[derive(Debug)]
pub struct Replayed {
    /// Takes a model to the last flush up to the moment.
    pub event: Event,
    /// What the detectors said.
    pub findings: Vec<FindingRow>,
    pub notices: Vec<String>,
    pub limits: Vec<String>,
}

impl ReplaySource {
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Reader::open(path).map(|reader| Self { reader })
    }

    pub fn about(&self) -> &About {
        &self.reader.about
    }

    /// What is worth a mark on a time axis.
    pub fn marks(&self) -> Result<RecordedMarks, RecordingError> {
        self.reader.marks()
    }

    /// The moment whose state is shown at another one.
    pub fn state_time(&self, at: Nanos) -> Result<Option<Nanos>, RecordingError> {
        self.reader.state_time(at)
    }

    /// RSS by what it was for, in the minute before.
    pub fn splits_before(&self, at: Nanos) -> Result<Vec<(Nanos, RssSplit)>, RecordingError> {
        self.reader.splits_before(at)
    }

    /// What happened up to a moment; `gcs_max` is as many collections as are wanted.
    pub fn course_until(&self, at: Nanos, gcs_max: usize) -> Result<Course, RecordingError> {
        self.reader.course_until(at, gcs_max)
    }

    pub fn at(&self, at: Nanos, wanted: &StoresWanted) -> Result<Replayed, RecordingError> {
        let told = self.reader.told_at(at, wanted)?;
        let at = told.recalled.moment.at;
        let event = Event { at, payload: Payload::Recalled(told.recalled.into()) };
        let (findings, notices, limits) = (told.findings, told.notices, told.limits);
        Ok(Replayed { event, findings, notices, limits })
    }
}
