//! A program that is traced from its start to its end: who orders what from its tracer, and who hears of what it meets. The kernel knows a
//! thread as the tracer, so one thread does it all (`threads`, `still`); this is what others have of it.
//!
//! The program was asked for by bufwatch and ends with it (`PTRACE_O_EXITKILL`, ptrace(2)): what is changed in its code goes with it.

mod breakpoints;
mod raw;
mod still;
mod threads;

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use nix::errno::Errno;

use crate::sys::ptrace::StoppedThread;

pub use breakpoints::BreakpointError;
pub(in crate::sys) use threads::{Arrival, trace};

/// Until the tracer is rung again: it may have begun to wait just after it was rung.
const RING_EVERY: Duration = Duration::from_millis(1);

/// A breakpoint that a thread has met, before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Which one, as they were ordered.
    pub n: usize,
    pub tid: u32,
    pub stack_pointer: u64,
    pub frame_pointer: u64,
    /// The first three, as functions take them.
    pub arguments: [u64; 3],
}

/// Hears what happens, on the tracer's thread. The thread that a call is about stands still as long as it lasts.
pub trait Observer: Send {
    fn hit(&mut self, hit: &Hit);
    fn thread_began(&mut self);
    fn thread_ended(&mut self, tid: u32);
    /// The program is another one now, and has no breakpoints.
    fn execed(&mut self);
}

/// Why the tracer did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    #[error("the program has ended")]
    Ended,
    #[error(transparent)]
    Breakpoint(#[from] BreakpointError),
}

impl TraceError {
    /// It was killed while it was held, perhaps while its code was being changed.
    pub const fn has_ended(&self) -> bool {
        matches!(
            self,
            Self::Ended | Self::Breakpoint(BreakpointError::Write { source: Errno::ESRCH, .. })
        )
    }
}

/// What the tracer is told.
enum Order {
    /// The program is held: it may run now.
    Run,
    Watch {
        addresses: Vec<u64>,
        observer: Box<dyn Observer>,
        answer: Sender<Result<(), BreakpointError>>,
    },
    /// Breakpoints and observer go.
    Forget { answer: Sender<()> },
    /// All threads stand still until `until` closes.
    StandStill { answer: Sender<Standing>, until: Receiver<()> },
}

/// A program of which all threads stand still.
#[derive(Debug)]
pub(in crate::sys) struct Standing {
    pub(in crate::sys) threads: Vec<StoppedThread>,
    pub(in crate::sys) running: Vec<u32>,
    /// How many threads there are.
    pub(in crate::sys) n_threads: usize,
}

/// Tells the tracer of a program what to do.
#[derive(Clone, Debug)]
pub struct Tracer {
    orders: Sender<Order>,
    /// The thread.
    tid: i32,
}

impl Tracer {
    /// Watches from now on, once for a program. Addresses are of functions' first instructions.
    pub fn watch(
        &self,
        addresses: Vec<u64>,
        observer: Box<dyn Observer>,
    ) -> Result<(), TraceError> {
        let (answer, answered) = mpsc::channel();
        self.order(Order::Watch { addresses, observer, answer }, &answered)?.map_err(Into::into)
    }

    /// From now on the program runs without being looked at.
    pub fn forget(&self) {
        let (answer, answered) = mpsc::channel();
        if self.order(Order::Forget { answer }, &answered).is_err() {
            tracing::debug!("the program had ended");
        }
    }

    /// All threads stand still until what is returned with it is dropped.
    pub(in crate::sys) fn stand_still(&self) -> Result<(Standing, Sender<()>), TraceError> {
        let (answer, answered) = mpsc::channel();
        let (release, until) = mpsc::channel();
        let standing = self.order(Order::StandStill { answer, until }, &answered)?;
        Ok((standing, release))
    }

    /// Lets it run that is held.
    pub(in crate::sys) fn run(&self) {
        if self.orders.send(Order::Run).is_err() {
            tracing::debug!("the program had ended");
        }
    }

    fn order<T>(&self, order: Order, answered: &Receiver<T>) -> Result<T, TraceError> {
        self.orders.send(order).map_err(|_| TraceError::Ended)?;
        loop {
            raw::ring(self.tid);
            match answered.recv_timeout(RING_EVERY) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(TraceError::Ended),
            }
        }
    }
}
