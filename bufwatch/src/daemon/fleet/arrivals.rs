//! Processes that come: the look for them, who of them is watched, and the attaching, a few at a time.

use std::path::PathBuf;

use serde_json::json;
use tokio::task::JoinSet;

use crate::base::{FastSet, Nanos};
use crate::daemon::board::State;
use crate::daemon::discovery::{Candidate, Found};
use crate::daemon::execs::Begun;
use crate::daemon::fleet::{Done, Fleet};
use crate::daemon::left_alone::Reason;
use crate::daemon::selection::select;
use crate::daemon::service::name_of;
use crate::daemon::watched::{Subject, Watched};
use crate::event::Backend;
use crate::session::{CensusInterval, Pace, RecordTo, Session, SessionConfig, SessionError};
use crate::sys::clock;

/// Processes that are attached to at once: it takes 0.2 s of a core each.
const ATTACHING_MAX: usize = 4;

/// Between two looks at what is due: always, while a process is being attached to, and at least.
const TICK: Nanos = Nanos::from_millis(500);
const TICK_ATTACHING: Nanos = Nanos::from_millis(50);
const TICK_MIN: Nanos = Nanos::from_millis(5);

impl Fleet {
    pub(super) fn look(&mut self, now: Nanos, tasks: &mut JoinSet<Done>) {
        if now < self.look_due {
            self.look_at_those_due(now, tasks);
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

    /// A process runs another program.
    pub fn begun(&mut self, begun: Begun) {
        let Begun { pid, at, is_named_node } = begun;
        self.coming.add(pid, at, self.config.processes.min_age, is_named_node);
    }

    /// How long nothing is due, at most.
    pub fn pause(&self, now: Nanos) -> Nanos {
        let is_attaching = self.watched.values().any(|it| it.state() == State::Attaching);
        let pause = if is_attaching { TICK_ATTACHING } else { TICK };
        // While it looks, what comes waits for the end of that.
        let due = self.coming.next_due().filter(|_| self.discovery.is_some());
        due.map_or(pause, |due| due.since(now).clamp(TICK_MIN, pause))
    }

    fn look_at_those_due(&mut self, now: Nanos, tasks: &mut JoinSet<Done>) {
        let Some(mut discovery) = self.discovery.take() else { return };
        let mut due = self.coming.take_due(now, |pid| self.watched.contains_key(&pid));
        due.retain(|due| self.waiting.iter().all(|subject| subject.key.pid != due.pid));
        if due.is_empty() {
            self.discovery = Some(discovery);
            return;
        }
        let cache = self.plan_cache.clone();
        tasks.spawn_blocking(move || {
            let outcome = Ok(discovery.look_at(cache.as_ref(), &due));
            Done::Looked { discovery, outcome }
        });
    }

    pub(super) fn found(&mut self, found: Found) {
        if let Some(took) = found.scan_took {
            self.counts.n_scans += 1;
            self.counts.last_scan = took;
        }
        self.n_gone += found.n_gone;
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

    /// Begins sessions, a few at a time.
    pub(super) fn attach(&mut self, tasks: &mut JoinSet<Done>) {
        let is_attaching = |watched: &&Watched| watched.state() == State::Attaching;
        let mut n_attaching = self.watched.values().filter(is_attaching).count();
        while n_attaching < ATTACHING_MAX {
            let Some(subject) = self.waiting.pop_front() else { return };
            n_attaching += 1;
            let pid = subject.key.pid;
            let wall = clock::wall_now();
            let file = self.first_file(&subject, wall);
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
        let has_probes = self.backend == Backend::Ebpf;
        SessionConfig {
            pid,
            backend: self.backend,
            tracer: None,
            anchor_tid: None,
            has_empty_probes: false,
            has_source_maps: tracing.source_maps,
            has_async_origin: tracing.async_origin,
            has_faults: false,
            // Where there are no probes, they cost nothing.
            max_overhead: has_probes.then_some(tracing.max_overhead).flatten().map(|it| it / 100.0),
            min_size: tracing.min_size,
            ring_bytes: u32::try_from(tracing.ring_size.0).unwrap_or(u32::MAX),
            plan_cache: self.plan_cache.clone(),
            record_reads: None,
            // The fleet says when: one at a time on the whole host.
            census_interval: Some(CensusInterval::NEVER),
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

    pub(super) fn began(
        &mut self,
        pid: u32,
        outcome: Result<Session, SessionError>,
        tasks: &mut JoinSet<Done>,
    ) {
        match (outcome, self.watched.get_mut(&pid)) {
            (Ok(session), Some(watched)) if !watched.is_ending() => {
                let census = self.config.census.with(self.backend);
                watched.begin(session, clock::now(), &census);
            }
            // It was left meanwhile.
            (Ok(session), _) => {
                tasks.spawn_blocking(move || Done::Ended { pid, outcome: session.finish() });
            }
            (Err(error), _) => self.ended(pid, Err(error)),
        }
    }
}
