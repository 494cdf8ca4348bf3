//! How much of each store is in memory, and since when; and RSS by what it is for. Folds scans; when to scan is the session's part.

use std::sync::Arc;

use crate::base::{Bytes, Nanos};
use crate::event::residency::{
    FirstTouch, PageBytes, ResidencyScanned, RssSplit, StoreMap, StoreTouch,
};
use crate::model::limits::ADVISED_MAX;
use crate::model::live::Store;
use crate::model::{Model, rss_step};

/// What is known of one store's pages. [`Nanos`] of zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    pub pages: PageBytes,
    /// The last scan that saw it.
    pub scanned_at: Nanos,
    /// The first scan that saw any of its pages; the touch was between it and the scan before.
    pub touched_at: Nanos,
    /// By page faults, if they are followed.
    pub first_touch: FirstTouch,
    /// The last scan that saw more of its pages than the one before.
    pub grew_at: Nanos,
    /// In memory before it was born: memory of dead stores that the allocator gave out again.
    pub is_recycled: bool,
    /// Bytes of its range that were known to be in memory when it was born.
    pub(super) there_at_birth: Bytes,
    /// Resident bytes when RSS last began to be compared.
    pub(super) at_baseline: Bytes,
    /// Its program gave pages back with madvise since then.
    pub(super) is_advised: bool,
    /// A scan saw it before its first write.
    pub(super) was_untouched: bool,
}

/// The allocator's header is in the page before, or at the start of, a store.
const HEADER_MAX: Bytes = Bytes(4_096);

impl Residency {
    /// `None` until it was looked at.
    pub fn known(&self) -> Option<&Self> {
        (self.scanned_at.0 != 0).then_some(self)
    }

    #[cfg(test)]
    pub fn resident(bytes: Bytes) -> Self {
        let pages = PageBytes { resident: bytes, ..PageBytes::default() };
        Self { pages, scanned_at: Nanos(1), ..Self::default() }
    }

    /// No more than the page in which the allocator has written its header.
    pub(super) fn is_untouched(bytes: Bytes) -> bool {
        bytes <= HEADER_MAX
    }

    /// More of it is in memory than the pages at its ends, which the allocator and neighbours write to: page faults may say since when.
    pub fn wants_first_touch(&self) -> bool {
        self.first_touch == FirstTouch::Unknown && self.pages.held().0 > 2 * HEADER_MAX.0
    }

    fn seen(&mut self, started_at: Nanos, size: Bytes, pages: PageBytes) {
        /// Headers of the allocator between dead stores, which are in memory as well.
        const GAPS_MAX: Bytes = Bytes(8_192);
        let before = self.pages.held();
        let is_first = self.scanned_at.0 == 0;
        self.was_untouched |= is_first && Self::is_untouched(pages.held());
        if pages.held() > before {
            self.grew_at = started_at;
            if self.touched_at.0 == 0 {
                self.touched_at = started_at;
            }
        }
        let was_there = self.there_at_birth > Bytes(0) && self.there_at_birth + GAPS_MAX >= size;
        self.is_recycled |= is_first && was_there && pages.held() >= size;
        self.pages = pages;
        self.scanned_at = started_at;
    }

    /// Its bytes are somewhere else now.
    pub(super) fn moved(&mut self) {
        *self =
            Self { touched_at: self.touched_at, first_touch: self.first_touch, ..Self::default() };
    }
}

/// What is remembered of scans.
#[derive(Clone, Debug, Default)]
pub struct ResidencyLog {
    /// The last full scan: when it began, and what it found.
    pub split: Option<(Nanos, RssSplit)>,
    /// The store whose pages somebody looks at one by one, and when they were looked at.
    pub map: Option<(Nanos, Arc<StoreMap>)>,
    /// When and where the target gave memory back with madvise, since the last full scan.
    advised: Vec<(Nanos, u64, u64)>,
}

impl ResidencyLog {
    /// True for advice that gives pages back.
    pub(super) fn advised(&mut self, at: Nanos, start: u64, len: Bytes, advice: u32) -> bool {
        /// `MADV_DONTNEED`, `MADV_FREE`, `MADV_REMOVE`, `MADV_PAGEOUT` (include/uapi/asm-generic/mman-common.h).
        const GIVING_BACK: [u32; 4] = [4, 8, 9, 21];
        let gives_back = GIVING_BACK.contains(&advice);
        if gives_back && self.advised.len() < ADVISED_MAX {
            self.advised.push((at, start, start.saturating_add(len.0)));
        }
        gives_back
    }

