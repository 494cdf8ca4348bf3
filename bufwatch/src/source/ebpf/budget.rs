//! When probes may be in place, if what they cost the target is limited: their cost is paid from a budget that fills with time. Pure; what
//! they cost is measured by `cost`.

use crate::base::Nanos;

/// As much as comes in this time is saved at most: so long a pause is made up for.
const SAVED: Nanos = Nanos::from_secs(5);

/// What is there at the beginning: the first seconds cost hardly more than those that come after them.
const AT_FIRST: Nanos = Nanos::SECOND;

/// The share of `SAVED` from which on probes go back in place: below, they would hardly be there before they have to go again.
const ENOUGH: f64 = 0.5;

/// What the probes of one target may cost, and how long they were in place.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    /// Of the time of one core.
    share: f64,
    /// Nanoseconds.
    saved: f64,
    at: Nanos,
    is_open: bool,
    whole: Nanos,
    watched: Nanos,
}

impl Budget {
    /// Begins with the probes in place.
    pub(super) const fn new(share: f64, now: Nanos) -> Self {
        let saved = share * AT_FIRST.0 as f64;
        Self { share, saved, at: now, is_open: true, whole: Nanos(0), watched: Nanos(0) }
    }

    /// The probes have cost so much since the last time. Returns whether they are to be in place from now on.
    pub(super) fn pay(&mut self, now: Nanos, cost: Nanos) -> bool {
        let passed = now.since(self.at);
        self.at = now;
        self.whole = Nanos(self.whole.0.saturating_add(passed.0));
        if self.is_open {
            self.watched = Nanos(self.watched.0.saturating_add(passed.0));
        }
        let most = self.share * SAVED.0 as f64;
        // What they cost while they were being removed is paid as well.
        self.saved = (self.saved + self.share * passed.0 as f64).min(most) - cost.0 as f64;
        self.is_open = if self.is_open { self.saved >= 0.0 } else { self.saved >= most * ENOUGH };
        self.is_open
    }

    /// How long the probes were in place, and of how long.
    pub(super) const fn coverage(&self) -> (Nanos, Nanos) {
        (self.watched, self.whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Nanos = Nanos::from_millis(50);

    /// Runs for a minute with probes that cost this share of a core while they are in place; returns what they cost and were there of it.
    fn minute(budget: f64, cost_share: f64) -> (f64, f64) {
        seconds(60, budget, cost_share)
    }

    fn seconds(n: u64, budget: f64, cost_share: f64) -> (f64, f64) {
        let mut budget = Budget::new(budget, Nanos(0));
        let (mut is_open, mut cost) = (true, 0.0);
        for step in 1..=20 * n {
            let now = Nanos(STEP.0 * step);
            let spent = if is_open { cost_share * STEP.0 as f64 } else { 0.0 };
            cost += spent;
            is_open = budget.pay(now, Nanos(spent as u64));
        }
        let (watched, whole) = budget.coverage();
        (cost / whole.0 as f64, watched.0 as f64 / whole.0 as f64)
    }

    #[test]
    fn below_the_budget_probes_stay_in_place() {
        assert!(minute(0.02, 0.0199).1 >= 1.0);
    }

    #[test]
    fn above_it_they_are_there_as_long_as_is_paid_for() {
        for cost_share in [0.03, 0.1, 0.5, 0.9] {
            let (cost, watched) = minute(0.02, cost_share);
            // What is there at the beginning is spent within the first minute: a sixtieth more.
            assert!(cost < 0.02 * 61.0 / 60.0 + 0.001, "{cost_share}: {cost}");
            let share = 0.02 / cost_share;
            assert!((share * 0.8..share * 1.3).contains(&watched), "{cost_share}: {watched}");
        }
    }

    #[test]
    fn the_first_seconds_cost_hardly_more() {
        // What is there at first, and one step too many.
        for n in [3, 5, 10, 20] {
            let (cost, _) = seconds(n, 0.02, 0.4);
            assert!(cost < 0.02 * (1.0 + 1.0 / n as f64) + 0.4 * 0.05 / n as f64, "{n} s: {cost}");
        }
    }

    #[test]
    fn they_do_not_come_and_go_all_the_time() {
        let mut budget = Budget::new(0.02, Nanos(0));
        let (mut is_open, mut n) = (true, 0);
        for step in 1..=1_200 {
            let spent = if is_open { STEP.0 / 2 } else { 0 };
            let was_open = is_open;
            is_open = budget.pay(Nanos(STEP.0 * step), Nanos(spent));
            n += u32::from(is_open != was_open);
        }
        assert!((20..60).contains(&n), "{n}");
    }
}
