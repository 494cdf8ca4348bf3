//! Stops all threads of a process for a moment and lets them run on, whatever happens. Reads their registers; what is read of the
//! process meanwhile is the caller's part.
//!
//! `PTRACE_SEIZE` and `PTRACE_INTERRUPT` (ptrace(2)), never SIGSTOP: such a stop ends with the thread that asked for it. So the stop
//! has a thread of its own, and when that one ends, by any way, SIGKILL of bufwatch included, the kernel detaches the target.

use std::marker::PhantomData;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::base::{FastSet, Nanos};
use crate::sys::priority::make_urgent;
use crate::sys::tracer::Tracer;
use crate::sys::{clock, procfs};

/// How long all threads may take to stop. A thread that runs is interrupted within a scheduler tick; one that is in an uninterruptible
/// sleep is not, and is left out at the end of this time.
pub const GATHER_LIMIT: Nanos = Nanos::from_millis(200);

/// Between two looks at threads that have not stopped yet.
const LOOK_INTERVAL: Duration = Duration::from_micros(50);

/// Looks without a pause in between: most threads sleep, and stop within microseconds.
const IMPATIENT_LOOKS: u32 = 20;

/// Threads stopped; Node has about a dozen and one to four a worker.
const THREADS_MAX: usize = 4_096;

/// Rounds of listing threads: each round stops those that it finds, so a new one needs a running thread to make it.
const ROUNDS_MAX: u32 = 16;

/// A thread that stands still.
#[derive(Clone, Debug)]
pub struct StoppedThread {
    pub tid: u32,
    pub stack_pointer: u64,
    pub frame_pointer: u64,
    pub instruction_pointer: u64,
    /// Base of the thread's static storage.
    pub fs_base: u64,
    /// General registers: what they hold is alive.
    pub general: [u64; 15],
}

impl StoppedThread {
    pub(in crate::sys) const fn new(tid: u32, all: &user_regs_struct) -> Self {
        Self {
            tid,
            stack_pointer: all.rsp,
            frame_pointer: all.rbp,
            instruction_pointer: all.rip,
            fs_base: all.fs_base,
            general: [
                all.rax, all.rbx, all.rcx, all.rdx, all.rsi, all.rdi, all.rbp, all.r8, all.r9,
                all.r10, all.r11, all.r12, all.r13, all.r14, all.r15,
            ],
        }
    }
}

/// A process of which all threads stand still, as long as this is borrowed.
#[derive(Debug)]
pub struct Stopped {
    pub threads: Vec<StoppedThread>,
    /// Threads that could not be stopped: in an uninterruptible sleep.
    pub running: Vec<u32>,
    seized: Vec<Seized>,
    since: Nanos,
    limit: Nanos,
    /// The kernel knows a thread as the tracer, not a process: this must not move to another one.
    not_send: PhantomData<*const ()>,
}

#[derive(Debug)]
struct Seized {
    tid: Pid,
    is_stopped: bool,
    /// A signal that was about to be delivered when the thread stopped: it is delivered at the end.
    signal: Option<Signal>,
}

/// False if a filter of system calls refuses ptrace(2) whatever it is asked for.
pub fn may_stop() -> bool {
    // Nobody traces itself.
    ptrace::getregs(Pid::this()) != Err(Errno::EPERM)
}

/// What a stop was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    pub since: Nanos,
    /// From the first thread asked to stop to the last one let go.
    pub duration: Nanos,
    pub n_threads: usize,
    pub n_running: usize,
}

/// A process that could not be stopped.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    #[error("the process has ended")]
    Gone,
    #[error("stopping the process is not permitted")]
    Denied,
    #[error("the process could not be stopped")]
    Ptrace(#[from] Errno),
    #[error("no thread for the stop could be started")]
    Thread(#[source] std::io::Error),
}

impl StopError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Gone => "`bufwatch ps` lists the Node processes of this host",
            Self::Denied => {
                "run bufwatch as root (`sudo`); a process that is being debugged (strace, gdb) cannot be stopped by another"
            }
            Self::Ptrace(_) | Self::Thread(_) => "try again",
        }
    }
}

