//! How urgent a thread is for the scheduler: while a target stands still, or waits for a lock that the kernel has taken for us, nothing else
//! is more so.
#![expect(unsafe_code, reason = "nix has no setpriority")]

use nix::errno::Errno;
use nix::libc;

/// The first in its class, `setpriority(2)`; needs root or `CAP_SYS_NICE`.
const URGENT: i32 = -20;

/// From now on, for this thread and those that it starts: on Linux each thread has a priority of its own. Without permission it stays
/// as it is, which costs time only.
pub fn make_urgent() {
    // SAFETY: a system call without pointers; 0 is this thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, URGENT) } != 0 {
        tracing::debug!(error = %Errno::last(), "the priority stays as it is");
    }
}
