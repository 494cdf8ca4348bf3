//! How urgent a thread is for the scheduler: while a target stands still, or waits for a lock that the kernel has taken for us, nothing else
//! is more so; and what can wait leaves the processor to the target.
#![expect(unsafe_code, reason = "nix has no setpriority")]

use nix::errno::Errno;
use nix::libc;

/// The first in its class, `setpriority(2)`; needs root or `CAP_SYS_NICE`.
const URGENT: i32 = -20;

/// A third of the share of others where a processor is short, and all of it where it is not (sched(7), "The nice value").
const PATIENT: i32 = 5;

/// From now on, for this thread and those that it starts: on Linux each thread has a priority of its own. Without permission it stays
/// as it is, which costs time only.
pub fn make_urgent() {
    set(URGENT);
}

/// The same the other way, which everybody may.
pub fn make_patient() {
    set(PATIENT);
}

fn set(priority: i32) {
    // SAFETY: a system call without pointers; 0 is this thread.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) } != 0 {
        tracing::debug!(error = %Errno::last(), "the priority stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_is_patient_is_that_alone() {
        let of_thread = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            let (_, fields) = stat.rsplit_once(')').unwrap();
            // Field 19, nice; the first behind the name is 3 (proc_pid_stat(5)).
            fields.split_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = of_thread();
        let of_patient = || {
            make_patient();
            of_thread()
        };
        let patient = std::thread::scope(|scope| scope.spawn(of_patient).join().unwrap());
        assert_eq!(patient, PATIENT);
        assert_eq!(of_thread(), before);
    }
}
