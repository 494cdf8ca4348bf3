//! Decides which stores to look at and when, so that the cost has a bound: new and partly resident ones every second, all of them and the
//! whole process as often as a small share of a core allows. The looking is `source::residency`'s part.

use crate::base::{Bytes, Nanos, StoreKey};
use crate::event::StoreKind;
use crate::event::residency::{Allocator, AllocatorSurvey, Obstacle};
use crate::model::Model;
use crate::model::live::Store;
use crate::session::pace::Pace;
use crate::source::residency::{ScanOrder, StoreRange};

/// A full scan waits for this many times the processor time of the last one: an eighth of a percent of a core, since RSS is read four times a second
/// besides, …
const FULL_FACTOR: u64 = 800;

/// … but not for longer than this, …
const FULL_PAUSE_MAX: Nanos = Nanos::from_secs(3);

/// … unless it takes more than 1 % of a core even so.
const FULL_FACTOR_MIN: u64 = 100;

/// Bytes of stores that a partial scan looks at: about 6 ms where all of them are resident.
const PARTIAL_BYTES_MAX: u64 = 1 << 30;

/// Stores that a partial scan looks at, at about 3 µs each.
const PARTIAL_STORES_MAX: usize = 2_000;

/// Where no page can have come or gone, all is looked at again so often: what malloc does within its pages is seen by nothing else. …
const QUIET_PAUSE: Nanos = Nanos::from_secs(5);

/// … So many times, which is what findings wait for (`detect::process::LASTS`); then half as often each time, …
const N_QUIET_LOOKS: u32 = 2;

/// … down to this: three looks in the minute that findings look back on.
const QUIET_PAUSE_MAX: Nanos = Nanos::from_secs(20);

/// An order that was not answered for so long never will be.
const ANSWER_LIMIT: Nanos = Nanos::from_secs(30);

/// When the next scans are due.
#[derive(Debug)]
pub(super) struct ScanSchedule {
    pace: Pace,
    due: Nanos,
    full_due: Nanos,
    /// An order was given and is not answered.
    is_underway: bool,
    /// Somebody opened a store, and waits for its pages.
    is_hurried: bool,
    /// Of the store that is open, so that a huge one is looked at less often.
    map_due: Nanos,
    /// What would have changed, as it was when all was looked at last.
    before: Option<(Nanos, Traces)>,
    /// Looks in a row at which nothing had changed.
    n_quiet: u32,
    /// Why the allocator is not known, as it was told.
    told: Option<Obstacle>,
}

/// What changes when pages come or go: each that comes is a fault, each that goes makes RSS smaller. And what moves memory between the parts of
/// RSS, and V8's own counters: stores, and collections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traces {
    rss: Bytes,
    n_faults: u64,
    n_stores: [u64; 2],
    n_collections: [u64; 2],
    array_buffers: Option<Bytes>,
}

impl Traces {
    /// `None`: not known.
    fn of(model: &Model) -> Option<Self> {
        if !model.target.backend.sees().collections {
            return None;
        }
        let (rss, n_faults) = model.memory.rss.zip(model.memory.n_faults)?;
        let n_stores = [model.totals.n_known(), model.totals.n_destroyed];
        let n_collections = [model.gc.n_minor, model.gc.n_major];
        let array_buffers = model.memory.array_buffers;
        Some(Self { rss, n_faults, n_stores, n_collections, array_buffers })
    }
}

