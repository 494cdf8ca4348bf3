//! Layer 6: wires sources to outputs. A session watches one target: a collector thread folds events and
//! publishes snapshots, a sampler thread asks /proc. Who looks at the snapshots is not its business.

pub mod backend;
mod census;
mod collector;
pub mod execs;
mod first_touch;
pub mod pace;
mod post_mortem;
mod probes;
mod recording;
pub mod replay;
pub mod replaying;
mod residency;
mod sampling;
mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::watch;

pub use backend::{BackendChoice, Chosen};
pub use census::CensusInterval;
pub use pace::Pace;
pub use target::TargetError;

use crate::analysis::Snapshot;
use crate::analysis::query::StoreQuery;
use crate::base::{Bytes, StoreKey};
use crate::event::Backend;
use crate::node::identity::IdentityError;
use crate::node::plan::PlanCache;
use crate::recording::{Place, RecordingError};
use crate::source::census::CensusError;
use crate::source::ebpf::LoadError;
use crate::symbolize::SharedSymbols;
use crate::sys::tracer::{TraceError, Tracer};

/// Resolved settings; there are no defaults here.
#[expect(clippy::struct_excessive_bools, reason = "settings are independent of each other")]
#[derive(Clone, Debug)]
pub struct SessionConfig {
    pub pid: u32,
    pub backend: Backend,
    /// Of a program that is traced to its end, as breakpoints need it.
    pub tracer: Option<Tracer>,
    /// Thread that carries the perf events; chosen if not given.
    pub anchor_tid: Option<u32>,
    /// Programs that do nothing are attached in place of the others.
    pub has_empty_probes: bool,
    /// Lines of generated scripts are shown with the lines they were made from.
    pub has_source_maps: bool,
    /// Stores are told by where the async resource was created whose callback made them.
    pub has_async_origin: bool,
    /// Page faults are followed, for exact first touches.
    pub has_faults: bool,
    /// What probes may cost the target, as a share of the time of one core: above it they are in place for part of the time.
    pub max_overhead: Option<f64>,
    pub min_size: Bytes,
    pub ring_bytes: u32,
    /// Where plans are kept between runs, if anywhere.
    pub plan_cache: Option<PlanCache>,
    /// Where what symbolization reads is kept, if anywhere; for tests.
    pub record_reads: Option<PathBuf>,
    /// Censuses that nobody asks for.
    pub census_interval: Option<CensusInterval>,
    /// Where what is seen is recorded, if anywhere.
    pub record: Option<RecordTo>,
    pub pace: Pace,
    /// Individually tracked stores that the kernel keeps room for; `None`: as many as its maps have by themselves.
    pub stores_max: Option<u32>,
    /// Symbols of files, which sessions of the same binary share.
    pub symbols: SharedSymbols,
}

/// A recording to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordTo {
    pub path: PathBuf,
    /// An existing file is replaced.
    pub is_overwriting: bool,
    /// Without the recording the session has no purpose: it ends when it cannot be written any more.
    pub is_purpose: bool,
    /// Below which the file is kept, by leaving out what is old.
    pub max_size: Option<Bytes>,
}

/// What a looker may ask of a running session.
#[derive(Debug)]
pub enum Request {
    SetStoreQuery(StoreQuery),
    SetDetail(Option<StoreKey>),
    /// Stops the target for milliseconds.
    TakeCensus,
    /// Ends the recording under way, and begins this one. What cannot be written becomes a notice.
    Record(Option<RecordTo>),
    Stop,
}

