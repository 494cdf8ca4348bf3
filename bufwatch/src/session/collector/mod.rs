//! The thread that folds: takes records from the ring buffer and samples from the sampler, resolves stacks,
//! applies events to the model, and publishes snapshots. Starting what tells of the target is `start`'s part, what to do about losses that of
//! `losses`.

mod losses;
mod start;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};

use tokio::sync::watch;

use crate::analysis::finding::Finding;
use crate::analysis::{Interest, Snapshot, take};
use crate::base::{FastMap, Nanos, Tid};
use crate::detect::{detect, detect_in_ram};
use crate::event::{Event, GcKind, Payload};
use crate::model::{Model, Phase};
use crate::recording::Place;
use crate::session::census::CensusTaking;
use crate::session::collector::start::start_source;
use crate::session::first_touch::FirstTouches;
use crate::session::pace::Pace;
use crate::session::recording::Recording;
use crate::session::residency::ScanSchedule;
use crate::session::sampling::Sampling;
use crate::session::target::Prepared;
use crate::session::{RecordTo, Request, SessionConfig, SessionError};
use crate::source::Source;
use crate::symbolize::cassette::Recorder;
use crate::symbolize::{Symbolizer, Trust};
use crate::sys::clock;

/// Between two looks at the ring buffer while new stacks come: the kernel side wakes up once in a millisecond at most.
const POLL_SOON: Nanos = Nanos::from_millis(2);

/// For so long after a new stack.
const SOON: Nanos = Nanos::from_millis(20);

/// Records taken from the ring buffer at once.
const BATCH_MAX: usize = 4_096;

/// So long records are taken before something else gets its turn: a new stack costs some ten microseconds, on a busy machine many more,
/// and snapshots must come all the same.
const DRAIN_MAX: Nanos = Nanos::from_millis(100);

/// Records taken after the end: a target that churns on would fill the ring buffer forever.
const LAST_BATCHES_MAX: usize = 256;

/// Between two readings of the live set, which costs about 0.1 µs a store.
const RECONCILE_EVERY: Nanos = Nanos::from_secs(1);

/// Above this many live stores snapshots are taken once a second: each pass costs about 20 ns a store.
const N_LIVE_MANY: usize = 100_000;

pub(super) fn run(
    prepared: Prepared,
    config: &SessionConfig,
    place: Option<Place>,
    inbox: &Receiver<Request>,
    publish: &watch::Sender<Option<Arc<Snapshot>>>,
    publishing: mpsc::Sender<()>,
) -> Result<(), SessionError> {
    let Prepared { identified, source, sampler, v8, notices, census, pidfd, identity, interpreter } =
        prepared;
    let pid = config.pid;
    let started_at = clock::now();
    let sampling = Sampling::start(pid, pidfd, sampler, config.pace)?;
    let notices = notices.into_iter().chain(sampling.notices.iter().cloned()).collect();
    let recorder = config.record_reads.as_ref();
    let recorder = recorder.map(|_| Recorder::new(v8.clone(), identified.node_version.clone()));
    let is_purpose = config.record.as_ref().is_some_and(|to| to.is_purpose);
    let recording = Recording::start(place, is_purpose, started_at, config.pace.flush)?;
    let mut collector = Collector {
        model: Model::new(started_at),
        interest: Interest { notices, ..Interest::default() },
        symbolizer: Symbolizer::new(
            pid,
            v8,
            config.has_source_maps,
            config.symbols.clone(),
            recorder.clone(),
        ),
        batch: Vec::new(),
        n_ring_full: 0,
        reconcile_due: false,
        reconciled_at: Nanos(0),
        has_forked: false,
        ended_threads: FastMap::default(),
        stack_came_at: None,
        trust: Trust::Full,
        findings: Arc::from([]),
        n_judged: 0,
        scans: ScanSchedule::new(config.pace),
        first_touches: FirstTouches::default(),
        census: CensusTaking::new(pid, census, config.census_interval),
        recording,
        source_limits: None,
        publish,
    };
    collector.apply(&Event { at: started_at, payload: Payload::TargetIdentified(identified) });
    // What the sampler says at once is worth showing while the probes are attached.
    if let Ok(events) = sampling.events.recv_timeout(std::time::Duration::from_millis(100)) {
        collector.apply_all(&events);
    }
    collector.publish();
    let place = (&identity, interpreter);
    let mut source = start_source(source, place, &mut collector, &|| sampling.has_ended())?;
    collector.apply(&Event { at: clock::now(), payload: Payload::Attached });
    // That it is watched is told at once: the first look at the buffer may wait for a second.
    collector.publish();
    collector.watch(source.as_mut(), &sampling, inbox, config.pace);
    let recorded = collector.recording.finish(&collector.model);
    drop(publishing);
    // Only now the probes go: who waits for the last snapshot need not wait for that.
    drop(source);
    // Its files are where the probes are.
    drop(identity);
    recorded?;
    match config.record_reads.as_ref().zip(recorder) {
        Some((path, recorder)) => recorder
            .save(path)
            .map_err(|source| SessionError::Recording { path: path.clone(), source }),
        None => Ok(()),
    }
}

