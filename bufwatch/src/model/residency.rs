//! How much of each store is in memory, and since when; and RSS by what it is for. Folds scans; when to scan is the session's part.

use crate::base::{Bytes, Nanos};
use crate::event::residency::{PageBytes, ResidencyScanned, RssSplit};
use crate::model::Model;
use crate::model::live::Store;

/// What is known of one store's pages. [`Nanos`] of zero: never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Residency {
    pub pages: PageBytes,
    /// The last scan that saw it.
    pub scanned_at: Nanos,
    /// The first scan that saw any of its pages; the touch was between it and the scan before.
    pub touched_at: Nanos,
    /// The last scan that saw more of its pages than the one before.
    pub grew_at: Nanos,
    /// In memory when it was first looked at, right after its birth: freed memory that the allocator gave out again.
    pub is_recycled: bool,
}

impl Residency {
    /// `None` until it was looked at.
    pub fn known(&self) -> Option<&Self> {
        (self.scanned_at.0 != 0).then_some(self)
    }

    fn seen(&mut self, started_at: Nanos, birth: Nanos, size: Bytes, pages: PageBytes) {
        /// A store that was filled this soon after its birth cannot be told from one whose memory was there before.
        const BIRTH: Nanos = Nanos::from_millis(2);
        let before = self.pages.held();
        let is_first = self.scanned_at.0 == 0;
        if pages.held() > before {
            self.grew_at = started_at;
            if self.touched_at.0 == 0 {
                self.touched_at = started_at;
            }
        }
        self.is_recycled |= is_first && pages.held() >= size && started_at.since(birth) < BIRTH;
        self.pages = pages;
        self.scanned_at = started_at;
    }
}

/// What is remembered of scans.
#[derive(Clone, Debug, Default)]
pub struct ResidencyLog {
    /// The last full scan: when it began, and what it found.
    pub split: Option<(Nanos, RssSplit)>,
}

/// Folds a scan.
pub(super) fn scanned(model: &mut Model, scan: &ResidencyScanned) {
    for seen in scan.stores.iter() {
        // What was born or moved during the scan was not looked at where it is now.
        let store = model.live.find_mut(seen.key);
        if let Some(store) = store.filter(|store| store.birth <= scan.started_at) {
            let Store { birth, size, .. } = *store;
            store.residency.seen(scan.started_at, birth, size, seen.pages);
        }
    }
    if let Some(split) = &scan.split {
        model.residency.split = Some((scan.started_at, **split));
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
        let birth = Nanos::from_secs(1);
        let mut at = |secs, bytes| {
            residency.seen(Nanos::from_secs(secs), birth, Bytes(100), pages(bytes));
            (residency.touched_at, residency.grew_at, residency.is_recycled)
        };
        assert_eq!(at(2, 0), (Nanos(0), Nanos(0), false));
        assert_eq!(at(3, 40), (Nanos::from_secs(3), Nanos::from_secs(3), false));
        assert_eq!(at(4, 40), (Nanos::from_secs(3), Nanos::from_secs(3), false));
        assert_eq!(at(5, 100), (Nanos::from_secs(3), Nanos::from_secs(5), false));
    }

    #[test]
    fn memory_that_is_there_at_birth_was_used_before() {
        let mut residency = Residency::default();
        residency.seen(Nanos(1_000_100), Nanos(1_000_000), Bytes(100), pages(100));
        assert!(residency.is_recycled);
    }
}
