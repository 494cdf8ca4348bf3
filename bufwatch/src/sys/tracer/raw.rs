//! The calls of a tracer that nix does not have, or has for named signals only: a program may be sent real-time signals, and each must reach
//! it. What is done with a stop is decided by `threads`.
#![expect(
    unsafe_code,
    reason = "raw system calls without pointers, and one handler that does nothing"
)]

use nix::errno::Errno;
use nix::libc;

/// What interrupts a tracer that waits. By default it is ignored, so that a handler that does nothing changes nothing else.
const DOORBELL: i32 = libc::SIGURG;

/// A change of a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Exited(u8),
    Killed(i32),
    /// `event` is zero if a signal is about to be delivered, else one of `PTRACE_EVENT_*`.
    Stopped {
        signal: i32,
        event: i32,
    },
}

/// The next change of a thread that this thread traces; `None` if there is none yet and it is not to be waited for.
pub(super) fn next_change(is_waiting: bool) -> Result<Option<(i32, Change)>, Errno> {
    let mut status = 0;
    // Other threads of ours have children and tracees of their own.
    let flags = libc::__WALL | libc::__WNOTHREAD | if is_waiting { 0 } else { libc::WNOHANG };
    // SAFETY: `status` is an integer that outlives the call.
    let tid = unsafe { libc::waitpid(-1, &raw mut status, flags) };
    match Errno::result(tid)? {
        0 => Ok(None),
        tid => Ok(change(status).map(|change| (tid, change))),
    }
}

fn change(status: i32) -> Option<Change> {
    if libc::WIFEXITED(status) {
        Some(Change::Exited(libc::WEXITSTATUS(status) as u8))
    } else if libc::WIFSIGNALED(status) {
        Some(Change::Killed(libc::WTERMSIG(status)))
    } else if libc::WIFSTOPPED(status) {
        Some(Change::Stopped { signal: libc::WSTOPSIG(status), event: status >> 16 })
    } else {
        None
    }
}

/// Lets a stopped thread run; a `signal` that is not zero is delivered.
pub(super) fn let_run(tid: i32, signal: i32) -> Result<(), Errno> {
    // SAFETY: no pointers: the address is not used, the data is a number.
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_CONT, tid, 0_usize, signal as usize) })
        .map(drop)
}

/// Leaves a thread stopped that was stopped by a signal, until another one lets it run.
pub(super) fn listen(tid: i32) -> Result<(), Errno> {
    // SAFETY: no pointers: address and data are not used.
    Errno::result(unsafe { libc::ptrace(libc::PTRACE_LISTEN, tid, 0_usize, 0_usize) }).map(drop)
}

/// Whether two processes have the same memory, not one a copy of the other's (`kcmp(2)`). False if the kernel does not tell.
pub(super) fn share_memory(pid: i32, other: i32) -> bool {
    const KCMP_VM: i32 = 1;
    // SAFETY: a system call without pointers.
    unsafe { libc::syscall(libc::SYS_kcmp, pid, other, KCMP_VM, 0, 0) == 0 }
}

/// From now on [`ring`] interrupts whatever a thread of ours waits for.
pub(super) fn hang_doorbell() -> Result<(), Errno> {
    extern "C" fn nothing(_signal: libc::c_int) {}
    let handler = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::Handler(nothing),
        // Not restarted: that is its purpose.
        nix::sys::signal::SaFlags::empty(),
        nix::sys::signal::SigSet::empty(),
    );
    let signal = nix::sys::signal::Signal::try_from(DOORBELL)?;
    // SAFETY: the handler does nothing, so it is async-signal-safe; nobody else handles this signal.
    unsafe { nix::sys::signal::sigaction(signal, &handler) }.map(drop)
}

/// Interrupts a thread of ours if it waits in the kernel.
pub(super) fn ring(tid: i32) {
    let pid = nix::unistd::getpid().as_raw();
    // SAFETY: a system call without pointers; it reaches threads of this process only.
    if unsafe { libc::syscall(libc::SYS_tgkill, pid, tid, DOORBELL) } != 0 {
        tracing::debug!(error = %Errno::last(), "the tracer has ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_is_told() {
        assert_eq!(change(3 << 8), Some(Change::Exited(3)));
        assert_eq!(change(9), Some(Change::Killed(9)));
        // A real-time signal, which nix does not know.
        assert_eq!(change(40 << 8 | 0x7f), Some(Change::Stopped { signal: 40, event: 0 }));
        let event = libc::PTRACE_EVENT_CLONE;
        let status = event << 16 | libc::SIGTRAP << 8 | 0x7f;
        assert_eq!(change(status), Some(Change::Stopped { signal: libc::SIGTRAP, event }));
    }
}
