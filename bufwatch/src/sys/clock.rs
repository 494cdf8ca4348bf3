//! The one clock: `CLOCK_MONOTONIC`, the same that `bpf_ktime_get_ns` reads, so that moments of the kernel and
//! of user space compare. Times of files are by the wall clock: those are compared with the start of a process.

use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, sysconf};

use crate::base::Nanos;

/// Now.
pub fn now() -> Nanos {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Now by the wall clock, since 1970.
pub fn wall_now() -> Nanos {
    read(ClockId::CLOCK_REALTIME)
}

/// CPU time that bufwatch itself has used, all threads.
pub fn own_cpu() -> Nanos {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that the calling thread has used.
pub fn thread_cpu() -> Nanos {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// The wall clock's time of a moment that /proc gives in clock ticks since boot, rounded down to a tick
/// (10 ms). Time asleep counts in both. If the wall clock was set since, it is off by as much.
pub fn wall_time_of_ticks(ticks: u64) -> Option<Nanos> {
    let boot = read(ClockId::CLOCK_REALTIME).0.checked_sub(read(ClockId::CLOCK_BOOTTIME).0)?;
    boot.checked_add(since_boot(ticks)?.0).map(Nanos)
}

/// How long ago a moment was that /proc gives in clock ticks since boot, a tick more or less (10 ms). Time asleep counts.
pub fn age_of_ticks(ticks: u64) -> Option<Nanos> {
    Some(read(ClockId::CLOCK_BOOTTIME).since(since_boot(ticks)?))
}

fn since_boot(ticks: u64) -> Option<Nanos> {
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    ticks.checked_mul(1_000_000_000_u64.checked_div(per_second)?).map(Nanos)
}

/// These clocks exist on every Linux; zero is what a missing one would read.
fn read(clock: ClockId) -> Nanos {
    clock_gettime(clock).map_or(Nanos(0), |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        Nanos(seconds.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec().unsigned_abs()))
    })
}
