//! How the dashboard answers to keys, mouse and news: state and commands, without drawing.

use std::sync::Arc;

use bufwatch::analysis::query::{Condition, StoreQuery, StoreSort};
use bufwatch::analysis::snapshot::{GroupId, Snapshot};
use bufwatch::base::Bytes;
use bufwatch::tui::app::{App, Detail, Screen};
use bufwatch::tui::command::Command;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::message::Message;
use bufwatch::tui::update::update;
use bufwatch::tui::view::{self, SiteSort};

use crate::fixture;

pub(crate) struct Session {
    pub(crate) app: App,
    pub(crate) latest: Arc<Snapshot>,
}

impl Session {
    pub(crate) fn new() -> Self {
        let mut session = Self { app: App::new(80, 24), latest: Arc::new(fixture::usual()) };
        session.send(Message::SnapshotArrived);
        session
    }

    pub(crate) fn send(&mut self, message: Message) -> Option<Command> {
        update(&mut self.app, message, &self.latest)
    }

    pub(crate) fn press(&mut self, key: Key) -> Option<Command> {
        self.send(Message::KeyPressed(key))
    }

    pub(crate) fn write(&mut self, text: &str) -> Vec<Command> {
        text.chars().filter_map(|c| self.press(Key::Char(c))).collect()
    }

    pub(crate) fn arrive(&mut self, snapshot: Snapshot) {
        self.latest = Arc::new(snapshot);
        self.send(Message::SnapshotArrived);
    }

    fn selected_site(&self) -> GroupId {
        self.latest.groups[self.app.top_sites.selected].id
    }
}

#[test]
fn keys_and_clicks_change_the_screen() {
    let mut session = Session::new();
    for (key, screen) in [
        (Key::Char('5'), Screen::Census),
        (Key::Tab, Screen::Findings),
        (Key::Tab, Screen::Memory),
        (Key::Tab, Screen::Health),
        (Key::Tab, Screen::Overview),
        (Key::BackTab, Screen::Health),
    ] {
        assert_eq!(session.press(key), None);
        assert_eq!(session.app.screen, screen);
    }
    session.send(Message::Clicked { column: 15, row: 23 });
    assert_eq!(session.app.screen, Screen::Sites);
}

#[test]
fn both_quit_keys_quit_everywhere() {
    for before in [None, Some(Key::Char('?')), Some(Key::Char('4')), Some(Key::Enter)] {
        for key in [Key::Char('q'), Key::Ctrl('c')] {
            let mut session = Session::new();
            if let Some(before) = before {
                session.press(before);
            }
            assert_eq!(session.press(key), Some(Command::Quit));
        }
    }
    let mut session = Session::new();
    session.press(Key::Char('/'));
    let typed = session.press(Key::Char('q'));
    assert!(matches!(typed, Some(Command::SetStoreQuery(_))), "typed into the filter: {typed:?}");
    assert_eq!(session.press(Key::Ctrl('c')), Some(Command::Quit));
}

#[test]
fn the_selection_stays_with_its_row() {
    let mut session = Session::new();
    session.press(Key::Down);
    session.press(Key::Down);
    let chosen = session.selected_site();
    let mut next = fixture::usual();
    let mut groups = next.groups.to_vec();
    groups.rotate_right(3);
    next.groups = groups.into();
    session.arrive(next);
    assert_eq!(session.app.top_sites.selected, 5);
    assert_eq!(session.selected_site(), chosen);

    session.press(Key::Char('g'));
    let mut next = fixture::usual();
    next.groups = next.groups[1..].into();
    session.arrive(next);
    assert_eq!(session.app.top_sites.selected, 0, "at the top it stays at the top");

    session.press(Key::End);
    let mut next = fixture::usual();
    next.groups = next.groups[..2].into();
    session.arrive(next);
    assert_eq!(session.app.top_sites.selected, 1, "clamped when the row is gone");
    session.arrive(Snapshot::blank());
    assert_eq!(session.app.top_sites.selected, 0);
}

