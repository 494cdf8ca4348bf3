//! "What is wrong?": the list of findings, and the few lines of them on the overview.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::finding::Finding;
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::sanitize;
use crate::base::text::{count, fit, known, pad, pad_left, width};
use crate::tui::app::App;
use crate::tui::findings::{FindingKey, count_text, kind_text, mark};
use crate::tui::keymap::Mode;
use crate::tui::layout::{self, Align, Column, ListAreas};
use crate::tui::screen::census::intro::{failure_text, stop_text};
use crate::tui::screen::finding;
use crate::tui::text::{Line, Role, Span, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page;
use crate::tui::widget::table::Table;

/// Fewer lines of a finding say nothing.
const PREVIEW_HEIGHT_MIN: u16 = 6;

/// Columns of the kind: `NATIVE RETAINED`.
const KIND_COLUMNS: usize = 15;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::findings(area);
    let findings = &snapshot.findings;
    let looked = vec![span(Role::Muted, format!(" {}", looked(snapshot, app.mode())))];
    page::draw_line(buf, areas.top.x, areas.top.y, areas.top.right(), &looked, theme);
    let table = Table {
        columns: &COLUMNS,
        sorted: Some((1, false)),
        n_rows: findings.len(),
        offset: app.findings.offset,
        selected: app.findings.selected,
        empty: "no finding",
    };
    table.draw(buf, &areas, theme, |row, column, _| {
        findings.get(row).map_or_else(|| span(Role::Unknown, ""), |finding| cell(finding, column))
    });
    let preview =
        if areas.preview.is_empty() { below(&areas, findings.len()) } else { areas.preview };
    if !preview.is_empty()
        && let Some(finding) = findings.get(app.findings.selected)
    {
        let lines =
            finding::page(FindingKey::of(finding), false, snapshot, usize::from(preview.width));
        page::draw(buf, preview, &lines, 0, theme);
    }
}

/// What a short list leaves of its rows, if that is worth it.
fn below(areas: &ListAreas, n_rows: usize) -> Rect {
    let rows = areas.rows;
    let used = (n_rows as u16).saturating_add(1);
    if rows.height < used.saturating_add(PREVIEW_HEIGHT_MIN) {
        return Rect::default();
    }
    Rect { y: rows.y + used, height: rows.height - used, ..rows }
}

const COLUMNS: [Column; 6] = [
    column("Findings", Align::Left, 17, 17, 0),
    column("bytes", Align::Right, 8, 8, 1),
    column("parents", Align::Right, 8, 8, 3),
    column("sure", Align::Left, 6, 6, 4),
    column("oldest", Align::Right, 7, 7, 5),
    column("what", Align::Left, 46, 400, 0),
];

const fn column(
    title: &'static str,
    align: Align,
    width_min: u16,
    width_max: u16,
    rank: u8,
) -> Column {
    Column { title, align, width_min, width_max, rank }
}

fn cell(finding: &Finding, column: usize) -> Span {
    let (role, sign) = mark(finding.confidence);
    match column {
        0 => span(role, format!("{sign} {}", kind_text(finding))),
        1 => span(Role::Title, finding.bytes.to_string()),
        2 => span(Role::Neutral, count(finding.n_parents)),
        3 => span(Role::Neutral, finding.confidence.name()),
        4 => span(Role::Neutral, known(finding.age)),
        _ => span(Role::Neutral, sanitize(&finding.summary)),
    }
}

/// What the findings rest on: when somebody looked, or why nobody did.
fn looked(snapshot: &Snapshot, mode: Mode) -> String {
    let log = &snapshot.census;
    match (&log.last, snapshot.target.state == TargetState::Live) {
        _ if log.is_underway => "taking a census…".to_owned(),
        (Some(last), _) => {
            let ago = snapshot.taken_at.since(last.taken_at);
            let more = if mode == Mode::Live { "; c takes another" } else { "" };
            format!("the last census was {ago} ago{more}")
        }
        (None, _) if log.failure.is_some() => "the census failed, see 5 Census".to_owned(),
        (None, true) if mode == Mode::Live => {
            format!("no census yet: c takes one; it stops the process {}", stop_text(snapshot))
        }
        (None, _) => "no census was taken".to_owned(),
    }
}

