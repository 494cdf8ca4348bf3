//! One parent in full: what it is, which of its bytes views show, who holds them, and where it was allocated. Builds a page; the frame
//! draws it.

use crate::analysis::describe::site_text;
use crate::analysis::snapshot::{Snapshot, StoreDetail, TracedStore};
use crate::base::text::{count, pad, pad_left};
use crate::base::{Avma, Bytes, sanitize};
use crate::event::census::Parent;
use crate::tui::app::{App, Detail};
use crate::tui::census::order::unviewed;
use crate::tui::census::rows::Rows;
use crate::tui::census::text::{self as words, kind, share};
use crate::tui::screen::census::{bytes, holder};
use crate::tui::screen::stack;
use crate::tui::text::{Line, Page, Role, fact, heading, span};

/// Views on the page: nobody reads more, and the page is built for each key.
const VIEWS_LISTED: usize = 200;

/// Holders told with their whole path.
const HOLDERS_LISTED: usize = 8;

pub fn page(address: Avma, app: &App, snapshot: &Snapshot, n_columns: usize) -> Page {
    let found = app.census.rows(&snapshot.census).and_then(|rows| {
        let index = rows.find_parent(address)?;
        Some((rows, rows.parent(index)?, index))
    });
    let Some((rows, parent, index)) = found else {
        return vec![
            heading("Parent", n_columns),
            vec![span(Role::Unknown, "  it is not alive in the newest census")],
        ];
    };
    let traced = rows.joined.traced(index as usize);
    let title = match traced {
        Some(traced) => format!("Parent #{}", traced.number),
        None => format!("Parent at {address}"),
    };
    let mut page = vec![heading(&title, n_columns)];
    page.extend(facts(parent, traced, rows.is_new(index), rows, n_columns));
    page.extend(now(traced, snapshot, n_columns));
    page.push(Line::new());
    page.extend(bytes::lines(parent, n_columns));
    page.push(Line::new());
    let is_open = app.detail == Some(Detail::Parent(address));
    page.extend(holders(parent, is_open, n_columns));
    page.push(Line::new());
    page.extend(views(parent, n_columns));
    page.push(Line::new());
    match traced.and_then(|traced| traced.site.as_ref()) {
        Some(site) => {
            let is_marked = |n| [site.user_frame, site.app_frame].contains(&Some(n));
            page.extend(stack::lines(&site.frames, false, is_marked, n_columns));
        }
        None => {
            page.push(heading("Stack", n_columns));
            let text = if snapshot.target.backend.sees().stacks {
                "  not known: it is older than the attach, or smaller than what is traced"
            } else {
                "  not known: this backend sees no stacks"
            };
            page.push(vec![span(Role::Unknown, text)]);
        }
    }
    page
}

fn facts(
    parent: &Parent,
    traced: Option<&TracedStore>,
    is_new: bool,
    rows: &Rows,
    n_columns: usize,
) -> Page {
    let mut page = Page::new();
    let mut say = |label: &str, value: &str, role| {
        page.extend(fact(label, value, role, n_columns));
    };
    let size = format!("{} ({} bytes)", parent.size, count(parent.size.0));
    say("size", &size, Role::Title);
    let viewed = format!(
        "{} ({}) by {} of {}{}",
        parent.covered,
        share(parent.covered, parent.size),
        words::views(parent.n_views),
        parent.views_bytes,
        if parent.n_views > 1 { " together" } else { "" }
    );
    say("of it viewed", &viewed, Role::Neutral);
    let role = if unviewed(parent) > Bytes(0) { Role::Accused } else { Role::Neutral };
    say("unviewed", &unviewed(parent).to_string(), role);
    let overlap = match (parent.has_aliases, parent.has_overlaps) {
        (true, _) => ", views of different types over the same bytes",
        (false, true) => ", views over the same bytes",
        _ => "",
    };
    say("kind", &format!("{}{overlap}", kind(parent)), Role::Neutral);
    if let Some(retained) = parent.retained {
        let by = if parent.n_views > 0 { "its views" } else { "its array buffer" };
        say("retained", &words::retained(retained, by), Role::Neutral);
    }
    if let Some(text) = in_ram(parent) {
        say("in RAM then", &text, Role::Neutral);
    }
    if parent.is_held_itself {
        let text = "held itself, not only through views: its holder can reach all bytes";
        say("array buffer", text, Role::Neutral);
    }
    if let Some(traced) = traced {
        let age = match traced.n_major_survived {
            Some(n) => format!("{}, survived {}", traced.age, words::major_gcs(n)),
            None => format!("at least {}", traced.age),
        };
        say("age", &age, Role::Neutral);
        if let Some(site) = &traced.site {
            let site = sanitize(&site_text(&site.label, site.via.as_deref()));
            say("allocated at", &site, Role::Title);
        }
    }
    if let Some(comparison) = &rows.comparison {
        let text = if is_new { "new" } else { "was there" };
        let text = format!("{text} ({} ago)", comparison.between);
        say("since the last", &text, Role::Neutral);
    }
    if parent.isolates.len() > 1 {
        say("shared by", &format!("{} isolates", parent.isolates.len()), Role::Neutral);
    }
    say("data at", &parent.address.to_string(), Role::Neutral);
    page
}

