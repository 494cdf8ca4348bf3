//! The dashboard over a recording: its time axis, and the keys that move through time.

use std::sync::Arc;

use bufwatch::analysis::marks::{Mark, Marks};
use bufwatch::analysis::query::StoreQuery;
use bufwatch::analysis::snapshot::Snapshot;
use bufwatch::base::Nanos;
use bufwatch::tui::app::{App, Screen};
use bufwatch::tui::command::Command;
use bufwatch::tui::keymap::Key;
use bufwatch::tui::message::Message;
use bufwatch::tui::replay::ReplayView;
use bufwatch::tui::update::update;

use crate::fixture;
use crate::screens::render;

/// 400 s long, looked at where the usual snapshot is.
struct Replay {
    app: App,
    latest: Arc<Snapshot>,
}

impl Replay {
    fn new((width, height): (u16, u16)) -> Self {
        // 2026-11-24 03:12:45 UTC.
        let started = Some(Nanos::from_secs(1_795_489_965));
        let view = ReplayView::new(Nanos::from_secs(400), started, Nanos::from_secs(221));
        let app = App::replaying(width, height, view);
        let mut replay = Self { app, latest: Arc::new(fixture::in_ram()) };
        replay.send(Message::SnapshotArrived);
        replay.send(Message::MarksArrived(Arc::new(marks())));
        replay
    }

    fn send(&mut self, message: Message) -> Option<Command> {
        update(&mut self.app, message, &self.latest)
    }

    fn press(&mut self, key: Key) -> Option<Command> {
        self.send(Message::KeyPressed(key))
    }

    /// Where a key leads, in seconds.
    fn seek(&mut self, key: Key) -> Option<u64> {
        match self.press(key)? {
            Command::Seek(at) => Some(at.0 / 1_000_000_000),
            other => panic!("{other:?}"),
        }
    }

    fn picture(&self, size: (u16, u16)) -> String {
        render(&self.app, &self.latest, size, true)
    }
}

pub(crate) fn marks() -> Marks {
    let mark = |(seconds, text): (u64, &str)| Mark {
        at: Nanos::from_secs(seconds),
        text: text.to_owned(),
    };
    Marks {
        findings: [(60, "PINNED PARENT: onChunk ingest.js:31"), (300, "GC LAG")].map(mark).into(),
        steps: [(160, "RSS +48.0 MiB: V8 heap grew"), (201, "RSS −10.0 MiB: freed")]
            .map(mark)
            .into(),
        censuses: [(60, "census of 982 array buffers")].map(mark).into(),
        gcs: (0..20).map(|n| Nanos::from_secs(n * 20)).collect(),
    }
}

#[test]
fn the_time_axis_is_below_every_screen() {
    for size in [(80, 24), (100, 30), (200, 60)] {
        let mut replay = Replay::new(size);
        insta::assert_snapshot!(format!("replay_{}x{}", size.0, size.1), replay.picture(size));
        for (name, key) in [("memory", '7'), ("findings", '6'), ("help", '?')] {
            replay.press(Key::Char(key));
            let name = format!("replay_{name}_{}x{}", size.0, size.1);
            insta::assert_snapshot!(name, replay.picture(size));
        }
    }
}

#[test]
fn keys_move_through_time_whatever_is_open() {
    for before in ['1', '3', '7', '?'] {
        let mut replay = Replay::new((80, 24));
        replay.press(Key::Char(before));
        let keys = [
            (Key::Right, 225),
            (Key::Left, 221),
            (Key::PageUp, 181),
            (Key::PageDown, 221),
            (Key::Home, 0),
            (Key::Left, 0),
            (Key::End, 400),
            (Key::Char('D'), 201),
            (Key::Char('D'), 160),
            (Key::Char('w'), 300),
            (Key::Char('W'), 60),
            (Key::Char('d'), 160),
            (Key::Char('C'), 60),
        ];
        for (key, seconds) in keys {
            assert_eq!(replay.seek(key), Some(seconds), "{key:?} on {before}");
        }
        assert_eq!(replay.app.answer.as_deref(), Some("census of 982 array buffers"));
        assert_eq!(replay.press(Key::Char('W')), None);
        assert_eq!(replay.app.answer.as_deref(), Some("no earlier finding"));
    }
}

