//! What each screen looks like at the sizes that matter. Read the .snap files as pictures.

use std::sync::Arc;

use bufwatch::analysis::query::StoreQuery;
use bufwatch::analysis::snapshot::{Snapshot, TargetState};
use bufwatch::base::{Bytes, Nanos};
use bufwatch::tui::app::App;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::memory::Listing;
use bufwatch::tui::message::Message;
use bufwatch::tui::picker::{Picker, ProcessChoice};
use bufwatch::tui::replay::ReplayView;
use bufwatch::tui::screen::draw;
use bufwatch::tui::screen::picker::draw as draw_picker;
use bufwatch::tui::theme::Theme;
use bufwatch::tui::update::update;
use bufwatch::tui::view;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::fixture;

const SIZES: [(u16, u16); 3] = [(40, 10), (80, 24), (200, 60)];

pub(crate) fn picture(snapshot: &Snapshot, keys: &[Key], (width, height): (u16, u16)) -> String {
    let latest = Arc::new(snapshot.clone());
    let mut app = App::new(width, height);
    update(&mut app, Message::SnapshotArrived, &latest);
    for key in keys {
        update(&mut app, Message::KeyPressed(*key), &latest);
    }
    render(&app, &latest, (width, height), true)
}

pub(crate) fn render(
    app: &App,
    snapshot: &Snapshot,
    (width, height): (u16, u16),
    is_color: bool,
) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, snapshot, &Theme::new(is_color), frame)).unwrap();
    terminal.backend().to_string()
}

pub(crate) fn check(name: &str, snapshot: &Snapshot, keys: &[Key]) {
    for size in SIZES {
        let picture = picture(snapshot, keys, size);
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), picture);
    }
}

#[test]
fn overview() {
    check("overview", &fixture::usual(), &[]);
}

#[test]
fn overview_before_anything_is_known() {
    check("overview_blank", &Snapshot::blank(), &[]);
}

#[test]
fn overview_of_a_target_that_exited_after_losses() {
    let mut snapshot = fixture::lossy();
    snapshot.target.state = TargetState::Exited { code: Some(137) };
    check("overview_exited", &snapshot, &[]);
}

#[test]
fn overview_with_more_allocated_than_resident() {
    let mut snapshot = fixture::usual();
    snapshot.memory.rss = Some(Bytes(2 << 30));
    check("overview_untouched", &snapshot, &[]);
}

#[test]
fn sites() {
    check("sites", &fixture::usual(), &[Key::Char('2'), Key::Char('s'), Key::Char('s'), Key::Down]);
}

#[test]
fn site() {
    check("site", &fixture::usual(), &[Key::Char('2'), Key::Down, Key::Enter]);
}

#[test]
fn site_with_two_stacks() {
    let keys = [Key::Char('2'), Key::Enter, Key::Char('n')];
    check("site_stacks", &fixture::usual(), &keys);
}

#[test]
fn tree() {
    check("tree", &fixture::usual(), &[Key::Char('3'), Key::Down]);
}

#[test]
fn tree_of_callers_by_allocated_bytes_with_all_of_it_open() {
    let keys = ['3', 'i', 's', 'f', 'f', 'e', 'j'].map(Key::Char);
    check("tree_inverted", &fixture::usual(), &keys);
}

#[test]
fn tree_with_native_frames_while_a_search_is_typed() {
    let mut keys = vec![Key::Char('3'), Key::Char('f'), Key::Char('/')];
    keys.extend("READBODY".chars().map(Key::Char));
    check("tree_search", &fixture::usual(), &keys);
}

#[test]
fn tree_before_anything_is_known() {
    let picture = picture(&Snapshot::blank(), &[Key::Char('3')], (80, 24));
    assert!(picture.contains("attaching…"), "{picture}");
}

#[test]
fn stores() {
    check("stores", &fixture::usual(), &[Key::Char('4'), Key::Down]);
}

