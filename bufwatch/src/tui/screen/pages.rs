//! The drawing of a store's pages: rows of characters that say which are in RAM. Understood without colours.

use crate::base::{Bytes, Nanos};
use crate::event::residency::{PagePlace, StoreMap};
use crate::tui::keymap::Mode;
use crate::tui::page_map::{Cell, cells};
use crate::tui::text::{Line, Page, Role, heading, span};
use crate::tui::widget::cell_rows::{self, Drawn, cells_in_row};

/// A cell of a small store is a page.
const PAGE: u64 = 4_096;

const ROWS_MAX: u64 = 6;

/// Characters and what they mean.
const MEANINGS: [(&str, &str); 6] = [
    ("█", "in RAM"),
    ("▓▒░", "partly"),
    ("S", "swapped out"),
    ("0", "only read"),
    ("·", "untouched"),
    ("?", "not known: too many runs"),
];

const fn drawn(cell: Cell) -> Drawn {
    let (symbol, role) = match cell {
        Cell { is_unknown: true, .. } => ('?', Role::Unknown),
        cell if cell.swapped > cell.in_ram => ('S', Role::Accused),
        cell if cell.in_ram >= cell.n_bytes => ('█', Role::Stores),
        cell if cell.in_ram >= cell.n_bytes / 2 => ('▓', Role::Stores),
        cell if cell.in_ram >= cell.n_bytes / 8 && cell.in_ram > 0 => ('▒', Role::Stores),
        cell if cell.in_ram > 0 => ('░', Role::Stores),
        cell if cell.zero > 0 => ('0', Role::Rest),
        _ => ('·', Role::Muted),
    };
    Drawn { n_bytes: cell.n_bytes, symbol, role }
}

/// A heading, the rows with their offsets, and what the characters mean.
pub fn lines(
    map: Option<&(Nanos, std::sync::Arc<StoreMap>)>,
    mode: Mode,
    n_columns: usize,
) -> Page {
    let Some((age, map)) = map else {
        let why = match mode {
            Mode::Live => "  – they are looked at within a second or two",
            Mode::Replay => "  – not recorded one by one",
        };
        return vec![heading("Its pages", n_columns), vec![span(Role::Unknown, why)], Line::new()];
    };
    let sum = |place: PagePlace| {
        Bytes(map.runs.iter().filter(|run| run.place == place).map(|run| run.len).sum())
    };
    let title = format!("Its pages, {} of {} in RAM, {age} ago", sum(PagePlace::InRam), map.len);
    let mut page = vec![heading(&title, n_columns)];
    let row_cells = cells_in_row(n_columns);
    if row_cells == 0 || map.len.0 == 0 {
        return page;
    }
    let n_pages = map.len.0.div_ceil(PAGE);
    let n_rows = n_pages.div_ceil(row_cells as u64).clamp(1, ROWS_MAX);
    let n_cells = n_pages.min(row_cells as u64 * n_rows) as usize;
    let cells: Vec<Drawn> = cells(map, n_cells).into_iter().map(drawn).collect();
    page.extend(cell_rows::lines(&cells, &MEANINGS, n_columns));
    page.push(Line::new());
    page
}
