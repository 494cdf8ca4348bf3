//! The census in the dashboard: its keys, and what its screens look like.

use std::sync::Arc;

use bufwatch::analysis::snapshot::{JoinedCensus, Orphan, Snapshot, TargetState};
use bufwatch::base::Bytes;
use bufwatch::event::census::Census;
use bufwatch::tui::app::App;
use bufwatch::tui::command::Command;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::message::Message;
use bufwatch::tui::update::update;

use crate::fixture;
use crate::screens::{check, picture};

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
    fixture::census::fail(&mut snapshot);
    check("census_failed", &snapshot, &[Key::Char('5')]);
}

#[test]
fn it_is_asked_for_from_every_screen() {
    let snapshot = fixture::usual();
    for before in "1234567".chars().map(Key::Char).chain([Key::Enter]) {
        let mut app = App::new(80, 24);
        press(&mut app, &snapshot, before);
        let command = press(&mut app, &snapshot, Key::Char('c'));
        assert_eq!(command, Some(Command::TakeCensus), "{before:?}");
    }
}

#[test]
fn what_became_of_it_is_told_where_it_is_not_shown() {
    let before = fixture::usual();
    let mut underway = fixture::usual();
    underway.census.is_underway = true;
    let mut failed = fixture::usual();
    fixture::census::fail(&mut failed);
    failed.census.failure.as_mut().unwrap().at = failed.taken_at;
    for (screen, end, expect) in [
        ('4', fixture::judged(), Some("census taken, see 5")),
        ('4', failed, Some("the census failed, see 5")),
        ('5', fixture::judged(), None),
    ] {
        let mut app = App::new(80, 24);
        press(&mut app, &before, Key::Char(screen));
        press(&mut app, &before, Key::Char('c'));
        for (snapshot, answer) in [
            (&before, Some("taking a census…")),
            (&underway, Some("taking a census…")),
            (&end, expect),
        ] {
            update(&mut app, Message::SnapshotArrived, &Arc::new(snapshot.clone()));
            assert_eq!(app.answer.as_deref(), answer);
        }
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

/// Keys written as text; `\n` is enter.
fn keys(text: &str) -> Vec<Key> {
    text.chars().map(|c| if c == '\n' { Key::Enter } else { Key::Char(c) }).collect()
}

#[test]
fn holders() {
    check("census_holders", &fixture::judged(), &keys("5j"));
}

#[test]
fn parents() {
    check("census_parents", &fixture::judged(), &keys("5v"));
}

#[test]
fn holder() {
    check("census_holder", &fixture::judged(), &keys("5\nnn"));
}

#[test]
fn parent_with_a_small_view() {
    check("census_parent", &fixture::judged(), &keys("5\nn\n"));
}

#[test]
fn parent_with_views_over_each_other() {
    check("census_parent_overlaps", &fixture::judged(), &keys("5v/tiles\n\n"));
}

#[test]
fn while_one_is_taken() {
    let mut snapshot = fixture::judged();
    snapshot.census.is_underway = true;
    check("census_underway", &snapshot, &keys("5"));
}

#[test]
fn the_last_one_stays_when_another_fails() {
    let mut snapshot = fixture::judged();
    fixture::census::fail(&mut snapshot);
    check("census_failed_again", &snapshot, &keys("5"));
}

#[test]
fn findings() {
    check("findings", &fixture::judged(), &keys("6"));
}

#[test]
fn finding() {
    check("finding", &fixture::judged(), &keys("6\n"));
}

#[test]
fn findings_on_the_overview() {
    check("overview_findings", &fixture::judged(), &[]);
}

#[test]
fn the_overview_says_why_there_is_no_finding() {
    let mut fine = fixture::judged();
    fine.findings = Arc::from([]);
    let mut underway = fixture::usual();
    underway.census.is_underway = true;
    let mut failed = fixture::usual();
    fixture::census::fail(&mut failed);
    for (snapshot, expect) in [
        (fixture::usual(), "press c to see who holds what"),
        (fixture::usual(), "it stops the process for about 86 ms"),
        (fine, "no finding in 847 array buffers, looked 12.0 s ago"),
        (underway, "taking a census…"),
        (failed, "✗ the last try, 12.3 s ago, failed: a garbage collection was under way"),
        (Snapshot::blank(), "attaching…"),
    ] {
        let picture = picture(&snapshot, &[], (80, 24));
        assert!(picture.contains(expect), "{expect}: {picture}");
    }
}

#[test]
fn health_tells_what_it_does_not_cover() {
    let mut all = keys("8");
    all.push(Key::End);
    check("health_census", &fixture::judged(), &all);
}

#[test]
fn memory_without_array_buffer_is_told() {
    let mut snapshot = fixture::judged();
    let mut joined = JoinedCensus::clone(snapshot.census.last.as_ref().unwrap());
    let store = joined.traced(0).unwrap().clone();
    let orphan = |size| Orphan { size: Bytes(size), store: store.clone() };
    joined.orphans = vec![orphan(100 << 20), orphan(18 << 20)];
    let mut census = Census::clone(&joined.census);
    census.gaps.clear();
    joined.census = Arc::new(census);
    snapshot.census.last = Some(Arc::new(joined));
    for (typed, expect) in [
        ("5", "5.3 % viewed   118 MiB in no array buffer"),
        ("8G", "118 MiB in no array buffer: 2 traced stores"),
    ] {
        let picture = picture(&snapshot, &keys(typed), (80, 24));
        assert!(picture.contains(expect), "{picture}");
    }
}