#[test]
fn stores_with_a_filter_that_is_wrong() {
    let mut keys = vec![Key::Char('/')];
    keys.extend("site~tiles size>hu".chars().map(Key::Char));
    check("stores_filter", &fixture::usual(), &keys);
}

#[test]
fn store() {
    let keys = [Key::Char('4'), Key::Enter];
    let key = fixture::usual().table.rows[0].key;
    let snapshot = fixture::snapshot(221, &StoreQuery::default(), Some(key));
    check("store", &snapshot, &keys);
}

#[test]
fn health() {
    check("health", &fixture::lossy(), &[Key::Char('8')]);
}

/// What a backend cannot see is not known, on every screen.
#[test]
fn sampled() {
    let snapshot = fixture::sampled();
    for (name, key) in [("overview", '1'), ("sites", '2'), ("stores", '4'), ("health", '8')] {
        check(&format!("sampled_{name}"), &snapshot, &[Key::Char(key)]);
    }
}

#[test]
fn help() {
    check("help", &fixture::usual(), &[Key::Char('?')]);
}

#[test]
fn paused() {
    let early = Arc::new(fixture::snapshot(60, &StoreQuery::default(), None));
    let late = Arc::new(fixture::usual());
    let mut app = App::new(80, 24);
    update(&mut app, Message::KeyPressed(Key::Char('p')), &early);
    update(&mut app, Message::SnapshotArrived, &late);
    insta::assert_snapshot!("paused_80x24", render(&app, &late, (80, 24), true));
}

#[test]
fn picker() {
    let choice = |pid, command: &str| ProcessChoice {
        pid,
        version: "22.23.3".to_owned(),
        rss: Bytes(u64::from(pid) << 16),
        command: command.to_owned(),
    };
    let rows = vec![choice(4121, "node ingest.js"), choice(977, "node \u{1b}[2Jevil.js")];
    let picker = Picker::new(rows, 10);
    let mut terminal = Terminal::new(TestBackend::new(60, 10)).unwrap();
    terminal
        .draw(|frame| {
            let area = frame.area();
            draw_picker(&picker, frame.buffer_mut(), area, Theme::new(true));
        })
        .unwrap();
    insta::assert_snapshot!("picker_60x10", terminal.backend().to_string());
}

