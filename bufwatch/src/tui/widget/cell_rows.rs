//! Rows of characters for the cells of a range of bytes, each row with its offset, and below them what the characters mean. What a cell
//! looks like is decided by who draws it.

use crate::base::Bytes;
use crate::base::text::pad_left;
use crate::tui::text::{Page, Role, span};
use crate::tui::widget::legend;

/// Columns of the offset before a row.
const OFFSET_COLUMNS: usize = 10;

/// A cell as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    pub n_bytes: u64,
    pub symbol: char,
    pub role: Role,
}

/// How many cells a row has; none on a screen that is too narrow.
pub const fn cells_in_row(n_columns: usize) -> usize {
    n_columns.saturating_sub(OFFSET_COLUMNS + 2)
}

/// The rows, and of `meanings` (characters, words) those that occur.
pub fn lines(cells: &[Drawn], meanings: &[(&str, &str)], n_columns: usize) -> Page {
    let mut page = Page::new();
    let mut offset = 0;
    for row in cells.chunks(cells_in_row(n_columns).max(1)) {
        let at = pad_left(&Bytes(offset).to_string(), OFFSET_COLUMNS);
        let mut line = vec![span(Role::Muted, format!("{at} "))];
        // Neighbours of the same look together.
        for run in row.chunk_by(|a, b| (a.symbol, a.role) == (b.symbol, b.role)) {
            let [first, ..] = run else { continue };
            line.push(span(first.role, first.symbol.to_string().repeat(run.len())));
        }
        page.push(line);
        offset += row.iter().map(|cell| cell.n_bytes).sum::<u64>();
    }
    let largest = Bytes(cells.iter().map(|cell| cell.n_bytes).max().unwrap_or(0));
    let mut items: Vec<(Role, String, String)> = meanings
        .iter()
        .filter_map(|(symbols, meaning)| {
            let find = |symbol: char| cells.iter().find(|cell| cell.symbol == symbol);
            let there: Vec<&Drawn> = symbols.chars().filter_map(find).collect();
            let symbols = there.iter().map(|cell| cell.symbol).collect();
            Some((there.first()?.role, symbols, (*meaning).to_owned()))
        })
        .collect();
    items.push((Role::Muted, String::new(), format!("1 character: {largest}")));
    page.extend(legend::lines(&items, OFFSET_COLUMNS + 1, n_columns));
    page
}