/// Runs `look` while all threads of the process stand still; `limit` is what it may take, see [`Stopped::deadline`].
pub fn with_stopped<T: Send>(
    pid: u32,
    limit: Nanos,
    look: impl FnOnce(&Stopped) -> T + Send,
) -> Result<(T, StopReport), StopError> {
    thread::scope(|scope| {
        let stop = move || {
            // On a busy machine the target would wait for its turn and for ours.
            make_urgent();
            let warm = warm_up();
            let stopped = Stopped::gather(pid, limit)?;
            let result = look(&stopped);
            let (since, n_threads, n_running) =
                (stopped.since, stopped.threads.len(), stopped.running.len());
            drop(stopped);
            let duration = clock::now().since(since);
            drop(warm);
            Ok((result, StopReport { since, duration, n_threads, n_running }))
        };
        let worker = thread::Builder::new().name("bw-stop".to_owned());
        let handle = worker.spawn_scoped(scope, stop).map_err(StopError::Thread)?;
        handle.join().unwrap_or(Err(StopError::Gone))
    })
}

/// The same of a program that bufwatch traces already: a process has one tracer, so that one stops it.
pub fn with_traced_stopped<T>(
    tracer: &Tracer,
    limit: Nanos,
    look: impl FnOnce(&Stopped) -> T,
) -> Result<(T, StopReport), StopError> {
    let warm = warm_up();
    let since = clock::now();
    let (standing, release) = tracer.stand_still().map_err(|_| StopError::Gone)?;
    if standing.n_threads == 0 {
        return Err(StopError::Gone);
    }
    let stopped = Stopped {
        threads: standing.threads,
        running: standing.running,
        seized: Vec::new(),
        since,
        limit,
        not_send: PhantomData,
    };
    let result = look(&stopped);
    let (n_threads, n_running) = (stopped.threads.len(), stopped.running.len());
    drop(release);
    let duration = clock::now().since(since);
    drop(warm);
    Ok((result, StopReport { since, duration, n_threads, n_running }))
}

/// Memory that this thread allocates for the first time costs a page fault for each 4 KiB, while the target stands still several
/// milliseconds in all. So some is touched and given back before; what is returned keeps the allocator from handing it on to the kernel.
fn warm_up() -> Vec<u8> {
    const BLOCK_BYTES: usize = 64 << 10;
    const BLOCKS: usize = 48;
    let blocks: Vec<Vec<u8>> = (0..BLOCKS).map(|_| vec![1; BLOCK_BYTES]).collect();
    let last = vec![1; BLOCK_BYTES];
    drop(std::hint::black_box(blocks));
    last
}

impl Stopped {
    /// When the limit is reached; who reads for long looks at the clock between two reads.
    pub const fn deadline(&self) -> Nanos {
        Nanos(self.since.0.saturating_add(self.limit.0))
    }

    /// How long it has lasted.
    pub fn elapsed(&self) -> Nanos {
        clock::now().since(self.since)
    }

    fn gather(pid: u32, limit: Nanos) -> Result<Self, StopError> {
        let mut stopped = Self {
            threads: Vec::new(),
            running: Vec::new(),
            seized: Vec::new(),
            since: clock::now(),
            limit,
            not_send: PhantomData,
        };
        let mut known = FastSet::default();
        for _ in 0..ROUNDS_MAX {
            let n_known = stopped.seized.len();
            for tid in procfs::thread_ids(pid) {
                if stopped.seized.len() < THREADS_MAX && known.insert(tid) {
                    stopped.seize(tid)?;
                }
            }
            if stopped.seized.len() == n_known || clock::now() > stopped.deadline() {
                break;
            }
            stopped.wait_for_stops();
        }
        if stopped.seized.is_empty() {
            return Err(StopError::Gone);
        }
        stopped.read_registers();
        Ok(stopped)
    }

    fn seize(&mut self, tid: u32) -> Result<(), StopError> {
        let tid = Pid::from_raw(tid.cast_signed());
        match ptrace::seize(tid, ptrace::Options::empty()) {
            Ok(()) => {}
            // It ended meanwhile.
            Err(Errno::ESRCH) => return Ok(()),
            Err(Errno::EPERM) => return Err(StopError::Denied),
            Err(error) => return Err(error.into()),
        }
        // A thread that ended since then says so when it is waited for.
        if let Err(error) = ptrace::interrupt(tid) {
            tracing::debug!(%tid, %error, "not interrupted");
        }
        self.seized.push(Seized { tid, is_stopped: false, signal: None });
        Ok(())
    }