/// `30.0 MiB, 2.00 MiB swapped out, 10.0 MiB never touched`
fn in_ram(parent: &Parent) -> Option<String> {
    let pages = parent.pages?;
    let parts = [
        (pages.swapped, "swapped out"),
        (pages.zero, "only read"),
        (parent.untouched()?, "never touched"),
    ];
    let parts = parts.into_iter().filter(|(bytes, _)| *bytes > Bytes(0));
    let parts: String =
        parts.map(|(bytes, what)| [", ", &bytes.to_string(), " ", what].concat()).collect();
    Some(format!("{}{parts}", pages.resident))
}

/// What tracing knows of it by now, after the census; comes with the snapshot after it was asked for.
fn now(traced: Option<&TracedStore>, snapshot: &Snapshot, n_columns: usize) -> Page {
    let has_key = |detail: &&StoreDetail| Some(detail.row.key) == traced.map(|traced| traced.key);
    let Some(detail) = snapshot.detail.as_ref().filter(has_key) else { return Page::new() };
    let mut page = Page::new();
    if !detail.is_live {
        page.extend(fact("state", "freed since the census", Role::Accused, n_columns));
    }
    if let Some(residency) = detail.row.residency {
        let text = format!("{}, looked {} ago", residency.pages.resident, residency.scanned);
        page.extend(fact("in RAM", &text, Role::Neutral, n_columns));
    }
    page
}

fn holders(parent: &Parent, is_open: bool, n_columns: usize) -> Page {
    let is_known = !parent.holders.is_empty();
    let mut page = vec![holder::path_heading(is_open && is_known, n_columns)];
    if !is_known {
        page.push(vec![span(Role::Unknown, "  not told by this census")]);
    }
    for it in parent.holders.iter().take(HOLDERS_LISTED) {
        page.extend(holder::path(&it.path, n_columns));
        if it.n_views > 1 {
            let text = format!("  {}", words::views(it.n_views));
            page.push(vec![span(Role::Muted, text)]);
        }
    }
    let n_more = parent.holders.len().saturating_sub(HOLDERS_LISTED);
    if n_more > 0 {
        page.push(vec![span(Role::Muted, format!("  and {} more", count(n_more as u64)))]);
    }
    page
}

fn views(parent: &Parent, n_columns: usize) -> Page {
    let mut page =
        vec![heading(&format!("{}, by offset", words::views(parent.n_views)), n_columns)];
    if parent.n_views == 0 {
        page.push(vec![span(Role::Unknown, "  only the array buffer itself is alive")]);
    }
    let name_columns = n_columns.saturating_sub(2 + 16 + 18 + 2).clamp(8, 40);
    for view in parent.views.iter().take(VIEWS_LISTED) {
        page.push(vec![
            span(Role::Neutral, format!("  {}", pad(&view.type_name, name_columns))),
            span(Role::Neutral, pad_left(&format!("at {}", count(view.offset)), 16)),
            span(Role::Title, pad_left(&count(view.length.0), 14)),
            span(Role::Muted, " bytes"),
        ]);
    }
    let n_listed = parent.views.len().min(VIEWS_LISTED) as u64;
    if parent.n_views > n_listed {
        let text = format!("  and {} more", count(parent.n_views - n_listed));
        page.push(vec![span(Role::Muted, text)]);
    }
    page
}
