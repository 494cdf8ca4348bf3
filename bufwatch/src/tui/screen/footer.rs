//! The last line: the screens, and the keys that do something here, from the key table.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::sanitize;
use crate::base::text::{fit, width};
use crate::tui::app::App;
use crate::tui::keymap::{self, Action, Binding, TimeAction};
use crate::tui::layout;
use crate::tui::text::{Line, Role, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page::draw_line;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let mut end = area.x;
    for tab in layout::tabs(area.width) {
        let is_active = tab.screen == app.screen;
        let style = if is_active { theme.active_tab() } else { theme.style(Role::Neutral) };
        buf.set_string(area.x + tab.x, area.y, &tab.label, style);
        end = area.x + tab.x + tab.width;
    }
    // A blank to the tabs; the last hint ends with one of its two at the edge.
    let hints = hints(app, usize::from(area.right().saturating_sub(end)), usize::from(area.width));
    let n_columns = hints.iter().map(|s| width(&s.text)).sum::<usize>() as u16;
    let start = (area.right() + 1).saturating_sub(n_columns);
    // An answer is short-lived, and may cover tabs.
    let is_covering = start <= end && app.answer.is_some();
    let start = if is_covering { start.max(area.x + 1) } else { start.max(end + 1) };
    if is_covering {
        buf.set_string(start - 1, area.y, " ", theme.style(Role::Neutral));
    }
    draw_line(buf, start, area.y, area.right(), &hints, theme);
}

/// As many as fit into `n_columns`; the answer to the last key goes before all of them, and may take the whole line.
fn hints(app: &App, n_columns: usize, n_columns_max: usize) -> Line {
    if app.replay.as_ref().is_some_and(|replay| replay.input.is_some()) {
        // The time axis says what to type.
        return Line::new();
    }
    if app.is_typing() {
        return vec![
            span(Role::Key, "enter"),
            span(Role::Muted, " keep  "),
            span(Role::Key, "esc"),
            span(Role::Muted, " undo  "),
        ];
    }
    let mut line = Line::new();
    let mut used = 0;
    if let Some(answer) = &app.answer {
        let answer = fit(&sanitize(answer), n_columns_max.saturating_sub(2));
        used += width(&answer) + 2;
        line.push(span(Role::Title, format!("{answer}  ")));
    }
    let mut shown: Vec<&Binding> = Vec::new();
    for binding in keymap::footer(app.context(), app.mode()) {
        let n = width(binding.name) + 1 + width(word(binding, app)) + 2;
        if used + n > n_columns {
            break;
        }
        used += n;
        shown.push(binding);
    }
    // The most important ones stand at the edge.
    for binding in shown.into_iter().rev() {
        line.push(span(Role::Key, binding.name));
        line.push(span(Role::Muted, format!(" {}  ", word(binding, app))));
    }
    line
}

fn word(binding: &Binding, app: &App) -> &'static str {
    match binding.action {
        Action::Pause if app.is_paused() => "go on",
        Action::Time(TimeAction::Play) if app.is_playing() => "pause",
        _ => binding.short,
    }
}
