//! The drawing of a parent's bytes: rows of characters that say which parts views show. Understood without colours.

use crate::event::census::Parent;
use crate::tui::byte_map::{Cell, cells};
use crate::tui::census::text::share;
use crate::tui::text::{Page, Role, heading};
use crate::tui::widget::cell_rows::{self, Drawn, cells_in_row};

/// A cell of a small parent is at least this large, as long as it has more than a row.
const BYTES_PER_CELL_MIN: u64 = 16;

const ROWS_MAX: u64 = 8;

/// Characters and what they mean.
const MEANINGS: [(&str, &str); 5] = [
    ("█", "viewed"),
    ("▓▒░", "partly viewed"),
    ("╬", "by several views"),
    ("·", "not viewed"),
    ("?", "views not listed"),
];

const fn drawn(cell: Cell) -> Drawn {
    let (symbol, role) = match cell {
        Cell { is_overlapped: true, .. } => ('╬', Role::Accused),
        Cell { is_unknown: true, .. } => ('?', Role::Unknown),
        Cell { n_viewed: 0, .. } => ('·', Role::Muted),
        cell if cell.n_viewed >= cell.n_bytes => ('█', Role::Stores),
        cell if cell.n_viewed >= cell.n_bytes / 2 => ('▓', Role::Stores),
        cell if cell.n_viewed >= cell.n_bytes / 8 => ('▒', Role::Stores),
        _ => ('░', Role::Stores),
    };
    Drawn { n_bytes: cell.n_bytes, symbol, role }
}

/// A heading, the rows with their offsets, and what the characters mean.
pub fn lines(parent: &Parent, n_columns: usize) -> Page {
    let covered = share(parent.covered, parent.size);
    let mut page = vec![heading(&format!("Its bytes, {covered} of them viewed"), n_columns)];
    let row_cells = cells_in_row(n_columns);
    let size = parent.size.0;
    if size == 0 || row_cells == 0 {
        return page;
    }
    let n_rows = size.div_ceil(BYTES_PER_CELL_MIN).div_ceil(row_cells as u64).clamp(1, ROWS_MAX);
    let n_cells = row_cells * n_rows as usize;
    let cells = cells(size, &parent.views, parent.n_views, n_cells);
    let cells: Vec<Drawn> = cells.into_iter().map(drawn).collect();
    page.extend(cell_rows::lines(&cells, &MEANINGS, n_columns));
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Bytes;
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
