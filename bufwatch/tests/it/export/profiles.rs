//! pprof, speedscope and collapsed stacks of one moment.

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::GzDecoder;
use quick_xml::events::Event;
use serde_json::Value;

use crate::export::command::{exported, exported_text};
use crate::export::made_up::{HOSTILE, Spec, WALL};
use crate::export::wire::Message;

const MIB: u64 = 1 << 20;

/// Of the sites 2, 3, …: `n` stores each, a site's number in MiB.
fn bytes_of(n: u64) -> u64 {
    (2..2 + HOSTILE.len() as u64).map(|site| site * n * MIB).sum()
}

/// pprof, with the numbers of its fields from profile.proto of github.com/google/pprof.
pub(super) struct Pprof {
    pub(super) message: Message,
    pub(super) texts: Vec<String>,
}

impl Pprof {
    pub(super) fn read(gzip: &[u8]) -> Self {
        let mut bytes = Vec::new();
        GzDecoder::new(gzip).read_to_end(&mut bytes).unwrap();
        let message = Message::read(&bytes);
        let texts = message.texts(6);
        assert_eq!(texts.first().map(String::as_str), Some(""));
        Self { message, texts }
    }

    pub(super) fn text(&self, index: u64) -> &str {
        &self.texts[index as usize]
    }

    pub(super) fn types(&self) -> Vec<(&str, &str)> {
        let types = self.message.messages(1);
        types.iter().map(|it| (self.text(it.number(1)), self.text(it.number(2)))).collect()
    }

    pub(super) fn total(&self, name: &str) -> u64 {
        let index = self.types().iter().position(|it| it.0 == name).unwrap();
        self.message.messages(2).iter().map(|sample| sample.list(2)[index]).sum()
    }

    /// Each has a value of each type, and a stack of known places.
    pub(super) fn assert_samples_are_whole(&self) {
        let (n_types, places) = (self.types().len(), self.places());
        for sample in self.message.messages(2) {
            assert_eq!(sample.list(2).len(), n_types);
            let locations = sample.list(1);
            assert!(!locations.is_empty() && locations.iter().all(|id| places.contains_key(id)));
        }
    }

    /// Function, file and line of each location, by its id.
    pub(super) fn places(&self) -> BTreeMap<u64, (&str, &str, u64)> {
        let functions: BTreeMap<u64, Message> =
            self.message.messages(5).into_iter().map(|it| (it.number(1), it)).collect();
        let place = |location: &Message| {
            let line = &location.messages(4)[0];
            let function = &functions[&line.number(1)];
            assert_ne!(self.text(function.number(2)), "");
            (self.text(function.number(2)), self.text(function.number(4)), line.number(2))
        };
        self.message.messages(4).iter().map(|it| (it.number(1), place(it))).collect()
    }
}

#[test]
fn a_pprof_profile_adds_up_and_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let profile = Pprof::read(&exported(&recording, &["-f", "pprof"]));
    let types = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
        ("resident_space", "bytes"),
        ("pinned_space", "bytes"),
    ];
    assert_eq!(profile.types(), types);
    let n_sites = HOSTILE.len() as u64;
    assert_eq!(profile.total("alloc_objects"), 4 * n_sites);
    assert_eq!(profile.total("alloc_space"), bytes_of(4));
    assert_eq!(profile.total("inuse_objects"), 3 * n_sites);
    assert_eq!(profile.total("inuse_space"), bytes_of(3));
    assert_eq!(profile.total("resident_space"), bytes_of(3) / 2);
    assert_eq!(profile.total("pinned_space"), bytes_of(1) - 16 * n_sites + 1_000);
    assert_eq!(profile.message.number(9), WALL + 4_000_000_000);
    assert_eq!(profile.message.number(10), 4_000_000_000);
    assert_eq!(profile.text(profile.message.number(14)), "inuse_space");
    let places = profile.places();
    let shown: Vec<_> = places.values().collect();
    assert!(shown.contains(&&("plain", "/srv/plain.js", 2)), "{shown:?}");
    let script = HOSTILE[1];
    let about = (format!("{script} (~3)"), format!("/srv/{script}.js"), 0);
    let has_about = shown.iter().any(|it| (it.0, it.1, it.2) == (&about.0, &about.1, about.2));
    assert!(has_about, "a line that is about right is no number: {shown:?}");
    assert!(!shown.iter().any(|it| it.0 == "node::Buffer::New"), "no native frames unasked");
    assert_eq!(profile.message.messages(4).len(), places.len(), "ids are unique");
    let mut labels = BTreeMap::new();
    profile.assert_samples_are_whole();
    for sample in profile.message.messages(2) {
        for label in sample.messages(3) {
            *labels
                .entry((profile.text(label.number(1)).to_owned(), label.number(3)))
                .or_insert(0) += 1;
        }
    }
    for (key, n) in [(("kind", 0), 2 * n_sites), (("tid", 7), n_sites), (("tid", 8), n_sites)] {
        assert_eq!(labels.get(&(key.0.to_owned(), key.1)), Some(&n), "{key:?}: {labels:?}");
    }
}

#[test]
fn what_was_not_looked_at_is_no_sample_type() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let types = |at: &str| {
        let profile = Pprof::read(&exported(&recording, &["-f", "pprof", "--at", at]));
        profile.types().iter().map(|it| it.0.to_owned()).collect::<Vec<_>>()
    };
    let counted = ["alloc_objects", "alloc_space", "inuse_objects", "inuse_space"];
    assert_eq!(types("1"), counted);
    assert_eq!(types("2"), [&counted[..], &["resident_space"]].concat());
    let without = Spec::without_stores().record(folder.path());
    let profile = Pprof::read(&exported(&without, &["-f", "pprof"]));
    assert_eq!(profile.types().len(), counted.len());
    assert!(profile.message.messages(2).is_empty());
}

