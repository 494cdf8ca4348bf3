//! Waiting for the end of a process that is not a child, without polling its pid, which could be reused.
#![expect(unsafe_code, reason = "nix has no pidfd_open; this is the one raw call")]

use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::base::Nanos;

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

    /// Waits at most `timeout`; true if the process has ended.
    pub fn wait(&self, timeout: Nanos) -> bool {
        let millis = u16::try_from(timeout.0 / 1_000_000).unwrap_or(u16::MAX);
        let mut fds = [PollFd::new(self.fd.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(n) => n > 0,
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
        assert!(!own.wait(Nanos(0)));
        assert!(PidFd::open(4_194_305).is_err());
    }
}
