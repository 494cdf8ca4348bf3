//! The pages of one store, one by one, for who looks at it: runs, as many as have room.

use crate::base::Bytes;
use crate::event::residency::{MapRun, PagePlace, StoreMap};
use crate::source::residency::StoreRange;
use crate::sys::pagemap::{PageMap, PageRun, PageState};

/// Runs of one store: 100 KB. A store of which each second page is touched has as many in 32 MiB; what is behind is not known then.
const RUNS_MAX: usize = 4_096;

/// `None` if the process is going away.
pub(super) fn look(pages: &PageMap, store: &StoreRange) -> Option<StoreMap> {
    let mut map = StoreMap {
        key: store.key,
        start: store.start,
        len: Bytes(store.len),
        known: Bytes(store.len),
        ..StoreMap::default()
    };
    let end = store.start.saturating_add(store.len);
    pages.scan(store.start, end, &mut |run| add(&mut map, &run)).ok()?;
    Some(map)
}

fn add(map: &mut StoreMap, run: &PageRun) {
    let offset = run.start.saturating_sub(map.start);
    let len = run.end.saturating_sub(run.start);
    let place = match run.state {
        PageState::Resident => PagePlace::InRam,
        PageState::Zero => PagePlace::Zero,
        PageState::Swapped => PagePlace::Swapped,
    };
    if offset >= map.known.0 {
        return;
    }
    if let Some(last) = map.runs.last_mut()
        && last.place == place
        && last.offset.saturating_add(last.len) == offset
    {
        last.len = last.len.saturating_add(len);
    } else if map.runs.len() < RUNS_MAX {
        map.runs.push(MapRun { offset, len, place });
    } else {
        map.known = Bytes(offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(start: u64, end: u64, state: PageState) -> PageRun {
        PageRun { start, end, state, is_huge: false, is_file: false }
    }

    fn map(runs: &[PageRun]) -> StoreMap {
        let len = Bytes(1 << 40);
        let mut map = StoreMap { start: 1_000, len, known: len, ..StoreMap::default() };
        for run in runs {
            add(&mut map, run);
        }
        map
    }

    #[test]
    fn neighbours_are_one_run_and_offsets_count_from_the_store() {
        let map = map(&[
            run(1_000, 1_010, PageState::Resident),
            run(1_010, 1_030, PageState::Resident),
            run(1_030, 1_040, PageState::Zero),
            run(1_050, 1_060, PageState::Zero),
        ]);
        let runs: Vec<_> = map.runs.iter().map(|run| (run.offset, run.len, run.place)).collect();
        let zero = PagePlace::Zero;
        assert_eq!(runs, [(0, 30, PagePlace::InRam), (30, 10, zero), (50, 10, zero)]);
    }

    #[test]
    fn where_there_is_no_more_room_nothing_is_known() {
        let runs: Vec<PageRun> =
            (0..5_000).map(|n| run(1_000 + n * 20, 1_010 + n * 20, PageState::Resident)).collect();
        let map = map(&runs);
        assert_eq!(map.runs.len(), RUNS_MAX);
        assert_eq!(map.known, Bytes(RUNS_MAX as u64 * 20));
    }
}
