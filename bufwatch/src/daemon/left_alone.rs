//! Processes that are not watched, and until when they are not looked at again: excluded ones, and ones that could not be attached to, for
//! longer after each try. Pure.

use crate::base::{FastMap, Nanos, ProcessKey};

/// Rules are about command line and group, which a process may change.
const EXCLUDED: Nanos = Nanos::from_secs(30);
/// A place may become free.
const OVER_LIMIT: Nanos = Nanos::from_secs(10);
/// After the first try that failed, and at most.
const FAILED_FIRST: Nanos = Nanos::from_secs(10);
const FAILED_MAX: Nanos = Nanos::from_mins(10);
/// A failure is remembered for so long after its time is over.
const REMEMBERED: Nanos = Nanos::from_mins(15);

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Excluded,
    OverLimit,
    Failed,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: ProcessKey,
    reason: Reason,
    until: Nanos,
    n_failed: u32,
}

/// By pid.
#[derive(Debug, Default)]
pub struct LeftAlone {
    entries: FastMap<u32, Entry>,
}

impl LeftAlone {
    /// True if this is news of the process.
    pub fn add(&mut self, key: ProcessKey, reason: Reason, now: Nanos) -> bool {
        let before = self.entries.get(&key.pid).filter(|entry| entry.key == key);
        let is_news = before.is_none_or(|entry| entry.reason != reason);
        let n_failed = before.map_or(0, |entry| entry.n_failed);
        let (pause, n_failed) = match reason {
            Reason::Excluded => (EXCLUDED, n_failed),
            Reason::OverLimit => (OVER_LIMIT, n_failed),
            Reason::Failed => {
                let pause = Nanos(FAILED_FIRST.0.saturating_mul(1 << n_failed.min(16)));
                (pause.min(FAILED_MAX), n_failed + 1)
            }
        };
        let entry = Entry { key, reason, until: now.after(pause), n_failed };
        self.entries.insert(key.pid, entry);
        is_news
    }

    /// Pids that are not to be looked at now.
    pub fn pids(&self, now: Nanos) -> impl Iterator<Item = u32> {
        let is_now = move |entry: &&Entry| now < entry.until;
        self.entries.values().filter(is_now).map(|entry| entry.key.pid)
    }

    pub fn n_over_limit(&self, now: Nanos) -> u64 {
        let is_over = |entry: &&Entry| entry.reason == Reason::OverLimit && now < entry.until;
        self.entries.values().filter(is_over).count() as u64
    }

    /// Others have its pid by now, or will.
    pub fn forget_old(&mut self, now: Nanos) {
        self.entries.retain(|_, entry| now < entry.until.after(REMEMBERED));
    }

    /// Rules and limits have changed.
    pub fn forget(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_tried_again_ever_more_rarely() {
        let mut left = LeftAlone::default();
        let key = ProcessKey { pid: 7, start_ticks: 1 };
        let mut now = Nanos::from_secs(100);
        assert!(left.add(key, Reason::Failed, now));
        let is_left = |left: &LeftAlone, now| left.pids(now).any(|pid| pid == 7);
        assert!(is_left(&left, Nanos::from_secs(109)));
        assert!(!is_left(&left, Nanos::from_secs(110)));
        for _ in 0..20 {
            now = now.after(FAILED_MAX);
            assert!(!left.add(key, Reason::Failed, now), "told once");
        }
        assert!(is_left(&left, now.after(Nanos::from_secs(599))));
        assert!(!is_left(&left, now.after(FAILED_MAX)));
    }

    #[test]
    fn another_process_of_the_same_pid_is_another() {
        let mut left = LeftAlone::default();
        let now = Nanos::from_secs(1);
        assert!(left.add(ProcessKey { pid: 7, start_ticks: 1 }, Reason::Excluded, now));
        assert!(left.add(ProcessKey { pid: 7, start_ticks: 2 }, Reason::Excluded, now));
        left.forget_old(now.after(Nanos::from_mins(60)));
        assert_eq!(left.pids(now).count(), 0);
    }
}
