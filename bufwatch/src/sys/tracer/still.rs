//! Brings all threads of a traced program to a stand, and says how each of them stands. What they meet on the way is taken as always
//! (`threads`).

use std::fs;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::base::Nanos;
use crate::sys::clock;
use crate::sys::ptrace::{GATHER_LIMIT, StoppedThread};
use crate::sys::tracer::Standing;
use crate::sys::tracer::raw;
use crate::sys::tracer::threads::{State, Tracing};

/// Between two looks at threads that have not stopped yet.
const LOOK_INTERVAL: Duration = Duration::from_micros(50);

/// Looks without a pause in between.
const IMPATIENT_LOOKS: u32 = 20;

/// After which it is asked whether they have ended.
const ENDED_AFTER: Nanos = Nanos::from_millis(2);

impl Tracing<'_> {
    /// Asks all threads to stop.
    pub(super) fn stop_all(&mut self) {
        self.stands_still = true;
        for tid in self.running() {
            if ptrace::interrupt(Pid::from_raw(tid)).is_err() {
                self.threads.insert(tid, State::Ending);
            }
        }
    }

    /// Stops all threads, but those that do not stop in time.
    pub(super) fn gather(&mut self) {
        self.stop_all();
        let start = clock::now();
        let mut n_looks = 0_u32;
        loop {
            let waited = clock::now().since(start);
            if self.are_all_stopped() || waited >= GATHER_LIMIT {
                return;
            }
            match raw::next_change(false) {
                Ok(Some((tid, change))) => self.changed(tid, change),
                Ok(None) | Err(Errno::EINTR) => {
                    n_looks = n_looks.saturating_add(1);
                    if waited > ENDED_AFTER {
                        self.leave_out_ended();
                    }
                    if n_looks > IMPATIENT_LOOKS {
                        thread::sleep(LOOK_INTERVAL);
                    } else {
                        thread::yield_now();
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// A main thread that ended before others is asked in vain, and its end is told when all have ended.
    fn leave_out_ended(&mut self) {
        for tid in self.running() {
            let stat = fs::read_to_string(format!("/proc/{}/task/{tid}/stat", self.pid));
            if has_ended(&stat.unwrap_or_default()) {
                self.threads.insert(tid, State::Ending);
            }
        }
    }

    fn running(&self) -> Vec<i32> {
        let all = self.threads.iter().filter(|(_, its)| **its == State::Running);
        all.map(|(tid, _)| *tid).collect()
    }

    pub(super) fn are_all_stopped(&self) -> bool {
        self.threads.values().all(|state| *state != State::Running)
    }

    pub(super) fn any_stopped(&self) -> Option<i32> {
        let mut all = self.threads.iter();
        all.find(|(_, its)| matches!(its, State::Stopped(_))).map(|(tid, _)| *tid)
    }

    pub(super) fn standing(&self) -> Standing {
        let mut standing = Standing { threads: Vec::new(), running: Vec::new(), n_threads: 0 };
        for (tid, state) in &self.threads {
            match (state, ptrace::getregs(Pid::from_raw(*tid))) {
                (State::Stopped(_), Ok(all)) => {
                    standing.threads.push(StoppedThread::new(tid.cast_unsigned(), &all));
                }
                (State::Ending, _) => continue,
                _ => standing.running.push(tid.cast_unsigned()),
            }
            standing.n_threads += 1;
        }
        standing
    }
}

/// By a line of /proc/PID/task/TID/stat, which is empty if there is no such thread. A name may contain anything.
fn has_ended(stat: &str) -> bool {
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.as_bytes());
    matches!(state, None | Some([b'Z' | b'X', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_has_ended_is_told_from_one_that_sleeps() {
        assert!(has_ended("7 (node) Z 1 7") && has_ended(""));
        assert!(has_ended("7 (a) S) X 1"));
        assert!(!has_ended("7 (node) S 1 7") && !has_ended("7 (Z) Z) D 1"));
    }
}
