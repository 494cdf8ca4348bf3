//! Columns of stacked parts, from zero upwards. Each part has a character of its own, so that colours are not needed.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::tui::memory::LAYERS;
use crate::tui::theme::Theme;

/// Fills `area` from its left edge; `most` reaches its top. What is not known leaves its column empty.
pub fn draw(
    buf: &mut Buffer,
    area: Rect,
    columns: &[Option<[u64; LAYERS.len()]>],
    most: u64,
    theme: Theme,
) {
    for (x, parts) in (area.left()..area.right()).zip(columns) {
        let Some(parts) = parts else { continue };
        for (n, y) in (area.top()..area.bottom()).rev().enumerate() {
            let layer = in_cell(parts, n as u64, u64::from(area.height), most);
            let layer = layer.and_then(|layer| LAYERS.get(layer));
            if let (Some((role, symbol, _)), Some(cell)) = (layer, buf.cell_mut((x, y))) {
                cell.set_char(*symbol).set_style(theme.style(*role));
            }
        }
    }
}

/// The part that has most of the cell, if at least half of it is filled: a thin part between others must not take a whole cell.
fn in_cell(parts: &[u64; LAYERS.len()], n: u64, n_rows: u64, most: u64) -> Option<usize> {
    let edge = |n: u64| u128::from(most) * u128::from(n) / u128::from(n_rows.max(1));
    let (from, to) = (edge(n), edge(n + 1));
    let mut sum = 0_u128;
    let inside = parts.map(|bytes| {
        let (start, end) = (sum, sum + u128::from(bytes));
        sum = end;
        end.min(to).saturating_sub(start.max(from))
    });
    let filled: u128 = inside.iter().sum();
    let largest = (0..inside.len()).max_by_key(|at| inside.get(*at))?;
    (filled > 0 && filled * 2 >= to - from).then_some(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(parts: [u64; LAYERS.len()], n_rows: u64, most: u64) -> Vec<Option<usize>> {
        (0..n_rows).map(|n| in_cell(&parts, n, n_rows, most)).collect()
    }

    #[test]
    fn a_thin_part_does_not_take_a_cell_and_an_empty_one_is_empty() {
        assert_eq!(column([100, 0, 0, 0, 0], 4, 100), [Some(0); 4]);
        // Three bytes in the very middle of a cell.
        assert_eq!(column([60, 0, 0, 3, 37], 4, 100), [Some(0), Some(0), Some(4), Some(4)]);
        assert_eq!(column([30, 0, 0, 0, 10], 4, 100), [Some(0), Some(4), None, None]);
        assert_eq!(column([0; 5], 2, 0), [None, None]);
    }
}
