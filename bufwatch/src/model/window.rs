//! What the last minute was like: RSS by what it was for, and how much was live. Judges nothing.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::base::{Bytes, Nanos};
use crate::event::residency::RssSplit;
use crate::model::limits::{WINDOW_SAMPLES_MAX, WINDOW_SPLITS_MAX};
use crate::model::totals::Totals;

/// What is older is forgotten …
const WINDOW: Nanos = Nanos::from_secs(60);

/// … but for so many splits: of a very large process there may be few a minute.
const SPLITS_MIN: usize = 4;

/// Tracked stores at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoresAt {
    pub at: Nanos,
    pub live: Bytes,
    /// The least and the most that was live since the one before, in the order in which they came.
    pub between: [Bytes; 2],
    /// Since the attach.
    pub created: Bytes,
    pub destroyed: Bytes,
}

/// Oldest first.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// When each full scan began, and what it found.
    pub splits: VecDeque<(Nanos, RssSplit)>,
    pub stores: VecDeque<StoresAt>,
}

impl Window {
    pub(super) fn split(&mut self, at: Nanos, split: &RssSplit) {
        self.splits.push_back((at, *split));
        let is_old = |splits: &VecDeque<(Nanos, RssSplit)>| {
            splits.len() > SPLITS_MIN && splits.front().is_some_and(|it| at.since(it.0) > WINDOW)
        };
        while self.splits.len() > WINDOW_SPLITS_MAX || is_old(&self.splits) {
            self.splits.pop_front();
        }
    }

    pub(super) fn stores(&mut self, at: Nanos, totals: &mut Totals) {
        self.stores.push_back(StoresAt {
            at,
            live: totals.live_bytes,
            between: totals.take_between(),
            created: totals.created_bytes,
            destroyed: totals.destroyed_bytes,
        });
        let is_old =
            |stores: &VecDeque<StoresAt>| stores.front().is_some_and(|it| at.since(it.at) > WINDOW);
        while self.stores.len() > WINDOW_SAMPLES_MAX || is_old(&self.stores) {
            self.stores.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::StoreKind;

    #[test]
    fn the_last_minute_is_kept_and_the_last_splits_always() {
        let mut window = Window::default();
        for second in 0..200 {
            window.split(Nanos::from_secs(second), &RssSplit::default());
            window.stores(Nanos::from_secs(second), &mut Totals::default());
        }
        let first = window.splits.front().map(|it| it.0);
        assert_eq!(first, Some(Nanos::from_secs(139)));
        assert_eq!(window.stores.front().map(|it| it.at), Some(Nanos::from_secs(139)));
        for minute in 0..9 {
            window.split(Nanos::from_secs(1_000 + 100 * minute), &RssSplit::default());
        }
        assert_eq!(window.splits.len(), SPLITS_MIN);
    }

    #[test]
    fn what_was_between_two_samples_is_kept_in_its_order() {
        let mut window = Window::default();
        let mut totals = Totals::default();
        totals.created(Bytes(100), StoreKind::Plain);
        window.stores(Nanos::from_secs(1), &mut totals);
        totals.created(Bytes(60), StoreKind::Plain);
        totals.destroyed(Bytes(150), StoreKind::Plain);
        totals.created(Bytes(20), StoreKind::Plain);
        window.stores(Nanos::from_secs(2), &mut totals);
        totals.created(Bytes(170), StoreKind::Plain);
        window.stores(Nanos::from_secs(3), &mut totals);
        let between: Vec<[Bytes; 2]> = window.stores.iter().map(|it| it.between).collect();
        let bytes = |first, second| [Bytes(first), Bytes(second)];
        assert_eq!(between, [bytes(0, 100), bytes(160, 10), bytes(30, 200)]);
    }
}
