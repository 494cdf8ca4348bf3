//! Lines with roles on a buffer: single ones and scrolled pages.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text::{count, width};
use crate::tui::text::{Line, Role};
use crate::tui::theme::Theme;

/// Draws `line` from `x` on, at most up to `right`; returns where it ended.
pub fn draw_line(buf: &mut Buffer, x: u16, y: u16, right: u16, line: &Line, theme: Theme) -> u16 {
    let mut x = x;
    for span in line {
        if x >= right {
            break;
        }
        (x, _) = buf.set_stringn(x, y, &span.text, usize::from(right - x), theme.style(span.role));
    }
    x
}

/// Draws what fits of `page` from line `offset` on; says how much is above and below.
pub fn draw(buf: &mut Buffer, area: Rect, page: &[Line], offset: usize, theme: Theme) {
    let n_visible = usize::from(area.height);
    let offset = offset.min(page.len().saturating_sub(n_visible));
    for (y, line) in (area.top()..area.bottom()).zip(page.iter().skip(offset)) {
        draw_line(buf, area.x, y, area.right(), line, theme);
    }
    let n_below = page.len().saturating_sub(offset + n_visible);
    if n_below > 0 {
        corner(buf, area, area.bottom() - 1, &format!(" ↓ {} more ", count(n_below as u64)), theme);
    }
    if offset > 0 {
        corner(buf, area, area.top(), &format!(" ↑ {} more ", count(offset as u64)), theme);
    }
}

fn corner(buf: &mut Buffer, area: Rect, y: u16, text: &str, theme: Theme) {
    let n_columns = width(text) as u16;
    if n_columns < area.width {
        buf.set_string(area.right() - n_columns, y, text, theme.style(Role::Key));
    }
}

/// A rule over the whole width with a title in it.
pub fn draw_rule(buf: &mut Buffer, area: Rect, title: &str, theme: Theme) {
    let muted = theme.style(Role::Muted);
    for x in area.left()..area.right() {
        if let Some(cell) = buf.cell_mut((x, area.y)) {
            cell.set_symbol("─").set_style(muted);
        }
    }
    if area.is_empty() || title.is_empty() {
        return;
    }
    let title = format!(" {title} ");
    let room = usize::from(area.width.saturating_sub(2));
    buf.set_stringn(area.x + 1, area.y, &title, room, theme.style(Role::Title));
}
