//! The list of processes to choose from, with its question and keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::sanitize;
use crate::tui::layout::{Align, Column, ListAreas};
use crate::tui::picker::Picker;
use crate::tui::text::{Role, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page::draw_line;
use crate::tui::widget::table::Table;

/// Question, titles, and keys.
pub const N_OTHER_ROWS: u16 = 3;

pub fn draw(picker: &Picker, buf: &mut Buffer, area: Rect, theme: Theme) {
    if area.height <= N_OTHER_ROWS {
        let line = vec![span(Role::Title, "this terminal is too small to choose from")];
        draw_line(buf, area.x, area.y, area.right(), &line, theme);
        return;
    }
    let question = vec![span(Role::Title, " Which Node process shall be watched?")];
    draw_line(buf, area.x, area.y, area.right(), &question, theme);
    let areas = ListAreas {
        top: Rect::default(),
        titles: Rect::new(area.x, area.y + 1, area.width, 1),
        rows: Rect::new(area.x, area.y + 2, area.width, area.height - N_OTHER_ROWS),
        preview: Rect::default(),
    };
    let column = |title, align, width_min, width_max, rank| Column {
        title,
        align,
        width_min,
        width_max,
        rank,
    };
    let columns = [
        column("pid", Align::Right, 8, 8, 0),
        column("node", Align::Left, 9, 12, 2),
        column("RSS", Align::Right, 8, 8, 1),
        column("command", Align::Left, 12, 400, 0),
    ];
    let table = Table {
        columns: &columns,
        sorted: None,
        n_rows: picker.rows.len(),
        offset: picker.list.offset,
        selected: picker.list.selected,
        empty: "no Node process is running",
    };
    table.draw(buf, &areas, theme, |row, column, _| {
        let Some(row) = picker.rows.get(row) else { return span(Role::Unknown, "") };
        match column {
            0 => span(Role::Title, row.pid.to_string()),
            1 => span(Role::Neutral, sanitize(&row.version)),
            2 => span(Role::Neutral, row.rss.to_string()),
            _ => span(Role::Neutral, sanitize(&row.command)),
        }
    });
    let keys = vec![
        span(Role::Key, " enter"),
        span(Role::Muted, " watch  "),
        span(Role::Key, "↑ ↓"),
        span(Role::Muted, " choose  "),
        span(Role::Key, "q"),
        span(Role::Muted, " none of them"),
    ];
    draw_line(buf, area.x, area.bottom() - 1, area.right(), &keys, theme);
}
