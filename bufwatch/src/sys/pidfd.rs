//! Waiting for the end of a process that is not a child, without polling its pid, which could be reused.
#![expect(unsafe_code, reason = "nix has no pidfd_open; this is the one raw call")]

use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::base::Nanos;
use crate::sys::wake::Waker;

/// Refers to one process, also after its end.
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
}

impl PidFd {
    /// See `pidfd_open(2)`.
    pub fn open(pid: u32) -> io::Result<Self> {
        // SAFETY: a system call without pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        let fd = i32::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above returned a new descriptor that nobody else owns.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Waits at most `timeout`, or until somebody wakes; true if the process has ended.
    pub fn wait(&self, waker: &Waker, timeout: Nanos) -> bool {
        let waker_fd = PollFd::new(waker.as_fd(), PollFlags::POLLIN);
        let has_ended =
            Self::poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN), waker_fd], timeout);
        waker.clear();
        has_ended
    }

    /// Waits at most `timeout`; true if the process has ended.
    pub fn wait_alone(&self, timeout: Nanos) -> bool {
        Self::poll(&mut [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)], timeout)
    }

    /// The process comes first.
    fn poll(fds: &mut [PollFd<'_>], timeout: Nanos) -> bool {
        let millis = timeout.0.div_ceil(1_000_000);
        let millis = u16::try_from(millis).unwrap_or(u16::MAX);
        match poll(fds, PollTimeout::from(millis)) {
            Ok(_) => fds.first().and_then(PollFd::any).unwrap_or(true),
            Err(Errno::EINTR) => false,
            Err(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_process_is_waited_for() {
        let own = PidFd::open(std::process::id()).unwrap();
        let waker = Waker::new().unwrap();
        assert!(!own.wait(&waker, Nanos(0)));
        assert!(PidFd::open(4_194_305).is_err());
    }
    #[test]
    fn a_wait_ends_when_somebody_wakes() {
        let own = PidFd::open(std::process::id()).unwrap();
        let waker = Waker::new().unwrap();
        waker.wake();
        // Without the wake it would be an hour.
        assert!(!own.wait(&waker, Nanos::from_secs(3_600)));
    }
}