/// Why a session could not begin, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("process `{pid}` cannot be watched: {source}")]
    Identity { pid: u32, source: IdentityError },
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("breakpoints cannot be set in process `{pid}`: {source}")]
    Breakpoints { pid: u32, source: TraceError },
    #[error("process `{0}` was not started by bufwatch to be traced: it can have no breakpoints")]
    NoTracer(u32),
    #[error("--max-overhead is about probes, which backend {} does not use", .0.name())]
    NoOverheadLimit(Backend),
    #[error(
        "--async-origin must see every callback, and with --max-overhead probes are in place part of the time"
    )]
    NoAsyncOrigin,
    #[error("--faults follows page faults by eBPF, which backend {} does not use", .0.name())]
    NoFaults(Backend),
    #[error("process `{pid}` may not be traced: {source}")]
    NoPtrace { pid: u32, source: std::io::Error },
    /// Where censuses are all that there is.
    #[error(transparent)]
    NoCensus(#[from] CensusError),
    #[error("the process `{0}` ended while bufwatch attached to it")]
    EndedDuringAttach(u32),
    #[error("the end of process `{pid}` cannot be waited for (pidfd_open): {source}")]
    NoPidFd { pid: u32, source: std::io::Error },
    #[error("thread `{name}` could not be started: {source}")]
    Thread { name: &'static str, source: std::io::Error },
    #[error("the recording could not be written to `{}`: {source}", path.display())]
    Recording { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Recorded(#[from] RecordingError),
    #[error("thread `{0}` ended by a bug in bufwatch")]
    Panicked(&'static str),
}

impl SessionError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Identity { source, .. } => source.hint(),
            Self::Target(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::NoOverheadLimit(_) => {
                "leave out --max-overhead: with backend ptrace --pause-budget limits what is done to the process"
            }
            Self::NoAsyncOrigin => "leave out one of them",
            Self::NoFaults(_) => {
                "leave out --faults, or use --backend ebpf: `bufwatch doctor` says what that needs here"
            }
            Self::Breakpoints { .. } | Self::NoTracer(_) => {
                "start it without bufwatch, and look at it now and then: bufwatch --backend ptrace --pid PID"
            }
            Self::NoPtrace { .. } => {
                "the process must be yours and `kernel.yama.ptrace_scope` 0, or run as root; what bufwatch starts itself it may trace at 1, too: bufwatch run -- node app.js"
            }
            Self::NoCensus(error) => error.hint(),
            Self::EndedDuringAttach(_) => "`bufwatch ps` lists the Node processes of this host",
            Self::NoPidFd { .. } => {
                "it needs Linux 5.3, and in a container a seccomp profile that allows pidfd_open"
            }
            Self::Thread { .. } => "is the limit on threads or memory reached?",
            Self::Recording { .. } => "may bufwatch create this file, and does the disk have room?",
            Self::Recorded(error) => error.hint(),
            Self::Panicked(_) => "please report it with the message above",
        }
    }

    /// True if there is no such process (any more), as opposed to one that cannot be watched.
    pub fn is_target_lost(&self) -> bool {
        match self {
            Self::EndedDuringAttach(_) => true,
            Self::Identity { source, .. } => source.is_no_such_process(),
            _ => false,
        }
    }
}

/// A running session. Dropping it stops it.
#[derive(Debug)]
pub struct Session {
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    requests: mpsc::Sender<Request>,
    /// Closes when the last snapshot is published, before the probes are removed, which takes a second.
    published: mpsc::Receiver<()>,
    collector: Option<JoinHandle<Result<(), SessionError>>>,
}

impl Session {
    /// Looks at the process and starts watching it. Whether probes attach is known later: `finish` says so,
    /// and the snapshots end.
    pub fn start(config: SessionConfig) -> Result<Self, SessionError> {
        let prepared = target::prepare(&config)?;
        let record = config.record.as_ref();
        let place = record.map(|to| Place::find(&to.path, to.is_overwriting)).transpose()?;
        let max_size = record.and_then(|to| to.max_size);
        let place = place.map(|place| place.limited_to(max_size));
        let (publish, snapshots) = watch::channel(None);
        let (requests, inbox) = mpsc::channel();
        let (publishing, published) = mpsc::channel();
        let name = "bw-collect";
        let collector = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || collector::run(prepared, &config, place, &inbox, &publish, publishing))
            .map_err(|source| SessionError::Thread { name, source })?;
        Ok(Self { snapshots, requests, published, collector: Some(collector) })
    }

    /// The most recent snapshot; `None` before the first. Closed when the session has ended.
    pub fn snapshots(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshots.clone()
    }

    /// Where requests go; sending to a session that has ended does nothing.
    pub fn requests(&self) -> mpsc::Sender<Request> {
        self.requests.clone()
    }

    /// Stops watching and waits for the last snapshot; `None` if there never was one.
    pub fn stop(&self) -> Option<Arc<Snapshot>> {
        self.request_stop();
        // It never sends: that it is gone is the message.
        if self.published.recv().is_ok() {
            tracing::debug!("nothing is sent on this channel");
        }
        self.snapshots.borrow().clone()
    }

    /// Waits until the probes are removed, and says how it went.
    pub fn finish(mut self) -> Result<(), SessionError> {
        self.request_stop();
        self.join()
    }

    fn request_stop(&self) {
        // A closed inbox means that it has ended by itself.
        if self.requests.send(Request::Stop).is_err() {
            tracing::debug!("the session had ended before it was stopped");
        }
    }

    fn join(&mut self) -> Result<(), SessionError> {
        match self.collector.take().map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Err(SessionError::Panicked("bw-collect")),
            None => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.request_stop();
        if let Err(error) = self.join() {
            tracing::debug!(%error, "the session ended with an error nobody asked for");
        }
    }
}
