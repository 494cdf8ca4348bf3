//! What a request wants of the fleet, and what it is told. HTTP gives orders; the fleet carries them out when it comes to them.

use std::path::PathBuf;

use tokio::sync::oneshot;

use crate::base::Nanos;
use crate::daemon::live::Look;

/// Shortest and longest time that a request has a process recorded for, and what it is if nothing is said.
pub const RECORD_FOR_MIN: Nanos = Nanos::SECOND;
pub const RECORD_FOR_MAX: Nanos = Nanos::from_mins(24 * 60);
pub const RECORD_FOR: Nanos = Nanos::from_mins(10);

/// What is wanted.
#[derive(Debug)]
pub enum Order {
    /// A look at the heap of this process.
    Census { pid: u32 },
    /// What a dashboard wants to see of this process; the last one that asks is shown it.
    Look { pid: u32, look: Look },
    /// A recording of this process for so long, or, if `None`, no longer.
    Record {
        pid: u32,
        lasts: Option<Nanos>,
        answer: oneshot::Sender<Result<Recorded, NotRecorded>>,
    },
}

/// How recording a process goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The file that is being written from now on.
    pub path: Option<PathBuf>,
    /// How long what is seen is wanted, by the wall clock.
    pub until: Option<Nanos>,
}

/// Why a request for a recording changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotRecorded {
    NotWatched,
    NoDirectory,
    /// By the settings all is recorded.
    Always,
}
