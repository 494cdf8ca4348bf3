//! Adds up the pages of many stores in one pass over ascending runs; stores may overlap, and runs may come that belong to none.

use crate::base::Bytes;
use crate::event::residency::PageBytes;
use crate::source::residency::StoreRange;
use crate::sys::pagemap::{PageRun, PageState};

/// Runs come in ascending order.
#[derive(Debug)]
pub(super) struct StoreSweep<'a> {
    /// Ascending by start.
    stores: &'a [StoreRange],
    pages: Vec<PageBytes>,
    /// The first store that a later run can still touch.
    first: usize,
}

impl<'a> StoreSweep<'a> {
    pub(super) fn new(stores: &'a [StoreRange]) -> Self {
        Self { stores, pages: vec![PageBytes::default(); stores.len()], first: 0 }
    }

    pub(super) fn take(&mut self, run: &PageRun) {
        while let Some(store) = self.stores.get(self.first)
            && store.start.saturating_add(store.len) <= run.start
        {
            self.first += 1;
        }
        let candidates = self.stores.iter().zip(&mut self.pages).skip(self.first);
        for (store, pages) in candidates.take_while(|(store, _)| store.start < run.end) {
            let start = run.start.max(store.start);
            let end = run.end.min(store.start.saturating_add(store.len));
            if start < end {
                count(pages, &PageRun { start, end, ..*run });
            }
        }
    }

    /// As many as there are stores, in their order.
    pub(super) fn finish(self) -> Vec<PageBytes> {
        self.pages
    }
}

pub(super) fn count(pages: &mut PageBytes, run: &PageRun) {
    let bytes = Bytes(run.end.saturating_sub(run.start));
    match run.state {
        PageState::Resident => {
            pages.resident += bytes;
            if run.is_huge {
                pages.huge += bytes;
            }
        }
        PageState::Zero => pages.zero += bytes,
        PageState::Swapped => pages.swapped += bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(start: u64, len: u64) -> StoreRange {
        StoreRange { start, len, ..StoreRange::default() }
    }

    fn run(start: u64, end: u64, state: PageState) -> PageRun {
        PageRun { start, end, state, is_huge: state == PageState::Resident, is_file: false }
    }

    #[test]
    fn each_store_gets_its_own_bytes_of_a_run() {
        let stores = [store(10, 20), store(40, 10), store(45, 100), store(500, 1)];
        let mut sweep = StoreSweep::new(&stores);
        for run in [
            run(0, 5, PageState::Resident),
            run(5, 12, PageState::Resident),
            run(20, 48, PageState::Zero),
            run(100, 600, PageState::Swapped),
        ] {
            sweep.take(&run);
        }
        let seen: Vec<_> = sweep
            .finish()
            .iter()
            .map(|it| (it.resident.0, it.zero.0, it.swapped.0, it.huge.0))
            .collect();
        assert_eq!(seen, [(2, 10, 0, 2), (0, 8, 0, 0), (0, 3, 45, 0), (0, 0, 1, 0)]);
    }

    proptest::proptest! {
        #[test]
        fn a_sweep_counts_what_each_store_counts_for_itself(
            stores in proptest::collection::vec((0_u64..300, 0_u64..60), 0..30),
            runs in proptest::collection::vec((1_u64..20, 1_u64..20), 0..30),
        ) {
            let mut stores: Vec<_> = stores.into_iter().map(|(at, len)| store(at, len)).collect();
            stores.sort_by_key(|store| store.start);
            let mut at = 0;
            let runs: Vec<_> = runs.into_iter().map(|(gap, len)| {
                at += gap + len;
                run(at - len, at, PageState::Resident)
            }).collect();
            let mut sweep = StoreSweep::new(&stores);
            for run in &runs {
                sweep.take(run);
            }
            let seen: Vec<u64> = sweep.finish().iter().map(|it| it.resident.0).collect();
            let is_in = |at: u64| runs.iter().any(|run| (run.start..run.end).contains(&at));
            let wanted: Vec<u64> = stores.iter()
                .map(|store| (store.start..store.start + store.len).filter(|at| is_in(*at)).count() as u64)
                .collect();
            proptest::prop_assert_eq!(seen, wanted);
        }
    }
}
