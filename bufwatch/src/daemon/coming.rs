//! Processes that have just begun, until it is their turn to be looked at: Node needs a moment for its threads, and what is over sooner than
//! the settings want is not looked at. Pure.

use std::collections::BTreeMap;

use crate::base::Nanos;

/// That wait at once; more are left to the look at /proc.
const COMING_MAX: usize = 1_024;
/// From the exec on: by then Node has the thread that carries the probes.
const SETTLED: Nanos = Nanos::from_millis(30);
/// A process that is still watched as what it was before is tried again then, for so long.
const AGAIN: Nanos = Nanos::from_millis(100);
const AGAIN_MAX: Nanos = Nanos::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Nanos,
    due: Nanos,
    is_named_node: bool,
}

/// One whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    pub pid: u32,
    pub is_named_node: bool,
}

/// By pid.
#[derive(Debug, Default)]
pub struct Coming {
    entries: BTreeMap<u32, Entry>,
}

impl Coming {
    /// It runs another program since `at`, and is to be at least `min_age` old.
    pub fn add(&mut self, pid: u32, at: Nanos, min_age: Nanos, is_named_node: bool) {
        if self.entries.len() < COMING_MAX || self.entries.contains_key(&pid) {
            let due = at.after(min_age.max(SETTLED));
            self.entries.insert(pid, Entry { at, due, is_named_node });
        }
    }

    /// Takes those that are due; `is_busy` ones later.
    pub fn take_due(&mut self, now: Nanos, is_busy: impl Fn(u32) -> bool) -> Vec<Due> {
        let mut taken = Vec::new();
        self.entries.retain(|pid, entry| {
            if now < entry.due {
                return true;
            }
            if is_busy(*pid) {
                entry.due = now.after(AGAIN);
                return now.since(entry.at) < AGAIN_MAX;
            }
            taken.push(Due { pid: *pid, is_named_node: entry.is_named_node });
            false
        });
        taken
    }

    /// When there is something to do.
    pub fn next_due(&self) -> Option<Nanos> {
        self.entries.values().map(|entry| entry.due).min()
    }

    pub fn forget(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pids(due: &[Due]) -> Vec<u32> {
        due.iter().map(|due| due.pid).collect()
    }

    #[test]
    fn each_comes_once_when_it_is_old_enough() {
        let mut coming = Coming::default();
        let second = Nanos::SECOND;
        coming.add(1, Nanos(0), Nanos(0), true);
        coming.add(2, Nanos(0), second, true);
        assert_eq!(coming.next_due(), Some(SETTLED));
        assert!(coming.take_due(Nanos(0), |_| false).is_empty(), "its threads are not there");
        assert_eq!(pids(&coming.take_due(SETTLED, |_| false)), [1]);
        // Another program in the same process: it counts from then on.
        coming.add(2, Nanos::from_millis(500), second, false);
        assert!(coming.take_due(second, |_| false).is_empty());
        let due = coming.take_due(Nanos::from_millis(1_500), |_| false);
        assert_eq!(due, [Due { pid: 2, is_named_node: false }]);
        assert_eq!(coming.next_due(), None);
    }

    #[test]
    fn one_that_is_watched_as_another_program_waits_for_its_end() {
        let mut coming = Coming::default();
        coming.add(1, Nanos(0), Nanos(0), true);
        assert!(coming.take_due(SETTLED, |_| true).is_empty());
        assert_eq!(coming.next_due(), Some(SETTLED.after(AGAIN)));
        assert_eq!(pids(&coming.take_due(SETTLED.after(AGAIN), |_| false)), [1]);
        coming.add(1, Nanos(0), Nanos(0), true);
        assert!(coming.take_due(AGAIN_MAX, |_| true).is_empty());
        assert_eq!(coming.next_due(), None, "given up");
    }

    #[test]
    fn there_is_a_limit() {
        let mut coming = Coming::default();
        for pid in 0..COMING_MAX as u32 + 10 {
            coming.add(pid, Nanos(0), Nanos(0), true);
        }
        assert_eq!(coming.take_due(Nanos::SECOND, |_| false).len(), COMING_MAX);
    }
}
