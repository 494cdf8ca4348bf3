//! The first line: which target, in which state, and how far the numbers can be trusted.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::describe::state_text;
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::text::{UNKNOWN, count, fit, percent, width};
use crate::base::{WallTime, sanitize};
use crate::tui::app::App;
use crate::tui::screen::findings;
use crate::tui::text::{Line, Role, Span, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page::draw_line;

/// The least of a command line that still names it.
const COMMAND_COLUMNS_MIN: usize = 12;

/// With less of it, details of the state give way.
const COMMAND_COLUMNS_GOOD: usize = 24;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, latest: &Snapshot, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let room = usize::from(area.width);
    let right = right_parts(app.shown(latest));
    let mut left = left_parts(app, latest);
    let mut right_line: Line = right.iter().flatten().cloned().collect();
    let line_width = |line: &Line| line.iter().map(|s| width(&s.text)).sum::<usize>();
    // In this order: the name of bufwatch itself, its cost, Node's version, the pid.
    let drop = |part, left: &mut Vec<(Part, Span)>| left.retain(|(p, _)| *p != part);
    if total(&left, &right_line) > room {
        drop(Part::Program, &mut left);
    }
    if total(&left, &right_line) > room {
        right_line = right.iter().skip(1).flatten().cloned().collect();
    }
    for droppable in [Part::Version, Part::Pid] {
        if total(&left, &right_line) > room {
            drop(droppable, &mut left);
        }
    }
    // What was lost comes before what it was lost of.
    for n_left_out in 2..right.len() {
        if total_at_least(&left, &right_line, COMMAND_COLUMNS_MIN) > room {
            right_line = right.iter().skip(n_left_out).flatten().cloned().collect();
        }
    }
    if total_at_least(&left, &right_line, COMMAND_COLUMNS_GOOD) > room
        && let Some((_, state)) = left.iter_mut().find(|(part, _)| *part == Part::State)
    {
        state.text = short_state(app, latest);
    }
    let excess = total(&left, &right_line).saturating_sub(room);
    if let Some((_, command)) = left.iter_mut().find(|(part, _)| *part == Part::Command) {
        let n_columns = width(&command.text).saturating_sub(excess).max(COMMAND_COLUMNS_MIN);
        command.text = fit(&command.text, n_columns);
    }
    if total(&left, &right_line) > room {
        drop(Part::Command, &mut left);
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

/// With a command of so many columns at least.
fn total_at_least(left: &[(Part, Span)], right: &Line, n_command: usize) -> usize {
    let command = left.iter().find(|(part, _)| *part == Part::Command);
    let n_spare = command.map_or(0, |(_, s)| width(&s.text).saturating_sub(n_command));
    total(left, right).saturating_sub(n_spare)
}

fn left_parts(app: &App, latest: &Snapshot) -> Vec<(Part, Span)> {
    let target = &latest.target;
    let mut parts = vec![(Part::Program, span(Role::Muted, "bufwatch "))];
    if !target.command.is_empty() {
        let command = sanitize(&target.command);
        parts.push((Part::Command, span(Role::Title, format!("{command} "))));
    }
    if target.pid != 0 {
        let inside = target.inner_pid.map(|pid| format!("({pid} inside) ")).unwrap_or_default();
        parts.push((Part::Pid, span(Role::Neutral, format!("pid {} {inside}", target.pid))));
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
    if let Some(replay) = &app.replay {
        let sign = if replay.is_playing { "▶" } else { "‖" };
        let moment = replay.wall(latest.elapsed);
        let moment = moment.map_or_else(|| latest.elapsed.to_string(), |it| it.to_string());
        let news = if is_over { format!(", {}", state_text(latest)) } else { String::new() };
        return span(Role::Key, format!("{sign} REPLAY {moment}{news}"));
    }
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

fn short_state(app: &App, latest: &Snapshot) -> String {
    if let Some(replay) = &app.replay {
        let wall = replay.wall(latest.elapsed);
        return format!(
            "REPLAY {}",
            wall.map_or_else(|| latest.elapsed.to_string(), WallTime::clock)
        );
    }
    let text = match latest.target.state {
        _ if app.is_paused() => "‖ paused",
        TargetState::Exited { .. } => "■ exited",
        TargetState::Execed => "■ other program",
        _ if app.is_session_ended => "■ ended",
        TargetState::Attaching => "○ attaching",
        TargetState::Live => "● live",
    };
    text.to_owned()
}

/// Own cost, findings, limits, losses; the last is the most important.
fn right_parts(snapshot: &Snapshot) -> [Line; 4] {
    let health = &snapshot.health;
    let cost = health
        .cpu_share
        .map(|share| vec![span(Role::Muted, format!("own cpu {}  ", percent(share)))])
        .unwrap_or_default();
    let lost = if snapshot.target.state == TargetState::Attaching {
        span(Role::Unknown, format!("lost {UNKNOWN} "))
    } else if !snapshot.target.backend.sees().every_store {
        span(Role::Unknown, "sampled ")
    } else if let Some(share) = health.coverage {
        span(Role::Unknown, format!("sampled, {} of the time ", percent(share)))
    } else if health.n_lost > 0 {
        span(Role::Accused, format!("▲ lost {} ", count(health.n_lost)))
    } else {
        span(Role::Healthy, "lost 0 ")
    };
    let n_limits = health.limits.len();
    let limits = span(Role::Accused, format!("▲ limits {n_limits}  "));
    let findings: Line = findings::header_part(snapshot).into_iter().collect();
    [cost, findings, if n_limits > 0 { vec![limits] } else { Line::new() }, vec![lost]]
}
