//! Makes the rows of a recording from the events as they are applied, and hands them to a thread that writes them. What is born and dies
//! between two flushes is only counted.

use std::sync::Arc;

use crate::analysis::finding::Finding;
use crate::analysis::{Snapshot, live_by_site};
use crate::base::{Bytes, FastMap, Nanos, StoreKey, Tid};
use crate::event::recorded::{RecordedDeath, RecordedFailure, RecordedGc, RecordedHeap, SiteLive};
use crate::event::{CountersSampled, Event, GcKind, Payload, TargetIdentified};
use crate::model::live::Store;
use crate::model::{Model, Phase};
use crate::recording::row::NoticeList;
use crate::recording::{Batch, Fact, Place};
use crate::session::SessionError;
use crate::session::recording::look::Looks;
use crate::session::recording::rows;
use crate::session::recording::thread::WriterThread;
use crate::sys::clock;
use bufwatch_common::DropReason;

/// Rows that may wait for room in the queue, at about 200 bytes each; more are lost.
const ROWS_MAX: usize = 1_000_000;

/// What of a site was written last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SiteMark {
    n_created: u64,
    n_live: u64,
    live_bytes: Bytes,
    live: SiteLive,
}

/// Stores of a site that have no row.
#[derive(Clone, Copy, Debug, Default)]
struct Folded {
    n: u64,
    bytes: Bytes,
}

/// A recording under way.
pub(super) struct Recorder {
    writer: WriterThread,
    batch: Batch,
    /// Between two flushes: what is older is in the file a moment later, also when bufwatch is killed.
    flush_every: Nanos,
    due: Nanos,
    /// Stores up to this number had their chance of a row, by the flush at that time.
    n_flushed: u64,
    flushed_at: Nanos,
    /// Since then; some are dead.
    born: Vec<StoreKey>,
    /// Stores came by another way than their birth.
    is_live_set_read: bool,
    folded: FastMap<u32, Folded>,
    marks: Vec<SiteMark>,
    running_gcs: FastMap<Tid, (Nanos, GcKind)>,
    looks: Looks,
    /// V8's counters as they were last written, and when they were read.
    heaps: (Nanos, Vec<RecordedHeap>),
    drops: [u64; DropReason::COUNT],
    findings: Arc<[Finding]>,
    notices: NoticeList,
    limits: NoticeList,
    n_rows_lost: u64,
    /// The last snapshot.
    published_at: Nanos,
    /// The writer has ended: nothing more is kept.
    pub(super) has_failed: bool,
}

impl Recorder {
    pub(super) fn start(
        place: Place,
        started_at: Nanos,
        flush_every: Nanos,
    ) -> Result<Self, SessionError> {
        let mut recorder = Self {
            writer: WriterThread::start(place)?,
            batch: Batch::default(),
            flush_every,
            due: Nanos(0),
            n_flushed: 0,
            flushed_at: started_at,
            born: Vec::new(),
            is_live_set_read: false,
            folded: FastMap::default(),
            marks: Vec::new(),
            running_gcs: FastMap::default(),
            looks: Looks::default(),
            heaps: (Nanos(0), Vec::new()),
            drops: [0; DropReason::COUNT],
            findings: Arc::from([]),
            notices: NoticeList::default(),
            limits: NoticeList { is_limit: true, ..NoticeList::default() },
            n_rows_lost: 0,
            published_at: Nanos(0),
            has_failed: false,
        };
        let since = clock::now().since(started_at);
        recorder.number("started", started_at.0);
        recorder.number("started_unix_ns", clock::wall_now().since(since).0);
        recorder.number("flush_every_ns", flush_every.0);
        recorder.text("bufwatch_version", env!("CARGO_PKG_VERSION"));
        Ok(recorder)
    }

