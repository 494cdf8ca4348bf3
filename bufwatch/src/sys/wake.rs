//! Wakes a thread that waits in the kernel, from another thread. What there is to do is told some other way.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// Shared by the one who waits and those who wake.
#[derive(Debug)]
pub struct Waker {
    fd: EventFd,
}

impl Waker {
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self { fd: EventFd::from_value_and_flags(0, flags)? })
    }

    pub fn wake(&self) {
        if self.fd.write(1).is_err() {
            tracing::debug!("who was woken 2^64 times is awake");
        }
    }

    /// From now on only a later call wakes again.
    pub(crate) fn clear(&self) {
        // Nothing to read means that nobody called.
        let _n_calls: Option<u64> = self.fd.read().ok();
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
