//! What is known of all processes at one moment, as HTTP and metrics show it. The fleet makes it; who reads it cannot change anything.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::analysis::Snapshot;
use crate::base::{Nanos, ProcessKey};
use crate::daemon::finding_log::Told;
use crate::daemon::outgoing::OutgoingCounts;
use crate::daemon::service::Place;

/// One moment.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// By service and slot.
    pub processes: Vec<Row>,
    pub counts: Counts,
    /// When the daemon began, by the wall clock.
    pub started: Nanos,
    /// The first look for processes is over, and every process that was found then is watched or was given up.
    pub is_ready: bool,
    pub is_stopping: bool,
}

/// What the daemon did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub n_watched: u64,
    pub n_ended: u64,
    pub n_failed: u64,
    /// Node processes that ended before they were watched, of those that were seen to begin.
    pub n_short_lived: u64,
    /// Programs of all kinds that were seen to begin.
    pub n_execs: u64,
    /// Found now, and left alone since there are enough.
    pub n_over_limit: u64,
    pub n_findings_opened: u64,
    pub n_findings_closed: u64,
    pub n_events_lost: u64,
    pub n_censuses: u64,
    pub outgoing: OutgoingCounts,
    /// Looks for processes, and how long the last one took.
    pub n_scans: u64,
    pub last_scan: Nanos,
}

/// A process.
#[derive(Clone, Debug)]
pub struct Row {
    pub key: ProcessKey,
    pub place: Place,
    /// Sanitized.
    pub command: String,
    pub user: Option<String>,
    pub cgroup: Option<String>,
    pub node_version: Option<String>,
    pub state: State,
    /// Since when it is watched, by the wall clock.
    pub since: Nanos,
    pub snapshots: Option<watch::Receiver<Option<Arc<Snapshot>>>>,
    pub open: Arc<[Told]>,
    /// The file that is being written.
    pub recording: Option<PathBuf>,
}

impl Row {
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.as_ref()?.borrow().clone()
    }
}

/// How far watching it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Attaching,
    Watched,
    /// It ended, and its probes are being removed.
    Ending,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Attaching, Self::Watched, Self::Ending];

    /// As scripts spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Watched => "watched",
            Self::Ending => "ending",
        }
    }
}
