//! Starts a command and holds it just before its program runs anything of its own: when its second thread begins, which in Node is before V8
//! has a heap and before any script. What is done meanwhile is the caller's part.
//!
//! The command is started by a child of ours that asks to be traced and then becomes it (`ptrace(2)`, `PTRACE_TRACEME`). The thread that
//! started it is the tracer: when that one ends, by any way, SIGKILL of bufwatch included, the kernel lets the command run on.
//!
//! One that is to be traced to its end (`tracer`) waits until it is instead: only threads that were seized can be stopped later. It ends with
//! bufwatch.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getppid};

use crate::sys::tracer::{self, Arrival, Tracer};

/// How a shell tells that a command was not found, and that it cannot be executed.
pub const NOT_FOUND: u8 = 127;
pub const NOT_EXECUTABLE: u8 = 126;

/// Between two looks at whether the command has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How long a child waits to be traced.
const TRACED_WITHIN: Duration = Duration::from_secs(10);

/// Between two looks at whether it is.
const TRACED_INTERVAL: Duration = Duration::from_millis(1);

/// A command that was started.
#[derive(Debug)]
pub struct Launched {
    child: Child,
    held: Option<Held>,
    /// If it is traced to its end. Then only its tracer may wait for it: whoever waits for a child is told its stops as well.
    traced: Option<Traced>,
}

#[derive(Debug)]
struct Traced {
    tracer: Tracer,
    is_held: bool,
    ended: Receiver<Outcome>,
    outcome: Option<Outcome>,
}

/// What the tracing thread is told: closed, or a word, lets the command run.
#[derive(Debug)]
struct Held {
    release: Sender<()>,
    thread: JoinHandle<()>,
}

/// How the start went.
#[derive(Debug)]
pub enum Start {
    /// It is held until it is released.
    Held,
    /// It ended before it was what was waited for.
    Ended(Outcome),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Exited(u8),
    Killed(i32),
}

impl Outcome {
    /// As shells tell it: the code, or 128 and the number of the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => u8::try_from(128 + signal.clamp(0, 127)).unwrap_or(u8::MAX),
        }
    }

    fn of(status: ExitStatus) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code as u8),
            (None, signal) => Self::Killed(signal.unwrap_or(libc::SIGKILL)),
        }
    }
}

/// Where a command's output goes.
#[derive(Debug)]
pub struct Streams {
    pub stdin: Stdio,
    pub stdout: Stdio,
    pub stderr: Stdio,
}

/// Becomes the command, traced by who started this process; returns only if it cannot. `seized_by`: it waits until that process, which has
/// started it, has seized it.
pub fn become_traced(command: &[OsString], seized_by: Option<u32>) -> io::Error {
    let Some((program, arguments)) = command.split_first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let traced = match seized_by {
        Some(parent) => wait_to_be_seized(parent),
        None => ptrace::traceme().map_err(Into::into),
    };
    if let Err(error) = traced {
        return error;
    }
    Command::new(program).args(arguments).exec()
}

