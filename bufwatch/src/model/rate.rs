//! A rate over the last few seconds from a counter that only grows.

use crate::base::Nanos;

/// Weight of the newest interval: with four samples a second, about the last two seconds count.
const NEWEST: f64 = 0.2;

/// An exponentially weighted rate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    before: u64,
    per_s: Option<f64>,
}

impl Rate {
    /// Takes the counter as it is `elapsed` after the last call.
    pub fn tick(&mut self, counter: u64, elapsed: Nanos) {
        let seconds = elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let newest = counter.saturating_sub(self.before) as f64 / seconds;
        self.before = counter;
        let smooth = self.per_s.map_or(newest, |old| old + NEWEST * (newest - old));
        // Below a thousandth it is noise of the smoothing, not a rate.
        self.per_s = Some(if smooth < 1e-3 { 0.0 } else { smooth });
    }

    /// As it was, of a counter that stood at `before`.
    pub fn recalled(before: u64, per_s: f64) -> Self {
        Self { before, per_s: Some(per_s) }
    }

    pub fn per_s(&self) -> f64 {
        self.per_s.unwrap_or(0.0)
    }
}
