//! How the dashboard answers to the keys of the census: whether one can be asked for, how its rows are moved through, and which page
//! leads to which.

use std::sync::Arc;

use crate::analysis::holder::group_of;
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::StoreKey;
use crate::tui::app::{App, Detail, Screen};
use crate::tui::census::rows::HolderKey;
use crate::tui::census::{Listing, text};
use crate::tui::command::Command;
use crate::tui::findings::FindingKey;
use crate::tui::layout;
use crate::tui::memory;
use crate::tui::update::show_detail;

/// Pages that lead to each other; further back is forgotten.
const TRAIL_MAX: usize = 16;

/// Asks for a census, unless one is being taken or nobody is left to ask.
pub(super) fn take(app: &mut App, latest: &Snapshot) -> Option<Command> {
    let obstacle = match latest.target.state {
        _ if app.is_session_ended => Some("the session has ended"),
        TargetState::Exited { .. } | TargetState::Execed => Some("the process is gone"),
        TargetState::Attaching => Some("not attached yet"),
        TargetState::Live if latest.census.is_underway => Some("one is being taken"),
        TargetState::Live => None,
    };
    if let Some(obstacle) = obstacle {
        app.answer = Some(obstacle.to_owned());
        return None;
    }
    let answer = if app.is_paused() { "census: p shows it" } else { "taking a census…" };
    app.answer = Some(answer.to_owned());
    app.awaited_census = Some(latest.census.n_taken);
    app.asked_at = latest.taken_at;
    Some(Command::TakeCensus)
}

/// Says what became of the census that was asked for, where the screen does not show it.
pub(super) fn hear(app: &mut App, latest: &Snapshot) {
    let Some(n_before) = app.awaited_census else { return };
    let log = &latest.census;
    let answer = match &log.failure {
        _ if log.is_underway => return,
        _ if log.n_taken > n_before => "census taken",
        Some(failure) if failure.at >= app.asked_at => "the census failed",
        _ => return,
    };
    app.awaited_census = None;
    let is_shown = matches!(app.screen, Screen::Census | Screen::Findings | Screen::Overview);
    app.answer = (!is_shown).then(|| format!("{answer}, see 5"));
}

pub(super) fn switch(app: &mut App) {
    app.census.listing = match app.census.listing {
        Listing::Holders => Listing::Parents,
        Listing::Parents => Listing::Holders,
    };
    hold(app);
}

pub(super) fn sort(app: &mut App, is_reversal: bool) {
    let view = &mut app.census;
    match (view.listing, is_reversal) {
        (Listing::Holders, true) => {
            view.holder_order.is_ascending = !view.holder_order.is_ascending;
        }
        (Listing::Holders, false) => {
            view.holder_order.sort = view.holder_order.sort.next();
            view.holder_order.is_ascending = false;
        }
        (Listing::Parents, true) => {
            view.parent_order.is_ascending = !view.parent_order.is_ascending;
        }
        (Listing::Parents, false) => {
            view.parent_order.sort = view.parent_order.sort.next();
            view.parent_order.is_ascending = false;
        }
    }
    arrange(app);
}

/// After a change of order or filter the top of the list is what one wants to see.
pub(super) fn arrange(app: &mut App) {
    app.census.holders.key = None;
    app.census.parents.key = None;
    app.census.arrange(layout::n_visible(app.size, Screen::Census));
    hold(app);
}

pub(super) fn settle(app: &mut App, latest: &Snapshot) {
    let log = app.shown(latest).census.clone();
    app.census.settle(&log, layout::n_visible(app.size, Screen::Census));
    hold(app);
}

/// The parents of the holder that is shown, if one is.
pub(super) fn hold(app: &mut App) {
    let is_beside = app.screen == Screen::Census && app.census.listing == Listing::Holders;
    let shown = match app.detail {
        Some(Detail::Holder(key)) => Some(key),
        // On the way back its selection is still known.
        Some(_) => return,
        None if is_beside && layout::has_preview(app.size) => app.census.selected_holder(),
        None => None,
    };
    app.census.hold(shown);
}

/// What enter opens in the list.
pub(super) fn selected(app: &App) -> Option<Detail> {
    match app.census.listing {
        Listing::Holders => app.census.selected_holder().map(Detail::Holder),
        Listing::Parents => app.census.selected_parent().map(Detail::Parent),
    }
}

/// From a page to the one that it is about.
pub(super) fn follow(app: &mut App, latest: &Arc<Snapshot>) -> Option<Command> {
    let from = app.detail?;
    let Some(to) = next_page(app, from, latest) else {
        let is_step = matches!(from, Detail::Step(_));
        let answer = if is_step { "no line is behind it" } else { "no holder is known" };
        app.answer = Some(answer.to_owned());
        return None;
    };
    // A page that led here is gone back to.
    if let Some(at) = app.trail.iter().position(|(detail, _)| *detail == to) {
        app.trail.truncate(at);
    } else {
        app.trail.push((from, app.page_offset));
        let n_over = app.trail.len().saturating_sub(TRAIL_MAX);
        app.trail.drain(..n_over);
    }
    show_detail(app, Some(to), latest)
}

/// The store whose page is open, if it was traced.
pub(super) fn store_of(app: &App, latest: &Snapshot) -> Option<StoreKey> {
    match app.detail? {
        Detail::Store(key) => Some(key),
        Detail::Parent(address) => {
            let rows = app.census.rows(&app.shown(latest).census)?;
            let index = rows.find_parent(address)?;
            rows.joined.traced(index as usize).map(|traced| traced.key)
        }
        Detail::Site(_) | Detail::Holder(_) | Detail::Finding(_) | Detail::Step(_) => None,
    }
}

fn next_page(app: &App, from: Detail, latest: &Snapshot) -> Option<Detail> {
    let snapshot = app.shown(latest);
    let holder_of = |path: &[String]| {
        let census = &snapshot.census.last.as_ref()?.census;
        let group = census.holders.get(group_of(census, path)?)?;
        Some(Detail::Holder(HolderKey::of(group)))
    };
    match from {
        Detail::Holder(_) => app.census.selected_held().map(Detail::Parent),
        Detail::Parent(address) => {
            let rows = app.census.rows(&snapshot.census)?;
            let parent = rows.parent(rows.find_parent(address)?)?;
            parent.holders.iter().find_map(|holder| holder_of(&holder.path))
        }
        Detail::Finding(key) => {
            let finding = snapshot.findings.iter().find(|it| FindingKey::of(it) == key)?;
            holder_of(&finding.holder)
        }
        Detail::Step(key) => memory::line_of(key, snapshot).map(Detail::Site),
        Detail::Site(_) | Detail::Store(_) => None,
    }
}

/// One line of text for the clipboard.
pub(super) fn copied_row(app: &App, snapshot: &Snapshot) -> Option<String> {
    let rows = app.census.rows(&snapshot.census)?;
    match app.census.listing {
        Listing::Holders => {
            let index = *rows.holders.get(app.census.holders.selected)?;
            rows.holder(index).map(text::holder_row)
        }
        Listing::Parents => {
            let index = *rows.parents.get(app.census.parents.selected)?;
            let traced = rows.joined.traced(index as usize);
            rows.parent(index).map(|parent| text::parent_row(parent, traced))
        }
    }
}
