//! The first line: which target, in which state, and how far the numbers can be trusted.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::describe::state_text;
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::sanitize;
use crate::base::text::{count, fit, percent, width};
use crate::tui::app::App;
use crate::tui::text::{Line, Role, Span, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page::draw_line;

/// The least of a command line that still names it.
const COMMAND_COLUMNS_MIN: usize = 12;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, latest: &Snapshot, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let room = usize::from(area.width);
    let right = right_parts(app.shown(latest));
    let mut left = left_parts(app, latest);
    let mut right_line: Line = right.iter().flatten().cloned().collect();
    let line_width = |line: &Line| line.iter().map(|s| width(&s.text)).sum::<usize>();
    // In this order: own cost, Node version, pid, the name of the program itself.
    if total(&left, &right_line) > room {
        right_line = right.into_iter().next_back().unwrap_or_default();
    }
    for droppable in [Part::Version, Part::Pid, Part::Program] {
        if total(&left, &right_line) > room {
            left.retain(|(part, _)| *part != droppable);
        }
    }
    let excess = total(&left, &right_line).saturating_sub(room);
    if let Some((_, command)) = left.iter_mut().find(|(part, _)| *part == Part::Command) {
        let n_columns = width(&command.text).saturating_sub(excess).max(COMMAND_COLUMNS_MIN);
        command.text = fit(&command.text, n_columns);
    }
    let left_line: Line = left.into_iter().flat_map(|(_, s)| [span(Role::Muted, " "), s]).collect();
    let end = draw_line(buf, area.x, area.y, area.right(), &left_line, theme);
    let start = area.right().saturating_sub(line_width(&right_line) as u16);
    if start > end {
        draw_line(buf, start, area.y, area.right(), &right_line, theme);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Program,
    Command,
    Pid,
    Version,
    State,
}

fn total(left: &[(Part, Span)], right: &Line) -> usize {
    let left: usize = left.iter().map(|(_, s)| width(&s.text) + 1).sum();
    left + right.iter().map(|s| width(&s.text)).sum::<usize>() + 1
}

fn left_parts(app: &App, latest: &Snapshot) -> Vec<(Part, Span)> {
    let target = &latest.target;
    let mut parts = vec![(Part::Program, span(Role::Muted, "bufwatch "))];
    if !target.command.is_empty() {
        let command = sanitize(&target.command);
        parts.push((Part::Command, span(Role::Title, format!("{command} "))));
    }
    if target.pid != 0 {
        parts.push((Part::Pid, span(Role::Neutral, format!("pid {} ", target.pid))));
    }
    if let Some(version) = &target.node_version {
        let version = sanitize(version);
        let version = version.trim_start_matches('v');
        parts.push((Part::Version, span(Role::Neutral, format!("node {version} "))));
    }
    parts.push((Part::State, state(app, latest)));
    parts
}

fn state(app: &App, latest: &Snapshot) -> Span {
    let is_over = matches!(latest.target.state, TargetState::Exited { .. } | TargetState::Execed);
    if let Some(frozen) = &app.frozen {
        let news = if is_over { ", target is gone" } else { "" };
        return span(Role::Key, format!("‖ paused at {}{news}", frozen.elapsed));
    }
    let text = state_text(latest);
    match latest.target.state {
        _ if is_over => span(Role::Accused, format!("■ {text}")),
        _ if app.is_session_ended => {
            span(Role::Accused, format!("■ ended after {}", latest.elapsed))
        }
        TargetState::Attaching => span(Role::Unknown, format!("○ {text}")),
        _ => span(Role::Healthy, format!("● {text}")),
    }
}

/// Own cost, and what is wrong; the last is the more important.
fn right_parts(snapshot: &Snapshot) -> [Line; 2] {
    let health = &snapshot.health;
    let cost = health
        .cpu_share
        .map(|share| vec![span(Role::Muted, format!("own cpu {}  ", percent(share)))])
        .unwrap_or_default();
    let lost = if health.n_lost > 0 {
        span(Role::Accused, format!("▲ lost {} ", count(health.n_lost)))
    } else {
        span(Role::Healthy, "lost 0 ")
    };
    let mut trust = vec![lost];
    if !health.limits.is_empty() {
        trust.insert(0, span(Role::Accused, format!("▲ limits {}  ", health.limits.len())));
    }
    [cost, trust]
}
