//! The line in which a filter is shown and typed, above the list that it is for; and what is wrong with it.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::query::StoreFilter;
use crate::base::text::{pad, width, wrap};
use crate::tui::app::FilterInput;
use crate::tui::text::{Line, Role, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page;

/// What it is about.
#[derive(Clone, Copy, Debug)]
pub struct FilterLine<'a> {
    pub filter: &'a StoreFilter,
    /// While it is typed.
    pub input: Option<&'a FilterInput>,
    /// What is listed without a filter.
    pub all: &'a str,
}

impl FilterLine<'_> {
    /// With `right` at the other edge, if there is room.
    pub fn draw(&self, buf: &mut Buffer, area: Rect, right: &Line, theme: Theme) {
        if area.is_empty() {
            return;
        }
        let n_right = right.iter().map(|s| width(&s.text)).sum::<usize>() as u16;
        let end = page::draw_line(buf, area.x, area.y, area.right(), &self.line(), theme);
        let start = area.right().saturating_sub(n_right + 1);
        if start > end + 1 {
            page::draw_line(buf, start, area.y, area.right(), right, theme);
        }
    }

    fn line(&self) -> Line {
        let label = span(Role::Key, " / ");
        if let Some(input) = self.input {
            let mut line = vec![label, span(Role::Title, format!("{}▏", input.text))];
            if input.text.is_empty() {
                line.push(span(
                    Role::Muted,
                    " size>1mb ram<4kb age>60s gc>2 tid=7 kind=wasm site~ingest",
                ));
            }
            return line;
        }
        if self.filter.conditions.is_empty() {
            return vec![label, span(Role::Muted, self.all)];
        }
        vec![
            label,
            span(Role::Title, self.filter.text.as_str()),
            span(Role::Muted, "   esc shows all"),
        ]
    }

    /// Below the line, over the rows: it says what could be typed instead, which takes more than a line.
    pub fn draw_error(&self, buf: &mut Buffer, line: Rect, bottom: u16, theme: Theme) {
        let Some(error) = self.input.and_then(|input| input.error.as_ref()) else { return };
        let room = usize::from(line.width);
        let lines = wrap(&format!("✗ {error}"), room.saturating_sub(4));
        for (y, text) in (line.bottom()..bottom).zip(lines) {
            let text = vec![span(Role::Accused, pad(&format!("   {text}"), room))];
            page::draw_line(buf, line.x, y, line.right(), &text, theme);
        }
    }
}