#[test]
fn lists_scroll_by_keys_wheel_and_page() {
    let mut session = Session::new();
    session.press(Key::Char('4'));
    let n_rows = session.latest.table.rows.len();
    assert!(n_rows > 100);
    session.send(Message::Scrolled(3));
    assert_eq!(session.app.stores.selected, 3);
    session.press(Key::PageDown);
    assert_eq!(session.app.stores.selected, 22, "a page of 20 rows less the landmark");
    session.press(Key::Char('G'));
    assert_eq!(session.app.stores.selected, n_rows - 1);
    assert_eq!(session.app.stores.offset, n_rows - 20);
    session.press(Key::Home);
    assert_eq!((session.app.stores.selected, session.app.stores.offset), (0, 0));
    session.press(Key::Up);
    assert_eq!(session.app.stores.selected, 0);
    session.press(Key::End);
    session.send(Message::Resized { width: 200, height: 60 });
    assert_eq!(session.app.stores.offset, n_rows - 56);
}

#[test]
fn a_filter_asks_the_session_as_soon_as_it_can_be_read() {
    let mut session = Session::new();
    session.press(Key::Char('/'));
    assert_eq!(session.app.screen, Screen::Stores);
    assert!(session.write("size>").is_empty(), "not yet a filter");
    let commands = session.write("1mb");
    let Some(Command::SetStoreQuery(query)) = commands.last() else { panic!("{commands:?}") };
    assert_eq!(query.filter.conditions, [Condition::SizeAtLeast(Bytes(1 << 20))]);
    // Until the session answers, the rows at hand are filtered.
    let rows = view::stores(&session.app, &session.latest);
    assert!(!rows.is_empty() && rows.iter().all(|row| row.size >= Bytes(1 << 20)));

    assert!(session.write(" age>x").is_empty());
    let error = session.app.filter_input.as_ref().unwrap().error.clone().unwrap();
    assert!(error.contains("`age>x` is not a filter"), "{error}");
    session.press(Key::Enter);
    assert!(session.app.filter_input.is_some(), "a wrong filter is not accepted");
    session.press(Key::Ctrl('w'));
    session.press(Key::Enter);
    assert_eq!(session.app.filter_input, None);
    assert_eq!(session.app.query.filter.conditions.len(), 1);

    let Some(Command::SetStoreQuery(query)) = session.press(Key::Esc) else { panic!() };
    assert_eq!(query, StoreQuery::default());
    assert_eq!(session.press(Key::Esc), None);
}

#[test]
fn escape_while_typing_undoes_the_filter() {
    let mut session = Session::new();
    session.press(Key::Char('/'));
    session.write("gc>3");
    let Some(Command::SetStoreQuery(query)) = session.press(Key::Esc) else { panic!() };
    assert_eq!(query, StoreQuery::default());
    assert_eq!(session.app.filter_input, None);
}

#[test]
fn sorting_stores_asks_the_session_and_sorting_sites_does_not() {
    let mut session = Session::new();
    session.press(Key::Char('4'));
    session.press(Key::Char('s'));
    let Some(Command::SetStoreQuery(query)) = session.press(Key::Char('s')) else { panic!() };
    assert_eq!((query.sort, query.is_ascending), (StoreSort::Age, false));
    let Some(Command::SetStoreQuery(query)) = session.press(Key::Char('r')) else { panic!() };
    assert!(query.is_ascending);
    let ages: Vec<_> =
        view::stores(&session.app, &session.latest).iter().map(|row| row.age).collect();
    assert!(ages.is_sorted());

    session.press(Key::Char('2'));
    session.press(Key::Char('s'));
    assert_eq!(session.press(Key::Char('s')), None);
    assert_eq!(session.app.site_sort, SiteSort::Allocated);
    let created: Vec<_> = view::sites(&session.app, &session.latest)
        .iter()
        .map(|row| row.tally.created_bytes)
        .collect();
    assert!(created.is_sorted_by(|a, b| a >= b));
    session.press(Key::Char('r'));
    let created: Vec<_> = view::sites(&session.app, &session.latest)
        .iter()
        .map(|row| row.tally.created_bytes)
        .collect();
    assert!(created.is_sorted());
}

