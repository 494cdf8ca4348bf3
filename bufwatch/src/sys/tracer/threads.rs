//! The thread that traces a program: takes what its threads meet, lets them run on, and does what it is ordered between two of these. What a
//! breakpoint means is the observer's business.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::unistd::{Pid, gettid};

use crate::sys::launch::Outcome;
use crate::sys::tracer::breakpoints::Breakpoints;
use crate::sys::tracer::raw::{self, Change};
use crate::sys::tracer::{Hit, Observer, Order, Tracer};

/// `si_code` of a signal that a breakpoint raised (`SI_KERNEL`, `TRAP_BRKPT`), not another process.
const CODES_OF_TRAPS: [i32; 2] = [0x80, 1];

/// The first thing that is told of a program that was started.
#[derive(Debug)]
pub(in crate::sys) enum Arrival {
    /// It is the awaited one and held where its second thread begins.
    Held(Tracer),
    Ended(Outcome),
}

/// How a thread that stands still goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// With a signal, if it is not zero.
    Run(i32),
    /// Not before another signal lets it: it was stopped by one.
    Listen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Stopped(Next),
    /// It has ended and is not told so yet: a main thread that others outlive.
    Ending,
}

/// A program that is traced.
pub(super) struct Tracing<'a> {
    pub(super) pid: i32,
    is_awaited: &'a dyn Fn(u32) -> bool,
    pub(super) threads: BTreeMap<i32, State>,
    breakpoints: Breakpoints,
    observer: Option<Box<dyn Observer>>,
    /// Whoever stops stays so.
    pub(super) stands_still: bool,
    has_arrived: bool,
    outcome: Option<Outcome>,
}

/// Traces `pid`, a child of this thread that waits to be traced, until it has ended. `is_awaited` says whether it is the program that is to be
/// held, whenever it begins its second thread; `tell` is told what came of that.
pub(in crate::sys) fn trace(
    pid: u32,
    is_awaited: &dyn Fn(u32) -> bool,
    tell: &mut dyn FnMut(Arrival),
) -> Result<Outcome, Errno> {
    let pid = pid.cast_signed();
    raw::hang_doorbell()?;
    let options = Options::PTRACE_O_EXITKILL
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEEXEC;
    if let Err(error) = ptrace::seize(Pid::from_raw(pid), options) {
        let Some(outcome) = already_ended()? else { return Err(error) };
        tell(Arrival::Ended(outcome));
        return Ok(outcome);
    }
    let mut tracing = Tracing {
        pid,
        is_awaited,
        threads: BTreeMap::new(),
        breakpoints: Breakpoints::default(),
        observer: None,
        stands_still: false,
        has_arrived: false,
        outcome: None,
    };
    tracing.threads.insert(pid, State::Running);
    tracing.run(tell)
}

/// How the only child of this thread ended: what was killed before it could be traced is refused as if there were no right to (ptrace(2), EPERM).
fn already_ended() -> Result<Option<Outcome>, Errno> {
    Ok(match raw::next_change(false)? {
        Some((_, Change::Exited(code))) => Some(Outcome::Exited(code)),
        Some((_, Change::Killed(signal))) => Some(Outcome::Killed(signal)),
        Some((_, Change::Stopped { .. })) | None => None,
    })
}

