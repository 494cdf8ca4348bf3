//! Waiting until V8 has moved what a stack leads to: how often, how long, and for which part of all time. Knows nothing of stacks.

use std::thread;
use std::time::Duration;

use crate::base::Nanos;
use crate::sys::clock;

/// A collection that moves objects stops its thread for a few milliseconds, and on a busy machine for some more. First at once: what was
/// remembered may only have been old.
const PAUSES: [Nanos; 5] = [
    Nanos(0),
    Nanos::from_millis(1),
    Nanos::from_millis(2),
    Nanos::from_millis(4),
    Nanos::from_millis(8),
];

/// One part in this many of the time goes into waiting and trying again, so that the ring buffer is emptied in between.
const TIME_PER_WAIT: u64 = 16;

/// Waited in a row, when nothing was waited for before: about all pauses of one stack.
const LEFT_MAX: Nanos = Nanos::from_millis(15);

/// The pauses for one stack, in order.
pub(super) fn pauses() -> impl Iterator<Item = Nanos> {
    PAUSES.into_iter()
}

/// How much may still be waited.
#[derive(Debug)]
pub(super) struct Patience {
    left: Nanos,
    at: Nanos,
}

impl Default for Patience {
    fn default() -> Self {
        Self { left: LEFT_MAX, at: Nanos(0) }
    }
}

impl Patience {
    /// Waits and tries again; false if too much of the time went into that.
    pub(super) fn again(&mut self, pause: Nanos, attempt: impl FnOnce()) -> bool {
        let begun = clock::now();
        if !self.may_wait(pause, begun) {
            return false;
        }
        if pause > Nanos(0) {
            thread::sleep(Duration::from_nanos(pause.0));
        }
        attempt();
        self.waited(clock::now().since(begun));
        true
    }

    fn may_wait(&mut self, pause: Nanos, now: Nanos) -> bool {
        let earned = now.since(self.at).0 / TIME_PER_WAIT;
        self.left = LEFT_MAX.min(Nanos(self.left.0.saturating_add(earned)));
        self.at = now;
        pause < self.left
    }

    /// Maybe longer than asked for.
    fn waited(&mut self, took: Nanos) {
        self.left = Nanos(self.left.0.saturating_sub(took.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sixteenth_of_the_time_is_waited() {
        let mut patience = Patience::default();
        let second = Nanos::SECOND;
        assert!(patience.may_wait(Nanos::from_millis(14), second));
        patience.waited(Nanos::from_millis(40));
        assert!(!patience.may_wait(Nanos(0), second));
        let later = Nanos(second.0 + Nanos::from_millis(80).0);
        assert!(!patience.may_wait(Nanos::from_millis(5), later));
        assert!(patience.may_wait(Nanos::from_millis(4), later));
        assert!(patience.may_wait(Nanos::from_millis(14), Nanos(3 * second.0)));
        assert!(!patience.may_wait(LEFT_MAX, Nanos(9 * second.0)));
    }
}