    /// Begins in the middle of a session, with all that is known now. Stores that are dead by then are only counted.
    pub(super) fn join(
        place: Place,
        model: &Model,
        now: Nanos,
        flush_every: Nanos,
    ) -> Result<Self, SessionError> {
        let mut recorder = Self::start(place, now, flush_every)?;
        recorder.identified(&model.target);
        if model.phase != Phase::Attaching {
            recorder.number("attached", now.0);
        }
        recorder.is_live_set_read = true;
        recorder.looks.is_space_sampled = true;
        for site in model.sites.iter() {
            let tally = &site.tally;
            let dead = Folded {
                n: tally.n_created.saturating_sub(tally.n_live),
                bytes: tally.created_bytes.saturating_sub(tally.live_bytes),
            };
            recorder.folded.insert(site.id.number(), dead);
        }
        let known_at = recorder.after_flush(Nanos(0));
        let census = model.census.last.as_deref();
        recorder.batch.censuses.extend(census.map(|joined| rows::census(joined, known_at)));
        Ok(recorder)
    }

    /// Ends in the middle of a session.
    pub(super) fn leave(mut self, model: &Model, now: Nanos) -> Result<(), SessionError> {
        self.published_at = now;
        self.finish(model)
    }

    fn number(&mut self, name: &'static str, n: u64) {
        self.batch.facts.push((name, Fact::Number(n)));
    }

    fn text(&mut self, name: &'static str, text: &str) {
        self.batch.facts.push((name, Fact::Text(text.to_owned())));
    }

    /// A moment after the last flush, whatever the clock of the CPU said that an event came from.
    fn after_flush(&self, at: Nanos) -> Nanos {
        at.max(Nanos(self.flushed_at.0.saturating_add(1)))
    }

    /// Sees an event before it is applied: who dies is still there.
    pub(super) fn before(&mut self, model: &Model, event: &Event) {
        if self.has_failed || !model.is_open_to(&event.payload) {
            return;
        }
        let at = event.at;
        match &event.payload {
            Payload::StoreCreated(created) | Payload::StoreFound(created) => {
                let known = model.live.find(created.key.address);
                if let Some(older) = known.filter(|older| older.key != created.key) {
                    self.died(model, older, at);
                }
            }
            Payload::StoreDestroyed { key } => {
                let known = model.live.find(key.address);
                if let Some(store) = known.filter(|store| store.key == *key) {
                    self.died(model, store, at);
                }
            }
            Payload::LiveSetRead(read) => {
                self.is_live_set_read = true;
                for key in model.gone(read) {
                    if let Some(store) = model.live.find(key.address) {
                        self.died(model, store, at);
                    }
                }
            }
            _ => {}
        }
    }

    fn died(&mut self, model: &Model, store: &Store, at: Nanos) {
        if store.number > self.n_flushed {
            let folded = self.folded.entry(store.site.number()).or_default();
            folded.n += 1;
            folded.bytes += store.size;
            return;
        }
        self.looks.died(store.number);
        let survived = model.target.backend.sees().collections.then(|| {
            let mut survived = rows::counts(store.survived(&model.gc));
            survived.n_major = model.gc.majors_survived_at_death(store.tid, store.gc_at_birth);
            survived
        });
        let at = self.after_flush(at);
        let death = RecordedDeath { number: store.number, birth: store.birth, at, survived };
        self.batch.deaths.push(death);
    }

