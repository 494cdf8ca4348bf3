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
    let n_rows = u64::from(area.height);
    for (x, parts) in (area.left()..area.right()).zip(columns) {
        let Some(parts) = parts else { continue };
        for (n, y) in (area.top()..area.bottom()).rev().enumerate() {
            // The part in the middle of the cell stands for it.
            let level = u128::from(most) * (2 * n as u128 + 1) / u128::from(2 * n_rows.max(1));
            let mut sum = 0_u128;
            let layer = parts.iter().zip(LAYERS).find(|(bytes, _)| {
                sum += u128::from(**bytes);
                sum > level
            });
            if let (Some((_, (role, symbol, _))), Some(cell)) = (layer, buf.cell_mut((x, y))) {
                cell.set_char(symbol).set_style(theme.style(role));
            }
        }
    }
}