/// The most important ones on the overview, below a rule.
pub fn draw_brief(buf: &mut Buffer, area: Rect, snapshot: &Snapshot, mode: Mode, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let room = usize::from(area.height.saturating_sub(1));
    let n_columns = usize::from(area.width);
    let lines = brief(snapshot, mode, room, n_columns);
    let n = snapshot.findings.len();
    let title = if n > room {
        format!("Findings, {room} of {n}, 6 shows all")
    } else {
        "Findings".to_owned()
    };
    page::draw_rule(buf, area, &title, theme);
    for (y, line) in (area.top() + 1..area.bottom()).zip(&lines) {
        page::draw_line(buf, area.x, y, area.right(), line, theme);
    }
}

fn brief(snapshot: &Snapshot, mode: Mode, n_lines: usize, n_columns: usize) -> Vec<Line> {
    let findings = &snapshot.findings;
    if findings.is_empty() {
        return nothing(snapshot, mode);
    }
    let mut lines: Vec<Line> = Vec::new();
    // With room to spare it is said what to do, of the most important ones.
    let n_spare = n_lines.saturating_sub(findings.len());
    for (n, finding) in findings.iter().take(n_lines).enumerate() {
        lines.push(brief_line(finding, n_columns));
        if n < n_spare {
            let text = fit(&sanitize(&finding.remedy.words), n_columns.saturating_sub(9));
            lines.push(vec![span(Role::Muted, "   fix: "), span(Role::Neutral, text)]);
        }
    }
    lines
}

/// `▲ PINNED PARENT   9.60 GiB  982 stores are kept alive by one 16-byte view each`.
fn brief_line(finding: &Finding, n_columns: usize) -> Line {
    let (role, sign) = mark(finding.confidence);
    let kind = pad(&kind_text(finding), KIND_COLUMNS);
    let bytes = pad_left(&finding.bytes.to_string(), 9);
    let used = 3 + width(&kind) + width(&bytes) + 2;
    vec![
        span(role, format!(" {sign} ")),
        span(role, kind),
        span(Role::Title, bytes),
        span(Role::Neutral, "  "),
        span(Role::Neutral, fit(&sanitize(&finding.summary), n_columns.saturating_sub(used + 1))),
    ]
}

fn nothing(snapshot: &Snapshot, mode: Mode) -> Vec<Line> {
    let log = &snapshot.census;
    if log.is_underway {
        return vec![vec![span(Role::Key, "   taking a census…")]];
    }
    let key = |before: &str, after: String| {
        vec![
            span(Role::Muted, format!("   {before}")),
            span(Role::Key, "c"),
            span(Role::Muted, after),
        ]
    };
    let mut lines = Vec::new();
    if let Some(failure) = &log.failure {
        lines.push(vec![span(Role::Accused, format!("   {}", failure_text(failure, snapshot)))]);
    }
    match (&log.last, &snapshot.target.state) {
        (Some(last), _) => {
            let ago = snapshot.taken_at.since(last.taken_at);
            let n = count(last.census.parents.len() as u64);
            lines.push(vec![
                span(Role::Healthy, "   no finding"),
                span(Role::Muted, format!(" in {n} array buffers, looked {ago} ago")),
            ]);
            if mode == Mode::Live {
                lines.push(key("press ", " to look again".to_owned()));
            }
        }
        (None, TargetState::Live) if mode == Mode::Live => {
            lines
                .push(key("press ", " to see who holds what and what is wrong with it".to_owned()));
            let text = format!("   it stops the process {}", stop_text(snapshot));
            lines.push(vec![span(Role::Muted, text)]);
        }
        (None, TargetState::Attaching) => {
            lines.push(vec![span(Role::Unknown, "   attaching…")]);
        }
        (None, _) => lines.push(vec![span(Role::Unknown, "   no census was taken")]),
    }
    lines
}

/// For the header: how many there are, and the sign of the surest.
pub fn header_part(snapshot: &Snapshot) -> Option<Span> {
    let surest = snapshot.findings.iter().map(|finding| finding.confidence).max()?;
    let (role, sign) = mark(surest);
    Some(span(role, format!("{sign} {}  ", count_text(snapshot.findings.len()))))
}
