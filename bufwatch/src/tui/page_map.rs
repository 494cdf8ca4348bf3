//! Where the pages of a store are, in a number of equal cells. Pure; knows no characters and no colours.

use crate::event::residency::{PagePlace, StoreMap};

/// A cell stands for a range of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub n_bytes: u64,
    /// Of them, those that are there; the rest was never touched.
    pub in_ram: u64,
    pub zero: u64,
    pub swapped: u64,
    /// Some of them were not looked at.
    pub is_unknown: bool,
}

/// The pages of a store in at most `n_cells_max` cells.
pub fn cells(map: &StoreMap, n_cells_max: usize) -> Vec<Cell> {
    let size = map.len.0;
    let n_cells = (n_cells_max as u64).min(size);
    let start_of = |n: u64| (u128::from(n) * u128::from(size) / u128::from(n_cells.max(1))) as u64;
    let mut runs = map.runs.iter().peekable();
    (0..n_cells)
        .map(|n| {
            let (start, end) = (start_of(n), start_of(n + 1));
            let is_unknown = end > map.known.0;
            let mut cell = Cell { n_bytes: end - start, is_unknown, ..Cell::default() };
            while let Some(run) = runs.peek() {
                let run_end = run.offset.saturating_add(run.len);
                let n_bytes = run_end.min(end).saturating_sub(run.offset.max(start));
                match run.place {
                    PagePlace::InRam => cell.in_ram += n_bytes,
                    PagePlace::Zero => cell.zero += n_bytes,
                    PagePlace::Swapped => cell.swapped += n_bytes,
                }
                // It may go on in the next cell.
                if run_end > end {
                    break;
                }
                runs.next();
            }
            cell
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Bytes;
    use crate::event::residency::MapRun;

    fn map(size: u64, runs: &[(u64, u64, PagePlace)]) -> StoreMap {
        let run = |it: &(u64, u64, PagePlace)| MapRun { offset: it.0, len: it.1, place: it.2 };
        let runs = runs.iter().map(run).collect();
        StoreMap { len: Bytes(size), known: Bytes(size), runs, ..StoreMap::default() }
    }

    fn picture(map: &StoreMap, n_cells: usize) -> String {
        let picture = |cell: &Cell| match cell {
            Cell { is_unknown: true, .. } => '?',
            cell if cell.in_ram == cell.n_bytes => '#',
            cell if cell.in_ram > 0 => '+',
            cell if cell.swapped > 0 => 's',
            cell if cell.zero > 0 => '0',
            _ => '.',
        };
        cells(map, n_cells).iter().map(picture).collect()
    }

    #[test]
    fn every_place_is_told_apart() {
        use PagePlace::{InRam, Swapped, Zero};
        let mut it = map(100, &[(0, 25, InRam), (30, 10, Zero), (50, 1, Swapped), (60, 40, InRam)]);
        assert_eq!(picture(&it, 10), "##+0.s####");
        assert_eq!(picture(&it, 1), "+");
        it.known = Bytes(55);
        assert_eq!(picture(&it, 10), "##+0.?????");
        assert_eq!(picture(&map(0, &[]), 10), "");
        assert_eq!(picture(&map(3, &[(1, 1, InRam)]), 10), ".#.");
    }

    proptest! {
        #[test]
        fn every_byte_is_in_one_cell(
            size in 0..400_u64,
            runs in proptest::collection::vec((0..20_u64, 1..30_u64), 0..20),
            n_cells in 0..90_usize,
        ) {
            let mut at = 0;
            let runs: Vec<_> = runs.into_iter().filter_map(|(gap, len)| {
                let offset = at + gap;
                at = offset + len;
                (at <= size).then_some((offset, len, PagePlace::InRam))
            }).collect();
            let cells = cells(&map(size, &runs), n_cells);
            let wanted: u64 = if n_cells > 0 { runs.iter().map(|run| run.1).sum() } else { 0 };
            prop_assert_eq!(cells.iter().map(|cell| cell.in_ram).sum::<u64>(), wanted);
            prop_assert!(cells.iter().all(|cell| cell.in_ram <= cell.n_bytes));
        }
    }
}
