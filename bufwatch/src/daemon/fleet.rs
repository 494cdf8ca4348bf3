//! The processes of the host that are watched: finds them, attaches to them, notices their end, and keeps to the limits. One task owns it all;
//! what blocks runs elsewhere and comes back as a result.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::analysis::TargetState;
use crate::base::{FastSet, Nanos};
use crate::daemon::archive::{Archive, prune};
use crate::daemon::board::{Board, Counts, State};
use crate::daemon::config::Config;
use crate::daemon::discovery::{Candidate, Discovery, Found};
use crate::daemon::events::{Events, of_finding, of_process};
use crate::daemon::finding_log::Change;
use crate::daemon::left_alone::{LeftAlone, Reason};
use crate::daemon::selection::select;
use crate::daemon::service::{Places, name_of};
use crate::daemon::watched::{CensusState, Subject, Watched};
use crate::event::Backend;
use crate::node::plan::PlanCache;
use crate::session::{Pace, RecordTo, Session, SessionConfig, SessionError};
use crate::symbolize::SharedSymbols;
use crate::sys::{clock, heap};

/// Processes that are attached to at once: it takes 0.2 s of a core each.
const ATTACHING_MAX: usize = 4;

/// Between two looks at the files of recordings.
const FILES_EVERY: Nanos = Nanos::from_secs(5);

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
    plan_cache: Option<PlanCache>,
    symbols: SharedSymbols,
    events: Events,
    board: watch::Sender<Arc<Board>>,
    /// `None` while it looks.
    discovery: Option<Discovery>,
    look_due: Nanos,
    watched: BTreeMap<u32, Watched>,
    waiting: VecDeque<Subject>,
    left_alone: LeftAlone,
    places: Places,
    /// Whose census is being taken, and since when.
    census_of: Option<(u32, Nanos)>,
    /// Where recordings go, if anywhere.
    archive: Option<Archive>,
    files_due: Nanos,
    /// Something was attached to, or a heap looked at, and what that needed is free by then.
    trim_due: Option<Nanos>,
    counts: Counts,
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
    ) -> Self {
        Self {
            config,
            plan_cache,
            symbols: SharedSymbols::default(),
            events,
            board,
            discovery: Some(Discovery::default()),
            look_due: Nanos(0),
            watched: BTreeMap::new(),
            waiting: VecDeque::new(),
            left_alone: LeftAlone::default(),
            places: Places::default(),
            census_of: None,
            archive,
            files_due: Nanos(0),
            trim_due: None,
            counts: Counts::default(),
            is_ready: false,
            is_stopping: false,
        }
    }

    pub const fn events(&self) -> &Events {
        &self.events
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
            self.turn_over(now, tasks);
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

    /// Has the heap of a process looked at as soon as it is its turn; false if it is not watched.
    pub fn census(&mut self, pid: u32) -> bool {
        let now = clock::now();
        self.watched.get_mut(&pid).is_some_and(|watched| watched.hurry_census(now))
    }

    fn look(&mut self, now: Nanos, tasks: &mut JoinSet<Done>) {
        if now < self.look_due {
            return;
        }
        let Some(mut discovery) = self.discovery.take() else { return };
        self.look_due = now.after(self.config.scan_every);
        self.left_alone.forget_old(now);
        let waiting = self.waiting.iter().map(|subject| subject.key.pid);
        let known = self.watched.keys().copied().chain(waiting).chain(self.left_alone.pids(now));
        let known: FastSet<u32> = known.collect();
        let cache = self.plan_cache.clone();
        let min_age = self.config.processes.min_age;
        tasks.spawn_blocking(move || {
            let outcome = discovery.look(cache.as_ref(), &known, min_age);
            Done::Looked { discovery, outcome }
        });
    }

    fn found(&mut self, found: Found) {
        self.counts.n_scans += 1;
        self.counts.last_scan = found.took;
        for candidate in found.candidates {
            self.consider(candidate);
        }
    }

    fn consider(&mut self, candidate: Candidate) {
        let Candidate { key, traits, node_version, obstacle } = candidate;
        let now = clock::now();
        if self.watched.contains_key(&key.pid) || self.is_stopping {
            return;
        }
        let processes = &self.config.processes;
        let Some(rule) = select(&processes.include, &processes.exclude, &traits) else {
            self.left_alone.add(key, Reason::Excluded, now);
            return;
        };
        if let Some(obstacle) = obstacle {
            if self.left_alone.add(key, Reason::Failed, now) {
                let (error, hint) = (obstacle.to_string(), obstacle.hint());
                let told = json!({ "pid": key.pid, "command": traits.command, "error": error, "hint": hint });
                self.events.tell("process_refused", told);
                self.counts.n_failed += 1;
            }
            return;
        }
        let name = rule.and_then(|rule| rule.name.clone());
        let service = self.places.name(name.unwrap_or_else(|| name_of(&traits.command)));
        let n_all = self.watched.len() + self.waiting.len();
        if n_all >= processes.max || self.places.n_of(&service) >= processes.max_per_service {
            if self.left_alone.add(key, Reason::OverLimit, now) {
                let told = json!({ "pid": key.pid, "service": service, "command": traits.command });
                self.events.tell("process_over_limit", told);
            }
            return;
        }
        let place = self.places.take(service);
        self.waiting.push_back(Subject { key, place, traits, node_version });
    }

    /// Recordings that are full go on in new files, and old ones go.
    fn turn_over(&mut self, now: Nanos, tasks: &mut JoinSet<Done>) {
        let Some(archive) = &self.archive else { return };
        if now < self.files_due {
            return;
        }
        self.files_due = now.after(FILES_EVERY);
        let limits = self.config.recordings.clone();
        let wall = clock::wall_now();
        for watched in self.watched.values_mut() {
            if !watched.is_recording_full(now, &limits) {
                continue;
            }
            let subject = &watched.subject;
            let path = archive.name(subject.key, &subject.place, wall);
            let mut told = of_process(subject.key, &subject.place, &subject.traits.command);
            told["path"] = json!(path);
            told["before"] = json!(watched.record_to(path, now));
            self.events.tell("recording_turned_over", told);
        }
        let open = self.watched.values().filter_map(Watched::recording).map(Path::to_owned);
        let open: BTreeSet<PathBuf> = open.collect();
        let directory = archive.directory().to_owned();
        tasks.spawn_blocking(move || Done::Pruned(prune(&directory, &limits, &open, wall)));
    }

    /// Begins sessions, a few at a time.
    fn attach(&mut self, tasks: &mut JoinSet<Done>) {
        let is_attaching = |watched: &&Watched| watched.state() == State::Attaching;
        let mut n_attaching = self.watched.values().filter(is_attaching).count();
        while n_attaching < ATTACHING_MAX {
            let Some(subject) = self.waiting.pop_front() else { return };
            n_attaching += 1;
            let pid = subject.key.pid;
            let wall = clock::wall_now();
            let archive = self.archive.as_ref();
            let file = archive.map(|archive| archive.name(subject.key, &subject.place, wall));
            let config = self.session_config(pid, file.clone());
            let mut watched = Watched::new(subject, wall);
            if let Some(file) = file {
                watched.recorded_to(file, clock::now());
            }
            self.watched.insert(pid, watched);
            tasks.spawn_blocking(move || {
                let outcome = Box::new(Session::start(config));
                Done::Began { pid, outcome }
            });
        }
    }

    fn session_config(&self, pid: u32, file: Option<PathBuf>) -> SessionConfig {
        let tracing = &self.config.tracing;
        SessionConfig {
            pid,
            backend: Backend::Ebpf,
            tracer: None,
            anchor_tid: None,
            has_empty_probes: false,
            has_source_maps: tracing.source_maps,
            has_async_origin: tracing.async_origin,
            has_faults: false,
            min_size: tracing.min_size,
            ring_bytes: u32::try_from(tracing.ring_size.0).unwrap_or(u32::MAX),
            plan_cache: self.plan_cache.clone(),
            record_reads: None,
            // The fleet says when: one at a time on the whole host.
            census_interval: None,
            record: file.map(|path| RecordTo {
                path,
                is_overwriting: false,
                is_purpose: false,
                max_size: None,
            }),
            pace: Pace::FLEET,
            stores_max: Some(tracing.max_stores),
            symbols: self.symbols.clone(),
        }
    }

    fn began(
        &mut self,
        pid: u32,
        outcome: Result<Session, SessionError>,
        tasks: &mut JoinSet<Done>,
    ) {
        match (outcome, self.watched.get_mut(&pid)) {
            (Ok(session), Some(watched)) if !watched.is_ending() => {
                watched.begin(session, clock::now(), &self.config.census);
            }
            // It was left meanwhile.
            (Ok(session), _) => {
                tasks.spawn_blocking(move || Done::Ended { pid, outcome: session.finish() });
            }
            (Err(error), _) => self.ended(pid, Err(error)),
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
        let (session, changes) = watched.end();
        let subject = watched.subject.clone();
        for change in changes {
            self.tell(&subject, &change);
        }
        if let Some(session) = session {
            tasks.spawn_blocking(move || Done::Ended { pid, outcome: session.finish() });
        }
    }

    /// Its probes are gone.
    fn ended(&mut self, pid: u32, outcome: Result<(), SessionError>) {
        let Some(mut watched) = self.watched.remove(&pid) else { return };
        let (_, changes) = watched.end();
        let subject = &watched.subject;
        for change in changes {
            self.tell(subject, &change);
        }
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
        if let Some((pid, began_at)) = self.census_of {
            let Some(watched) = self.watched.get_mut(&pid) else {
                self.census_of = None;
                return;
            };
            if watched.poll_census(&self.config.census) == CensusState::Underway {
                if now.since(began_at) < CENSUS_LIMIT {
                    return;
                }
                watched.put_off_census(&self.config.census, Nanos(0));
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
        let is_attaching = |watched: &Watched| watched.state() == State::Attaching;
        if self.counts.n_scans > 0 && self.waiting.is_empty() {
            self.is_ready |= !self.watched.values().any(is_attaching);
        }
        let mut processes: Vec<_> = self.watched.values().map(Watched::row).collect();
        processes.sort_by(|a, b| a.place.cmp(&b.place));
        self.board.send_replace(Arc::new(Board {
            processes,
            counts: self.counts,
            is_ready: self.is_ready,
            is_stopping: self.is_stopping,
        }));
    }
}