#[test]
fn the_detail_of_a_store_is_asked_for_and_given_up() {
    let mut session = Session::new();
    session.press(Key::Char('4'));
    session.press(Key::Down);
    let key = session.latest.table.rows[1].key;
    assert_eq!(session.press(Key::Enter), Some(Command::SetDetail(Some(key))));
    assert_eq!(session.app.detail, Some(Detail::Store(key)));
    assert_eq!(session.press(Key::Esc), Some(Command::SetDetail(None)));
    session.press(Key::Enter);
    assert_eq!(session.press(Key::Char('1')), Some(Command::SetDetail(None)));
    assert_eq!(session.app.detail, None);

    assert_eq!(session.press(Key::Enter), None, "a site needs nothing");
    assert!(matches!(session.app.detail, Some(Detail::Site(_))));
}

#[test]
fn a_second_click_on_a_row_opens_it() {
    let mut session = Session::new();
    session.press(Key::Char('4'));
    assert_eq!(session.send(Message::Clicked { column: 10, row: 7 }), None);
    assert_eq!(session.app.stores.selected, 4);
    let key = session.latest.table.rows[4].key;
    assert_eq!(
        session.send(Message::Clicked { column: 10, row: 7 }),
        Some(Command::SetDetail(Some(key)))
    );
}

#[test]
fn pause_keeps_what_is_shown() {
    let mut session = Session::new();
    session.press(Key::Char('p'));
    session.arrive(Snapshot::blank());
    assert_eq!(session.app.shown(&session.latest).groups.len(), 11);
    session.press(Key::Down);
    assert_eq!(session.app.top_sites.selected, 1);
    session.press(Key::Char('p'));
    assert!(session.app.shown(&session.latest).groups.is_empty());
    assert_eq!(session.app.top_sites.selected, 0);
}

#[test]
fn a_row_is_copied_as_text() {
    let mut session = Session::new();
    session.press(Key::Char('y'));
    let text = session.app.copied.take().unwrap();
    assert!(text.starts_with("onChunk ingest.js:31 via Buffer.concat: 9.3"), "{text}");
    assert_eq!(session.app.answer.as_deref(), Some("copied"));
    session.press(Key::Down);
    assert_eq!(session.app.answer, None);

    session.press(Key::Enter);
    session.press(Key::Char('y'));
    let text = session.app.copied.take().unwrap();
    assert!(text.contains("Stack, innermost first"), "{text}");
}

#[test]
fn pages_scroll_no_further_than_their_end() {
    let mut session = Session::new();
    session.press(Key::Enter);
    session.press(Key::End);
    let end = session.app.page_offset;
    assert!(end > 0);
    session.press(Key::PageDown);
    assert_eq!(session.app.page_offset, end);
    session.send(Message::Resized { width: 80, height: 200 });
    assert_eq!(session.app.page_offset, 0);
}

impl Session {
    fn tree_rows(&self) -> Vec<String> {
        let view = &self.app.tree;
        view.rows.iter().map(|row| view.tree.nodes[row.node].text()).collect()
    }

    fn selected_call(&self) -> String {
        self.tree_rows()[self.app.tree.list.selected].clone()
    }
}

