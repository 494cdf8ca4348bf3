//! One process that is watched: its session, what was found in it, and when its heap is looked at next.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use crate::analysis::{Snapshot, TargetState};
use crate::base::{Nanos, ProcessKey};
use crate::daemon::archive::size_of;
use crate::daemon::board::{Row, State};
use crate::daemon::config::{Census, Config, Recordings};
use crate::daemon::finding_log::{Change, FindingLog};
use crate::daemon::live::Look;
use crate::daemon::selection::Traits;
use crate::daemon::service::Place;
use crate::session::{CensusInterval, RecordTo, Request, Session};

/// What was found out about a process before it is attached to.
#[derive(Clone, Debug)]
pub struct Subject {
    pub key: ProcessKey,
    pub place: Place,
    /// Sanitized.
    pub traits: Traits,
    pub node_version: Option<String>,
}

/// A process with its session.
#[derive(Debug)]
pub struct Watched {
    pub subject: Subject,
    since: Nanos,
    /// `None` before the session has begun, and when it is being ended.
    session: Option<Session>,
    snapshots: Option<watch::Receiver<Option<Arc<Snapshot>>>>,
    is_ending: bool,
    /// That it is watched was told.
    is_told: bool,
    log: FindingLog,
    census: CensusDue,
    recording: Option<OpenRecording>,
    wanted: Wanted,
}

/// Until when a recording of it is wanted, and by what.
#[derive(Debug, Default)]
struct Wanted {
    by_request: Option<Nanos>,
    by_findings: Option<Nanos>,
}

/// What wants a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedBy {
    Request,
    Finding,
}

impl WantedBy {
    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Finding => "finding",
        }
    }
}

/// What is left of a process that is no longer watched.
#[derive(Debug)]
pub struct Ended {
    pub session: Option<Session>,
    pub changes: Vec<Change>,
    /// The file that it was recorded into.
    pub recording: Option<PathBuf>,
}

/// A file that is being written.
#[derive(Clone, Debug)]
struct OpenRecording {
    path: PathBuf,
    since: Nanos,
}

/// When the next look at the heap is due.
#[derive(Debug, Default)]
struct CensusDue {
    at: Option<Nanos>,
    is_underway: bool,
    began_at: Nanos,
    /// Tries that the snapshot told of when the last one was asked for.
    n_before: u64,
    failed_before: Option<Nanos>,
    n_failed: u32,
    /// Stops until then.
    stopped: Nanos,
}

/// How a census that was asked for goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CensusState {
    Underway,
    Done,
}

impl Watched {
    /// `since`: by the wall clock.
    pub fn new(subject: Subject, since: Nanos) -> Self {
        Self {
            subject,
            since,
            session: None,
            snapshots: None,
            is_ending: false,
            is_told: false,
            log: FindingLog::default(),
            census: CensusDue::default(),
            recording: None,
            wanted: Wanted::default(),
        }
    }

    pub fn begin(&mut self, session: Session, now: Nanos, census: &Census) {
        self.snapshots = Some(session.snapshots());
        self.session = Some(session);
        self.census.at = (census.every.0 != 0).then(|| now.after(census.first_after));
    }

    pub fn state(&self) -> State {
        let target = self.snapshot().map(|snapshot| snapshot.target.state.clone());
        match target {
            _ if self.is_ending => State::Ending,
            Some(TargetState::Attaching) | None => State::Attaching,
            Some(_) => State::Watched,
        }
    }

    pub const fn is_ending(&self) -> bool {
        self.is_ending
    }

    /// True once: its probes are in place.
    pub fn is_news(&mut self) -> bool {
        let is_watched = self.state() == State::Watched;
        is_watched && !std::mem::replace(&mut self.is_told, true)
    }

