//! Node processes as they begin: a thread that the kernel tells of every program on the host, and that leaves out at once what is not Node.
//! When they are attached to is decided by the fleet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Builder, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::{self, error::TrySendError};

use crate::base::Nanos;
use crate::node::processes::is_node_name;
use crate::node::screening::{Screened, Screening};
use crate::session::execs::{Exec, ExecSource, LoadError};

/// Processes that may wait for the fleet.
const QUEUE: usize = 256;
/// While programs begin they are looked at in lots, so that a thousand a second wake this thread up fifty times.
const PAUSE: Duration = Duration::from_millis(20);
/// After a lot there may be more that have woken up nobody.
const SOON: Nanos = Nanos::from_millis(20);
/// The end is noticed within it.
const IDLE: Nanos = Nanos::from_millis(500);

/// Why programs are not seen as they begin.
#[derive(Debug, thiserror::Error)]
pub enum ExecsError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("its thread could not be started: {0}")]
    Thread(#[from] io::Error),
}

/// A process that may be Node runs its program from `at` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begun {
    pub pid: u32,
    pub at: Nanos,
    /// Of the executable; otherwise it is only large.
    pub is_named_node: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct ExecCounts {
    seen: AtomicU64,
    short_lived: AtomicU64,
}

impl ExecCounts {
    /// Programs of all kinds.
    pub fn n_seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Called as Node is, and over before anybody looked.
    pub fn n_short_lived(&self) -> u64 {
        self.short_lived.load(Ordering::Relaxed)
    }
}

/// The thread; ends with this.
#[derive(Debug)]
pub struct Execs {
    pub counts: Arc<ExecCounts>,
    receiver: mpsc::Receiver<Begun>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Execs {
    pub fn start() -> Result<Self, ExecsError> {
        let source = ExecSource::start()?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (counts, is_over) = (Arc::<ExecCounts>::default(), Arc::<AtomicBool>::default());
        let (counting, ending) = (Arc::clone(&counts), Arc::clone(&is_over));
        let watch = move || watch(source, &sender, &counting, &ending);
        let thread = Builder::new().name("bw-execs".into()).spawn(watch)?;
        Ok(Self { counts, receiver, is_over, thread: Some(thread) })
    }

    /// The next one; never, once the thread has ended.
    pub async fn next(&mut self) -> Begun {
        match self.receiver.recv().await {
            Some(begun) => begun,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Execs {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that looks for programs ended by a bug");
        }
    }
}

fn watch(
    mut source: ExecSource,
    sender: &mpsc::Sender<Begun>,
    counts: &ExecCounts,
    is_over: &AtomicBool,
) {
    let mut screening = Screening::default();
    let mut limit = IDLE;
    while !is_over.load(Ordering::Relaxed) {
        source.wait(limit);
        limit = IDLE;
        while let Some(exec) = source.take_next() {
            limit = SOON;
            counts.seen.fetch_add(1, Ordering::Relaxed);
            match screening.screen(exec.pid) {
                Screened::MayBeNode { is_named_node } => hand_on(sender, &exec, is_named_node),
                Screened::Gone if is_node_name(&exec.name) => {
                    counts.short_lived.fetch_add(1, Ordering::Relaxed);
                }
                Screened::Other | Screened::Gone => {}
            }
        }
        if limit == SOON {
            thread::sleep(PAUSE);
        }
    }
}

/// What there is no room for is found by the next look at /proc.
fn hand_on(sender: &mpsc::Sender<Begun>, exec: &Exec, is_named_node: bool) {
    let begun = Begun { pid: exec.pid, at: exec.at, is_named_node };
    if let Err(TrySendError::Full(begun)) = sender.try_send(begun) {
        tracing::debug!(begun.pid, "too many processes begin at once");
    }
}
