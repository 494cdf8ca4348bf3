//! "Through which calls does the memory come?": the call tree, from callers to allocations or back.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::analysis::tree::{Node, NodeKind, Tree, TreeRow};
use crate::base::text::{count, fit, pad_left, percent, width};
use crate::event::FrameKind;
use crate::tui::app::App;
use crate::tui::layout::{self, ListAreas};
use crate::tui::text::{Line, Page, Role, bar, fact, fit_site, heading, span, tree_value};
use crate::tui::theme::Theme;
use crate::tui::tree::TreeView;
use crate::tui::widget::page::{draw_line, draw_rule};
use crate::tui::widget::{page, table};

const VALUE_COLUMNS: usize = 10;
const SHARE_COLUMNS: usize = 6;
const BAR_COLUMNS: usize = 10;

/// From here on there is room for shares, and for bars.
const WIDTH_SHARES: u16 = 60;
const WIDTH_BARS: u16 = 100;

/// Indentation takes at most this part of the width: the names must stay readable.
const INDENT_PART: usize = 3;

pub fn draw(buf: &mut Buffer, area: Rect, app: &App, snapshot: &Snapshot, theme: Theme) {
    let areas = layout::tree(area);
    let view = &app.tree;
    draw_top(buf, areas.top, view, theme);
    draw_titles(buf, areas.titles, view, theme);
    if view.rows.is_empty() && !areas.rows.is_empty() {
        let text = match snapshot.target.state {
            TargetState::Attaching => "attaching…",
            _ if !snapshot.target.backend.sees().stacks => "not known: this backend sees no stacks",
            _ => "no store has been allocated since the attach",
        };
        let line = vec![span(Role::Unknown, text)];
        draw_line(buf, areas.rows.x + 1, areas.rows.y, areas.rows.right(), &line, theme);
    }
    draw_rows(buf, &areas, view, theme);
    let shown = view.selected().and_then(|row| view.tree.nodes.get(row.node));
    if let Some(node) = shown.filter(|_| !areas.preview.is_empty()) {
        let lines = preview(&view.tree, node, usize::from(areas.preview.width));
        page::draw(buf, areas.preview, &lines, 0, theme);
    }
}

/// The selected call in full, or the search; at the right what was found.
fn draw_top(buf: &mut Buffer, area: Rect, view: &TreeView, theme: Theme) {
    if area.is_empty() {
        return;
    }
    let mut line: Line = vec![span(Role::Key, " / ")];
    if view.search.before.is_some() {
        line.push(span(Role::Title, format!("{}▏", view.search.text)));
    } else if !view.search.text.is_empty() {
        line.push(span(Role::Title, view.search.text.as_str()));
    } else {
        // The rows have it in short.
        let selected = view.selected().and_then(|row| view.tree.nodes.get(row.node));
        line.push(span(Role::Muted, selected.map(Node::full).unwrap_or_default()));
    }
    let end = draw_line(buf, area.x, area.y, area.right(), &line, theme);
    let right = match_text(view);
    let start = area.right().saturating_sub(width(&right) as u16 + 1);
    if start > end {
        draw_line(buf, start, area.y, area.right(), &vec![span(Role::Muted, right)], theme);
    }
}

fn match_text(view: &TreeView) -> String {
    let search = &view.search;
    if !search.text.is_empty() {
        let n = search.found.len();
        return match view.match_number() {
            Some(at) => format!("match {} of {}", count(at as u64), count(n as u64)),
            None if n == 0 => "nothing found".to_owned(),
            None => format!("{} found", count(n as u64)),
        };
    }
    let tree = &view.tree;
    let missing = tree.measured(&tree.not_listed) as f64 / tree.measured(&tree.total).max(1) as f64;
    if tree.n_cut > 0 {
        format!("too large: {} stacks are not whole", count(tree.n_cut as u64))
    } else if missing >= 0.001 {
        format!("{} in stacks that are not listed", percent(missing))
    } else {
        String::new()
    }
}

fn draw_titles(buf: &mut Buffer, area: Rect, view: &TreeView, theme: Theme) {
    draw_rule(buf, area, "", theme);
    if area.is_empty() {
        return;
    }
    let value = format!("{}▼", view.shape.measure.name());
    let mut line = vec![span(Role::Title, format!(" {} ", pad_left(&value, VALUE_COLUMNS)))];
    if area.width >= WIDTH_SHARES {
        line.push(span(Role::Muted, format!("{} ", pad_left("share", SHARE_COLUMNS))));
    }
    if area.width >= WIDTH_BARS {
        line.push(span(Role::Muted, "─".repeat(BAR_COLUMNS + 1)));
    }
    line.push(span(Role::Title, " Calls "));
    let first = if view.shape.is_inverted { "allocations" } else { "callers" };
    line.push(span(Role::Muted, format!("· {first} first · {} ", view.shape.level.name())));
    draw_line(buf, area.x, area.y, area.right(), &line, theme);
}

