//! The processes of the host that are watched: all that is due by time, their end, turns for censuses, and what is told of them. How they come
//! and what is recorded of them is the part of its children. One task owns it all; what blocks runs elsewhere and comes back as a result.

mod arrivals;
mod recordings;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::analysis::TargetState;
use crate::base::Nanos;
use crate::daemon::archive::Archive;
use crate::daemon::board::{Board, Counts, State};
use crate::daemon::coming::Coming;
use crate::daemon::config::Config;
use crate::daemon::discovery::{Discovery, Found};
use crate::daemon::events::{Events, of_finding, of_process};
use crate::daemon::execs::ExecCounts;
use crate::daemon::finding_log::Change;
use crate::daemon::left_alone::{LeftAlone, Reason};
use crate::daemon::order::Order;
use crate::daemon::outgoing::Outgoing;
use crate::daemon::retention::Retention;
use crate::daemon::selection::select;
use crate::daemon::service::Places;
use crate::daemon::watched::{CensusState, Ended, Subject, Watched};
use crate::event::Backend;
use crate::node::plan::PlanCache;
use crate::session::{Session, SessionError};
use crate::symbolize::SharedSymbols;
use crate::sys::{clock, heap};

/// Between two times that free memory goes back to the kernel.
const TRIM_EVERY: Nanos = Nanos::from_secs(20);

/// A census that takes longer is not waited for.
const CENSUS_LIMIT: Nanos = Nanos::from_mins(1);

/// What ran elsewhere, and is done.
#[derive(Debug)]
pub enum Done {
    Looked { discovery: Discovery, outcome: std::io::Result<Found> },
    Began { pid: u32, outcome: Box<Result<Session, SessionError>> },
    Ended { pid: u32, outcome: Result<(), SessionError> },
    Trimmed,
    Pruned(std::io::Result<Vec<PathBuf>>),
}

/// All processes.
#[derive(Debug)]
pub struct Fleet {
    config: Arc<Config>,
    backend: Backend,
    plan_cache: Option<PlanCache>,
    symbols: SharedSymbols,
    events: Events,
    board: watch::Sender<Arc<Board>>,
    /// `None` while it looks.
    discovery: Option<Discovery>,
    look_due: Nanos,
    coming: Coming,
    /// `None` where programs are not seen as they begin.
    exec_counts: Option<Arc<ExecCounts>>,
    /// Node processes that were seen to begin, and to have ended when it was their turn.
    n_gone: u64,
    watched: BTreeMap<u32, Watched>,
    waiting: VecDeque<Subject>,
    left_alone: LeftAlone,
    places: Places,
    /// Whose census is being taken, and since when.
    census_of: Option<(u32, Nanos)>,
    /// Where recordings go, if anywhere.
    archive: Option<Archive>,
    retention: Retention,
    files_due: Nanos,
    /// Something was attached to, or a heap looked at, and what that needed is free by then.
    trim_due: Option<Nanos>,
    counts: Counts,
    outgoing: Arc<Outgoing>,
    started: Nanos,
    is_ready: bool,
    is_stopping: bool,
}

impl Fleet {
    pub fn new(
        config: Arc<Config>,
        plan_cache: Option<PlanCache>,
        events: Events,
        board: watch::Sender<Arc<Board>>,
        archive: Option<Archive>,
        outgoing: Arc<Outgoing>,
        backend: Backend,
    ) -> Self {
        Self {
            config,
            backend,
            plan_cache,
            symbols: SharedSymbols::default(),
            events,
            board,
            discovery: Some(Discovery::default()),
            look_due: Nanos(0),
            coming: Coming::default(),
            exec_counts: None,
            n_gone: 0,
            watched: BTreeMap::new(),
            waiting: VecDeque::new(),
            left_alone: LeftAlone::default(),
            places: Places::default(),
            census_of: None,
            archive,
            retention: Retention::default(),
            files_due: Nanos(0),
            trim_due: None,
            counts: Counts::default(),
            outgoing,
            started: clock::wall_now(),
            is_ready: false,
            is_stopping: false,
        }
    }

    /// Programs are seen as they begin, and counted there.
    pub fn follow(&mut self, counts: Arc<ExecCounts>) {
        self.exec_counts = Some(counts);
    }

    pub const fn events(&self) -> &Events {
        &self.events
    }

    /// No more will be told by it.
    pub fn into_events(self) -> Events {
        self.events
    }

    pub fn n_watched(&self) -> usize {
        self.watched.len()
    }

