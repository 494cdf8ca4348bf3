//! Which processes are recorded now, into which file, and which files go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::task::JoinSet;

use crate::base::Nanos;
use crate::daemon::archive::{prune, remove};
use crate::daemon::board::State;
use crate::daemon::config::When;
use crate::daemon::events::of_process;
use crate::daemon::fleet::{Done, Fleet};
use crate::daemon::order::{NotRecorded, Recorded};
use crate::daemon::retention::Decided;
use crate::daemon::watched::{Subject, WantedBy, Watched};
use crate::sys::clock;

/// Between two looks at the files of recordings.
const FILES_EVERY: Nanos = Nanos::from_secs(5);

impl Fleet {
    /// The file that a process is recorded into from its attach on, if it is.
    pub(super) fn first_file(&mut self, subject: &Subject, wall: Nanos) -> Option<PathBuf> {
        let archive = self.archive.as_ref().filter(|_| self.config.recordings.is_unasked())?;
        let path = archive.name(subject.key, &subject.place, wall);
        if self.config.recordings.is_ring() {
            self.retention.began(&path, subject.key);
        }
        Some(path)
    }

    /// Begins and ends recordings that are wanted for a time; files that are full go on in new ones, and old ones go.
    pub(super) fn record(&mut self, now: Nanos, tasks: &mut JoinSet<Done>) {
        if self.archive.is_none() {
            return;
        }
        let pids: Vec<u32> = self.watched.keys().copied().collect();
        for pid in pids {
            self.record_if_wanted(pid, now);
        }
        if self.files_due <= now {
            self.files_due = now.after(FILES_EVERY);
            self.turn_over(now);
            self.prune(now, tasks);
        }
    }

    /// As a request wants it: for so long, or no longer.
    pub(super) fn ask_recording(
        &mut self,
        pid: u32,
        lasts: Option<Nanos>,
    ) -> Result<Recorded, NotRecorded> {
        let now = clock::now();
        let is_watched = |it: &&mut Watched| it.state() == State::Watched;
        let watched = self.watched.get_mut(&pid).filter(is_watched);
        let watched = watched.ok_or(NotRecorded::NotWatched)?;
        if self.archive.is_none() {
            return Err(NotRecorded::NoDirectory);
        }
        if self.config.recordings.when == When::Always {
            return Err(NotRecorded::Always);
        }
        watched.want_by_request(lasts.map(|lasts| now.after(lasts)));
        self.record_if_wanted(pid, now);
        let path = self.watched.get(&pid).and_then(|watched| watched.recording());
        let until = lasts.map(|lasts| clock::wall_now().after(lasts));
        Ok(Recorded { path: path.map(Path::to_owned), until })
    }

    /// Its process is no longer watched.
    pub(super) fn recording_ended(&mut self, path: Option<PathBuf>, subject: &Subject) {
        let Some(path) = path else { return };
        self.retention.completed(&path, clock::now());
        if !self.config.recordings.is_unasked() {
            self.tell_of_file("recording_stopped", subject, &path, json!({}));
        }
    }

    fn record_if_wanted(&mut self, pid: u32, now: Nanos) {
        let limits = &self.config.recordings;
        let Some(watched) = self.watched.get_mut(&pid) else { return };
        if watched.state() != State::Watched {
            return;
        }
        if limits.when == When::Findings {
            watched.want_by_findings(now, limits.keep_after);
        }
        let by = watched.wanted(now);
        let is_due = limits.is_unasked() || by.is_some();
        if is_due && watched.recording().is_none() {
            self.begin_recording(pid, by, now);
        } else if !is_due && let Some(path) = watched.stop_recording() {
            let subject = watched.subject.clone();
            self.tell_of_file("recording_stopped", &subject, &path, json!({}));
        }
        let limits = &self.config.recordings;
        if by.is_some()
            && limits.is_ring()
            && let Some(watched) = self.watched.get(&pid)
        {
            self.retention.want(watched.subject.key, now, limits.keep_before);
        }
    }

    fn begin_recording(&mut self, pid: u32, by: Option<WantedBy>, now: Nanos) {
        let (Some(archive), Some(watched)) = (&self.archive, self.watched.get_mut(&pid)) else {
            return;
        };
        let subject = watched.subject.clone();
        let path = archive.name(subject.key, &subject.place, clock::wall_now());
        watched.record_to(path.clone(), now);
        if self.config.recordings.is_ring() {
            self.retention.began(&path, subject.key);
        }
        let by = by.map_or("settings", WantedBy::name);
        self.tell_of_file("recording_started", &subject, &path, json!({ "by": by }));
    }

    /// Recordings that are full go on in new files.
    fn turn_over(&mut self, now: Nanos) {
        let Some(archive) = &self.archive else { return };
        let limits = &self.config.recordings;
        let wall = clock::wall_now();
        let mut over = Vec::new();
        for watched in self.watched.values_mut() {
            if !watched.is_recording_full(now, limits) {
                continue;
            }
            let subject = watched.subject.clone();
            let path = archive.name(subject.key, &subject.place, wall);
            let before = watched.record_to(path.clone(), now);
            over.push((subject, path, before));
        }
        let is_ring = limits.is_ring();
        for (subject, path, before) in over {
            if let Some(before) = &before {
                self.retention.completed(before, now);
            }
            if is_ring {
                // Whether it stays is told later.
                self.retention.began(&path, subject.key);
            } else {
                let more = json!({ "before": before });
                self.tell_of_file("recording_turned_over", &subject, &path, more);
            }
        }
    }

    /// Files that nobody wants go, and those that are too old or too many.
    fn prune(&mut self, now: Nanos, tasks: &mut JoinSet<Done>) {
        let limits = self.config.recordings.clone();
        let decided = if limits.is_ring() {
            self.retention.decide(now, limits.keep_before)
        } else {
            // What was begun under other settings stays.
            self.retention.forget();
            Decided::default()
        };
        for (key, path) in decided.kept {
            let told =
                json!({ "pid": key.pid, "process_start_ticks": key.start_ticks, "path": path });
            self.events.tell("recording_kept", told);
        }
        let Some(archive) = &self.archive else { return };
        let directory = archive.directory().to_owned();
        let open = self.watched.values().filter_map(Watched::recording).map(Path::to_owned);
        let open: BTreeSet<PathBuf> = open.collect();
        let wall = clock::wall_now();
        tasks.spawn_blocking(move || {
            // One that cannot be removed keeps no other; it goes by its age.
            let remove_next = |failed: Option<_>, path: &PathBuf| remove(path).err().or(failed);
            let failed = decided.unwanted.iter().fold(None, remove_next);
            let pruned = prune(&directory, &limits, &open, wall);
            Done::Pruned(failed.map_or(pruned, Err))
        });
    }

    fn tell_of_file(&self, event: &str, subject: &Subject, path: &Path, more: serde_json::Value) {
        let mut told = of_process(subject.key, &subject.place, &subject.traits.command);
        told["path"] = json!(path);
        if let (Some(told), serde_json::Value::Object(more)) = (told.as_object_mut(), more) {
            told.extend(more);
        }
        self.events.tell(event, told);
    }
}
