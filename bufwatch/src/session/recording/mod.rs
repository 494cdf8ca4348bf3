//! Records a session, if that was asked for. Writing never holds up the session: what cannot be kept is counted as lost.

mod look;
mod recorder;
mod rows;
mod thread;

use crate::analysis::Snapshot;
use crate::base::Nanos;
use crate::event::Event;
use crate::model::Model;
use crate::recording::Place;
use crate::session::SessionError;
use crate::session::recording::recorder::Recorder;

/// What becomes of a session, if it is recorded.
pub(super) struct Recording {
    recorder: Option<Recorder>,
    flush_every: Nanos,
    /// Without it the session ends.
    is_purpose: bool,
    is_failure_told: bool,
}

impl Recording {
    pub(super) fn start(
        place: Option<Place>,
        is_purpose: bool,
        started_at: Nanos,
        flush_every: Nanos,
    ) -> Result<Self, SessionError> {
        let start = |place| Recorder::start(place, started_at, flush_every);
        let recorder = place.map(start).transpose()?;
        Ok(Self { recorder, flush_every, is_purpose, is_failure_told: false })
    }

    /// Ends the recording under way, if there is one, and goes on in another file, if one is named. Waits for the disk.
    pub(super) fn switch(
        &mut self,
        place: Option<Place>,
        model: &Model,
        now: Nanos,
    ) -> Result<(), SessionError> {
        let left = self.recorder.take().map_or(Ok(()), |recorder| recorder.leave(model, now));
        let join = |place| Recorder::join(place, model, now, self.flush_every);
        self.recorder = place.map(join).transpose()?;
        self.is_failure_told = false;
        left
    }

    /// Applies an event, and keeps what it says.
    pub(super) fn fold(&mut self, model: &mut Model, event: &Event) {
        match &mut self.recorder {
            Some(recorder) => {
                recorder.before(model, event);
                model.apply(event);
                recorder.after(model, event);
            }
            None => model.apply(event),
        }
    }

    pub(super) fn published(&mut self, snapshot: &Snapshot) {
        if let Some(recorder) = &mut self.recorder {
            recorder.published(snapshot);
        }
    }

    /// What the recording has lost to its limit of size, in words.
    pub(super) fn limit(&self) -> Option<String> {
        self.recorder.as_ref().and_then(Recorder::limit)
    }

    /// Flushes when it is time. True if the session has lost its purpose.
    pub(super) fn poll(&mut self, model: &Model, now: Nanos, notices: &mut Vec<String>) -> bool {
        let Some(recorder) = &mut self.recorder else { return false };
        recorder.poll(model, now);
        if recorder.has_failed && !std::mem::replace(&mut self.is_failure_told, true) {
            let notice = "the recording has ended: it could not be written; why is said at the end";
            notices.push(notice.to_owned());
        }
        recorder.has_failed && self.is_purpose
    }

    /// Writes what is left, and how it ended. Waits for the disk.
    pub(super) fn finish(&mut self, model: &Model) -> Result<(), SessionError> {
        self.recorder.take().map_or(Ok(()), |recorder| recorder.finish(model))
    }
}