impl ScanSchedule {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            due: Nanos(0),
            full_due: Nanos(0),
            is_underway: false,
            is_hurried: false,
            map_due: Nanos(0),
            before: None,
            n_quiet: 0,
            told: None,
        }
    }

    /// The pages of another store are wanted one by one.
    pub(super) fn hurry(&mut self) {
        (self.is_hurried, self.map_due) = (true, Nanos(0));
    }

    /// What to look at now, if it is time. `open`: the store whose pages somebody looks at one by one.
    pub(super) fn order(
        &mut self,
        model: &Model,
        now: Nanos,
        open: Option<StoreKey>,
    ) -> Option<ScanOrder> {
        let is_answered = !self.is_underway || now.since(self.due) > ANSWER_LIMIT;
        if (now < self.due && !self.is_hurried) || !is_answered {
            return None;
        }
        let map = self.map(model, now, open);
        self.due = Nanos(now.0.saturating_add(self.pace.scan.0));
        if map.is_none() && self.is_quiet(model, now) {
            self.is_hurried = false;
            return None;
        }
        (self.is_underway, self.is_hurried) = (true, false);
        if now >= self.full_due {
            self.note(Traces::of(model), now);
            return Some(ScanOrder {
                stores: model.live.iter().map(range).collect(),
                freed: model.freed.ranges().collect(),
                given_back: model.residency.given_back(),
                is_full: true,
                map,
            });
        }
        Some(ScanOrder { stores: partial(model), map, ..ScanOrder::default() })
    }

    /// Nothing has changed since all was looked at, a moment ago.
    fn is_quiet(&self, model: &Model, now: Nanos) -> bool {
        self.before.is_some_and(|(at, before)| {
            now.since(at) < quiet_pause(self.n_quiet).max(self.pace.full_scan)
                && Traces::of(model) == Some(before)
        })
    }

    /// All is looked at now.
    fn note(&mut self, traces: Option<Traces>, now: Nanos) {
        let is_same = traces.is_some() && self.before.map(|(_, before)| before) == traces;
        self.n_quiet = if is_same { self.n_quiet.saturating_add(1) } else { 0 };
        self.before = traces.map(|traces| (now, traces));
    }

    fn map(&mut self, model: &Model, now: Nanos, open: Option<StoreKey>) -> Option<StoreRange> {
        if now < self.map_due {
            return None;
        }
        let open = open?;
        let store = model.live.find(open.address).filter(|store| store.key == open)?;
        let n_times = store.size.0.div_ceil(PARTIAL_BYTES_MAX).max(1);
        self.map_due = Nanos(now.0.saturating_add(Nanos::SECOND.0.saturating_mul(n_times)));
        Some(range(store)).filter(|range| range.start != 0 && range.len > 0)
    }

    /// An order was answered, or could not be.
    pub(super) fn answered(&mut self, is_full: bool, began_at: Nanos, cpu: Nanos) {
        self.is_underway = false;
        if is_full {
            self.full_due =
                Nanos(began_at.0.saturating_add(pause_after(cpu).max(self.pace.full_scan).0));
        }
    }
}

/// From the beginning of a full scan to the next.
fn pause_after(cpu: Nanos) -> Nanos {
    let wanted = Nanos(cpu.0.saturating_mul(FULL_FACTOR)).min(FULL_PAUSE_MAX);
    wanted.max(Nanos(cpu.0.saturating_mul(FULL_FACTOR_MIN))).max(Nanos::SECOND)
}

/// From the last of so many looks at which nothing had changed to the next.
fn quiet_pause(n_quiet: u32) -> Nanos {
    let factor = 1_u64 << n_quiet.saturating_sub(N_QUIET_LOOKS).min(8);
    Nanos(QUIET_PAUSE.0.saturating_mul(factor)).min(QUIET_PAUSE_MAX)
}

impl ScanSchedule {
    /// What cannot be told of freed memory, and why; once as long as the reason is the same.
    pub(super) fn notice(&mut self, survey: &AllocatorSurvey) -> Option<String> {
        // A busy moment passes; the samples say so as long as it lasts.
        let obstacle = survey.obstacle.filter(|it| *it != Obstacle::Changing)?;
        if self.told.replace(obstacle) == Some(obstacle) {
            return None;
        }
        let reason = match (obstacle, survey.allocator) {
            (Obstacle::OtherAllocator, None | Some(Allocator::Other)) => {
                "its allocator is none that bufwatch knows"
            }
            (Obstacle::OtherAllocator, Some(allocator)) => {
                return Some(kept(&format!("its allocator is {}", allocator.name())));
            }
            (Obstacle::UnknownForm, None) => "which allocator it has could not be found out",
            (Obstacle::UnknownForm, Some(_)) => "its heap is laid out in an unknown way",
            (Obstacle::TooLarge, _) => "its heap is too large to be looked through",
            (Obstacle::Swapped, _) => "its heap is partly in swap space",
            (Obstacle::Changing, _) => return None,
        };
        Some(kept(reason))
    }
}