/// Until this process has a tracer, or lost who would be it, perhaps before it came here.
fn wait_to_be_seized(parent: u32) -> io::Result<()> {
    let n_looks = TRACED_WITHIN.as_millis() / TRACED_INTERVAL.as_millis();
    for _ in 0..n_looks {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        if tracer.is_some_and(|tracer| tracer.trim() != "0") {
            return Ok(());
        }
        if getppid().as_raw().cast_unsigned() != parent {
            break;
        }
        std::thread::sleep(TRACED_INTERVAL);
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Starts `gate`, a command that calls [`become_traced`], and follows it until `is_awaited` says of its process, whenever it begins its second
/// thread, that it is the one. A program that starts others in place of itself is followed, processes that it forks are not.
pub fn launch(
    mut gate: Command,
    streams: Streams,
    is_awaited: impl Fn(u32) -> bool + Send + 'static,
) -> io::Result<(Launched, Start)> {
    gate.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
    let (started, begun) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let trace = move || {
        // The kernel knows this thread as the one that started it, and so as the tracer.
        let child = match gate.spawn() {
            Ok(child) => child,
            Err(error) => return send(&started, Err(error)),
        };
        let pid = Pid::from_raw(child.id().cast_signed());
        match follow(pid, &is_awaited) {
            Ok(Followed::Ended(outcome)) => send(&started, Ok((child, Start::Ended(outcome)))),
            Ok(Followed::Arrived(thread)) => {
                send(&started, Ok((child, Start::Held)));
                hold(pid, &released);
                detach(thread);
                detach(pid);
            }
            Err(error) => {
                end(pid);
                send(&started, Err(error.into()));
            }
        }
    };
    let thread = Builder::new().name("bw-launch".to_owned()).spawn(trace)?;
    let (child, start) = begun.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
    let held = matches!(start, Start::Held).then_some(Held { release, thread });
    Ok((Launched { child, held, traced: None }, start))
}

/// The same for a command that is traced from its start to its end, and ends with bufwatch: `gate` waits to be seized.
pub fn launch_traced(
    mut gate: Command,
    streams: Streams,
    is_awaited: impl Fn(u32) -> bool + Send + 'static,
) -> io::Result<(Launched, Start)> {
    gate.stdin(streams.stdin).stdout(streams.stdout).stderr(streams.stderr);
    let (started, begun) = mpsc::channel();
    let (end_told, ended) = mpsc::channel();
    let trace = move || {
        let child = match gate.spawn() {
            Ok(child) => child,
            Err(error) => return send(&started, Err(error)),
        };
        let pid = child.id();
        let mut child = Some(child);
        let mut tell = |arrival| {
            if let Some(child) = child.take() {
                send(&started, Ok((child, arrival)));
            }
        };
        match tracer::trace(pid, &is_awaited, &mut tell) {
            Ok(outcome) => send(&end_told, outcome),
            Err(error) => {
                tracing::debug!(%error, "the tracer ends, and the command with it");
                // Not if it could not be traced from the beginning.
                end(Pid::from_raw(pid.cast_signed()));
                // What was told is not told again.
                if child.is_some() {
                    send(&started, Err(error.into()));
                }
            }
        }
    };
    Builder::new().name("bw-trace".to_owned()).spawn(trace)?;
    let (child, arrival) =
        begun.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
    Ok(match arrival {
        Arrival::Held(tracer) => {
            let traced = Traced { tracer, is_held: true, ended, outcome: None };
            (Launched { child, held: None, traced: Some(traced) }, Start::Held)
        }
        Arrival::Ended(outcome) => {
            (Launched { child, held: None, traced: None }, Start::Ended(outcome))
        }
    })
}

fn send<T>(to: &Sender<T>, what: T) {
    if to.send(what).is_err() {
        tracing::debug!("nobody waits for the command any more");
    }
}

enum Followed {
    Ended(Outcome),
    /// Its second thread stands still, and so does the first.
    Arrived(Pid),
}

fn follow(pid: Pid, is_awaited: &dyn Fn(u32) -> bool) -> Result<Followed, Errno> {
    let mut has_options = false;
    loop {
        let signal = match wait(pid)? {
            WaitStatus::Exited(_, code) => {
                return Ok(Followed::Ended(Outcome::Exited(code as u8)));
            }
            WaitStatus::Signaled(_, signal, _) => {
                return Ok(Followed::Ended(Outcome::Killed(signal as i32)));
            }
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_CLONE) => {
                let thread = Pid::from_raw(ptrace::getevent(pid)? as i32);
                // It stops before its first instruction.
                wait(thread)?;
                if is_awaited(pid.as_raw().cast_unsigned()) {
                    return Ok(Followed::Arrived(thread));
                }
                detach(thread);
                None
            }
            // It became a program: the first time without an event, since there were no options.
            WaitStatus::Stopped(_, Signal::SIGTRAP) if !has_options => {
                ptrace::setoptions(
                    pid,
                    Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEEXEC,
                )?;
                has_options = true;
                None
            }
            WaitStatus::Stopped(_, signal) => Some(signal),
            _ => None,
        };
        match ptrace::cont(pid, signal) {
            // It was killed: the next wait says so.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait(pid: Pid) -> Result<WaitStatus, Errno> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// Until it is released or its starter has gone; one that is killed meanwhile is let go as well.
fn hold(pid: Pid, released: &Receiver<()>) {
    while released.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
        if kill(pid, None).is_err() {
            return;
        }
    }
}

fn detach(pid: Pid) {
    if let Err(error) = ptrace::detach(pid, None) {
        tracing::debug!(%pid, %error, "not detached; it is when this thread ends");
    }
}

fn end(pid: Pid) {
    if let Err(error) = kill(pid, Signal::SIGKILL) {
        tracing::debug!(%pid, %error, "it had ended");
    }
    detach(pid);
}

impl Launched {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// None of it has run since it was started.
    pub fn is_held(&self) -> bool {
        self.held.is_some() || self.traced.as_ref().is_some_and(|traced| traced.is_held)
    }

    /// Of one that is traced to its end.
    pub fn tracer(&self) -> Option<Tracer> {
        self.traced.as_ref().map(|traced| traced.tracer.clone())
    }

    /// Lets it run.
    pub fn release(&mut self) {
        if let Some(traced) = &mut self.traced
            && std::mem::take(&mut traced.is_held)
        {
            traced.tracer.run();
        }
        let Some(held) = self.held.take() else { return };
        drop(held.release);
        if held.thread.join().is_err() {
            tracing::error!("thread bw-launch ended by a bug");
        }
    }

    /// Ends it and waits until it has ended.
    pub fn kill(&mut self) {
        if self.traced.as_ref().is_none_or(|traced| traced.outcome.is_none()) {
            self.signal(Signal::SIGKILL);
        }
        if let Err(error) = self.wait() {
            tracing::debug!(%error, "it was waited for");
        }
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Err(error) = kill(Pid::from_raw(self.pid().cast_signed()), signal) {
            tracing::debug!(%error, "the command had ended");
        }
    }

    /// Whether it has ended; waits no longer than an instant.
    pub fn outcome(&mut self) -> Option<Outcome> {
        if let Some(traced) = &mut self.traced {
            traced.outcome = traced.outcome.or_else(|| match traced.ended.try_recv() {
                Ok(outcome) => Some(outcome),
                Err(TryRecvError::Empty) => None,
                // With its tracer, which ended by a bug.
                Err(TryRecvError::Disconnected) => Some(Outcome::Killed(libc::SIGKILL)),
            });
            return traced.outcome;
        }
        self.child.try_wait().ok().flatten().map(Outcome::of)
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> io::Result<Outcome> {
        self.release();
        if let Some(traced) = &mut self.traced {
            let outcome = traced.outcome.or_else(|| traced.ended.recv().ok());
            let outcome = outcome.unwrap_or(Outcome::Killed(libc::SIGKILL));
            traced.outcome = Some(outcome);
            return Ok(outcome);
        }
        self.child.wait().map(Outcome::of)
    }
}