    /// Sees an event when it is applied.
    pub(super) fn after(&mut self, model: &Model, event: &Event) {
        if self.has_failed {
            return;
        }
        let at = event.at;
        match &event.payload {
            Payload::TargetIdentified(target) => self.identified(target),
            Payload::Attached => self.number("attached", at.0),
            Payload::StoreCreated(created) | Payload::StoreFound(created) => {
                self.born.push(created.key);
            }
            Payload::StoreReattached { key, .. } | Payload::StoreResized { key, .. } => {
                let store = model.live.find(key.address).filter(|store| store.key == *key);
                if let Some(store) = store.filter(|store| store.number <= self.n_flushed) {
                    self.batch.changes.push(rows::change(store, self.after_flush(at)));
                }
            }
            Payload::GcStarted { tid, kind } => {
                self.running_gcs.insert(*tid, (at, *kind));
            }
            Payload::GcFinished { tid } => {
                if let Some((started_at, kind)) = self.running_gcs.remove(tid) {
                    let counts = rows::counts(model.gc.counts(*tid));
                    let (pause, at) = (at.since(started_at), self.after_flush(at));
                    self.batch.gcs.push(RecordedGc { tid: *tid, at, pause, kind, counts });
                }
            }
            Payload::MappingsSampled(_) => self.looks.is_space_sampled = true,
            Payload::ThreadsSampled(threads) => self.batch.threads = Some(Arc::clone(threads)),
            Payload::MemorySampled(_) => {
                let at = self.after_flush(at);
                self.batch.moments.push(rows::moment(model, at, false));
            }
            Payload::CountersSampled(counters) => self.counted(at, counters),
            Payload::ResidencyScanned(scan) => {
                let at = self.after_flush(scan.started_at);
                self.looks.scanned(model, scan, at, &mut self.batch);
            }
            Payload::FirstTouchesRead(touches) => {
                let at = self.after_flush(at);
                Looks::touched(model, touches, at, &mut self.batch);
            }
            Payload::CensusTaken(_) => {
                let known_at = self.after_flush(Nanos(0));
                let census = model.census.last.as_deref();
                self.batch.censuses.extend(census.map(|joined| rows::census(joined, known_at)));
            }
            Payload::CensusFailed { message, hint } => {
                let (message, hint) = (Arc::clone(message), Arc::clone(hint));
                let at = self.after_flush(at);
                self.batch.census_failures.push(RecordedFailure { at, message, hint });
            }
            _ => {}
        }
    }