    /// Its probes were in place at some time.
    pub const fn was_watched(&self) -> bool {
        self.is_told
    }

    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.as_ref()?.borrow().clone()
    }

    /// The session has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.session.is_some()
            && self.snapshots.as_ref().is_some_and(|it| it.has_changed().is_err())
    }

    /// The session, to be ended by the caller; what was open is closed.
    pub fn end(&mut self) -> Ended {
        self.is_ending = true;
        Ended {
            session: self.session.take(),
            changes: self.log.end(),
            recording: self.recording.take().map(|recording| recording.path),
        }
    }

    /// Asks it to end, without waiting.
    pub fn ask_to_stop(&self) {
        self.ask(Request::Stop);
    }

    /// Somebody looks at it.
    pub fn look(&self, look: Look) {
        if let Some(query) = look.query {
            self.ask(Request::SetStoreQuery(query));
        }
        if let Some(detail) = look.detail {
            self.ask(Request::SetDetail(detail));
        }
    }

    fn ask(&self, request: Request) {
        if let Some(session) = &self.session
            && session.requests().send(request).is_err()
        {
            tracing::debug!("the session has ended");
        }
    }

    /// Takes what the detectors say now.
    pub fn judge(&mut self, now: Nanos, config: &Config) -> Vec<Change> {
        match self.snapshot() {
            Some(snapshot) if self.session.is_some() => {
                self.log.judge(&snapshot.findings, now, &config.findings)
            }
            _ => Vec::new(),
        }
    }

    /// When its heap is to be looked at; never while it attaches.
    pub fn census_due(&self) -> Option<Nanos> {
        (self.session.is_some() && self.state() == State::Watched).then_some(self.census.at)?
    }

    pub fn begin_census(&mut self, now: Nanos) {
        if let Some(snapshot) = self.snapshot() {
            let log = &snapshot.census;
            self.census.n_before = log.n_taken;
            self.census.failed_before = log.failure.as_ref().map(|failure| failure.at);
            self.census.stopped = log.total_stop;
        }
        (self.census.began_at, self.census.at) = (now, None);
        self.census.is_underway = true;
        self.ask(Request::TakeCensus);
    }

    /// It comes next; false if it cannot be taken.
    pub fn hurry_census(&mut self, now: Nanos) -> bool {
        let is_watched = self.session.is_some() && self.state() == State::Watched;
        if is_watched && !self.census.is_underway {
            self.census.at = Some(self.census.at.map_or(now, |at| at.min(now)));
        }
        is_watched
    }

    /// Whether the one that was begun is over; then the next one is due by the settings.
    pub fn poll_census(&mut self, census: &Census) -> CensusState {
        let Some(snapshot) = self.snapshot() else { return CensusState::Done };
        let log = &snapshot.census;
        let failed_at = log.failure.as_ref().map(|failure| failure.at);
        let has_failed = failed_at.is_some() && failed_at != self.census.failed_before;
        if log.n_taken == self.census.n_before && !has_failed {
            return CensusState::Underway;
        }
        self.census.n_failed = if has_failed { self.census.n_failed + 1 } else { 0 };
        let stopped = log.total_stop.since(self.census.stopped);
        self.put_off_census(census, stopped);
        CensusState::Done
    }

    /// The next one by interval and pause budget; later after each failure.
    pub fn put_off_census(&mut self, census: &Census, stopped: Nanos) {
        self.census.is_underway = false;
        if census.every.0 == 0 {
            return;
        }
        let interval = CensusInterval {
            every: Nanos(census.every.0.saturating_mul(1 << self.census.n_failed.min(6))),
            first_after: census.first_after,
            pause_budget: census.pause_budget / 100.0,
        };
        self.census.at = Some(interval.next(self.census.began_at, stopped));
    }

    /// The session begins with this recording.
    pub fn recorded_to(&mut self, path: PathBuf, now: Nanos) {
        self.recording = Some(OpenRecording { path, since: now });
    }

    pub fn recording(&self) -> Option<&Path> {
        self.recording.as_ref().map(|recording| recording.path.as_path())
    }

    /// The file is as long or as old as it may get.
    pub fn is_recording_full(&self, now: Nanos, limits: &Recordings) -> bool {
        self.session.is_some()
            && self.recording.as_ref().is_some_and(|recording| {
                now.since(recording.since) >= limits.file_age()
                    || size_of(&recording.path) >= limits.max_size
            })
    }

    /// Goes on in another file; returns the one that is complete.
    pub fn record_to(&mut self, path: PathBuf, now: Nanos) -> Option<PathBuf> {
        let to = RecordTo {
            path: path.clone(),
            is_overwriting: false,
            is_purpose: false,
            max_size: None,
        };
        self.ask(Request::Record(Some(to)));
        let before = self.recording.replace(OpenRecording { path, since: now });
        before.map(|recording| recording.path)
    }

    /// Records no longer; returns the file that is complete a moment later.
    pub fn stop_recording(&mut self) -> Option<PathBuf> {
        let recording = self.recording.take()?;
        self.ask(Request::Record(None));
        Some(recording.path)
    }

    /// `None`: no longer.
    pub const fn want_by_request(&mut self, until: Option<Nanos>) {
        self.wanted.by_request = until;
    }

    /// While a finding is open, and for the time `after` it.
    pub fn want_by_findings(&mut self, now: Nanos, after: Nanos) {
        if self.log.is_any_open() {
            self.wanted.by_findings = Some(now.after(after));
        }
    }

    /// By what a recording is wanted at this moment.
    pub fn wanted(&self, now: Nanos) -> Option<WantedBy> {
        let is_now = |until: Option<Nanos>| until.is_some_and(|until| now < until);
        let by_findings = is_now(self.wanted.by_findings).then_some(WantedBy::Finding);
        by_findings.or_else(|| is_now(self.wanted.by_request).then_some(WantedBy::Request))
    }

    pub fn row(&self) -> Row {
        Row {
            key: self.subject.key,
            place: self.subject.place.clone(),
            command: self.subject.traits.command.clone(),
            user: self.subject.traits.user.clone(),
            cgroup: self.subject.traits.cgroup.clone(),
            node_version: self.subject.node_version.clone(),
            state: self.state(),
            since: self.since,
            snapshots: self.snapshots.clone(),
            open: self.log.open().into(),
            recording: self.recording().map(Path::to_owned),
        }
    }
}
