//! The one clock: `CLOCK_MONOTONIC`, the same that `bpf_ktime_get_ns` reads, so that moments of the kernel and
//! of user space compare.

use nix::time::{ClockId, clock_gettime};

use crate::base::Nanos;

/// Now.
pub fn now() -> Nanos {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CPU time that bufwatch itself has used, all threads.
pub fn own_cpu() -> Nanos {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Both clocks exist on every Linux; zero is what a missing one would read.
fn read(clock: ClockId) -> Nanos {
    clock_gettime(clock).map_or(Nanos(0), |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        Nanos(seconds.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec().unsigned_abs()))
    })
}