fn draw_rows(buf: &mut Buffer, areas: &ListAreas, view: &TreeView, theme: Theme) {
    let area = areas.rows;
    // The last column is the scroll bar's.
    let right = area.right().saturating_sub(1);
    let rows = view.rows.iter().enumerate().skip(view.list.offset);
    for (y, (n, row)) in (area.top()..area.bottom()).zip(rows) {
        let Some(node) = view.tree.nodes.get(row.node) else { continue };
        let mut line = numbers(view, node, area.width);
        let used: usize = line.iter().map(|span| width(&span.text)).sum();
        let room = usize::from(right.saturating_sub(area.x)).saturating_sub(used);
        line.extend(name(view, node, row, room));
        draw_line(buf, area.x, y, right, &line, theme);
        if n == view.list.selected {
            buf.set_style(Rect::new(area.x, y, area.width, 1), theme.selected());
        }
    }
    table::draw_thumb(buf, area, view.list.offset, view.rows.len(), theme);
}

fn numbers(view: &TreeView, node: &Node, n_columns: u16) -> Line {
    let value = tree_value(view.shape.measure, &node.values);
    let share = view.tree.share(&node.values);
    let mut line = vec![span(Role::Title, format!(" {} ", pad_left(&value, VALUE_COLUMNS)))];
    if n_columns >= WIDTH_SHARES {
        line.push(span(Role::Neutral, format!("{} ", pad_left(&percent(share), SHARE_COLUMNS))));
    }
    if n_columns >= WIDTH_BARS {
        let bar = bar(share, BAR_COLUMNS);
        let blanks = " ".repeat(BAR_COLUMNS + 1 - width(&bar).min(BAR_COLUMNS));
        line.push(span(Role::Stores, format!("{bar}{blanks}")));
    }
    line
}

/// `▾ Ingest.handle server.js:118`, below it `↳ onChunk ingest.js:31` if that is all it called.
fn name(view: &TreeView, node: &Node, row: &TreeRow, n_columns: usize) -> Line {
    let indent = (row.indent * 2).min(n_columns / INDENT_PART);
    let only = if row.is_only_child { "↳" } else { " " };
    let state = match (node.children.is_empty(), row.is_open) {
        (true, _) => " ",
        (false, true) => "▾",
        (false, false) => "▸",
    };
    let recursive = if node.is_recursive { " (recursive)" } else { "" };
    let n_left = n_columns.saturating_sub(indent + 3 + width(recursive));
    let text = fit_site(&node.text(), None, n_left);
    let mut line = vec![span(Role::Muted, format!("{}{only}{state} ", " ".repeat(indent)))];
    line.extend(highlighted(&text, &view.search.text, role(node)));
    line.push(span(Role::Muted, recursive));
    line
}

fn role(node: &Node) -> Role {
    match node.kind {
        _ if !node.is_resolved() => Role::Unknown,
        NodeKind::Frame(FrameKind::Js) => Role::Title,
        NodeKind::Frame(FrameKind::Node) => Role::Neutral,
        NodeKind::Frame(FrameKind::Builtin | FrameKind::Native) | NodeKind::Cut => Role::Muted,
        NodeKind::Name => Role::ArrayBuffers,
    }
}

/// `text` with what was searched for made visible. Only where lower case has the same places: elsewhere the
/// row is among the matches all the same.
fn highlighted(text: &str, wanted: &str, role: Role) -> Line {
    let (lower, wanted) = (text.to_lowercase(), wanted.to_lowercase());
    let found = (!wanted.is_empty() && lower.len() == text.len()).then(|| lower.find(&wanted));
    let parts = found.flatten().and_then(|start| {
        let end = start + wanted.len();
        Some((text.get(..start)?, text.get(start..end)?, text.get(end..)?))
    });
    match parts {
        Some((before, middle, after)) => {
            vec![span(role, before), span(Role::Found, middle), span(role, after)]
        }
        None => vec![span(role, text)],
    }
}

/// The selected call in full.
fn preview(tree: &Tree, node: &Node, n_columns: usize) -> Page {
    let mut page = vec![heading(&fit(&node.text(), n_columns.saturating_sub(4)), n_columns)];
    let mut say = |label: &str, value: &str, role| page.extend(fact(label, value, role, n_columns));
    say("call", &node.full(), Role::Title);
    let of_all = format!("{} of all tracked", percent(tree.share(&node.values)));
    say("share", &of_all, Role::Neutral);
    if let Some(parent) = node.parent.and_then(|at| tree.nodes.get(at)) {
        let whole = tree.measured(&parent.values).max(1) as f64;
        let share = tree.measured(&node.values) as f64 / whole;
        say("of the row above", &percent(share), Role::Neutral);
    }
    for measure in crate::analysis::tree::Measure::ALL {
        say(measure.name(), &tree_value(measure, &node.values), Role::Neutral);
    }
    let own = tree_value(tree.shape.measure, &node.own);
    say("ends here", &own, Role::Neutral);
    if node.is_recursive {
        say("recursive", "its calls of itself are one row", Role::Neutral);
    }
    page
}
