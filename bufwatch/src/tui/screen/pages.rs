//! The drawing of a store's pages: rows of characters that say which are in RAM. Understood without colours.

use crate::base::text::pad_left;
use crate::base::{Bytes, Nanos};
use crate::event::residency::{PagePlace, StoreMap};
use crate::tui::keymap::Mode;
use crate::tui::page_map::{Cell, cells};
use crate::tui::text::{Line, Page, Role, heading, span};
use crate::tui::widget::legend;

/// A cell of a small store is a page.
const PAGE: u64 = 4_096;

const ROWS_MAX: u64 = 6;

/// Columns of the offset before a row.
const OFFSET_COLUMNS: usize = 10;

/// What a cell looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Full,
    Most,
    Some,
    Little,
    Swapped,
    Zero,
    Nothing,
    Unknown,
}

impl Look {
    const fn of(cell: Cell) -> Self {
        match cell {
            Cell { is_unknown: true, .. } => Self::Unknown,
            cell if cell.swapped > cell.in_ram => Self::Swapped,
            cell if cell.in_ram >= cell.n_bytes => Self::Full,
            cell if cell.in_ram >= cell.n_bytes / 2 => Self::Most,
            cell if cell.in_ram >= cell.n_bytes / 8 && cell.in_ram > 0 => Self::Some,
            cell if cell.in_ram > 0 => Self::Little,
            cell if cell.zero > 0 => Self::Zero,
            _ => Self::Nothing,
        }
    }

    const fn symbol(self) -> char {
        match self {
            Self::Full => '█',
            Self::Most => '▓',
            Self::Some => '▒',
            Self::Little => '░',
            Self::Swapped => 'S',
            Self::Zero => '0',
            Self::Nothing => '·',
            Self::Unknown => '?',
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Full | Self::Most | Self::Some | Self::Little => Role::Stores,
            Self::Swapped => Role::Accused,
            Self::Zero => Role::Rest,
            Self::Nothing => Role::Muted,
            Self::Unknown => Role::Unknown,
        }
    }
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
    let row_cells = n_columns.saturating_sub(OFFSET_COLUMNS + 2);
    if row_cells == 0 || map.len.0 == 0 {
        return page;
    }
    let n_pages = map.len.0.div_ceil(PAGE);
    let n_rows = n_pages.div_ceil(row_cells as u64).clamp(1, ROWS_MAX);
    let n_cells = n_pages.min(row_cells as u64 * n_rows) as usize;
    let cells = cells(map, n_cells);
    let mut offset = 0;
    for row in cells.chunks(row_cells) {
        let at = pad_left(&Bytes(offset).to_string(), OFFSET_COLUMNS);
        let mut line = vec![span(Role::Muted, format!("{at} "))];
        line.extend(row_spans(row));
        page.push(line);
        offset += row.iter().map(|cell| cell.n_bytes).sum::<u64>();
    }
    page.extend(meanings(&cells, n_columns));
    page.push(Line::new());
    page
}

/// Neighbours of the same look together.
fn row_spans(row: &[Cell]) -> Line {
    row.chunk_by(|a, b| Look::of(*a) == Look::of(*b))
        .filter_map(|run| {
            let look = Look::of(*run.first()?);
            Some(span(look.role(), look.symbol().to_string().repeat(run.len())))
        })
        .collect()
}

/// Only what occurs, and how much a character stands for.
fn meanings(cells: &[Cell], n_columns: usize) -> Page {
    const MEANINGS: [(&[Look], &str); 6] = [
        (&[Look::Full], "in RAM"),
        (&[Look::Most, Look::Some, Look::Little], "partly"),
        (&[Look::Swapped], "swapped out"),
        (&[Look::Zero], "only read"),
        (&[Look::Nothing], "untouched"),
        (&[Look::Unknown], "not known: too many runs"),
    ];
    let is_there = |look: &Look| cells.iter().any(|cell| Look::of(*cell) == *look);
    let largest = Bytes(cells.iter().map(|cell| cell.n_bytes).max().unwrap_or(0));
    let mut items: Vec<(Role, String, String)> = MEANINGS
        .iter()
        .filter_map(|(looks, meaning)| {
            let looks: Vec<Look> = looks.iter().copied().filter(is_there).collect();
            let role = looks.first()?.role();
            let symbols = looks.iter().map(|look| look.symbol()).collect();
            Some((role, symbols, (*meaning).to_owned()))
        })
        .collect();
    items.push((Role::Muted, String::new(), format!("1 character: {largest}")));
    legend::lines(&items, OFFSET_COLUMNS + 1, n_columns)
}
