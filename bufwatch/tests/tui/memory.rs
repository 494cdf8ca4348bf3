//! The memory screen, and what other screens say of memory in RAM.

use bufwatch::analysis::query::{StoreQuery, StoreSort};
use bufwatch::analysis::snapshot::Snapshot;
use bufwatch::base::{Bytes, Nanos};
use bufwatch::event::residency::Obstacle;
use bufwatch::tui::app::{Detail, Screen};
use bufwatch::tui::command::Command;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::message::Message;
use bufwatch::tui::view;

use crate::fixture;
use crate::screens::picture;
use crate::updates::Session;

const SIZES: [(u16, u16); 3] = [(80, 24), (100, 30), (200, 60)];

fn check(name: &str, snapshot: &Snapshot, keys: &[Key]) {
    for size in SIZES {
        let picture = picture(snapshot, keys, size);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), picture);
    }
}

#[test]
fn memory() {
    check("memory", &fixture::in_ram(), &[Key::Char('7')]);
}

#[test]
fn freed_memory_by_line() {
    check("memory_freed", &fixture::in_ram(), &[Key::Char('7'), Key::Char('v'), Key::Down]);
}

#[test]
fn a_step() {
    check("memory_step", &fixture::in_ram(), &[Key::Char('7'), Key::Enter]);
}

#[test]
fn the_pages_of_a_store_are_drawn() {
    let key = fixture::usual().table.rows[2].key;
    let keys = [Key::Char('4'), Key::Down, Key::Down, Key::Enter];
    let mut snapshot =
        fixture::memory::known(fixture::snapshot(221, &StoreQuery::default(), Some(key)));
    check("store_pages_unknown", &snapshot, &keys);
    let detail = snapshot.detail.as_mut().unwrap();
    detail.map = Some((Nanos::from_millis(300), fixture::memory::map(&detail.row).into()));
    check("store_pages", &snapshot, &keys);
}

#[test]
fn the_overview_shows_rss_by_what_it_is_for() {
    check("overview_in_ram", &fixture::in_ram(), &[]);
}

#[test]
fn before_anything_is_known() {
    let text = picture(&Snapshot::blank(), &[Key::Char('7')], (80, 24));
    insta::assert_snapshot!("memory_blank_80x24", text);
}

#[test]
fn what_cannot_be_told_says_why() {
    let mut snapshot = fixture::in_ram();
    if let Some((_, split)) = &mut snapshot.memory.split {
        split.survey.n_arenas_unknown = 4;
        split.survey.obstacle = Some(Obstacle::OtherAllocator);
        split.rss = split.total().saturating_sub(Bytes(300 << 20));
    }
    if let Some(usage) = &mut snapshot.memory.usage {
        usage.main = None;
    }
    let text = picture(&snapshot, &[Key::Char('7')], (80, 24));
    insta::assert_snapshot!("memory_unknown_80x24", text);
}

#[test]
fn lists_say_what_is_in_ram() {
    let snapshot = fixture::in_ram();
    for size in [(80, 24), (100, 30)] {
        for (name, key) in [("stores_in_ram", '4'), ("sites_in_ram", '2')] {
            let picture = picture(&snapshot, &[Key::Char(key)], size);
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), picture);
        }
    }
}

#[test]
fn lists_are_sorted_by_what_is_in_ram_and_what_is_not_known_comes_last() {
    let mut session = Session::new();
    session.arrive(fixture::in_ram());
    session.press(Key::Char('4'));
    let command = session.press(Key::Char('s'));
    assert!(matches!(command, Some(Command::SetStoreQuery(it)) if it.sort == StoreSort::InRam));
    let rows = view::stores(&session.app, &session.latest);
    let known: Vec<_> = rows.iter().map(|it| it.residency.map(|it| it.pages.resident)).collect();
    assert!(known.is_sorted_by(|a, b| a >= b) && known[0].is_some() && known.ends_with(&[None]));
    session.press(Key::Char('2'));
    session.press(Key::Char('s'));
    let rows = view::sites(&session.app, &session.latest);
    let known: Vec<_> = rows.iter().map(|row| row.tally.resident).collect();
    assert!(known.is_sorted_by(|a, b| a >= b) && known.ends_with(&[None]));
}

#[test]
fn a_step_is_followed_opened_and_copied() {
    let mut session = Session::new();
    session.arrive(fixture::in_ram());
    session.press(Key::Char('7'));
    session.press(Key::Down);
    let mut later = fixture::in_ram();
    let mut steps = later.rss_steps.to_vec();
    let mut newest = steps[0].clone();
    newest.ago = Nanos::from_millis(10);
    steps.push(newest);
    later.rss_steps = steps.into();
    session.arrive(later);
    assert_eq!(session.app.memory.steps.selected, 2, "with its row");
    session.press(Key::Enter);
    assert!(matches!(session.app.detail, Some(Detail::Step(_))));
    session.press(Key::Enter);
    let line = session.latest.groups[0].id;
    assert_eq!(session.app.detail, Some(Detail::Site(line)), "onChunk has caused it");
    session.press(Key::Esc);
    session.press(Key::Esc);
    session.press(Key::Char('y'));
    let text = session.app.copied.take().unwrap();
    assert!(text.contains("first write to store #812"), "{text}");
    session.press(Key::End);
    session.press(Key::Enter);
    session.press(Key::Enter);
    assert_eq!(session.app.answer.as_deref(), Some("no line is behind it"));
}

#[test]
fn freed_memory_leads_to_its_line() {
    let mut session = Session::new();
    session.arrive(fixture::in_ram());
    session.press(Key::Char('7'));
    session.press(Key::Char('v'));
    session.send(Message::Scrolled(1));
    session.press(Key::Enter);
    let group = session.latest.freed[1].group;
    assert_eq!(session.app.detail, Some(Detail::Site(group)));
    assert_eq!(session.app.screen, Screen::Memory);
}
