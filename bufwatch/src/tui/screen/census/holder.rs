//! One holder in full: its whole path, what it keeps alive, and its parents. Builds a page; the frame draws it.

use crate::analysis::comparison::HolderChange;
use crate::analysis::snapshot::Snapshot;
use crate::base::text::{count, known, pad, pad_left, width, wrap};
use crate::event::census::HolderGroup;
use crate::tui::app::{App, Detail};
use crate::tui::census::Held;
use crate::tui::census::filter::kind_name;
use crate::tui::census::rows::{HolderKey, Rows};
use crate::tui::census::text::{self as words, change_words, share};
use crate::tui::path::fit_path;
use crate::tui::text::{Line, Page, Role, fact, fit_site, heading, span};

/// Parents listed at once; the list scrolls with the selected one.
const N_PARENTS_LISTED: usize = 10;

pub fn page(key: HolderKey, app: &App, snapshot: &Snapshot, n_columns: usize) -> Page {
    let found = app.census.rows(&snapshot.census).and_then(|rows| {
        let index = rows.find_holder(key)?;
        Some((rows, rows.holder(index)?, rows.change(index)))
    });
    let Some((rows, group, since)) = found else {
        return vec![
            heading("Holder", n_columns),
            vec![span(Role::Unknown, "  it holds nothing in the newest census")],
        ];
    };
    let title = fit_path(&group.path, n_columns.saturating_sub(4));
    let mut page = vec![heading(&title, n_columns)];
    page.extend(facts(group, rows, since, n_columns));
    page.push(Line::new());
    page.push(heading("Path, from the root on", n_columns));
    page.extend(path(&group.path, n_columns));
    page.push(Line::new());
    match app.census.held.as_ref().filter(|held| held.holder == key) {
        Some(held) => {
            let is_open = app.detail == Some(Detail::Holder(key));
            page.extend(parents(held, group, rows, is_open, n_columns));
        }
        None => page.push(heading("Its parents", n_columns)),
    }
    page
}

/// Above a path, on pages that lead to its holder.
pub fn path_heading(is_open: bool, n_columns: usize) -> Line {
    let keys = if is_open { "   enter opens the holder" } else { "" };
    heading(&format!("Held by, from the root on{keys}"), n_columns)
}

/// One step a line, each further in than the one that holds it.
pub fn path(steps: &[String], n_columns: usize) -> Page {
    // The steps must stay readable.
    let indent_max = n_columns / 3;
    let mut page = Page::new();
    for (n, step) in steps.iter().enumerate() {
        let indent = " ".repeat((2 + n * 2).min(indent_max));
        let arrow = if n == 0 { "" } else { "└ " };
        let room = n_columns.saturating_sub(indent.len() + 3).max(10);
        for (part, line) in wrap(step, room).into_iter().enumerate() {
            let arrow = if part == 0 { arrow } else { "  " };
            page.push(vec![
                span(Role::Muted, format!("{indent}{arrow}")),
                span(if n == 0 { Role::Title } else { Role::Neutral }, line),
            ]);
        }
    }
    page
}

fn facts(group: &HolderGroup, rows: &Rows, since: Option<HolderChange>, n_columns: usize) -> Page {
    let mut page = Page::new();
    let mut say = |label: &str, value: &str, role| {
        page.extend(fact(label, value, role, n_columns));
    };
    let of_all = share(group.bytes, rows.totals.bytes);
    let held = format!("{} in {}, {of_all} of all", group.bytes, words::parents(group.n_parents));
    say("keeps alive", &held, Role::Title);
    let viewed = format!(
        "{} ({}) by {}",
        group.covered,
        share(group.covered, group.bytes),
        words::views(group.n_views)
    );
    say("of it viewed", &viewed, Role::Neutral);
    let unviewed = group.bytes.saturating_sub(group.covered).to_string();
    say("unviewed", &unviewed, Role::Neutral);
    if let Some(retained) = group.retained {
        let by = group.holder.as_deref().unwrap_or("the last step");
        say("retained", &words::retained(retained, by), Role::Neutral);
    }
    if let Some(root) = words::root(group.root) {
        say("begins at", root, Role::Neutral);
    }
    if let (Some(since), Some(comparison)) = (since, &rows.comparison) {
        let text = change_words(since);
        let text = format!("{text} ({} ago)", comparison.between);
        say("since the last", &text, Role::Neutral);
    }
    page
}

fn parents(held: &Held, group: &HolderGroup, rows: &Rows, is_open: bool, n_columns: usize) -> Page {
    let n = held.parents.len();
    let keys = match n {
        _ if !is_open => "",
        0 => "",
        1 => "   enter opens",
        _ => "   n N selects, enter opens",
    };
    let title = format!("Its parents, the largest first{keys}");
    let mut page = vec![heading(&title, n_columns)];
    if n > 0 {
        let titles = format!(
            "  {}{}{}  {}{}  allocated at",
            pad_left("size", 9),
            pad_left("viewed", 8),
            pad_left("views", 8),
            pad("kind", 10),
            pad_left("age", 8)
        );
        page.push(vec![span(Role::Muted, titles)]);
    }
    let at = held.selected;
    let first = at.saturating_sub(N_PARENTS_LISTED - 1);
    for (n, index) in held.parents.iter().enumerate().skip(first).take(N_PARENTS_LISTED) {
        let Some(parent) = rows.parent(*index) else { continue };
        let traced = rows.joined.traced(*index as usize);
        let is_selected = is_open && n == at;
        let role = if is_selected { Role::Title } else { Role::Neutral };
        let numbers = format!(
            "{}{}{}  {}{}  ",
            pad_left(&parent.size.to_string(), 9),
            pad_left(&share(parent.covered, parent.size), 8),
            pad_left(&count(parent.n_views), 8),
            pad(kind_name(parent.kind), 10),
            pad_left(&known(traced.map(|traced| traced.age)), 8),
        );
        let room = n_columns.saturating_sub(2 + width(&numbers));
        let site = traced.and_then(|it| it.site.as_ref());
        let site = site.map(|it| fit_site(&it.label, it.via.as_deref(), room));
        page.push(vec![
            span(Role::Key, if is_selected { "▸ " } else { "  " }),
            span(role, numbers),
            span(role, known(site)),
        ]);
    }
    let n_below = n.saturating_sub(first + N_PARENTS_LISTED);
    if n_below > 0 || first > 0 {
        let before =
            if first > 0 { format!("{} before, ", count(first as u64)) } else { String::new() };
        let text = format!("  {before}{} more", count(n_below as u64));
        page.push(vec![span(Role::Muted, text)]);
    }
    if (n as u64) < group.n_parents {
        let n_left_out = count(group.n_parents - n as u64);
        let text = format!("  {n_left_out} more are known by their number only");
        page.push(vec![span(Role::Unknown, text)]);
    }
    page
}
