//! Whether a process has just begun, and whether it has ended, without mistaking another one with the same pid for it.

use std::thread;
use std::time::Duration;

use crate::base::{Nanos, ProcessKey};
use crate::sys::pidfd::PidFd;
use crate::sys::{clock, procfs};

/// The life of one process.
#[derive(Debug)]
pub struct Life {
    key: ProcessKey,
    /// Without it (Linux before 5.3) only a process that was waited for counts as ended.
    fd: Option<PidFd>,
}

impl Life {
    pub fn of(key: ProcessKey) -> Self {
        Self { key, fd: PidFd::open(key.pid).ok() }
    }

    /// Waits at most so long; true if it has ended, also if nobody has waited for it yet.
    pub fn has_ended(&self, within: Nanos) -> bool {
        match &self.fd {
            Some(fd) if fd.wait_alone(within) => return true,
            Some(_) => {}
            None => thread::sleep(Duration::from_nanos(within.0)),
        }
        !procfs::process_key(self.key.pid).is_ok_and(|key| key == self.key)
    }

    /// How long ago its program began, 10 ms more or less.
    pub fn age(&self) -> Option<Nanos> {
        clock::age_of_ticks(procfs::program_start_ticks(self.key.pid)?)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_process_ends_before_it_is_waited_for() {
        let mut command = Command::new("cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let life = Life::of(procfs::process_key(child.id()).unwrap());
        assert!(!life.has_ended(Nanos(0)));
        assert!(life.age().unwrap() < Nanos::from_secs(60));
        child.kill().unwrap();
        assert!(life.has_ended(Nanos::from_secs(10)));
        child.wait().unwrap();
        assert!(life.has_ended(Nanos(0)));
        assert_eq!(life.age(), None);
    }

    #[test]
    fn another_process_with_the_pid_is_not_it() {
        let key = procfs::process_key(std::process::id()).unwrap();
        let earlier = ProcessKey { start_ticks: key.start_ticks - 1, ..key };
        assert!(!Life::of(key).has_ended(Nanos(0)));
        assert!(Life::of(earlier).has_ended(Nanos(0)));
    }
}