#[test]
fn without_colour_nothing_is_coloured() {
    for (snapshot, keys) in
        [(fixture::lossy(), "178"), (fixture::judged(), "15v6\n"), (fixture::judged(), "5\n\n")]
    {
        let latest = Arc::new(snapshot);
        let mut app = App::new(80, 24);
        update(&mut app, Message::SnapshotArrived, &latest);
        for key in keys.chars() {
            let key = if key == '\n' { Key::Enter } else { Key::Char(key) };
            update(&mut app, Message::KeyPressed(key), &latest);
            let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
            terminal.draw(|frame| draw(&app, &latest, &Theme::new(false), frame)).unwrap();
            for cell in &terminal.backend().buffer().content {
                assert_eq!(cell.fg, ratatui::style::Color::Reset, "{:?}", cell.symbol());
                assert_eq!(cell.bg, ratatui::style::Color::Reset, "{:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn every_screen_draws_at_every_size_even_one_that_the_state_does_not_know_yet() {
    let snapshot = Arc::new(fixture::judged());
    let last = ['2', '3', '4', '5', '6', '7', '8', '1'].map(Key::Char);
    for (n, key) in last.into_iter().enumerate() {
        let mut app = App::new(80, 24);
        update(&mut app, Message::SnapshotArrived, &snapshot);
        update(&mut app, Message::KeyPressed(key), &snapshot);
        update(&mut app, Message::KeyPressed(Key::End), &snapshot);
        for is_open in [false, true] {
            if is_open {
                update(&mut app, Message::KeyPressed(Key::Enter), &snapshot);
            }
            for (w, h) in (1..10).flat_map(|i| [(i, i), (i * 21, i), (i, i * 7), (i * 21, i * 7)]) {
                let text = render(&app, &snapshot, (w, h), n % 2 == 0);
                assert!(!text.is_empty());
            }
        }
    }
}

#[test]
fn the_last_state_stays_when_the_session_ends() {
    let latest = Arc::new(fixture::usual());
    let mut app = App::new(80, 24);
    update(&mut app, Message::SnapshotArrived, &latest);
    update(&mut app, Message::SessionEnded, &latest);
    let text = render(&app, &latest, (80, 24), true);
    assert!(text.contains("■ ended after 3m41s"), "{text}");
    assert!(text.contains("10.1 GiB"), "{text}");
}

fn any_message() -> impl Strategy<Value = Message> {
    let keys = [
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::BackTab,
        Key::Backspace,
        Key::Up,
        Key::Down,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Ctrl('w'),
        Key::Ctrl('u'),
    ];
    prop_oneof![
        proptest::sample::select(keys.to_vec()).prop_map(Message::KeyPressed),
        proptest::sample::select(
            "12345678srgGjkhlpyinNefEcv/? >~q+-twWdDC:".chars().collect::<Vec<_>>()
        )
        .prop_map(|c| Message::KeyPressed(Key::Char(c))),
        (0..210_u16, 0..70_u16).prop_map(|(column, row)| Message::Clicked { column, row }),
        (-5..5_isize).prop_map(Message::Scrolled),
        (0..210_u16, 0..70_u16).prop_map(|(width, height)| Message::Resized { width, height }),
        (0..2_000_000_000_u64).prop_map(|ns| Message::Ticked(Nanos(ns))),
        Just(Message::SnapshotArrived),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_can_be_drawn_and_selects_a_row_that_is_there(
        messages in proptest::collection::vec((any_message(), 0..5_usize), 1..40),
        is_replay: bool,
    ) {
        let snapshots = [
            Arc::new(Snapshot::blank()),
            Arc::new(fixture::snapshot(20, &StoreQuery::default(), None)),
            Arc::new(fixture::snapshot(40, &StoreQuery::default(), None)),
            Arc::new(fixture::judged()),
            Arc::new(fixture::in_ram()),
        ];
        let replay = ReplayView::new(Nanos::from_secs(400), Some(Nanos(1)), Nanos(0));
        let mut app = if is_replay { App::replaying(80, 24, replay) } else { App::new(80, 24) };
        let marks = Message::MarksArrived(Arc::new(crate::replay::marks()));
        update(&mut app, marks, &snapshots[0]);
        for (message, n) in messages {
            let latest = &snapshots[n];
            // A snapshot that differs from the last one has arrived first.
            update(&mut app, Message::SnapshotArrived, latest);
            update(&mut app, message, latest);
            let n_stores = view::stores(&app, app.shown(latest)).len();
            prop_assert!(app.stores.selected < n_stores.max(1));
            prop_assert!(app.stores.offset <= app.stores.selected);
            prop_assert!(app.tree.list.selected < app.tree.rows.len().max(1));
            prop_assert!(app.tree.list.offset <= app.tree.list.selected);
            prop_assert!(app.findings.selected < app.shown(latest).findings.len().max(1));
            let (selected, offset) = app.census.selection();
            prop_assert!(selected < app.census.n_rows().max(1) && offset <= selected);
            prop_assert!(app.sites.selected < app.shown(latest).groups.len().max(1));
            let (selected, offset) = app.memory.selection();
            let n_rows = match app.memory.listing {
                Listing::Steps => app.shown(latest).rss_steps.len(),
                Listing::Freed => app.shown(latest).freed.len(),
            };
            prop_assert!(selected < n_rows.max(1) && offset <= selected);
            let is_within = app.replay.as_ref().is_none_or(|it| it.at <= it.length);
            prop_assert!(is_within);
            let (width, height) = app.size;
            let text = render(&app, latest, (width.max(1), height.max(1)), true);
            prop_assert!(!text.is_empty());
        }
    }
}