struct Collector<'a> {
    model: Model,
    interest: Interest,
    symbolizer: Symbolizer,
    batch: Vec<Event>,
    /// Records lost so far, as the programs counted them.
    n_ring_full: u64,
    reconcile_due: bool,
    reconciled_at: Nanos,
    /// A thread was started since this was last looked at.
    has_forked: bool,
    /// Threads that ended, and when.
    ended_threads: FastMap<Tid, Nanos>,
    /// The last new stack; where one comes more are likely.
    stack_came_at: Option<Nanos>,
    /// How far lines are believed, as it was last said.
    trust: Trust,
    /// What the detectors said of the last census, and how many censuses there were then.
    findings: Arc<[Finding]>,
    n_judged: u64,
    scans: ScanSchedule,
    first_touches: FirstTouches,
    census: CensusTaking,
    recording: Recording,
    source_limits: Option<String>,
    publish: &'a watch::Sender<Option<Arc<Snapshot>>>,
}

impl Collector<'_> {
    fn watch(
        &mut self,
        source: &mut dyn Source,
        sampling: &Sampling,
        inbox: &Receiver<Request>,
        pace: Pace,
    ) {
        let (mut counters_due, mut snapshot_due) = (Nanos(0), Nanos(0));
        let mut is_more = false;
        loop {
            if !is_more {
                let is_soon = self.stack_came_at.is_some_and(|at| clock::now().since(at) < SOON);
                source.wait(if is_soon { POLL_SOON } else { pace.poll });
            }
            let is_stopped = self.handle_requests(inbox, &mut snapshot_due);
            is_more = self.drain(source);
            if self.has_lost_anchor(source) {
                self.move_probes(source);
            }
            if std::mem::take(&mut self.has_forked) {
                sampling.threads_are_stale();
            }
            for events in sampling.events.try_iter() {
                self.apply_all(&events);
                if source.has_faults() {
                    self.first_touches.looked(&self.model, &events);
                }
            }
            if let Some(event) = self.first_touches.ask(&self.model, source) {
                self.fold(&event);
            }
            let now = clock::now();
            if let Some(order) = self.scans.order(&self.model, now, self.interest.detail)
                && !sampling.order(order)
            {
                tracing::debug!("the sampler has ended");
            }
            if let Some(event) = self.census.poll(now, source.needs_censuses()) {
                self.looked(source, &event);
                snapshot_due = Nanos(0);
            }
            let has_ended = sampling.has_ended();
            // The probes are in the new program as well, but it is not the one that was asked for.
            let is_stopped = is_stopped
                || self.model.phase == Phase::Execed
                || self.recording.poll(&self.model, now, &mut self.interest.notices);
            if now >= counters_due || is_stopped || has_ended {
                counters_due = Nanos(now.0 + pace.counters.0);
                self.sample_counters(source, now);
            }
            if is_stopped || has_ended {
                self.end(source, has_ended);
                return;
            }
            if self.reconcile_due && now.since(self.reconciled_at) >= RECONCILE_EVERY {
                self.reconcile(source);
            }
            if now >= snapshot_due {
                let is_many = self.model.live.len() > N_LIVE_MANY;
                let pause = if is_many { pace.snapshot.max(Nanos::SECOND) } else { pace.snapshot };
                snapshot_due = Nanos(now.0 + pause.0);
                self.publish();
            }
        }
    }

    /// True if it is to stop.
    fn handle_requests(&mut self, inbox: &Receiver<Request>, due: &mut Nanos) -> bool {
        loop {
            match inbox.try_recv() {
                Ok(Request::SetStoreQuery(query)) => self.interest.query = query,
                Ok(Request::SetDetail(key)) => {
                    self.interest.detail = key;
                    self.scans.hurry();
                }
                Ok(Request::TakeCensus) => {
                    if let Some(event) = self.census.begin(clock::now()) {
                        self.apply(&event);
                    }
                }
                Ok(Request::Record(to)) => self.switch_recording(to.as_ref()),
                Ok(Request::Stop) | Err(TryRecvError::Disconnected) => return true,
                Err(TryRecvError::Empty) => return false,
            }
            // Answered at once.
            *due = Nanos(0);
        }
    }

    fn switch_recording(&mut self, to: Option<&RecordTo>) {
        let place = to.map(|to| Place::find(&to.path, to.is_overwriting)).transpose();
        let switched = place.map_err(SessionError::Recorded);
        let now = clock::now();
        let switched = switched.and_then(|place| self.recording.switch(place, &self.model, now));
        if let Err(error) = switched {
            self.interest.notices.push(format!("a recording could not be written: {error}"));
        }
    }

    /// What a census says of stores comes before the census, which is joined with them.
    fn looked(&mut self, source: &mut dyn Source, event: &Event) {
        if let Payload::CensusTaken(census) = &event.payload {
            let mut events = Vec::new();
            source.census_taken(event.at, census, &mut events);
            self.apply_all(&events);
        }
        self.apply(event);
    }

    /// True if the limit ended it.
    fn drain(&mut self, source: &mut dyn Source) -> bool {
        let started_at = clock::now();
        while self.drain_batch(source) {
            if clock::now().since(started_at) >= DRAIN_MAX {
                return true;
            }
        }
        false
    }

    /// True if there are more.
    fn drain_batch(&mut self, source: &mut dyn Source) -> bool {
        let mut batch = std::mem::take(&mut self.batch);
        let is_more = source.drain(BATCH_MAX, &mut batch);
        for event in &batch {
            self.apply(event);
        }
        batch.clear();
        self.batch = batch;
        is_more
    }

    fn apply_all(&mut self, events: &[Event]) {
        for event in events {
            self.apply(event);
        }
    }

    /// Stacks are resolved on their way to the model, while the target lives.
    fn apply(&mut self, event: &Event) {
        match event.payload {
            Payload::TaskForked => self.has_forked = true,
            Payload::ThreadExited { tid } => {
                self.symbolizer.forget_thread(tid);
                self.ended_threads.insert(tid, event.at);
            }
            Payload::Mapped { start, len } | Payload::Unmapped { start, len } => {
                self.symbolizer.mappings_changed(start, len.0);
            }
            Payload::ResidencyScanned(ref scan) => {
                self.scans.answered(scan.is_full, scan.started_at, scan.cpu);
                let survey = scan.split.as_ref().map(|split| split.survey);
                let notice = survey.and_then(|survey| self.scans.notice(&survey));
                self.interest.notices.extend(notice);
            }
            Payload::TearingDown { tid } => self.symbolizer.forget_thread(tid),
            Payload::GcStarted { kind: GcKind::Major, .. } => {
                self.symbolizer.forget_code();
                // Without word of each, now and then.
                if !self.model.target.backend.sees().mappings {
                    self.symbolizer.mappings_changed(0, u64::MAX);
                }
            }
            // The kernel uses their numbers again.
            Payload::ThreadsSampled(_) => {
                self.ended_threads.retain(|_, at| event.at.since(*at) < Nanos::SECOND);
            }
            _ => {}
        }
        if let Payload::StackCaptured { id, tid, frames, is_cut, creates } = &event.payload {
            let frames = self.symbolizer.resolve(*tid, frames);
            self.say_trust();
            self.stack_came_at = Some(event.at);
            let latency = clock::now().since(event.at);
            let (id, is_cut, creates) = (*id, *is_cut, *creates);
            let payload = Payload::StackResolved { id, creates, latency, frames, is_cut };
            self.fold(&Event { at: event.at, payload });
        }
        self.fold(event);
    }

    fn fold(&mut self, event: &Event) {
        self.recording.fold(&mut self.model, event);
    }

    /// Says so when the test of an unknown V8 has ended.
    fn say_trust(&mut self) {
        let trust = self.symbolizer.trust();
        if std::mem::replace(&mut self.trust, trust) == trust {
            return;
        }
        let verdict = match trust {
            Trust::Full => {
                "functions of Node itself decode as they should: lines are exact from now on"
            }
            Trust::Failed => {
                "functions of Node itself do not decode: JavaScript frames have no lines"
            }
            Trust::Testing => return,
        };
        self.interest.notices.push(verdict.to_owned());
    }

    /// Takes what is left in the ring buffer and makes the last snapshot. Of a target that has ended, the
    /// stores stay as they were: its memory went with it, not through its code.
    fn end(&mut self, source: &mut dyn Source, has_ended: bool) {
        for _ in 0..LAST_BATCHES_MAX {
            if !self.drain_batch(source) {
                break;
            }
        }
        self.sample_counters(source, clock::now());
        if has_ended {
            // Nothing is under way any more: what the numbers say is missing must be known as lost.
            let n_unexplained = source.n_missing().saturating_sub(self.n_ring_full);
            if n_unexplained > 0 {
                let lost = Payload::RecordsLost { n: n_unexplained };
                self.fold(&Event { at: clock::now(), payload: lost });
            }
        }
        if self.reconcile_due {
            self.reconcile(source);
        }
        if let Some(event) = self.census.last() {
            self.looked(source, &event);
        }
        if has_ended {
            self.apply(&Event { at: clock::now(), payload: Payload::Exited { code: None } });
        }
        self.publish();
    }

    fn publish(&mut self) {
        self.interest.limits = self.symbolizer.limits();
        self.interest.limits.extend(self.recording.limit());
        self.interest.limits.extend(self.source_limits.clone());
        let mut snapshot = take(&self.model, &self.interest, clock::now());
        // Detectors judge censuses, and one of a hundred thousand parents takes a while.
        if self.n_judged != snapshot.census.n_taken {
            self.n_judged = snapshot.census.n_taken;
            self.findings = detect(&snapshot).into();
        }
        let mut findings = detect_in_ram(&snapshot, &self.findings);
        findings.extend(self.findings.iter().cloned());
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.bytes));
        snapshot.findings = findings.into();
        self.recording.published(&snapshot);
        self.publish.send_replace(Some(Arc::new(snapshot)));
    }
}