    /// Ranges that may be less in memory than the last full scan says, ascending.
    pub fn given_back(&self) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> =
            self.advised.iter().map(|(_, start, end)| (*start, *end)).collect();
        ranges.sort_unstable();
        ranges
    }
}

/// True if a range overlaps one of these, which are ascending by start.
fn overlaps(ranges: &[(u64, u64)], start: u64, end: u64) -> bool {
    let before = ranges.partition_point(|range| range.0 < end);
    ranges.iter().take(before).any(|range| range.1 > start)
}

/// Folds what page faults say of stores.
pub(super) fn touched(model: &mut Model, touches: &[StoreTouch]) {
    for told in touches {
        let store = model.live.find_mut(told.key).filter(|store| store.data == told.start);
        if let Some(store) = store {
            store.residency.first_touch = told.touch;
        }
    }
}

/// Folds a scan.
pub(super) fn scanned(model: &mut Model, scan: &ResidencyScanned) {
    let given_back = model.residency.given_back();
    for seen in scan.stores.iter() {
        let store = model.live.find_mut(seen.key);
        // What was born, moved or resized during the scan was not looked at as it is now.
        let is_same = |store: &&mut Store| {
            store.birth <= scan.started_at && store.data == seen.start && store.size == seen.len
        };
        if let Some(store) = store.filter(is_same) {
            let end = store.data.saturating_add(store.size.0);
            store.residency.is_advised |= !given_back.is_empty()
                && seen.pages.held() < store.residency.pages.held()
                && overlaps(&given_back, store.data, end);
            store.residency.seen(scan.started_at, store.size, seen.pages);
        }
    }
    if let Some(map) = &scan.map {
        model.residency.map = Some((scan.started_at, Arc::clone(map)));
    }
    model.freed.scanned(&scan.freed);
    if scan.is_full {
        model.residency.advised.retain(|(advised_at, ..)| *advised_at >= scan.started_at);
    }
    if let Some(split) = &scan.split {
        model.residency.split = Some((scan.started_at, **split));
        model.window.split(scan.started_at, split);
        rss_step::observe(model, scan.started_at, split);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(resident: u64) -> PageBytes {
        PageBytes { resident: Bytes(resident), ..PageBytes::default() }
    }

    #[test]
    fn touch_and_growth_have_the_time_of_the_scan_that_saw_them() {
        let mut residency = Residency::default();
        assert!(residency.known().is_none());
        let mut at = |secs, bytes| {
            residency.seen(Nanos::from_secs(secs), Bytes(100), pages(bytes));
            (residency.touched_at, residency.grew_at, residency.is_recycled)
        };
        assert_eq!(at(2, 0), (Nanos(0), Nanos(0), false));
        assert_eq!(at(3, 40), (Nanos::from_secs(3), Nanos::from_secs(3), false));
        assert_eq!(at(4, 40), (Nanos::from_secs(3), Nanos::from_secs(3), false));
        assert_eq!(at(5, 100), (Nanos::from_secs(3), Nanos::from_secs(5), false));
    }

    #[test]
    fn memory_that_was_there_before_the_birth_is_recycled() {
        let size = Bytes(1 << 20);
        let there = Residency { there_at_birth: Bytes(size.0 - 100), ..Residency::default() };
        let first = |mut residency: Residency, resident: u64| {
            residency.seen(Nanos(5), size, pages(resident));
            residency.is_recycled
        };
        assert!(first(there, size.0));
        // Given back meanwhile.
        assert!(!first(there, size.0 / 2));
        assert!(!first(Residency::default(), size.0));
    }

    #[test]
    fn a_first_touch_is_asked_for_once() {
        let mut model = Model::new(Nanos(0));
        let mut store = Store::blank();
        (store.key.address, store.data, store.size) = (7, 1_000, Bytes(1 << 20));
        store.residency = Residency::resident(Bytes(8_192));
        assert!(!store.residency.wants_first_touch(), "its ends only");
        store.residency = Residency::resident(Bytes(8_193));
        model.live.insert(store.clone());
        let wants = |model: &Model| model.live.find(7).unwrap().residency.wants_first_touch();
        let told = |start| StoreTouch { key: store.key, start, touch: FirstTouch::Unseen };
        touched(&mut model, &[told(2_000)]);
        assert!(wants(&model), "it was somewhere else");
        touched(&mut model, &[told(1_000)]);
        assert!(!wants(&model));
    }

    #[test]
    fn ranges_overlap_or_touch() {
        let ranges = [(10, 20), (12, 14), (30, 40)];
        let is = |start, end| overlaps(&ranges, start, end);
        assert!(is(19, 25) && is(0, 100) && is(35, 36));
        assert!(!is(20, 30) && !is(0, 10) && !is(40, 50));
    }
}
