//! A row of marks at the times of garbage collections, below curves of the same width.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::Nanos;
use crate::event::GcKind;
use crate::tui::text::Role;
use crate::tui::theme::Theme;

/// `gcs` are the most recent of `n_total`; the time before them is dotted, since nothing is known of it.
pub fn draw(
    buf: &mut Buffer,
    area: Rect,
    gcs: &[(Nanos, GcKind)],
    n_total: u64,
    elapsed: Nanos,
    theme: Theme,
) {
    let n_columns = u64::from(area.width);
    let column = |at: Nanos| {
        let share = at.0 as f64 / elapsed.0.max(1) as f64;
        ((share * n_columns as f64) as u64).min(n_columns.saturating_sub(1)) as u16
    };
    let mut put = |column: u16, symbol: &str, role: Role| {
        if let Some(cell) = buf.cell_mut((area.x + column, area.y)) {
            cell.set_symbol(symbol).set_style(theme.style(role));
        }
    };
    if area.is_empty() {
        return;
    }
    if n_total > gcs.len() as u64 {
        let known_from = gcs.first().map_or(area.width, |(at, _)| column(*at));
        (0..known_from).for_each(|x| put(x, "·", Role::Unknown));
    }
    for (at, _) in gcs.iter().filter(|(_, kind)| *kind == GcKind::Minor) {
        put(column(*at), "│", Role::Muted);
    }
    for (at, _) in gcs.iter().filter(|(_, kind)| *kind == GcKind::Major) {
        put(column(*at), "┃", Role::Heap);
    }
}
