//! How the dashboard answers to what happens: the only place that changes [`App`]. Pure; what it cannot do
//! itself it returns as a command.

mod census;
mod filter;
mod memory;
mod replay;
mod tree;

use std::sync::Arc;

use crate::analysis::query::StoreFilter;
use crate::analysis::snapshot::Snapshot;
use crate::tui::app::{App, Detail, Screen};
use crate::tui::command::Command;
use crate::tui::findings::{self, FindingKey, finding_row};
use crate::tui::keymap::{self, Action, Key};
use crate::tui::layout::{self, Hit};
use crate::tui::message::Message;
use crate::tui::text::{group_row, plain, store_row};
use crate::tui::view;

pub fn update(app: &mut App, message: Message, latest: &Arc<Snapshot>) -> Option<Command> {
    match message {
        Message::KeyPressed(key) => {
            app.answer = None;
            press(app, key, latest)
        }
        Message::Clicked { column, row } => click(app, column, row, latest),
        Message::Scrolled(delta) => {
            move_by(app, delta, latest);
            None
        }
        Message::Resized { width, height } => {
            app.resize(width, height);
            settle(app, latest);
            None
        }
        Message::SnapshotArrived => {
            census::hear(app, latest);
            settle(app, latest);
            None
        }
        Message::MarksArrived(marks) => {
            replay::marked(app, marks);
            None
        }
        Message::Ticked(passed) => replay::play(app, passed),
        Message::SessionEnded => {
            app.is_session_ended = true;
            None
        }
    }
}

fn press(app: &mut App, key: Key, latest: &Arc<Snapshot>) -> Option<Command> {
    if replay::is_typing(app) && key != Key::Ctrl('c') {
        return replay::type_time(app, key);
    }
    if app.filter_input.is_some() && key != Key::Ctrl('c') {
        return filter::type_key(app, key, latest);
    }
    if app.tree.search.before.is_some() && key != Key::Ctrl('c') {
        tree::type_search(app, key);
        return None;
    }
    act(app, keymap::find_action(key, app.context(), app.mode())?, latest)
}

fn act(app: &mut App, action: Action, latest: &Arc<Snapshot>) -> Option<Command> {
    match action {
        Action::Show(screen) => return show(app, screen, latest),
        Action::NextScreen => return show(app, neighbour(app.screen, 1), latest),
        Action::PreviousScreen => {
            return show(app, neighbour(app.screen, Screen::ALL.len() - 1), latest);
        }
        Action::Up => move_by(app, -1, latest),
        Action::Down => move_by(app, 1, latest),
        Action::PageUp => move_by(app, -page_step(app, latest), latest),
        Action::PageDown => move_by(app, page_step(app, latest), latest),
        Action::First => move_by(app, isize::MIN, latest),
        Action::Last => move_by(app, isize::MAX, latest),
        Action::NextStack => select_stack(app, 1, latest),
        Action::PreviousStack => select_stack(app, -1, latest),
        Action::NextParent => app.census.move_held(1),
        Action::PreviousParent => app.census.move_held(-1),
        Action::SwitchListing if app.screen == Screen::Memory => memory::switch(app, latest),
        Action::SwitchListing => census::switch(app),
        Action::Open if app.detail.is_some() => return census::follow(app, latest),
        Action::Open => return open(app, latest),
        Action::Close => return close(app, latest),
        Action::Sort | Action::Reverse => return sort(app, action, latest),
        Action::Filter => return filter::start(app, latest),
        Action::TakeCensus => return census::take(app, latest),
        Action::Toggle
        | Action::Expand
        | Action::Collapse
        | Action::ExpandAll
        | Action::CollapseAll
        | Action::Invert
        | Action::NextMeasure
        | Action::NextLevel
        | Action::Search
        | Action::NextMatch
        | Action::PreviousMatch => tree::act(app, action, latest),
        Action::Pause => {
            app.frozen = if app.is_paused() { None } else { Some(Arc::clone(latest)) };
            settle(app, latest);
        }
        Action::Copy => copy(app, latest),
        Action::Time(action) => return replay::act(app, action),
        Action::Help => {
            app.is_help_open = !app.is_help_open;
            app.page_offset = 0;
        }
        Action::Quit => return Some(Command::Quit),
    }
    None
}

fn neighbour(screen: Screen, distance: usize) -> Screen {
    let all = Screen::ALL;
    let at = all.iter().position(|s| *s == screen).unwrap_or(0);
    all.get((at + distance) % all.len()).copied().unwrap_or_default()
}

fn show(app: &mut App, screen: Screen, latest: &Arc<Snapshot>) -> Option<Command> {
    app.screen = screen;
    app.is_help_open = false;
    app.page_offset = 0;
    app.tree.search.before = None;
    app.trail.clear();
    show_detail(app, None, latest)
}