impl Tracing<'_> {
    fn run(&mut self, tell: &mut dyn FnMut(Arrival)) -> Result<Outcome, Errno> {
        let (sender, orders) = mpsc::channel();
        let mut tracer = Some(Tracer { orders: sender, tid: gettid().as_raw() });
        loop {
            if let Some(outcome) = self.outcome {
                // First: once it is told, bufwatch may end.
                self.let_all_go()?;
                if tracer.is_some() {
                    tell(Arrival::Ended(outcome));
                }
                return Ok(outcome);
            }
            match raw::next_change(true) {
                Ok(Some((tid, change))) => self.changed(tid, change),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
            }
            if self.stands_still && self.outcome.is_none() && self.are_all_stopped() {
                if let Some(tracer) = tracer.take() {
                    tell(Arrival::Held(tracer));
                }
                self.hold(&orders);
            }
            while self.take_order(&orders) {}
        }
    }

    /// Processes that were forked and not seen yet would end with this thread.
    fn let_all_go(&mut self) -> Result<(), Errno> {
        loop {
            match raw::next_change(true) {
                Ok(Some((tid, change))) => self.changed(tid, change),
                Ok(None) | Err(Errno::EINTR) => {}
                Err(Errno::ECHILD) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Until it is let go. One whose starter has gone never runs.
    fn hold(&mut self, orders: &Receiver<Order>) {
        while self.stands_still {
            match orders.recv() {
                Ok(Order::Run) => self.resume(),
                Ok(order) => self.obey(order),
                Err(_) => {
                    self.kill();
                    self.resume();
                }
            }
        }
    }

    fn take_order(&mut self, orders: &Receiver<Order>) -> bool {
        match orders.try_recv() {
            Ok(order) => {
                let was_still = self.stands_still;
                if !was_still {
                    self.gather();
                }
                self.obey(order);
                if !was_still {
                    self.resume();
                }
                true
            }
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => false,
        }
    }

    /// While all threads stand still.
    fn obey(&mut self, order: Order) {
        match order {
            Order::Run => {}
            Order::Watch { addresses, observer, answer } => {
                // If there is none it ends; then there is no answer.
                let Some(tid) = self.any_stopped() else { return };
                let outcome = self.breakpoints.set(tid, &addresses);
                if outcome.is_ok() {
                    self.observer = Some(observer);
                }
                send(&answer, outcome);
            }
            Order::Forget { answer } => {
                // Those that stay are passed and not told.
                if let Some(tid) = self.any_stopped() {
                    self.breakpoints.remove(tid);
                }
                self.observer = None;
                send(&answer, ());
            }
            Order::StandStill { answer, until } => {
                send(&answer, self.standing());
                // Nothing is ever sent: that it closes is the message.
                if until.recv().is_ok() {
                    tracing::debug!("nothing is sent on this channel");
                }
            }
        }
    }

    pub(super) fn changed(&mut self, tid: i32, change: Change) {
        match change {
            Change::Exited(code) => self.ended(tid, Outcome::Exited(code)),
            Change::Killed(signal) => self.ended(tid, Outcome::Killed(signal)),
            Change::Stopped { signal, event: 0 } => {
                let is_ours = signal == libc::SIGTRAP && self.trapped(tid);
                self.stopped(tid, Next::Run(if is_ours { 0 } else { signal }));
            }
            Change::Stopped { signal, event: libc::PTRACE_EVENT_STOP } => {
                let is_by_signal =
                    matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU);
                self.stood(tid, if is_by_signal { Next::Listen } else { Next::Run(0) });
            }
            Change::Stopped { event: libc::PTRACE_EVENT_CLONE, .. } => self.cloned(tid),
            Change::Stopped { event: libc::PTRACE_EVENT_EXEC, .. } => {
                self.breakpoints.execed();
                // The others have ended, and it has the first one's number now.
                self.threads.retain(|known, _| *known == self.pid);
                if let Some(observer) = &mut self.observer {
                    observer.execed();
                }
                self.stopped(tid, Next::Run(0));
            }
            Change::Stopped { .. } => self.stopped(tid, Next::Run(0)),
        }
    }

    fn ended(&mut self, tid: i32, outcome: Outcome) {
        self.threads.remove(&tid);
        if tid == self.pid {
            self.outcome = Some(outcome);
        }
        if let Some(observer) = &mut self.observer {
            observer.thread_ended(tid.cast_unsigned());
        }
    }

    /// It stopped on its own account: it was told to, or has just begun.
    fn stood(&mut self, tid: i32, next: Next) {
        let is_known = self.threads.contains_key(&tid);
        if !is_known && !self.is_thread(tid) {
            return self.let_go(tid);
        }
        if is_known || self.has_arrived {
            return self.stopped(tid, next);
        }
        // Its beginning is not told yet: whether it is awaited is decided then.
        self.threads.insert(tid, State::Stopped(next));
    }

    fn is_thread(&self, tid: i32) -> bool {
        Path::new(&format!("/proc/{}/task/{tid}", self.pid)).exists()
    }

    /// A process that was forked: nobody looks at it, so what was written into its copy of the code must go. One that was not given a copy
    /// runs nothing of V8: it becomes another program (`vfork`).
    fn let_go(&self, tid: i32) {
        if !raw::share_memory(self.pid, tid) {
            self.breakpoints.remove_from_copy(tid);
        }
        if let Err(error) = ptrace::detach(Pid::from_raw(tid), None) {
            tracing::debug!(tid, %error, "a forked process had ended");
        }
    }

    /// A thread has begun another one.
    fn cloned(&mut self, tid: i32) {
        let begun = ptrace::getevent(Pid::from_raw(tid)).ok().map(|begun| begun as i32);
        if let Some(begun) = begun.filter(|begun| self.is_thread(*begun)) {
            self.threads.entry(begun).or_insert(State::Running);
        }
        if let Some(observer) = &mut self.observer {
            observer.thread_began();
        }
        if !self.has_arrived {
            if (self.is_awaited)(self.pid.cast_unsigned()) {
                self.has_arrived = true;
                self.stop_all();
            } else {
                self.resume();
            }
        }
        self.stopped(tid, Next::Run(0));
    }

    /// True if it met a breakpoint.
    fn trapped(&mut self, tid: i32) -> bool {
        let thread = Pid::from_raw(tid);
        let Ok(all) = ptrace::getregs(thread) else { return false };
        let Some(n) = self.breakpoints.met(&all) else { return false };
        let is_trap =
            ptrace::getsiginfo(thread).is_ok_and(|signal| CODES_OF_TRAPS.contains(&signal.si_code));
        if !is_trap {
            return false;
        }
        if let Some(observer) = self.observer.as_mut().filter(|_| self.breakpoints.are_set()) {
            observer.hit(&Hit {
                n,
                tid: tid.cast_unsigned(),
                stack_pointer: all.rsp,
                frame_pointer: all.rbp,
                arguments: [all.rdi, all.rsi, all.rdx],
            });
        }
        if let Err(error) = self.breakpoints.pass(tid, &all) {
            // It was killed.
            tracing::debug!(tid, %error, "a thread does not pass a breakpoint");
        }
        true
    }

    fn stopped(&mut self, tid: i32, next: Next) {
        if self.stands_still {
            self.threads.insert(tid, State::Stopped(next));
        } else {
            self.go_on(tid, next);
        }
    }

    fn go_on(&mut self, tid: i32, next: Next) {
        let outcome = match next {
            Next::Run(signal) => raw::let_run(tid, signal),
            Next::Listen => raw::listen(tid),
        };
        if let Err(error) = outcome {
            // It was killed: the next change says so.
            tracing::debug!(tid, %error, "a thread does not go on");
        }
        self.threads.insert(tid, State::Running);
    }

    /// Lets all threads run that stand still.
    fn resume(&mut self) {
        self.stands_still = false;
        let stopped = self.threads.iter().filter_map(|(tid, state)| match state {
            State::Stopped(next) => Some((*tid, *next)),
            State::Running | State::Ending => None,
        });
        let stopped: Vec<(i32, Next)> = stopped.collect();
        for (tid, next) in stopped {
            self.go_on(tid, next);
        }
    }

    fn kill(&self) {
        let pid = Pid::from_raw(self.pid);
        if let Err(error) = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL) {
            tracing::debug!(%error, "it had ended");
        }
    }
}

fn send<T>(to: &Sender<T>, what: T) {
    if to.send(what).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn one_that_ended_before_is_told_as_ended() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        child.kill().unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        while !state().contains(") Z ") {
            std::thread::yield_now();
        }
        let mut told = Vec::new();
        let outcome = trace(child.id(), &|_| false, &mut |arrival| told.push(arrival));
        assert_eq!(outcome, Ok(Outcome::Killed(libc::SIGKILL)));
        assert!(matches!(told[..], [Arrival::Ended(Outcome::Killed(libc::SIGKILL))]), "{told:?}");
        assert!(child.wait().is_err(), "it was not waited for");
    }
}