    fn wait_for_stops(&mut self) {
        let start = clock::now();
        let mut n_looks = 0_u32;
        loop {
            self.seized.retain_mut(|thread| thread.is_stopped || thread.look());
            if self.seized.iter().all(|thread| thread.is_stopped)
                || clock::now().since(start) > GATHER_LIMIT
            {
                return;
            }
            n_looks = n_looks.saturating_add(1);
            if n_looks > IMPATIENT_LOOKS {
                thread::sleep(LOOK_INTERVAL);
            } else {
                thread::yield_now();
            }
        }
    }

    fn read_registers(&mut self) {
        for thread in &self.seized {
            let tid = thread.tid.as_raw().cast_unsigned();
            match ptrace::getregs(thread.tid) {
                Ok(all) if thread.is_stopped => self.threads.push(StoppedThread::new(tid, &all)),
                _ => self.running.push(tid),
            }
        }
    }
}

impl Seized {
    /// False if the thread has ended.
    fn look(&mut self) -> bool {
        match waitpid(self.tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => true,
            Ok(WaitStatus::PtraceEvent(..)) => {
                self.is_stopped = true;
                true
            }
            Ok(WaitStatus::Stopped(_, signal)) => {
                self.is_stopped = true;
                self.signal = Some(signal);
                true
            }
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(_) => false,
            Ok(_) => {
                self.is_stopped = true;
                true
            }
        }
    }
}

impl Drop for Stopped {
    /// The end of this thread would do the same a little later, also for threads that never stopped.
    fn drop(&mut self) {
        for thread in &self.seized {
            if let Err(error) = ptrace::detach(thread.tid, thread.signal) {
                tracing::debug!(tid = %thread.tid, %error, "not detached; it is when this thread ends");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    const LIMIT: Nanos = Nanos::from_secs(2);

    /// A process that only waits.
    struct Waiting(Child);

    impl Waiting {
        fn start() -> Self {
            let mut command = Command::new("cat");
            let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
            Self(child)
        }

        fn state(&self) -> char {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        }

        /// Waits until it is in one of these states.
        fn reaches(&self, states: &str) -> bool {
            let start = clock::now();
            while !states.contains(self.state()) {
                if clock::now().since(start) > Nanos::from_secs(10) {
                    return false;
                }
                thread::yield_now();
            }
            true
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }

    #[test]
    fn a_process_stands_still_and_runs_on() {
        let target = Waiting::start();
        assert!(target.reaches("S"));
        let look = |stopped: &Stopped| {
            assert!(clock::now() < stopped.deadline());
            (target.state(), stopped.threads.clone())
        };
        let ((state, threads), report) = with_stopped(target.0.id(), LIMIT, look).unwrap();
        assert_eq!(state, 't');
        assert_eq!((threads.len(), report.n_threads, report.n_running), (1, 1, 0));
        assert!(threads[0].stack_pointer > 0 && threads[0].tid == target.0.id());
        assert!(target.reaches("SR"));
    }

    #[test]
    fn a_panic_while_it_stands_still_lets_it_run_on() {
        let target = Waiting::start();
        assert!(target.reaches("S"));
        let result = with_stopped(target.0.id(), LIMIT, |_| -> () { panic!("on purpose") });
        assert!(result.is_err());
        assert!(target.reaches("SR"));
    }

    #[test]
    fn a_process_that_was_stopped_by_its_user_stays_so() {
        let target = Waiting::start();
        let pid = Pid::from_raw(target.0.id().cast_signed());
        nix::sys::signal::kill(pid, Signal::SIGSTOP).unwrap();
        assert!(target.reaches("T"));
        let (state, _) = with_stopped(target.0.id(), LIMIT, |_| target.state()).unwrap();
        assert_eq!(state, 't');
        assert!(target.reaches("T"));
        nix::sys::signal::kill(pid, Signal::SIGCONT).unwrap();
        assert!(target.reaches("SR"));
    }

    #[test]
    fn a_process_that_is_not_there_is_said() {
        let result = with_stopped(4_194_305, LIMIT, |_| ());
        assert!(matches!(result, Err(StopError::Gone)), "{result:?}");
    }
}
