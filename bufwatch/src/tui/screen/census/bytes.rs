//! The drawing of a parent's bytes: rows of characters that say which parts views show. Understood without colours.

use crate::base::Bytes;
use crate::base::text::pad_left;
use crate::event::census::Parent;
use crate::tui::byte_map::{Cell, cells};
use crate::tui::census::text::share;
use crate::tui::text::{Line, Page, Role, heading, span};
use crate::tui::widget::legend;

/// A cell of a small parent is at least this large, as long as it has more than a row.
const BYTES_PER_CELL_MIN: u64 = 16;

const ROWS_MAX: u64 = 8;

/// Columns of the offset before a row.
const OFFSET_COLUMNS: usize = 10;

/// What a cell looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Full,
    Most,
    Some,
    Little,
    Nothing,
    Overlap,
    Unknown,
}

impl Look {
    const fn of(cell: Cell) -> Self {
        match cell {
            Cell { is_overlapped: true, .. } => Self::Overlap,
            Cell { is_unknown: true, .. } => Self::Unknown,
            Cell { n_viewed: 0, .. } => Self::Nothing,
            cell if cell.n_viewed >= cell.n_bytes => Self::Full,
            cell if cell.n_viewed >= cell.n_bytes / 2 => Self::Most,
            cell if cell.n_viewed >= cell.n_bytes / 8 => Self::Some,
            _ => Self::Little,
        }
    }

    const fn symbol(self) -> char {
        match self {
            Self::Full => '█',
            Self::Most => '▓',
            Self::Some => '▒',
            Self::Little => '░',
            Self::Nothing => '·',
            Self::Overlap => '╬',
            Self::Unknown => '?',
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Full | Self::Most | Self::Some | Self::Little => Role::Stores,
            Self::Nothing => Role::Muted,
            Self::Overlap => Role::Accused,
            Self::Unknown => Role::Unknown,
        }
    }
}

/// A heading, the rows with their offsets, and what the characters mean.
pub fn lines(parent: &Parent, n_columns: usize) -> Page {
    let covered = share(parent.covered, parent.size);
    let mut page = vec![heading(&format!("Its bytes, {covered} of them viewed"), n_columns)];
    let row_cells = n_columns.saturating_sub(OFFSET_COLUMNS + 2);
    let size = parent.size.0;
    if size == 0 || row_cells == 0 {
        return page;
    }
    let n_rows = size.div_ceil(BYTES_PER_CELL_MIN).div_ceil(row_cells as u64).clamp(1, ROWS_MAX);
    let n_cells = row_cells * n_rows as usize;
    let cells = cells(size, &parent.views, parent.n_views, n_cells);
    let mut offset = 0;
    for row in cells.chunks(row_cells) {
        let at = pad_left(&Bytes(offset).to_string(), OFFSET_COLUMNS);
        let mut line = vec![span(Role::Muted, format!("{at} "))];
        line.extend(row_spans(row));
        page.push(line);
        offset += row.iter().map(|cell| cell.n_bytes).sum::<u64>();
    }
    page.extend(meanings(&cells, n_columns));
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
    const MEANINGS: [(&[Look], &str); 5] = [
        (&[Look::Full], "viewed"),
        (&[Look::Most, Look::Some, Look::Little], "partly viewed"),
        (&[Look::Overlap], "by several views"),
        (&[Look::Nothing], "not viewed"),
        (&[Look::Unknown], "views not listed"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::text::width;
    use crate::event::census::View;
    use crate::tui::text::plain;

    fn parent(size: u64, views: &[(u64, u64)]) -> Parent {
        let views: Vec<View> = views
            .iter()
            .map(|(offset, length)| View {
                type_name: "Buffer".into(),
                offset: *offset,
                length: Bytes(*length),
            })
            .collect();
        Parent {
            size: Bytes(size),
            covered: Bytes(size / 4),
            n_views: views.len() as u64,
            views,
            ..Parent::default()
        }
    }

    #[test]
    fn every_look_has_its_own_character() {
        let text = plain(&lines(&parent(1_024, &[(0, 100), (64, 64), (200, 8), (300, 90)]), 44));
        let expect = "\
─ Its bytes, 25 % of them viewed ───────────
       0 B ████╬╬╬█····▓·····▒█████▒·······
     512 B ································
           █ viewed  ▓▒ partly viewed
           ╬ by several views  · not viewed
           1 character: 16 B
";
        assert_eq!(text, expect);
        let mut many = parent(1_024, &[(0, 16), (40, 1)]);
        many.n_views = 1_000;
        let text = plain(&lines(&many, 44));
        assert!(text.contains("0 B █·??????"), "{text}");
        assert!(plain(&lines(&parent(64 << 10, &[(40, 1)]), 44)).contains("0 B ░···"));
    }

    #[test]
    fn a_large_parent_has_eight_rows_and_a_tiny_one_as_many_characters_as_bytes() {
        assert_eq!(lines(&parent(1 << 30, &[]), 80).len(), 1 + 8 + 1);
        let text = plain(&lines(&parent(3, &[(1, 1)]), 80));
        assert!(text.contains("0 B ·█·\n"), "{text}");
        assert_eq!(lines(&parent(0, &[]), 80).len(), 1);
        assert_eq!(lines(&parent(100, &[]), 5).len(), 1);
    }

    #[test]
    fn the_legend_wraps() {
        for n_columns in 40..120 {
            for line in lines(&parent(4_096, &[(0, 100), (64, 64), (200, 8)]), n_columns) {
                let n: usize = line.iter().map(|it| width(it.text.as_str())).sum();
                let text: String = line.iter().map(|it| it.text.as_str()).collect();
                assert!(width(text.trim_end()) <= n_columns, "{n} > {n_columns}: {text}");
            }
        }
    }
}