fn open(app: &mut App, latest: &Arc<Snapshot>) -> Option<Command> {
    let snapshot = app.shown(latest);
    let detail = match app.screen {
        Screen::Overview => {
            snapshot.groups.get(app.top_sites.selected).map(|row| Detail::Site(row.id))
        }
        Screen::Sites => {
            view::sites(app, snapshot).get(app.sites.selected).map(|row| Detail::Site(row.id))
        }
        Screen::Stores => {
            view::stores(app, snapshot).get(app.stores.selected).map(|row| Detail::Store(row.key))
        }
        Screen::Census => census::selected(app),
        Screen::Findings => snapshot
            .findings
            .get(app.findings.selected)
            .map(|finding| Detail::Finding(FindingKey::of(finding))),
        Screen::Memory => memory::selected(app, snapshot),
        Screen::Tree | Screen::Health => None,
    }?;
    app.trail.clear();
    show_detail(app, Some(detail), latest)
}

/// The session looks after the store whose page is open, and only after that.
fn show_detail(app: &mut App, detail: Option<Detail>, latest: &Arc<Snapshot>) -> Option<Command> {
    app.detail = detail;
    app.page_offset = 0;
    app.site_stack = None;
    settle(app, latest);
    let store = census::store_of(app, latest);
    if store == app.asked_store {
        return None;
    }
    app.asked_store = store;
    Some(Command::SetDetail(store))
}

/// Another stack of the site that is open.
fn select_stack(app: &mut App, delta: isize, latest: &Arc<Snapshot>) {
    let Some(Detail::Site(id)) = app.detail else { return };
    let stacks: Vec<_> =
        view::stacks_of(id, app.shown(latest)).iter().map(|row| row.stack).collect();
    let at = app.site_stack.and_then(|stack| stacks.iter().position(|s| *s == stack)).unwrap_or(0);
    let wanted = at.saturating_add_signed(delta).min(stacks.len().saturating_sub(1));
    app.site_stack = stacks.get(wanted).copied();
    settle(app, latest);
}

fn close(app: &mut App, latest: &Arc<Snapshot>) -> Option<Command> {
    app.page_offset = 0;
    if app.is_help_open {
        app.is_help_open = false;
        return None;
    }
    if let Some((detail, offset)) = app.trail.pop() {
        let command = show_detail(app, Some(detail), latest);
        app.page_offset = offset;
        settle(app, latest);
        return command;
    }
    if app.detail.is_some() {
        return show_detail(app, None, latest);
    }
    if app.screen == Screen::Tree {
        tree::end_search(app);
        return None;
    }
    if filter::current(app).conditions.is_empty() {
        return None;
    }
    filter::apply(app, StoreFilter::default(), latest)
}

fn query_changed(app: &mut App, latest: &Arc<Snapshot>) -> Command {
    app.stores.key = None;
    settle(app, latest);
    Command::SetStoreQuery(app.query.clone())
}

fn sort(app: &mut App, action: Action, latest: &Arc<Snapshot>) -> Option<Command> {
    let is_reversal = action == Action::Reverse;
    if app.screen == Screen::Census {
        census::sort(app, is_reversal);
        return None;
    }
    if app.screen == Screen::Stores {
        if is_reversal {
            app.query.is_ascending = !app.query.is_ascending;
        } else {
            app.query.sort = app.query.sort.next();
            app.query.is_ascending = false;
        }
        return Some(query_changed(app, latest));
    }
    if is_reversal {
        app.is_site_order_ascending = !app.is_site_order_ascending;
    } else {
        app.site_sort = app.site_sort.next();
        app.is_site_order_ascending = false;
    }
    app.sites.key = None;
    settle(app, latest);
    None
}

fn click(app: &mut App, column: u16, row: u16, latest: &Arc<Snapshot>) -> Option<Command> {
    if row >= app.size.1 && app.replay.is_some() {
        return replay::click(app, column);
    }
    let has_page = view::page(app, latest, layout::page_width(app.size)).is_some();
    match layout::hit(app.size, app.screen, has_page, column, row)? {
        Hit::Tab(screen) => {
            app.filter_input = None;
            app.tree.search.before = None;
            show(app, screen, latest)
        }
        Hit::Findings => show(app, Screen::Findings, latest),
        Hit::Row(n) => {
            let list = selection(app);
            let row = list.1 + n;
            if row == list.0 && app.screen == Screen::Tree {
                return act(app, Action::Toggle, latest);
            }
            if row == list.0 {
                return open(app, latest);
            }
            move_by(app, row as isize - list.0 as isize, latest);
            None
        }
    }
}

