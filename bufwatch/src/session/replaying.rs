//! Shows a recording to a looker: a thread that reads the moment that was asked for last and publishes its snapshot, so that who draws
//! never waits for the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, JoinHandle};

use tokio::sync::watch;

use crate::analysis::marks::Marks;
use crate::analysis::query::StoreQuery;
use crate::analysis::{Interest, Snapshot};
use crate::base::{Nanos, StoreKey};
use crate::recording::RecordingError;
use crate::recording::reader::About;
use crate::session::SessionError;
use crate::session::replay::Replay;

/// What a looker may ask of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayRequest {
    /// So long after the start.
    Seek(Nanos),
    SetStoreQuery(StoreQuery),
    SetDetail(Option<StoreKey>),
    Stop,
}

/// A recording that is being looked at. Dropping it ends that.
#[derive(Debug)]
pub struct Replaying {
    pub about: About,
    pub length: Nanos,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    marks: watch::Receiver<Arc<Marks>>,
    requests: Sender<ReplayRequest>,
    thread: Option<JoinHandle<()>>,
}

impl Replaying {
    /// Opens the file, and reads the first moment.
    pub fn start(path: &Path, at: Option<Nanos>) -> Result<Self, SessionError> {
        let replay = Replay::open(path)?;
        let (about, length) = (replay.about().clone(), replay.length());
        let (publish, snapshots) = watch::channel(None);
        let (publish_marks, marks) = watch::channel(Arc::new(Marks::default()));
        let (requests, inbox) = mpsc::channel();
        let name = "bw-replay";
        let reading = Reading {
            replay,
            interest: Interest::default(),
            at: at.unwrap_or(length),
            publish,
            publish_marks,
            shown: None,
        };
        let thread = Builder::new()
            .name(name.into())
            .spawn(move || reading.run(&inbox))
            .map_err(|source| SessionError::Thread { name, source })?;
        Ok(Self { about, length, snapshots, marks, requests, thread: Some(thread) })
    }

    /// The moment asked for last; `None` before the first.
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    /// Empty until they were read, which is after the first moment.
    pub fn marks(&self) -> watch::Receiver<Arc<Marks>> {
        self.marks.clone()
    }

    pub fn requests(&self) -> Sender<ReplayRequest> {
        self.requests.clone()
    }
}

impl Drop for Replaying {
    fn drop(&mut self) {
        if self.requests.send(ReplayRequest::Stop).is_err() {
            tracing::debug!("the reading of the recording had ended before");
        }
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("thread bw-replay ended by a bug");
        }
    }
}

/// What the thread has.
struct Reading {
    replay: Replay,
    interest: Interest,
    /// Asked for.
    at: Nanos,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
    publish_marks: watch::Sender<Arc<Marks>>,
    /// What the last snapshot is of: its state and what was asked for beyond.
    shown: Option<(Nanos, StoreQuery, Option<StoreKey>)>,
}

impl Reading {
    fn run(mut self, inbox: &Receiver<ReplayRequest>) {
        self.show();
        match self.replay.marks() {
            Ok(marks) => drop(self.publish_marks.send_replace(Arc::new(marks))),
            Err(error) => self.say(&error),
        }
        while let Ok(first) = inbox.recv() {
            // What was asked for meanwhile is out of date: the last one wins.
            let requests = std::iter::once(first).chain(inbox.try_iter());
            for request in requests {
                match request {
                    ReplayRequest::Seek(at) => self.at = at,
                    ReplayRequest::SetStoreQuery(query) => self.interest.query = query,
                    ReplayRequest::SetDetail(detail) => self.interest.detail = detail,
                    ReplayRequest::Stop => return,
                }
            }
            self.show();
        }
    }

    fn show(&mut self) {
        match self.read() {
            Ok(Some(snapshot)) => drop(self.publish.send_replace(Some(Arc::new(snapshot)))),
            Ok(None) => {}
            Err(error) => self.say(&error),
        }
    }

    /// `None` if the same is shown already.
    fn read(&mut self) -> Result<Option<Snapshot>, RecordingError> {
        let state = self.replay.state_time(self.at)?.unwrap_or(self.at);
        let wanted = (state, self.interest.query.clone(), self.interest.detail);
        if self.shown.as_ref() == Some(&wanted) {
            return Ok(None);
        }
        let snapshot = self.replay.snapshot_at(self.at, &self.interest)?;
        self.shown = Some(wanted);
        Ok(Some(snapshot))
    }

    /// A moment that cannot be read is a limit of the recording; the one before stays on screen.
    fn say(&mut self, error: &RecordingError) {
        let shown = self.publish.borrow().clone();
        let mut snapshot = shown.map_or_else(Snapshot::blank, |shown| Snapshot::clone(&shown));
        let limit = format!("a moment of the recording could not be read: {error}");
        if !snapshot.health.limits.contains(&limit) {
            snapshot.health.limits.push(limit);
        }
        self.shown = None;
        self.publish.send_replace(Some(Arc::new(snapshot)));
    }
}
