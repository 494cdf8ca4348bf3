//! bufwatch's own heap: what is freed goes back to the kernel. Attaching to a process and looking at its heap need megabytes for a moment, and
//! malloc would keep them in each thread's arena.
#![expect(unsafe_code, reason = "malloc's own functions have no safe form")]

use nix::libc;

/// Threads share this many arenas; glibc's default is eight for each core.
const ARENAS: libc::c_int = 2;

/// Before threads are started: few arenas, so that what one frees is used by others.
pub fn share_arenas() {
    // SAFETY: sets a number in malloc, whatever it is.
    if unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) } == 0 {
        tracing::debug!("malloc keeps as many arenas as it likes");
    }
}

/// Gives back what is free, all of it; takes milliseconds.
pub fn give_back() {
    // SAFETY: locks each arena while it looks at it.
    let has_released = unsafe { libc::malloc_trim(0) } == 1;
    tracing::trace!(has_released, "the heap was trimmed");
}
