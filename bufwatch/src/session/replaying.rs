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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::{Bytes, Tid};
    use crate::event::GcKind;
    use crate::event::MemorySampled;
    use crate::event::recorded::{Moment, RecordedGc, RecordedSite, RecordedStep};
    use crate::recording::{Batch, Fact, FindingRow, Writer};

    const START: Nanos = Nanos::from_secs(1_000);

    fn at(ms: u64) -> Nanos {
        Nanos(START.0 + Nanos::from_millis(ms).0)
    }

    /// A flush each second; RSS is its number in MiB. At 2.5 s a finding and a step become known, and again at 4.5 s.
    fn record(path: &Path) {
        let mut writer = Writer::create(path, false).unwrap();
        let finding = |kind: &str| FindingRow {
            kind: kind.to_owned(),
            confidence: "high".to_owned(),
            site: Some("f a.js:1".to_owned()),
            ..FindingRow::default()
        };
        for second in 1..=6 {
            let flushed_at = at(second * 1_000);
            let memory =
                MemorySampled { rss: Some(Bytes(second << 20)), ..MemorySampled::default() };
            let moment = Moment { at: flushed_at, is_flush: true, memory, ..Moment::default() };
            let mut batch = Batch { moments: vec![moment], ..Batch::default() };
            match second {
                1 => {
                    batch.facts =
                        vec![("started", Fact::Number(START.0)), ("pid", Fact::Number(7))];
                    batch.sites = vec![RecordedSite { number: 2, ..RecordedSite::default() }];
                }
                3 => {
                    batch.findings = vec![(at(2_500), vec![finding("GC_LAG")])];
                    batch.steps = vec![step(2_500)];
                    batch.gcs = vec![gc(2_600, GcKind::Major), gc(2_700, GcKind::Minor)];
                }
                5 => {
                    let both = vec![finding("GC_LAG"), finding("JS_HEAP")];
                    batch.findings = vec![(at(4_500), both)];
                    // The same one went on.
                    batch.steps = vec![step(4_500)];
                }
                _ => {}
            }
            writer.write(&batch).unwrap();
        }
        writer.close().unwrap();
    }

    fn step(known_ms: u64) -> RecordedStep {
        RecordedStep {
            known_at: at(known_ms),
            from: at(2_000),
            to: at(known_ms - 100),
            text: "+20.0 MiB: V8 heap grew".to_owned(),
            ..RecordedStep::default()
        }
    }

    fn gc(ms: u64, kind: GcKind) -> RecordedGc {
        let counts = crate::event::recorded::RecordedGcCounts::default();
        RecordedGc { tid: Tid(7), at: at(ms), pause: Nanos(1), kind, counts }
    }

    fn open() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bufwatch");
        record(&path);
        (folder, path)
    }

    #[test]
    fn marks_are_where_what_they_are_about_is_shown() {
        let (_folder, path) = open();
        let replay = Replay::open(&path).unwrap();
        let marks = replay.marks().unwrap();
        let told = |marks: &[crate::analysis::marks::Mark]| -> Vec<(u64, String)> {
            marks.iter().map(|it| (it.at.0 / 1_000_000, it.text.clone())).collect()
        };
        let finding = |ms, kind: &str| (ms, format!("{kind}: f a.js:1"));
        assert_eq!(told(&marks.findings), [finding(3_000, "GC LAG"), finding(5_000, "JS HEAP")]);
        assert_eq!(told(&marks.steps), [(5_000, "RSS +20.0 MiB: V8 heap grew".to_owned())]);
        assert_eq!(marks.gcs.to_vec(), [Nanos::from_millis(2_600)]);
        for mark in marks.findings.iter() {
            let there = replay.snapshot_at(mark.at, &Interest::default()).unwrap();
            let before = Nanos(mark.at.0 - 1);
            let before = replay.snapshot_at(before, &Interest::default()).unwrap();
            assert_eq!(there.findings.len(), before.findings.len() + 1, "{mark:?}");
        }
    }

    fn wait_for(replaying: &Replaying, mib: u64) {
        let is_shown = |shown: &Option<Arc<Snapshot>>| {
            shown.as_ref().is_some_and(|it| it.memory.rss == Some(Bytes(mib << 20)))
        };
        let mut snapshots = replaying.snapshots();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let shown = runtime.block_on(async {
            let shown = snapshots.wait_for(is_shown);
            tokio::time::timeout(Duration::from_secs(20), shown).await.is_ok_and(|it| it.is_ok())
        });
        assert!(shown, "{mib}");
    }

    #[test]
    fn the_moment_asked_for_last_is_shown() {
        let (_folder, path) = open();
        let replaying = Replaying::start(&path, None).unwrap();
        assert_eq!(replaying.length, Nanos::from_secs(6));
        wait_for(&replaying, 6);
        let requests = replaying.requests();
        for second in [1, 5, 3, 2] {
            requests.send(ReplayRequest::Seek(Nanos::from_secs(second))).unwrap();
        }
        wait_for(&replaying, 2);
        requests.send(ReplayRequest::Seek(Nanos(u64::MAX))).unwrap();
        wait_for(&replaying, 6);
        assert_eq!(replaying.marks().borrow().findings.len(), 2);
        drop(replaying);
        assert!(requests.send(ReplayRequest::Stop).is_err(), "its thread has ended");
    }
}
