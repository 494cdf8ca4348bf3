//! The time axis of a recording, below everything else: where one is, whether it plays, and what happened when.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::Nanos;
use crate::base::text::pad_left;
use crate::tui::replay::{ReplayView, axis, column_of};
use crate::tui::text::{Line, Role, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page;

pub fn draw(buf: &mut Buffer, area: Rect, replay: &ReplayView, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let (first, n_columns) = axis(area.width);
    let bar = Rect::new(area.x + first, area.bottom() - 1, n_columns, 1);
    if area.height > 1 {
        draw_marks(buf, Rect { y: bar.y - 1, ..bar }, replay, theme);
        let legend = vec![
            span(Role::Accused, " ▲"),
            span(Role::Muted, "wrong "),
            span(Role::Stores, "◆"),
            span(Role::Muted, "RSS "),
            span(Role::Muted, "│GC"),
        ];
        page::draw_line(buf, area.x, bar.y - 1, bar.x, &legend, theme);
    }
    if replay.input.is_some() {
        draw_input(buf, Rect { y: bar.y, height: 1, ..area }, replay, theme);
        return;
    }
    let sign = if replay.is_playing { "▶" } else { "‖" };
    let state = vec![
        span(Role::Key, format!(" {sign} {}× ", replay.speed())),
        span(Role::Title, time(replay.at)),
    ];
    if first > 0 {
        page::draw_line(buf, area.x, bar.y, bar.x, &state, theme);
        let end = vec![span(Role::Muted, pad_left(&time(replay.length), 9))];
        page::draw_line(buf, bar.right(), bar.y, area.right(), &end, theme);
    }
    let here = column_of(replay.at, replay.length, n_columns);
    for column in 0..n_columns {
        let (symbol, role) = match column {
            _ if column == here => ("●", Role::Key),
            _ if column < here => ("━", Role::Neutral),
            _ => ("─", Role::Muted),
        };
        if let Some(cell) = buf.cell_mut((bar.x + column, bar.y)) {
            cell.set_symbol(symbol).set_style(theme.style(role));
        }
    }
}

/// `59.5s`, `12m40s`: as it can be typed.
fn time(at: Nanos) -> String {
    match at.0 / 1_000_000_000 {
        0..60 => format!("{:.1}s", at.as_secs_f64()),
        _ => at.to_string(),
    }
}

/// Where several things happened in one column, the one that matters most.
fn draw_marks(buf: &mut Buffer, area: Rect, replay: &ReplayView, theme: Theme) {
    let marks = &replay.marks;
    let mut put = |at: Nanos, symbol: &str, role: Role| {
        let x = area.x + column_of(at, replay.length, area.width);
        if let Some(cell) = buf.cell_mut((x, area.y)) {
            cell.set_symbol(symbol).set_style(theme.style(role));
        }
    };
    marks.gcs.iter().for_each(|at| put(*at, "│", Role::Muted));
    marks.censuses.iter().for_each(|mark| put(mark.at, "C", Role::Key));
    marks.steps.iter().for_each(|mark| put(mark.at, "◆", Role::Stores));
    marks.findings.iter().for_each(|mark| put(mark.at, "▲", Role::Accused));
}

fn draw_input(buf: &mut Buffer, row: Rect, replay: &ReplayView, theme: Theme) {
    let Some(input) = &replay.input else { return };
    let hint = match (replay.started, input.is_wrong) {
        (_, true) => "  ✗ no time of this recording: 90, 1m30s, 03:12:45",
        (Some(_), false) => "  1m30s after the start, or 03:12:45 UTC; enter goes, esc leaves",
        (None, false) => "  1m30s after the start; enter goes, esc leaves",
    };
    let line: Line = vec![
        span(Role::Key, " go to "),
        span(Role::Title, format!("{}▏", input.text)),
        span(if input.is_wrong { Role::Accused } else { Role::Muted }, hint),
    ];
    page::draw_line(buf, row.x, row.y, row.right(), &line, theme);
}
