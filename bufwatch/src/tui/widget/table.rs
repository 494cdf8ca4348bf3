//! A table whose column titles stand in the rule above it. Which rows there are is the caller's business.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text::{count, fit, pad, pad_left, width};
use crate::tui::layout::{Align, Column, ListAreas, Placed, place_columns};
use crate::tui::text::{Role, Span};
use crate::tui::theme::Theme;
use crate::tui::widget::page::draw_rule;

/// What to draw, apart from the rows.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    pub columns: &'a [Column],
    /// The column it is sorted by, and whether upwards.
    pub sorted: Option<(usize, bool)>,
    pub n_rows: usize,
    pub offset: usize,
    pub selected: usize,
    /// Instead of rows, when there are none.
    pub empty: &'a str,
}

impl Table<'_> {
    /// `cell` gives the content of a row and a column; it is asked only for what is on screen.
    pub fn draw(
        &self,
        buf: &mut Buffer,
        areas: &ListAreas,
        theme: Theme,
        cell: impl Fn(usize, usize, u16) -> Span,
    ) {
        let placed = place_columns(self.columns, areas.rows.width);
        self.draw_titles(buf, areas.titles, &placed, theme);
        if self.n_rows == 0 {
            let room = usize::from(areas.rows.width.saturating_sub(2));
            if !areas.rows.is_empty() {
                let style = theme.style(Role::Unknown);
                buf.set_stringn(areas.rows.x + 1, areas.rows.y, self.empty, room, style);
            }
            return;
        }
        for (y, row) in (areas.rows.top()..areas.rows.bottom()).zip(self.offset..self.n_rows) {
            for place in &placed {
                let content = cell(row, place.index, place.width);
                let text = self.align(place, &content.text);
                buf.set_string(areas.rows.x + place.x, y, text, theme.style(content.role));
            }
            if row == self.selected {
                buf.set_style(Rect::new(areas.rows.x, y, areas.rows.width, 1), theme.selected());
            }
        }
        draw_thumb(buf, areas.rows, self.offset, self.n_rows, theme);
    }

    fn align(&self, place: &Placed, text: &str) -> String {
        let n_columns = usize::from(place.width);
        match self.columns.get(place.index).map(|column| column.align) {
            Some(Align::Right) => pad_left(text, n_columns),
            _ => pad(text, n_columns),
        }
    }

    fn draw_titles(&self, buf: &mut Buffer, area: Rect, placed: &[Placed], theme: Theme) {
        draw_rule(buf, area, "", theme);
        if area.is_empty() {
            return;
        }
        for place in placed {
            let Some(column) = self.columns.get(place.index) else { continue };
            let mark = match self.sorted {
                Some((index, is_ascending)) if index == place.index => {
                    if is_ascending {
                        "▲"
                    } else {
                        "▼"
                    }
                }
                _ => "",
            };
            let title = fit(&format!("{}{mark}", column.title), usize::from(place.width));
            let n_columns = width(&title) as u16;
            if n_columns == 0 {
                continue;
            }
            let x = match column.align {
                Align::Left => place.x,
                Align::Right => place.x + place.width - n_columns,
            };
            // One blank at each side, so that the rule does not touch the title.
            let text = format!(" {title} ");
            let role = if mark.is_empty() { Role::Muted } else { Role::Title };
            let role = if place.index == 0 { Role::Title } else { role };
            let x = (area.x + x).saturating_sub(1);
            buf.set_stringn(x, area.y, text, usize::from(area.right() - x), theme.style(role));
        }
    }
}

/// Where in all rows the visible ones are, in the last column; nothing if all are visible.
pub fn draw_thumb(buf: &mut Buffer, area: Rect, offset: usize, n_rows: usize, theme: Theme) {
    let n_visible = usize::from(area.height);
    if n_rows <= n_visible || area.is_empty() {
        return;
    }
    let column = area.right() - 1;
    let first = offset * n_visible / n_rows;
    let n_thumb = (n_visible * n_visible).div_ceil(n_rows).max(1);
    for (n, y) in (area.top()..area.bottom()).enumerate() {
        let is_thumb = (first..first + n_thumb).contains(&n);
        if let Some(cell) = buf.cell_mut((column, y)) {
            cell.set_symbol(if is_thumb { "┃" } else { "│" });
            cell.set_style(theme.style(Role::Muted));
        }
    }
}

/// `12 of 2,000`, for the line above or beside a table.
pub fn position_text(selected: usize, n_rows: usize) -> String {
    if n_rows == 0 {
        return "none".to_owned();
    }
    format!("{} of {}", count(selected as u64 + 1), count(n_rows as u64))
}
