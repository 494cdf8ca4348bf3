//! Which parts of a parent's bytes its views show, in a number of equal cells. Pure; knows no characters and no colours.

use crate::event::census::View;

/// A cell stands for a range of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    pub n_bytes: u64,
    /// Of them, those that a view shows.
    pub n_viewed: u64,
    /// More than one view shows some of them.
    pub is_overlapped: bool,
    /// Views that were not listed may show more of them.
    pub is_unknown: bool,
}

/// The bytes of a parent in at most `n_cells_max` cells. `n_views`: how many views it has, of which `views` are the first by offset.
pub fn cells(size: u64, views: &[View], n_views: u64, n_cells_max: usize) -> Vec<Cell> {
    let n_cells = (n_cells_max as u64).min(size);
    let mut map = Map::new(size, n_cells);
    let mut ranges: Vec<(u64, u64)> = views
        .iter()
        .map(|view| (view.offset.min(size), view.offset.saturating_add(view.length.0).min(size)))
        .filter(|(start, end)| start < end)
        .collect();
    ranges.sort_unstable();
    // Up to here bytes are shown by one view, and by more than one: nothing is counted twice.
    let (mut viewed_end, mut overlap_end) = (0, 0);
    for (start, end) in ranges {
        map.view(start.max(viewed_end), end);
        let overlap = (start.max(overlap_end), end.min(viewed_end));
        map.overlap(overlap.0, overlap.1);
        overlap_end = overlap_end.max(overlap.1);
        viewed_end = viewed_end.max(end);
    }
    if n_views > views.len() as u64 {
        let last = views.iter().map(|view| view.offset).max().unwrap_or(0).min(size);
        map.forget(last);
    }
    map.cells
}

struct Map {
    size: u64,
    cells: Vec<Cell>,
}

impl Map {
    fn new(size: u64, n_cells: u64) -> Self {
        let mut map = Self { size, cells: Vec::new() };
        map.cells = (0..n_cells)
            .map(|n| Cell {
                n_bytes: scale(n + 1, size, n_cells) - scale(n, size, n_cells),
                ..Cell::default()
            })
            .collect();
        map
    }

    /// Calls `change` for each cell that `start..end` touches, with the number of its bytes in the range.
    fn touch(&mut self, start: u64, end: u64, change: impl Fn(&mut Cell, u64)) {
        let n_cells = self.cells.len() as u64;
        if start >= end || n_cells == 0 {
            return;
        }
        // The cell before may end at `start` by rounding; the one after may begin before it.
        let first = scale(start, n_cells, self.size).saturating_sub(1);
        for n in first..n_cells {
            let (from, to) = (scale(n, self.size, n_cells), scale(n + 1, self.size, n_cells));
            if from >= end {
                break;
            }
            let inside = to.min(end).saturating_sub(from.max(start));
            if inside > 0
                && let Some(cell) = self.cells.get_mut(n as usize)
            {
                change(cell, inside);
            }
        }
    }

    fn view(&mut self, start: u64, end: u64) {
        self.touch(start, end, |cell, n_bytes| cell.n_viewed += n_bytes);
    }

    fn overlap(&mut self, start: u64, end: u64) {
        self.touch(start, end, |cell, _| cell.is_overlapped = true);
    }

    /// Nothing is sure from `start` on, but what is viewed in full.
    fn forget(&mut self, start: u64) {
        self.touch(start, self.size, |cell, _| cell.is_unknown = cell.n_viewed < cell.n_bytes);
    }
}

/// `n` of `of`, in units of which there are `units`.
fn scale(n: u64, units: u64, of: u64) -> u64 {
    (u128::from(n) * u128::from(units) / u128::from(of.max(1))) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::Bytes;

    fn view(offset: u64, length: u64) -> View {
        View { type_name: "Buffer".into(), offset, length: Bytes(length) }
    }

    fn picture(size: u64, views: &[(u64, u64)], n_views: u64, n_cells: usize) -> String {
        let views: Vec<View> = views.iter().map(|(at, len)| view(*at, *len)).collect();
        let picture = |cell: &Cell| match cell {
            Cell { is_overlapped: true, .. } => 'x',
            Cell { is_unknown: true, .. } => '?',
            cell if cell.n_viewed == cell.n_bytes => '#',
            cell if cell.n_viewed > 0 => '+',
            _ => '.',
        };
        cells(size, &views, n_views, n_cells).iter().map(picture).collect()
    }

    #[test]
    fn a_small_view_of_a_large_parent_is_not_lost() {
        assert_eq!(picture(10 << 20, &[(3 << 20, 16)], 1, 10), "...+......");
        assert_eq!(picture(100, &[(0, 25), (30, 10), (90, 500)], 3, 10), "##+#.....#");
    }

    #[test]
    fn overlaps_are_told_apart() {
        assert_eq!(picture(100, &[(0, 50), (40, 30), (45, 5)], 3, 10), "####x##...");
        assert_eq!(picture(100, &[(0, 100), (0, 100)], 2, 5), "xxxxx");
        assert_eq!(picture(100, &[(0, 50), (50, 50)], 2, 5), "#####", "side by side");
    }

    #[test]
    fn what_was_not_listed_is_unknown() {
        assert_eq!(picture(100, &[(0, 10), (10, 10), (30, 10)], 50, 10), "##.#??????");
        assert_eq!(picture(100, &[], 50, 5), "?????");
        assert_eq!(picture(100, &[], 0, 5), ".....");
    }

    #[test]
    fn no_more_cells_than_bytes() {
        assert_eq!(picture(3, &[(1, 1)], 1, 10), ".#.");
        assert_eq!(picture(0, &[(0, 0)], 1, 10), "");
        assert_eq!(picture(10, &[(0, 10)], 1, 0), "");
    }

    proptest! {
        #[test]
        fn every_byte_is_counted_once(
            size in prop_oneof![0..300_u64, Just(u64::MAX)],
            views in proptest::collection::vec((0..320_u64, 0..100_u64), 0..20),
            n_cells in 0..70_usize,
        ) {
            let listed: Vec<View> = views.iter().map(|(at, len)| view(*at, *len)).collect();
            let cells = cells(size, &listed, listed.len() as u64, n_cells);
            prop_assert_eq!(cells.len() as u64, size.min(n_cells as u64));
            if n_cells > 0 {
                let n_bytes: u128 = cells.iter().map(|cell| u128::from(cell.n_bytes)).sum();
                prop_assert_eq!(n_bytes, u128::from(size));
                let shows = |byte: u64| {
                    views.iter().filter(|(at, len)| (*at..*at + *len).contains(&byte)).count()
                };
                let in_range = 0..size.min(420);
                let n_viewed = in_range.clone().filter(|byte| shows(*byte) > 0).count() as u64;
                prop_assert_eq!(cells.iter().map(|cell| cell.n_viewed).sum::<u64>(), n_viewed);
                let is_overlapped = cells.iter().any(|cell| cell.is_overlapped);
                prop_assert_eq!(is_overlapped, { in_range }.any(|byte| shows(byte) > 1));
            }
        }
    }
}
