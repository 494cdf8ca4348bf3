//! The census in the dashboard: its keys, and what its screens look like.

use std::sync::Arc;

use bufwatch::analysis::snapshot::{Snapshot, TargetState};
use bufwatch::tui::app::App;
use bufwatch::tui::command::Command;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::message::Message;
use bufwatch::tui::update::update;

use crate::fixture;
use crate::screens::check;

fn press(app: &mut App, snapshot: &Snapshot, key: Key) -> Option<Command> {
    update(app, Message::KeyPressed(key), &Arc::new(snapshot.clone()))
}

#[test]
fn before_the_first_one() {
    check("census_none", &fixture::usual(), &[Key::Char('5')]);
}

#[test]
fn a_failure_says_what_to_do() {
    let mut snapshot = fixture::usual();
    fixture::fail_census(&mut snapshot);
    check("census_failed", &snapshot, &[Key::Char('5')]);
}

#[test]
fn it_is_asked_for_from_every_screen() {
    let snapshot = fixture::usual();
    for before in "123456".chars().map(Key::Char).chain([Key::Enter]) {
        let mut app = App::new(80, 24);
        press(&mut app, &snapshot, before);
        let command = press(&mut app, &snapshot, Key::Char('c'));
        assert_eq!(command, Some(Command::TakeCensus), "{before:?}");
    }
}

#[test]
fn it_is_not_asked_for_where_nobody_could_take_it() {
    let mut underway = fixture::usual();
    underway.census.is_underway = true;
    let mut gone = fixture::usual();
    gone.target.state = TargetState::Exited { code: None };
    for snapshot in [underway, gone, Snapshot::blank()] {
        let mut app = App::new(80, 24);
        assert_eq!(press(&mut app, &snapshot, Key::Char('c')), None);
        assert!(app.answer.is_some());
    }
    let mut app = App::new(80, 24);
    app.is_session_ended = true;
    assert_eq!(press(&mut app, &fixture::usual(), Key::Char('c')), None);
    assert!(app.answer.is_some());
}