#[test]
fn it_plays_until_its_end_and_then_from_the_start() {
    let mut replay = Replay::new((80, 24));
    assert_eq!(replay.send(Message::Ticked(Nanos::SECOND)), None, "it waits");
    assert_eq!(replay.press(Key::Char(' ')), None);
    assert!(replay.app.is_playing());
    (0..3).for_each(|_| assert_eq!(replay.press(Key::Char('+')), None));
    let tick = Message::Ticked(Nanos::from_millis(500));
    assert_eq!(replay.send(tick.clone()), Some(Command::Seek(Nanos::from_secs(226))));
    assert!(replay.picture((80, 24)).contains("▶ 10× 3m46s"));
    while replay.app.is_playing() {
        assert!(replay.send(tick.clone()).is_some());
    }
    assert_eq!(replay.app.replay.as_ref().unwrap().at, Nanos::from_secs(400));
    assert_eq!(replay.seek(Key::Char('p')), Some(0));
    assert_eq!(replay.seek(Key::Char('d')), Some(160));
    assert!(!replay.app.is_playing(), "who jumps wants to look");
}

#[test]
fn a_time_is_typed() {
    let mut replay = Replay::new((80, 24));
    let mut go = |text: &str| {
        assert_eq!(replay.press(Key::Char('t')), None);
        for c in text.chars() {
            assert_eq!(replay.press(Key::Char(c)), None);
        }
        let command = replay.press(Key::Enter);
        (command, replay.picture((80, 24)))
    };
    assert_eq!(go("1m30s").0, Some(Command::Seek(Nanos::from_secs(90))));
    assert_eq!(go("03:13:00").0, Some(Command::Seek(Nanos::from_secs(15))));
    assert_eq!(go("9h").0, Some(Command::Seek(Nanos::from_secs(400))), "no further than its end");
    let (command, picture) = go("04:00");
    assert_eq!(command, None);
    assert!(picture.contains("✗ no time of this recording"), "{picture}");
    assert_eq!(replay.press(Key::Esc), None);
    assert!(!replay.app.is_typing());
    assert_eq!(replay.press(Key::Char('q')), Some(Command::Quit));
}

#[test]
fn the_axis_is_clicked_and_lists_are_as_ever() {
    let mut replay = Replay::new((80, 24));
    assert_eq!(replay.app.size, (80, 22));
    let click = |column, row| Message::Clicked { column, row };
    assert_eq!(replay.send(click(17, 23)), Some(Command::Seek(Nanos(0))));
    assert_eq!(replay.send(click(69, 22)), Some(Command::Seek(Nanos::from_secs(400))));
    assert_eq!(replay.send(click(2, 23)), None);
    replay.send(click(12, 21));
    assert_eq!(replay.app.screen, Screen::Sites);
    replay.press(Key::Down);
    assert_eq!(replay.app.sites.selected, 1);
    replay.press(Key::Enter);
    assert!(replay.app.detail.is_some());
    replay.press(Key::Esc);
    assert!(replay.app.detail.is_none());
    replay.send(Message::Resized { width: 80, height: 10 });
    assert_eq!(replay.app.size, (80, 9));
}

#[test]
fn nothing_can_be_asked_of_a_process_that_is_not_there() {
    let mut replay = Replay::new((80, 24));
    replay.latest = Arc::new(fixture::snapshot(100, &StoreQuery::default(), None));
    replay.send(Message::SnapshotArrived);
    for keys in ["1", "5", "6", "?"] {
        for key in keys.chars() {
            replay.press(Key::Char(key));
        }
        let picture = replay.picture((80, 24));
        assert!(!picture.contains("press c"), "{picture}");
        assert!(!picture.contains("take a census"), "{picture}");
    }
}

#[test]
fn it_draws_at_every_size() {
    let replay = Replay::new((80, 24));
    for (w, h) in (1..12).flat_map(|i| [(i, i), (i * 19, i), (i, i * 7), (i * 19, i * 7)]) {
        assert!(!replay.picture((w, h)).is_empty());
    }
}
