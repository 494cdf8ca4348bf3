//! Perfetto traces, read by field numbers of `protos/perfetto/trace` of github.com/google/perfetto.

use std::collections::BTreeMap;

use crate::export::command::exported;
use crate::export::made_up::{HOSTILE, START, Spec, WALL};
use crate::export::wire::Message;

/// What is on the tracks, with what the numbers of tracks stand for.
pub(super) struct Trace {
    packets: Vec<Message>,
    tracks: BTreeMap<u64, Message>,
}

impl Trace {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let trace = Message::read(bytes);
        let packets = trace.messages(1);
        assert_eq!(packets.len(), trace.0.len(), "nothing but packets");
        let mut tracks = BTreeMap::new();
        for descriptor in packets.iter().flat_map(|packet| packet.messages(60)) {
            let parent = descriptor.number(5);
            assert!(parent == 0 || tracks.contains_key(&parent), "a parent comes first");
            let uuid = descriptor.number(1);
            assert!(uuid > 0 && tracks.insert(uuid, descriptor).is_none(), "{uuid} twice");
        }
        assert!(packets.iter().all(|packet| packet.number(10) == 1), "one sequence");
        Self { packets, tracks }
    }

    /// Time, type, track and event.
    pub(super) fn events(&self) -> Vec<(u64, u64, &Message, Message)> {
        let with_time =
            |packet: &Message| packet.messages(11).pop().map(|it| (packet.number(8), it));
        let events = self.packets.iter().filter_map(with_time);
        events
            .map(|(at, event)| (at, event.number(9), &self.tracks[&event.number(11)], event))
            .collect()
    }

    /// In the order of their starts: track, event, start, and end if it has one. Slices of a track do not overlap.
    pub(super) fn slices(&self) -> Vec<(&Message, Message, u64, Option<u64>)> {
        let mut slices: Vec<(&Message, Message, u64, Option<u64>)> = Vec::new();
        let mut open: BTreeMap<u64, usize> = BTreeMap::new();
        for (at, kind, track, event) in self.events() {
            let uuid = event.number(11);
            if kind == 1 {
                assert_eq!(
                    open.insert(uuid, slices.len()),
                    None,
                    "slices of a track do not overlap"
                );
                slices.push((track, event, at, None));
            } else if kind == 2 {
                let (_, _, from, end) = &mut slices[open.remove(&uuid).unwrap()];
                assert!(*from <= at);
                *end = Some(at);
            }
        }
        slices
    }

    /// Time and value.
    fn counter(&self, name: &str) -> Vec<(u64, u64)> {
        let events = self.events().into_iter();
        let of_name = events.filter(|it| it.1 == 4 && it.2.texts(2) == [name]);
        of_name
            .map(|(at, _, track, event)| {
                assert_eq!(track.messages(8).len(), 1, "it is a counter");
                (at - START.0, event.number(30))
            })
            .collect()
    }
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn counters_tell_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let trace = Trace::read(&exported(&recording, &["-f", "perfetto"]));
    let clocks = trace.packets[0].messages(6)[0].messages(1);
    let clocks: Vec<_> = clocks.iter().map(|clock| (clock.number(1), clock.number(2))).collect();
    assert_eq!(clocks, [(6, START.0), (1, WALL)]);
    assert_eq!(trace.packets[0].number(13), 1, "nothing before it matters");
    let mib = 1 << 20;
    let rss =
        [(1_750_000_000, 2_000 * mib), (2_750_000_000, 3_000 * mib), (3_750_000_000, 4_000 * mib)];
    assert_eq!(
        trace.counter("RSS"),
        rss,
        "what is not known has no value, what did not change no second one"
    );
    assert_eq!(trace.counter("V8 heap, old"), [(2 * SECOND - 2, 400 * mib)]);
    assert_eq!(trace.counter("number of live stores").first(), Some(&(750_000_000, 48)));
    let process = trace.tracks[&1].messages(3);
    assert_eq!(process[0].number(1), 7);
}

#[test]
fn collections_and_lives_are_slices() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let trace = Trace::read(&exported(&recording, &["-f", "perfetto"]));
    let mut lives = BTreeMap::new();
    let mut collections = Vec::new();
    let mut n_without_end = 0;
    for (track, event, from, end) in trace.slices() {
        n_without_end += usize::from(end.is_none());
        if let Some(thread) = track.messages(4).pop()
            && let Some(end) = end
        {
            assert_eq!((thread.number(1), thread.number(2)), (7, 7));
            collections.push((from - START.0, end - from));
        }
        if track.texts(2) == ["stores"] {
            *lives.entry(event.texts(23).pop().unwrap()).or_insert(0) += 1;
            let notes = event.messages(4);
            let names: Vec<String> = notes.iter().flat_map(|note| note.texts(10)).collect();
            assert_eq!(names, ["store", "bytes", "size", "kind", "tid", "api"]);
        }
    }
    let pauses = (1..=4).map(|n| (n * SECOND - 102_000_000, 2_000_000)).collect::<Vec<_>>();
    assert_eq!(collections, pauses);
    assert_eq!(lives.len(), HOSTILE.len(), "{lives:?}");
    assert!(lives.values().all(|n| *n == 4), "{lives:?}");
    assert_eq!(n_without_end, 3 * HOSTILE.len(), "who lived at the end has no end");
    let is_harmless = |text: &String| !text.chars().any(char::is_control);
    assert!(lives.keys().all(is_harmless));
}

#[test]
fn censuses_and_findings_are_instants() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let trace = Trace::read(&exported(&recording, &["-f", "perfetto"]));
    let instants = trace.events().into_iter().filter(|it| it.1 == 3);
    let mut told: BTreeMap<(String, u64), usize> = BTreeMap::new();
    for (at, _, track, event) in instants {
        assert_eq!(track.texts(2), ["censuses and findings"]);
        *told.entry((event.texts(23).pop().unwrap(), at - START.0)).or_insert(0) += 1;
    }
    let census = ("census".to_owned(), 3 * SECOND - 20_000_000);
    let found = ("PINNED_PARENT".to_owned(), 3 * SECOND);
    assert_eq!(told, BTreeMap::from([(census, 1), (found, HOSTILE.len())]));
}

#[test]
fn a_recording_without_stores_has_its_counters() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::without_stores().record(folder.path());
    let trace = Trace::read(&exported(&recording, &["-f", "perfetto"]));
    assert_eq!(trace.counter("live stores"), [(750_000_000, 0)]);
    assert!(!trace.events().iter().any(|it| it.2.texts(2) == ["stores"]));
}
