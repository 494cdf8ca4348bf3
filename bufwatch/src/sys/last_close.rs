//! Closes descriptors so that the kernel gets to do all that belongs to it, also when this process is killed meanwhile: what it does for a
//! `close` it breaks off where memory of another process is to be changed and a SIGKILL is pending (`__get_user_pages` in mm/gup.c, "failed to
//! unregister, leaking uprobe"), what it does at the end of a process it does not, since nothing can be pending there any more
//! (`prepare_signal` in kernel/signal.c). So descriptors are closed by the end of processes that have nothing else. What is closed is not known here.
#![expect(
    unsafe_code,
    reason = "neither std nor nix starts a process that shares the memory but not the descriptors"
)]

use std::ffi::{c_int, c_uint, c_void};
use std::io::{self, PipeReader, Read as _};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::unistd::Pid;

/// For what a closer does, which is some system calls.
const STACK_BYTES: usize = 64 << 10;
const STACK_ALIGNMENT: usize = 16;

/// The kernel may wait for each descriptor that a closer has, one after the other; and each closer takes copies of all that are open, which
/// with thousands are milliseconds.
const CLOSERS_MAX: usize = 4;

/// What a closer keeps of the descriptors, until it ends.
#[derive(Debug)]
struct Kept {
    /// What it is there for, and the gate; ascending.
    all: Vec<RawFd>,
    /// Tells that it may end: nobody else has the others any more.
    gate: RawFd,
}

impl Kept {
    fn new(descriptors: &[OwnedFd], gate: RawFd) -> Self {
        let mut all: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        all.push(gate);
        all.sort_unstable();
        Self { all, gate }
    }
}

/// A process that has copies of the descriptors, and all else in common with this one.
#[derive(Debug)]
struct Closer {
    pid: Pid,
    /// What it keeps and its stack, in use until it has ended: given back only when that was waited for.
    memory: ManuallyDrop<(Box<Kept>, Vec<u8>)>,
}

/// Closes them, in a few lots side by side; what cannot be closed like this is closed as usual. Waits until the kernel is done.
pub fn close_all(descriptors: Vec<OwnedFd>) {
    if descriptors.is_empty() {
        return;
    }
    match start_closers(&descriptors) {
        Ok(closers) => {
            drop(descriptors);
            closers.finish();
        }
        Err(error) => {
            tracing::debug!(%error, "descriptors are closed by bufwatch itself");
            drop(descriptors);
        }
    }
}

#[derive(Debug)]
struct Closers {
    /// They end when this is closed, also because this process has ended.
    gate: io::PipeWriter,
    started: Vec<Closer>,
}

impl Closers {
    fn finish(self) {
        drop(self.gate);
        for closer in self.started {
            closer.wait();
        }
    }
}

/// A few, as far as they can be had; when it returns, each has nothing but its own.
fn start_closers(descriptors: &[OwnedFd]) -> io::Result<Closers> {
    let (gate_reader, gate) = io::pipe()?;
    let (all_set, each_has_it) = io::pipe()?;
    let mut started = Vec::new();
    for lot in descriptors.chunks(descriptors.len().div_ceil(CLOSERS_MAX).max(1)) {
        match Closer::start(Kept::new(lot, gate_reader.as_raw_fd())) {
            Ok(closer) => started.push(closer),
            Err(error) => tracing::debug!(%error, "descriptors are closed by bufwatch itself"),
        }
    }
    drop(each_has_it);
    wait_for_all(all_set)?;
    Ok(Closers { gate, started })
}

/// Until the last one has closed its copy of the other end, which is among what it does not keep.
fn wait_for_all(mut all_set: PipeReader) -> io::Result<()> {
    all_set.read_to_end(&mut Vec::new()).map(drop)
}

impl Closer {
    fn start(kept: Kept) -> io::Result<Self> {
        let kept = Box::new(kept);
        let mut stack = vec![0_u8; STACK_BYTES];
        let top = stack.as_mut_ptr_range().end;
        let top = top.wrapping_sub(top.addr() % STACK_ALIGNMENT);
        let argument: *const Kept = &raw const *kept;
        let before = block_signals()?;
        // SAFETY: `top` is the aligned end of a stack and `argument` points to a value that are both freed only after the process was waited
        // for; it runs with all signals blocked, and does nothing but system calls.
        let pid = unsafe {
            libc::clone(keep_until_told, top.cast(), libc::CLONE_VM, argument.cast_mut().cast())
        };
        let memory = ManuallyDrop::new((kept, stack));
        let closer = Errno::result(pid).map(|pid| Self { pid: Pid::from_raw(pid), memory });
        before.thread_set_mask()?;
        Ok(closer?)
    }

    fn wait(self) {
        loop {
            // One that tells nobody when it ends is waited for by who asks for such.
            match nix::sys::wait::waitpid(self.pid, Some(nix::sys::wait::WaitPidFlag::__WALL)) {
                Err(Errno::EINTR) => {}
                Ok(_) => return drop(ManuallyDrop::into_inner(self.memory)),
                // Never: it is a child of this process.
                Err(error) => return tracing::debug!(%error, "a closer is not waited for"),
            }
        }
    }
}

/// Handlers of this process do not belong into another one.
fn block_signals() -> io::Result<SigSet> {
    Ok(SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?)
}

/// What a closer does: gives up all other descriptors, and waits until nobody else has its own. The rest the kernel does.
extern "C" fn keep_until_told(argument: *mut c_void) -> c_int {
    // SAFETY: it points to what `Closer::start` put there, which outlives this process.
    let kept = unsafe { &*argument.cast_const().cast::<Kept>() };
    let mut next = 0;
    for fd in &kept.all {
        close_between(next, *fd);
        next = fd.saturating_add(1);
    }
    close_between(next, RawFd::MAX);
    let mut nothing = [0_u8; 1];
    // SAFETY: one byte is written at most, into an array of one.
    unsafe { libc::syscall(libc::SYS_read, kept.gate, nothing.as_mut_ptr(), nothing.len()) };
    0
}

/// Descriptors from `first` to before `end`.
fn close_between(first: RawFd, end: RawFd) {
    if first < end {
        let (first, last) = (first.cast_unsigned(), end.cast_unsigned().saturating_sub(1));
        let no_flags: c_uint = 0;
        // SAFETY: a system call without pointers, on descriptors of the process that makes it.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, no_flags) };
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn all_are_closed_and_nothing_else() {
        let (mut other_reader, mut other) = io::pipe().unwrap();
        let pipes: Vec<_> = (0..20).map(|_| io::pipe().unwrap()).collect();
        let (readers, writers): (Vec<_>, Vec<_>) = pipes.into_iter().unzip();
        close_all(writers.into_iter().map(OwnedFd::from).collect());
        for mut reader in readers {
            assert_eq!(reader.read(&mut [0]).unwrap(), 0, "somebody has it open");
        }
        other.write_all(b"x").unwrap();
        drop(other);
        let mut read = String::new();
        other_reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, "x");
    }

    #[test]
    fn a_closer_outlives_what_others_close() {
        let (mut reader, writer) = io::pipe().unwrap();
        let writers = [OwnedFd::from(writer)];
        let closers = start_closers(&writers).unwrap();
        drop(writers);
        nix::fcntl::fcntl(&reader, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))
            .unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        closers.finish();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
}