fn kept(reason: &str) -> String {
    format!("what malloc keeps of freed memory cannot be told: {reason}")
}

/// Stores of which more may have come into memory: new ones first, then those that were not looked at for longest.
fn partial(model: &Model) -> Vec<StoreRange> {
    let is_partial = |store: &&Store| {
        store.residency.known().is_none_or(|known| known.pages.held() < store.size)
    };
    let mut stores: Vec<&Store> = model.live.iter().filter(is_partial).collect();
    if stores.len() > PARTIAL_STORES_MAX {
        stores.select_nth_unstable_by_key(PARTIAL_STORES_MAX, |store| store.residency.scanned_at);
        stores.truncate(PARTIAL_STORES_MAX);
    }
    stores.sort_unstable_by_key(|store| store.residency.scanned_at);
    let mut n_bytes = 0_u64;
    let fitting = stores.into_iter().take_while(|store| {
        let is_first = n_bytes == 0;
        n_bytes = n_bytes.saturating_add(store.size.0);
        // One that is larger than the limit goes alone.
        is_first || n_bytes <= PARTIAL_BYTES_MAX
    });
    fitting.map(range).collect()
}

fn range(store: &Store) -> StoreRange {
    let is_growable = match store.kind {
        StoreKind::Resizable
        | StoreKind::GrowableShared
        | StoreKind::Wasm
        | StoreKind::SharedWasm => true,
        StoreKind::Plain | StoreKind::Shared | StoreKind::External => false,
    };
    StoreRange { key: store.key, start: store.data, len: store.size.0, is_growable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scan_may_cost_a_share_of_a_core() {
        let after = |ms| pause_after(Nanos::from_millis(ms));
        assert_eq!(after(1), Nanos::SECOND);
        assert_eq!(after(2), Nanos::from_millis(1_600));
        assert_eq!(after(25), Nanos::from_secs(3));
        assert_eq!(after(60), Nanos::from_secs(6));
    }

    #[test]
    fn where_nothing_changes_it_is_looked_at_less_often() {
        let mut model = Model::new(Nanos(0));
        let mut scans = ScanSchedule::new(Pace::CLOSE);
        let mut n_full = |model: &Model, seconds: std::ops::Range<u64>| {
            let mut n = 0;
            for tenth in seconds.start * 10..seconds.end * 10 {
                let now = Nanos::from_millis(tenth * 100);
                if let Some(order) = scans.order(model, now, None) {
                    n += u32::from(order.is_full);
                    scans.answered(order.is_full, now, Nanos::from_micros(100));
                }
            }
            n
        };
        // As long as faults are not known, each second.
        assert_eq!(n_full(&model, 1..11), 10);
        model.memory.rss = Some(Bytes(1 << 30));
        model.memory.n_faults = Some(7);
        // At 11, 16, 21, 26, 36, 56 and 76.
        assert_eq!(n_full(&model, 11..31), 4);
        assert_eq!(n_full(&model, 31..91), 3);
        for n in 0..10 {
            model.memory.n_faults = Some(8 + n);
            assert_eq!(n_full(&model, 91 + n..92 + n), 1, "second {n}");
        }
        model.memory.rss = Some(Bytes(1 << 29));
        assert_eq!(n_full(&model, 101..102), 1);
        assert_eq!(n_full(&model, 102..106), 0);
        assert_eq!(n_full(&model, 106..107), 1, "it was not quiet before");
    }

    #[test]
    fn an_unknown_allocator_is_told_once() {
        let mut scans = ScanSchedule::new(Pace::CLOSE);
        let survey = |obstacle| AllocatorSurvey {
            allocator: Some(Allocator::Jemalloc),
            obstacle,
            ..AllocatorSurvey::default()
        };
        assert_eq!(scans.notice(&survey(None)), None);
        assert_eq!(scans.notice(&survey(Some(Obstacle::Changing))), None);
        let other = survey(Some(Obstacle::OtherAllocator));
        let told = scans.notice(&other).unwrap();
        assert!(told.contains("jemalloc"), "{told}");
        assert_eq!(scans.notice(&other), None);
    }
}