#[test]
fn the_tree_opens_closes_and_is_entered_and_left() {
    let mut session = Session::new();
    session.press(Key::Char('3'));
    assert_eq!(session.app.screen, Screen::Tree);
    let first = session.tree_rows();
    assert!(first.contains(&"onChunk ingest.js:31".to_owned()), "the hottest path is open");
    session.press(Key::Left);
    assert_eq!(session.selected_call(), first[0]);
    let closed = session.tree_rows();
    assert!(closed.len() < first.len());
    // News do not open it again.
    session.arrive(fixture::usual());
    assert_eq!(session.tree_rows(), closed);

    session.press(Key::Right);
    assert_eq!(session.tree_rows(), first, "a chain opens down to where it branches");
    session.press(Key::Right);
    assert_eq!(session.app.tree.list.selected, 1);
    // Closed, left, and closed as well.
    for _ in 0..3 {
        session.press(Key::Char('h'));
    }
    assert_eq!(session.tree_rows(), closed);
    session.press(Key::Char('e'));
    session.press(Key::Char('E'));
    assert_eq!(session.tree_rows(), closed);

    session.send(Message::Clicked { column: 30, row: 4 });
    assert_eq!(session.app.tree.list.selected, 1);
    session.send(Message::Clicked { column: 30, row: 4 });
    assert!(session.tree_rows().len() > closed.len(), "a second click opens");
}

#[test]
fn the_selected_call_is_followed() {
    let mut session = Session::new();
    session.press(Key::Char('3'));
    session.press(Key::End);
    let chosen = session.selected_call();
    session.arrive(fixture::snapshot(400, &StoreQuery::default(), None));
    assert_eq!(session.selected_call(), chosen);
    session.press(Key::Char('s'));
    assert_eq!(session.selected_call(), chosen, "by another measure as well");
    session.press(Key::Char('i'));
    assert_eq!(session.app.tree.list.selected, 0, "inverted it is another tree");
}

#[test]
fn a_search_opens_what_it_finds_and_can_be_undone() {
    let mut session = Session::new();
    session.press(Key::Char('3'));
    session.press(Key::Char('/'));
    assert!(session.write("ROUTER/").is_empty());
    assert!(session.app.is_typing());
    let first = session.selected_call();
    assert!(first.contains("express/lib/router/"), "{first}");
    session.press(Key::Enter);
    assert!(!session.app.is_typing());
    let n = session.app.tree.search.found.len();
    let mut seen = vec![session.app.tree.selected().unwrap().node];
    for _ in 1..n {
        session.press(Key::Char('n'));
        seen.push(session.app.tree.selected().unwrap().node);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), n, "n visits all matches");
    session.press(Key::Char('n'));
    assert_eq!(session.selected_call(), first, "and begins again");
    session.press(Key::Char('N'));
    session.press(Key::Char('n'));
    assert_eq!(session.selected_call(), first);

    session.press(Key::Char('/'));
    session.write("zzz");
    session.press(Key::Esc);
    assert_eq!(session.app.tree.search.text, "ROUTER/");
    session.press(Key::Esc);
    assert!(session.app.tree.search.text.is_empty());
    session.press(Key::Char('n'));
    assert_eq!(session.app.answer.as_deref(), Some("nothing found"));

    session.press(Key::Char('/'));
    assert_eq!(session.press(Key::Ctrl('c')), Some(Command::Quit));
}

#[test]
fn the_stacks_of_a_site_are_walked_through() {
    let mut session = Session::new();
    session.press(Key::Enter);
    let Some(Detail::Site(id)) = session.app.detail else { panic!() };
    let stacks: Vec<_> = view::stacks_of(id, &session.latest).iter().map(|row| row.stack).collect();
    assert_eq!(stacks.len(), 2);
    for (key, at) in [('n', 1), ('n', 1), ('N', 0), ('N', 0), (']', 1)] {
        session.press(Key::Char(key));
        assert_eq!(session.app.site_stack, Some(stacks[at]));
    }
    session.press(Key::Esc);
    session.press(Key::Enter);
    assert_eq!(session.app.site_stack, None);
}

#[test]
fn help_covers_and_uncovers() {
    let mut session = Session::new();
    for (key, is_open) in [('?', true), ('?', false), ('?', true), ('h', false)] {
        session.press(Key::Char(key));
        assert_eq!(session.app.is_help_open, is_open);
    }
}