#[test]
fn no_name_spoils_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let profile = Pprof::read(&exported(&recording, &["-f", "pprof"]));
    let scope = exported_text(&recording, &["-f", "speedscope"]);
    let collapsed = exported_text(&recording, &["-f", "collapsed", "--frames", "all"]);
    let texts = profile.texts.iter().map(String::as_str).chain([scope.trim_end()]);
    for text in texts.chain(collapsed.lines()) {
        assert!(
            !text.chars().any(|c| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}')),
            "{text}"
        );
    }
    let long = Spec { names: vec!["x".repeat(100_000)], ..Spec::default() }.record(folder.path());
    assert!(exported(&long, &["-f", "collapsed"]).len() < 5_000);
}

#[test]
fn collapsed_stacks_have_a_line_each() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let text = exported_text(&recording, &["-f", "collapsed"]);
    assert_eq!(text.lines().count(), HOSTILE.len());
    assert!(
        text.lines().any(|line| line == "main /srv/plain.js:1:9;plain /srv/plain.js:2:9 6291456")
    );
    let mut sum = 0;
    for line in text.lines() {
        let (stack, value) = line.rsplit_once(' ').unwrap();
        assert_eq!(stack.split(';').count(), 2, "{line}");
        sum += value.parse::<u64>().unwrap();
    }
    assert_eq!(sum, bytes_of(3));
    let text = exported_text(
        &recording,
        &["-f", "collapsed", "--measure", "inuse_objects", "--frames", "all"],
    );
    assert!(text.contains("main /srv/plain.js:1:9;plain /srv/plain.js:2:9;node::Buffer::New 3\n"));
    let none = Spec::without_stores().record(folder.path());
    assert_eq!(exported_text(&none, &["-f", "collapsed"]), "");
}

/// What speedscope's schema demands (file-format-schema.json of its npm package), and its sums.
#[test]
fn a_speedscope_file_is_of_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let file: Value = serde_json::from_slice(&exported(&recording, &["-f", "speedscope"])).unwrap();
    assert_eq!(file["$schema"], "https://www.speedscope.app/file-format-schema.json");
    let frames = file["shared"]["frames"].as_array().unwrap();
    for frame in frames {
        let frame = frame.as_object().unwrap();
        assert!(frame["name"].is_string());
        for (key, value) in frame {
            let is_right = match key.as_str() {
                "name" | "file" => value.is_string(),
                "line" | "col" => value.is_u64(),
                _ => false,
            };
            assert!(is_right, "{key}: {value}");
        }
    }
    let profiles = file["profiles"].as_array().unwrap();
    assert_eq!(profiles.len(), 6);
    assert_eq!(file["activeProfileIndex"], 3);
    assert_eq!(profiles[3]["name"], "inuse_space");
    assert_eq!(profiles[3]["endValue"], bytes_of(3));
    for profile in profiles {
        assert_eq!((&profile["type"], &profile["startValue"]), (&"sampled".into(), &0.into()));
        assert!(profile["unit"] == "bytes" || profile["unit"] == "none");
        let samples = profile["samples"].as_array().unwrap();
        let weights = profile["weights"].as_array().unwrap();
        assert_eq!(samples.len(), weights.len());
        let sum: u64 = weights.iter().map(|weight| weight.as_u64().unwrap()).sum();
        assert_eq!(profile["endValue"], sum);
        for index in samples.iter().flat_map(|stack| stack.as_array().unwrap()) {
            assert!(frames.get(index.as_u64().unwrap() as usize).is_some());
        }
    }
}

/// Text, and what comes in elements of the browser's: a name that wants to be an element stays text.
#[test]
fn a_flame_graph_is_well_formed_and_all_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let none = Spec { n_flushes: 2, ..Spec::without_stores() };
    let none_folder = tempfile::tempdir().unwrap();
    let none = none.record(none_folder.path());
    for (recording, n_titles) in [(&recording, 2 * HOSTILE.len() + 1), (&none, 0)] {
        let text = exported_text(recording, &["-f", "flamegraph"]);
        let mut reader = quick_xml::Reader::from_str(&text);
        let (mut titles, mut elements) = (0, Vec::new());
        loop {
            match reader.read_event().unwrap() {
                Event::Start(start) => {
                    titles += usize::from(start.name().as_ref() == b"title");
                    elements.push(String::from_utf8_lossy(start.name().as_ref()).into_owned());
                    for attribute in start.attributes() {
                        let attribute = attribute.unwrap();
                        let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
                        let value = String::from_utf8_lossy(&attribute.value).into_owned();
                        // Names of namespaces are not asked for.
                        assert!(
                            key.starts_with("xmlns") || !value.contains("//"),
                            "{key}: {value}"
                        );
                        assert!(!key.starts_with("on") || start.name().as_ref() == b"svg");
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        assert_eq!(titles, n_titles, "{text}");
        assert!(elements.iter().filter(|name| *name == "script").count() <= 1);
        assert!(!elements.iter().any(|name| name == "b" || name == "image"));
    }
}

#[test]
fn a_number_at_the_end_of_a_name_is_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let spec = Spec { names: vec!["GET /a 12".to_owned()], ..Spec::default() };
    let text =
        exported_text(&spec.record(folder.path()), &["-f", "collapsed", "--frames", "application"]);
    assert_eq!(text, "main /srv/GET /a 12.js:1:9;GET /a 12 /srv/GET /a 12.js:2:9 6291456\n");
}