/// Selected row and first row on screen of the current list.
fn selection(app: &App) -> (usize, usize) {
    match app.screen {
        Screen::Overview => (app.top_sites.selected, app.top_sites.offset),
        Screen::Sites => (app.sites.selected, app.sites.offset),
        Screen::Tree => (app.tree.list.selected, app.tree.list.offset),
        Screen::Stores => (app.stores.selected, app.stores.offset),
        Screen::Census => app.census.selection(),
        Screen::Findings => (app.findings.selected, app.findings.offset),
        Screen::Memory => app.memory.selection(),
        Screen::Health => (0, 0),
    }
}

/// A page less one row, which stays as a landmark.
fn page_step(app: &App, latest: &Snapshot) -> isize {
    let has_page = view::page(app, latest, layout::page_width(app.size)).is_some();
    let n = if has_page {
        layout::n_page_lines(app.size)
    } else {
        layout::n_visible(app.size, app.screen)
    };
    (n as isize - 1).max(1)
}

fn move_by(app: &mut App, delta: isize, latest: &Arc<Snapshot>) {
    if let Some(page) = view::page(app, latest, layout::page_width(app.size)) {
        let offset_max = page.len().saturating_sub(layout::n_page_lines(app.size));
        app.page_offset = app.page_offset.saturating_add_signed(delta).min(offset_max);
        return;
    }
    let n_visible = layout::n_visible(app.size, app.screen);
    let snapshot = app.shown(latest);
    match app.screen {
        Screen::Tree => app.tree.move_by(delta, n_visible),
        Screen::Overview => {
            let keys: Vec<_> = snapshot.groups.iter().map(|row| row.id).collect();
            app.top_sites.move_by(delta, &keys, n_visible);
        }
        Screen::Sites => {
            let keys = view::site_keys(&view::sites(app, snapshot));
            app.sites.move_by(delta, &keys, n_visible);
        }
        Screen::Stores => {
            let keys = view::store_keys(&view::stores(app, snapshot));
            app.stores.move_by(delta, &keys, n_visible);
        }
        Screen::Census => {
            app.census.move_by(delta, n_visible);
            census::hold(app);
        }
        Screen::Findings => {
            let keys = findings::keys(&snapshot.findings);
            app.findings.move_by(delta, &keys, n_visible);
        }
        Screen::Memory => memory::move_by(app, delta, latest, n_visible),
        Screen::Health => {}
    }
}

/// Fits selection and scrolling to rows or a size that changed.
fn settle(app: &mut App, latest: &Arc<Snapshot>) {
    census::settle(app, latest);
    memory::settle(app, latest);
    move_by_page_only(app, latest);
    let snapshot = app.shown(latest);
    let finding_keys = findings::keys(&snapshot.findings);
    let top_keys: Vec<_> = snapshot.groups.iter().map(|row| row.id).collect();
    let site_keys = view::site_keys(&view::sites(app, snapshot));
    let store_keys = view::store_keys(&view::stores(app, snapshot));
    let n_visible = |screen| layout::n_visible(app.size, screen);
    let (n_top, n_sites, n_stores, n_findings) = (
        n_visible(Screen::Overview),
        n_visible(Screen::Sites),
        n_visible(Screen::Stores),
        n_visible(Screen::Findings),
    );
    app.top_sites.settle(&top_keys, n_top);
    app.sites.settle(&site_keys, n_sites);
    app.stores.settle(&store_keys, n_stores);
    app.findings.settle(&finding_keys, n_findings);
    if app.screen == Screen::Tree {
        tree::rebuild(app, latest);
    }
}

fn move_by_page_only(app: &mut App, latest: &Arc<Snapshot>) {
    if view::page(app, latest, layout::page_width(app.size)).is_some() {
        move_by(app, 0, latest);
    }
}

fn copy(app: &mut App, latest: &Arc<Snapshot>) {
    let snapshot = app.shown(latest);
    let text = if let Some(page) = view::page(app, latest, layout::page_width(app.size)) {
        Some(plain(&page))
    } else {
        match app.screen {
            Screen::Overview => snapshot.groups.get(app.top_sites.selected).map(group_row),
            Screen::Sites => {
                view::sites(app, snapshot).get(app.sites.selected).map(|row| group_row(row))
            }
            Screen::Stores => {
                view::stores(app, snapshot).get(app.stores.selected).map(|row| store_row(row))
            }
            Screen::Tree => tree::copied_row(app),
            Screen::Census => census::copied_row(app, snapshot),
            Screen::Findings => snapshot.findings.get(app.findings.selected).map(finding_row),
            Screen::Memory => memory::copied_row(app, snapshot),
            Screen::Health => None,
        }
    };
    app.answer = Some(if text.is_some() { "copied" } else { "nothing to copy" }.to_owned());
    app.copied = text;
}
