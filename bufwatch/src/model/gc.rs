//! Garbage collections of each thread: how many, how long, and what a store lived through.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

use crate::base::{FastMap, Nanos, Tid};
use crate::event::GcKind;
use crate::model::limits::GC_MARKS_MAX;

/// Collections of one thread since attach. A Node thread has one isolate, and each isolate its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcCounts {
    pub n_minor: u32,
    pub n_major: u32,
}

impl GcCounts {
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            n_minor: self.n_minor.wrapping_sub(earlier.n_minor),
            n_major: self.n_major.wrapping_sub(earlier.n_major),
        }
    }

    /// The counts from which on `survived` more make these; may lie before the first, hence wrapping.
    #[must_use]
    pub fn before(self, survived: Self) -> Self {
        self.since(survived)
    }
}

#[derive(Debug, Default)]
pub(super) struct ThreadGc {
    counts: GcCounts,
    running: Option<(Nanos, GcKind)>,
    last_finished: Option<GcKind>,
}

#[derive(Debug, Default)]
pub struct GcLog {
    pub(super) threads: FastMap<Tid, ThreadGc>,
    /// The most recent ones of all threads: when they ended, and which kind.
    pub marks: VecDeque<(Nanos, GcKind)>,
    pub n_minor: u64,
    pub n_major: u64,
    pub last: Option<Nanos>,
    pub longest: Option<Nanos>,
    pub total: Nanos,
}

impl GcLog {
    pub fn counts(&self, tid: Tid) -> GcCounts {
        self.threads.get(&tid).map(|thread| thread.counts).unwrap_or_default()
    }

    /// Sets what a thread has been through.
    pub(super) fn recall(&mut self, tid: Tid, counts: GcCounts) {
        self.threads.entry(tid).or_default().counts = counts;
    }

    pub fn started(&mut self, tid: Tid, kind: GcKind, at: Nanos) {
        self.threads.entry(tid).or_default().running = Some((at, kind));
    }

    pub fn finished(&mut self, tid: Tid, at: Nanos) {
        let thread = self.threads.entry(tid).or_default();
        // Attached in the middle of one: it is not known when it began, nor which it was.
        let Some((started_at, kind)) = thread.running.take() else { return };
        thread.last_finished = Some(kind);
        match kind {
            GcKind::Minor => {
                thread.counts.n_minor = thread.counts.n_minor.wrapping_add(1);
                self.n_minor += 1;
            }
            GcKind::Major => {
                thread.counts.n_major = thread.counts.n_major.wrapping_add(1);
                self.n_major += 1;
            }
        }
        let pause = at.since(started_at);
        self.last = Some(pause);
        self.longest = self.longest.max(Some(pause));
        self.total = Nanos(self.total.0.saturating_add(pause.0));
        if self.marks.len() == GC_MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back((at, kind));
    }

    /// Major collections a store that just died had lived through. V8 frees array buffers while it sweeps,
    /// often after the collection that found them dead has ended: that one does not count as survived.
    pub fn majors_survived_at_death(&self, tid: Tid, at_birth: GcCounts) -> u32 {
        let Some(thread) = self.threads.get(&tid) else { return 0 };
        let n_major = thread.counts.since(at_birth).n_major;
        let is_killed_by_last =
            thread.running.is_none() && thread.last_finished == Some(GcKind::Major);
        if is_killed_by_last { n_major.saturating_sub(1) } else { n_major }
    }
}