    /// All that is due by time.
    pub fn tick(&mut self, tasks: &mut JoinSet<Done>) {
        let now = clock::now();
        self.end_what_has_ended(tasks);
        self.judge(now);
        self.take_turns(now);
        if !self.is_stopping {
            self.attach(tasks);
            self.look(now, tasks);
            self.record(now, tasks);
        }
        if self.trim_due.is_some_and(|due| due <= now) {
            self.trim_due = None;
            tasks.spawn_blocking(|| {
                heap::give_back();
                Done::Trimmed
            });
        }
        self.publish(now);
    }

    /// Something that ran elsewhere is done.
    pub fn done(&mut self, done: Done, tasks: &mut JoinSet<Done>) {
        match done {
            Done::Looked { discovery, outcome } => {
                self.discovery = Some(discovery);
                match outcome {
                    Ok(found) => self.found(found),
                    Err(error) => tracing::warn!(%error, "/proc could not be read"),
                }
                self.attach(tasks);
            }
            Done::Began { pid, outcome } => self.began(pid, *outcome, tasks),
            Done::Ended { pid, outcome } => self.ended(pid, outcome),
            Done::Trimmed => {}
            Done::Pruned(Ok(gone)) => {
                for path in gone {
                    self.events.tell("recording_removed", json!({ "path": path }));
                }
            }
            Done::Pruned(Err(error)) => tracing::warn!(%error, "old recordings are not removed"),
        }
        self.publish(clock::now());
    }

    /// Other settings: who is no longer to be watched is left; the rest of the settings holds for who is attached to from now on.
    pub fn reload(&mut self, config: Arc<Config>, tasks: &mut JoinSet<Done>) {
        self.config = config;
        self.left_alone.forget();
        self.coming.forget();
        if let Some(discovery) = &mut self.discovery {
            discovery.forget();
        }
        let waiting = std::mem::take(&mut self.waiting);
        for subject in waiting {
            self.places.give_back(&subject.place);
        }
        let processes = &self.config.processes;
        let is_left = |watched: &Watched| {
            select(&processes.include, &processes.exclude, &watched.subject.traits).is_none()
        };
        let left = self.watched.iter().filter(|(_, watched)| is_left(watched));
        let left: Vec<u32> = left.map(|(pid, _)| *pid).collect();
        for pid in left {
            self.end(pid, tasks);
        }
        self.look_due = Nanos(0);
    }

    /// Ends all sessions; `is_over` says when that is done.
    pub fn stop(&mut self, tasks: &mut JoinSet<Done>) {
        self.is_stopping = true;
        self.waiting.clear();
        // First all, so that they end at the same time.
        self.watched.values().for_each(Watched::ask_to_stop);
        let pids: Vec<u32> = self.watched.keys().copied().collect();
        for pid in pids {
            self.end(pid, tasks);
        }
        self.publish(clock::now());
    }

    pub fn is_over(&self) -> bool {
        self.is_stopping && self.watched.is_empty()
    }

    /// What a request wants.
    pub fn take_order(&mut self, order: Order) {
        match order {
            Order::Census { pid } => {
                let now = clock::now();
                let watched = self.watched.get_mut(&pid);
                if !watched.is_some_and(|watched| watched.hurry_census(now)) {
                    tracing::debug!(pid, "a census of a process that is not watched");
                }
            }
            Order::Look { pid, look } => {
                if let Some(watched) = self.watched.get(&pid) {
                    watched.look(look);
                }
            }
            Order::Record { pid, lasts, answer } => {
                if answer.send(self.ask_recording(pid, lasts)).is_err() {
                    tracing::debug!(pid, "who asked for a recording did not wait");
                }
                self.publish(clock::now());
            }
        }
    }

    fn end_what_has_ended(&mut self, tasks: &mut JoinSet<Done>) {
        let over = self.watched.iter().filter(|(_, watched)| watched.has_ended());
        let over: Vec<u32> = over.map(|(pid, _)| *pid).collect();
        for pid in over {
            self.end(pid, tasks);
        }
    }

    fn end(&mut self, pid: u32, tasks: &mut JoinSet<Done>) {
        let Some(watched) = self.watched.get_mut(&pid) else { return };
        let Ended { session, changes, recording } = watched.end();
        let subject = watched.subject.clone();
        for change in changes {
            self.tell(&subject, &change);
        }
        self.recording_ended(recording, &subject);
        if let Some(session) = session {
            tasks.spawn_blocking(move || Done::Ended { pid, outcome: session.finish() });
        }
    }