    fn identified(&mut self, target: &TargetIdentified) {
        self.number("pid", u64::from(target.pid));
        self.text("command", &target.command);
        self.text("backend", target.backend.name());
        self.number("min_size", target.min_size.0);
        if let Some(pid) = target.inner_pid {
            self.number("inner_pid", u64::from(pid));
        }
        let texts = [
            ("container", &target.container),
            ("node_version", &target.node_version),
            ("v8_version", &target.v8_version),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                self.text(name, text);
            }
        }
    }

    fn counted(&mut self, at: Nanos, counters: &CountersSampled) {
        let at = self.after_flush(at);
        for ((reason, n), before) in
            DropReason::ALL.iter().zip(&counters.drops).zip(&mut self.drops)
        {
            if std::mem::replace(before, *n) != *n {
                self.batch.losses.push((at, reason.name().to_owned(), *n));
            }
        }
    }

    /// What is said to the looker belongs to the recording as well.
    pub(super) fn published(&mut self, snapshot: &Snapshot) {
        self.published_at = snapshot.taken_at;
        let at = self.after_flush(snapshot.taken_at);
        if self.findings != snapshot.findings {
            self.findings = Arc::clone(&snapshot.findings);
            let findings = self.findings.iter().map(rows::finding).collect();
            self.batch.findings.push((at, findings));
        }
        let health = &snapshot.health;
        for (told, texts) in
            [(&mut self.notices, &health.notices), (&mut self.limits, &health.limits)]
        {
            if told.texts != *texts {
                *told = NoticeList { at, texts: texts.clone(), is_limit: told.is_limit };
                self.batch.notices.push(told.clone());
            }
        }
    }

    /// What was left out of the file, in words.
    pub(super) fn limit(&self) -> Option<String> {
        self.writer.thinned().map(|thinned| thinned.text())
    }

    pub(super) fn poll(&mut self, model: &Model, now: Nanos) {
        if now >= self.due && !self.has_failed {
            self.due = Nanos(now.0.saturating_add(self.flush_every.0));
            self.flush(model, now);
            self.send();
        }
    }

    /// Makes the rows of all that is alive or has changed.
    fn flush(&mut self, model: &Model, now: Nanos) {
        let at = self.after_flush(now);
        let moment = rows::moment(model, at, true);
        self.new_sites(model);
        self.site_totals(model, at);
        self.new_stores(model);
        self.looks.flush(model, at, &mut self.batch);
        // Which heap is the main thread's may be known only later than its counters.
        let heaps = (model.heaps.0, rows::heaps(model));
        if self.heaps != heaps {
            self.batch.heaps.push((at, heaps.0, heaps.1.clone()));
            self.heaps = heaps;
        }
        // No event that was applied is of a later time than the flush.
        self.batch.deaths.iter_mut().for_each(|death| death.at = death.at.min(at));
        self.batch.gcs.iter_mut().for_each(|gc| gc.at = gc.at.min(at));
        self.batch.changes.iter_mut().for_each(|change| change.at = change.at.min(at));
        self.batch.moments.push(moment);
        self.n_flushed = model.totals.n_known();
        self.flushed_at = at;
        if self.batch.n_rows() > ROWS_MAX {
            self.n_rows_lost += self.batch.n_rows() as u64;
            let facts = std::mem::take(&mut self.batch.facts);
            let sites = std::mem::take(&mut self.batch.sites);
            // Not written: the next flush says it all again.
            self.marks.fill(SiteMark::default());
            let lost = (at, "rows of the recording".to_owned(), self.n_rows_lost);
            self.batch = Batch { facts, sites, losses: vec![lost], ..Batch::default() };
        }
    }

    fn new_stores(&mut self, model: &Model) {
        let born = std::mem::take(&mut self.born);
        let n_flushed = self.n_flushed;
        let is_new = |store: &&Store| store.number > n_flushed;
        if std::mem::take(&mut self.is_live_set_read) {
            let stores = model.live.iter().filter(is_new);
            self.batch.stores.extend(stores.map(|store| rows::store(model, store)));
        } else {
            let alive = born.iter().filter_map(|key| model.live.find(key.address)).filter(is_new);
            self.batch.stores.extend(alive.map(|store| rows::store(model, store)));
        }
    }

    fn new_sites(&mut self, model: &Model) {
        for site in model.sites.iter().skip(self.marks.len()) {
            self.batch.sites.push(rows::site(site));
        }
        self.marks.resize(model.sites.len(), SiteMark::default());
    }

    fn site_totals(&mut self, model: &Model, at: Nanos) {
        let by_site = live_by_site(model, at);
        for (site, mark) in model.sites.iter().zip(&mut self.marks) {
            let tally = &site.tally;
            let now = SiteMark {
                n_created: tally.n_created,
                n_live: tally.n_live,
                live_bytes: tally.live_bytes,
                live: by_site.get(&site.id).copied().unwrap_or_default(),
            };
            if std::mem::replace(mark, now) != now {
                let folded = self.folded.get(&site.id.number()).copied().unwrap_or_default();
                let mut total = rows::site_total(model, site, at);
                (total.n_folded, total.folded_bytes) = (folded.n, folded.bytes);
                total.live = Some(now.live);
                self.batch.totals.push(total);
            }
        }
    }

    /// If the writer is busy, the rows wait for the next flush.
    fn send(&mut self) {
        self.has_failed = !self.writer.offer(&mut self.batch);
    }

    pub(super) fn finish(mut self, model: &Model) -> Result<(), SessionError> {
        if !self.has_failed {
            // As of the last snapshot, after which nothing was applied: both say the same.
            self.flush(model, self.published_at);
            self.number("ended", self.flushed_at.0);
            let how = match model.phase {
                Phase::Exited { .. } => "exited",
                Phase::Execed => "execed",
                Phase::Attaching => "never attached",
                Phase::Live | Phase::Ending => "stopped",
            };
            self.text("how_it_ended", how);
            if let Phase::Exited { code: Some(code) } = model.phase {
                self.text("exit_code", &code.to_string());
            }
        }
        let last = (!self.has_failed).then_some(self.batch);
        self.writer.finish(last)
    }
}