    /// Its probes are gone.
    fn ended(&mut self, pid: u32, outcome: Result<(), SessionError>) {
        let Some(mut watched) = self.watched.remove(&pid) else { return };
        let Ended { changes, recording, .. } = watched.end();
        if !watched.was_watched() && outcome.as_ref().is_err_and(SessionError::is_target_lost) {
            self.n_gone += 1;
        }
        let subject = &watched.subject;
        for change in changes {
            self.tell(subject, &change);
        }
        self.recording_ended(recording, subject);
        self.places.give_back(&subject.place);
        if self.census_of.is_some_and(|(of, _)| of == pid) {
            self.census_of = None;
        }
        let mut told = of_process(subject.key, &subject.place, &subject.traits.command);
        match outcome {
            Err(error) if !error.is_target_lost() => {
                self.counts.n_failed += 1;
                if self.left_alone.add(subject.key, Reason::Failed, clock::now()) {
                    told["error"] = json!(error.to_string());
                    told["hint"] = json!(error.hint());
                    self.events.tell("process_failed", told);
                }
            }
            _ => {
                self.counts.n_ended += 1;
                let state = watched.snapshot().map(|snapshot| snapshot.target.state.clone());
                told["reason"] = json!(match state {
                    Some(TargetState::Execed) => "execed",
                    Some(TargetState::Live) => "left",
                    _ => "exited",
                });
                self.events.tell("process_ended", told);
            }
        }
    }

    fn judge(&mut self, now: Nanos) {
        let mut changes = Vec::new();
        for watched in self.watched.values_mut() {
            if watched.is_news() {
                self.trim_due.get_or_insert(now.after(Nanos::from_secs(2)));
                self.counts.n_watched += 1;
                let subject = &watched.subject;
                let mut told = of_process(subject.key, &subject.place, &subject.traits.command);
                told["node_version"] = json!(subject.node_version);
                told["backend"] = json!(self.backend.name());
                told["age_ns"] = json!(clock::age_of_ticks(subject.key.start_ticks).map(|it| it.0));
                self.events.tell("process_watched", told);
            }
            let found = watched.judge(now, &self.config);
            changes.extend(found.into_iter().map(|change| (watched.subject.clone(), change)));
        }
        for (subject, change) in changes {
            self.tell(&subject, &change);
        }
    }

    fn tell(&mut self, subject: &Subject, change: &Change) {
        match change {
            Change::Opened(_) => self.counts.n_findings_opened += 1,
            Change::Closed { .. } => self.counts.n_findings_closed += 1,
        }
        let (event, told) = of_finding(subject.key, &subject.place, change);
        self.events.tell(event, told);
    }

    /// One census at a time: whoever has waited for longest.
    fn take_turns(&mut self, now: Nanos) {
        let census = self.config.census.with(self.backend);
        if let Some((pid, began_at)) = self.census_of {
            let Some(watched) = self.watched.get_mut(&pid) else {
                self.census_of = None;
                return;
            };
            if watched.poll_census(&census) == CensusState::Underway {
                if now.since(began_at) < CENSUS_LIMIT {
                    return;
                }
                watched.put_off_census(&census, Nanos(0));
            }
            self.counts.n_censuses += 1;
            self.trim_due.get_or_insert(now.after(TRIM_EVERY));
            self.census_of = None;
        }
        let due = self.watched.iter().filter_map(|(pid, it)| Some((it.census_due()?, *pid)));
        let Some((_, pid)) = due.filter(|(at, _)| *at <= now).min() else { return };
        if let Some(watched) = self.watched.get_mut(&pid) {
            watched.begin_census(now);
            self.census_of = Some((pid, now));
        }
    }

    fn publish(&mut self, now: Nanos) {
        self.counts.n_over_limit = self.left_alone.n_over_limit(now);
        self.counts.n_events_lost = self.events.n_lost();
        self.counts.outgoing = self.outgoing.counts();
        let execs = self.exec_counts.as_ref();
        self.counts.n_execs = execs.map_or(0, |it| it.n_seen());
        self.counts.n_short_lived = self.n_gone + execs.map_or(0, |it| it.n_short_lived());
        let is_attaching = |watched: &Watched| watched.state() == State::Attaching;
        if self.counts.n_scans > 0 && self.waiting.is_empty() {
            self.is_ready |= !self.watched.values().any(is_attaching);
        }
        let mut processes: Vec<_> = self.watched.values().map(Watched::row).collect();
        processes.sort_by(|a, b| a.place.cmp(&b.place));
        self.board.send_replace(Arc::new(Board {
            processes,
            counts: self.counts,
            started: self.started,
            is_ready: self.is_ready,
            is_stopping: self.is_stopping,
        }));
    }
}
