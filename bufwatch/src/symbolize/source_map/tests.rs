//! Maps made by hand, read the way those of a target are; this process is the target.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::decode::Original;
use super::*;

/// Numbers as a segment of `mappings`.
fn vlq(numbers: &[i64]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for number in numbers {
        let mut rest = number.unsigned_abs() << 1 | u64::from(*number < 0);
        loop {
            let more = if rest > 31 { 32 } else { 0 };
            text.push(char::from(DIGITS[(rest & 31 | more) as usize]));
            rest >>= 5;
            if rest == 0 {
                break;
            }
        }
    }
    text
}

fn map_json(mappings: &str) -> String {
    format!(
        r#"{{"version":3,"sources":["../src/x.ts",null],"names":["make","\u001b[2J"],
            "sourcesContent":["ignored"],"mappings":"{mappings}"}}"#
    )
}

/// Generated 1:1 is x.ts 11:1; 1:11 is x.ts 12:5 and named; 3:1 is nowhere.
fn small_map() -> String {
    let first = vlq(&[0, 0, 10, 0]);
    let second = vlq(&[10, 0, 1, 4, 0]);
    map_json(&format!("{first},{second};;{}", vlq(&[0])))
}

/// A folder of scripts, written before a program began that does not exist.
struct Scene {
    folder: tempfile::TempDir,
    maps: SourceMaps,
}

impl Scene {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("dist")).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut maps = SourceMaps::new(std::process::id());
        // This test began before the files were written.
        maps.target.as_mut().unwrap().started_at = Nanos(u64::MAX);
        Self { folder, maps }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// `source:line:column name`, the folder left out.
    fn ask(&mut self, script: &str, tail: Option<&str>, at: (u32, u32)) -> Option<String> {
        let script = self.path(script);
        let place = self.maps.original(&script, tail, at.0, at.1)?;
        let source = place.source.replace(&self.path(""), "");
        let name = place.name.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
        Some(format!("{source}:{}:{}{name}", place.line, place.column))
    }
}

const SCRIPT: &str = "let a = 1;\nb();\n//# sourceMappingURL=x.js.map\n";

#[test]
fn a_map_beside_the_script() {
    let mut scene = Scene::new(&[("dist/x.js", SCRIPT), ("dist/x.js.map", &small_map())]);
    for tail in [None, Some(SCRIPT)] {
        let mut ask = |at| scene.ask("dist/x.js", tail, at);
        assert_eq!(ask((1, 1)).as_deref(), Some("src/x.ts:11:1"));
        assert_eq!(ask((1, 10)).as_deref(), Some("src/x.ts:11:1"));
        assert_eq!(ask((1, 11)).as_deref(), Some("src/x.ts:12:5 make"));
        assert_eq!(ask((1, 4_000_000_000)).as_deref(), Some("src/x.ts:12:5 make"));
        // The line before says nothing about a line without mappings.
        assert_eq!(ask((2, 1)), None);
        assert_eq!(ask((3, 1)), None);
        assert_eq!(ask((9, 1)), None);
        assert_eq!(ask((0, 0)), None);
    }
    let url = format!("file://{}?v=1", scene.path("dist/x.js").replace('x', "%78"));
    assert_eq!(scene.maps.original(&url, None, 1, 1).unwrap().line, 11);
    assert_eq!(SourceMaps::off().original(&scene.path("dist/x.js"), None, 1, 1), None);
    assert_eq!(scene.maps.original("node:fs", None, 1, 1), None);
}

#[test]
fn a_map_in_the_script() {
    let json = small_map();
    let encoded = STANDARD.encode(&json);
    let long = format!("{}{}", " ".repeat(200_000), json);
    for url in [
        format!("data:application/json;base64,{encoded}"),
        format!("data:application/json;charset=utf-8;base64,{}", encoded.trim_end_matches('=')),
        format!(
            "data:application/json,{}",
            json.replace(' ', "%20").replace('"', "%22").replace('\n', "%0A")
        ),
        format!("data:application/json;base64,{}", STANDARD.encode(long)),
    ] {
        let script = format!("let a = 1;\n//# sourceMappingURL={url}\n");
        let mut scene = Scene::new(&[("dist/x.js", &script)]);
        assert_eq!(scene.ask("dist/x.js", None, (1, 1)).as_deref(), Some("src/x.ts:11:1"));
        // A loader's, in memory only: the same whatever is on disk.
        let tail = Some(script.as_str());
        assert_eq!(scene.ask("dist/none.ts", tail, (1, 1)).as_deref(), Some("src/x.ts:11:1"));
        scene.maps.target.as_mut().unwrap().started_at = Nanos(1);
        assert_eq!(scene.ask("dist/y.ts", tail, (1, 1)).as_deref(), Some("src/x.ts:11:1"));
        let (_, cut) = script.split_at(script.len() - 20);
        assert_eq!(scene.ask("dist/x.js", Some(cut), (1, 1)), None);
        scene.maps.target.as_mut().unwrap().started_at = Nanos(u64::MAX);
        assert_eq!(scene.ask("dist/x.js", Some("a\nb"), (1, 1)), None);
        assert_eq!(scene.ask("dist/x.js", Some("AAAA"), (1, 1)), None, "other code in memory");
    }
}

#[test]
fn a_file_that_changed_gives_no_place() {
    let mut scene = Scene::new(&[("dist/x.js", SCRIPT), ("dist/x.js.map", &small_map())]);
    let map = PathBuf::from(scene.path("dist/x.js.map"));
    let target = scene.maps.target.unwrap();
    let changed = |path: &str| open(target, Path::new(path)).unwrap().changed_at().unwrap();
    let written = changed(map.to_str().unwrap());
    // Package managers set mtime back; that is a change as well.
    let old = std::time::SystemTime::UNIX_EPOCH;
    File::options().write(true).open(&map).unwrap().set_modified(old).unwrap();
    assert!(changed(map.to_str().unwrap()) >= written);
    scene.maps.target.as_mut().unwrap().started_at = changed(map.to_str().unwrap());
    assert_eq!(scene.ask("dist/x.js", Some(SCRIPT), (1, 1)), None);

    let mut scene = Scene::new(&[("dist/x.js", SCRIPT), ("dist/x.js.map", &small_map())]);
    scene.maps.target.as_mut().unwrap().started_at.0 =
        1 + changed(&scene.path("dist/x.js.map")).0.max(changed(&scene.path("dist/x.js")).0);
    assert!(scene.ask("dist/x.js", Some(SCRIPT), (1, 1)).is_some());
}

#[test]
fn what_cannot_be_used_is_no_map() {
    let cases = [
        ("", "{}"),
        ("x.js.map", ""),
        ("x.js.map", "{"),
        ("x.js.map", "[]"),
        ("x.js.map", r#"{"mappings":5}"#),
        ("http://localhost/x.js.map", "{}"),
        ("../dist", "{}"),
        ("/dev/zero", "{}"),
        ("/proc/self/mem", "{}"),
    ];
    for (url, json) in cases {
        let script = format!("a\n//# sourceMappingURL={url}\n");
        let mut scene = Scene::new(&[("dist/x.js", &script), ("dist/x.js.map", json)]);
        assert_eq!(scene.ask("dist/x.js", None, (1, 1)), None, "{url} {json}");
        assert_eq!(scene.maps.scripts.len(), 1);
        assert_eq!(scene.maps.n_over_limit(), 0);
    }
}

#[test]
fn a_map_over_the_limit_is_counted() {
    let mut scene = Scene::new(&[("dist/x.js", SCRIPT)]);
    let map = File::create(scene.path("dist/x.js.map")).unwrap();
    map.set_len(MAP_BYTES_MAX as u64 + 1).unwrap();
    for _ in 0..2 {
        assert_eq!(scene.ask("dist/x.js", None, (1, 1)), None);
        assert_eq!(scene.maps.n_over_limit(), 1);
    }
    fs::write(scene.path("dist/x.js.map"), small_map()).unwrap();
    scene.maps.scripts.clear();
    scene.maps.budget = 10;
    assert_eq!(scene.ask("dist/x.js", None, (1, 1)), None);
    assert_eq!((scene.maps.n_over_limit(), scene.maps.budget), (2, 10));
    let items = vec!["null"; 500_001].join(",");
    let refused = |json: String| Decoded::from_json(json.as_bytes()).err();
    assert_eq!(refused(format!(r#"{{"names":[{items}]}}"#)), Some(Refusal::OverLimit));
    assert_eq!(refused(map_json(&"A,".repeat(4_000_001))), Some(Refusal::OverLimit));
}

#[test]
fn the_least_used_is_forgotten() {
    let mut scene = Scene::new(&[("dist/x.js", SCRIPT), ("dist/x.js.map", &small_map())]);
    assert!(scene.ask("dist/x.js", None, (1, 1)).is_some());
    for n in 0..SCRIPTS_MAX + 10 {
        assert_eq!(scene.maps.original(&format!("none{n}.js"), None, 1, 1), None);
        assert!(scene.ask("dist/x.js", None, (1, 1)).is_some());
    }
    assert_eq!(scene.maps.scripts.len(), SCRIPTS_MAX);
    let bytes = scene.maps.bytes;
    assert!(bytes > 0 && bytes < 1000);
    assert!(scene.maps.drop_oldest(true));
    assert!(!scene.maps.drop_oldest(true));
    assert_eq!((scene.maps.bytes, scene.maps.scripts.len()), (0, SCRIPTS_MAX - 1));
}

#[test]
fn sections_and_source_roots() {
    let plain = |source: &str, root: &str, mappings: &str| {
        format!(
            r#"{{"sources":["{source}"],"sourceRoot":"{root}","names":["n"],"mappings":"{mappings}"}}"#
        )
    };
    let mappings =
        format!("{},{};{}", vlq(&[0, 0, 4, 2]), vlq(&[50, 0, 0, 0, 0]), vlq(&[0, 0, 1, 0]));
    let json = format!(
        r#")]}}'
        {{"sections":[{{"offset":{{"line":0,"column":0}},"map":{}}},
            {{"offset":{{"line":0,"column":40}},"map":{}}},
            {{"offset":{{"line":7,"column":0}},"url":"http://x"}}]}}"#,
        plain("a.ts", "/root/", &mappings),
        plain("webpack://app/./b.ts", "src", &mappings),
    );
    let decoded = Decoded::from_json(json.as_bytes()).unwrap();
    let sources: Vec<_> = decoded.sources.iter().flatten().collect();
    assert_eq!(sources, ["/root/a.ts", "webpack://app/./b.ts"]);
    let at = |line, column| decoded.find(line, column);
    let original = |source, line, column, name| Some(Original { source, line, column, name });
    assert_eq!(at(0, 39), original(0, 4, 2, None));
    assert_eq!(at(0, 40), original(1, 4, 2, None));
    // The first section would have had 0:50 as well.
    assert_eq!(at(0, 60), original(1, 4, 2, None));
    assert_eq!(at(0, 90), original(1, 4, 2, Some("n")));
    assert_eq!(at(1, 3), original(1, 5, 2, None));
    assert_eq!(at(7, 0), None);

    let backwards = json.replace("\"line\":7", "\"line\":0");
    assert_eq!(Decoded::from_json(backwards.as_bytes()).err(), Some(Refusal::Damaged));
}

#[test]
fn positions_that_contradict_are_refused() {
    let refused = |mappings: &str| Decoded::from_json(map_json(mappings).as_bytes()).is_err();
    for numbers in [&[-1_i64][..], &[0, 0, -1, 0], &[0, 0, 0, -1], &[0, -1, 0, 0], &[0, 0], &[0; 6]]
    {
        assert!(refused(&vlq(numbers)), "{numbers:?}");
    }
    for text in ["g", "!", "ü", "gggggggggggggB", "//////////////A"] {
        assert!(refused(text), "{text}");
    }
    assert!(refused(&vlq(&[i64::from(u32::MAX)])));
    // Names and sources that do not exist cost themselves only.
    let json = map_json(&format!("{},{}", vlq(&[0, 0, 0, 0, 9]), vlq(&[1, 5, 0, 0])));
    let decoded = Decoded::from_json(json.as_bytes()).unwrap();
    assert_eq!(decoded.find(0, 0), Some(Original { source: 0, line: 0, column: 0, name: None }));
    assert_eq!(decoded.find(0, 1), None);
}

#[test]
fn foreign_names_are_made_harmless() {
    let json = map_json(&vlq(&[0, 0, 0, 0, 1])).replace("x.ts", "\\u001b]0;x");
    let map = FittingMap::new(json.as_bytes(), Some("/app/dist")).unwrap();
    let place = map.find(0, 0).unwrap();
    assert_eq!(&*place.source, "/app/src/\u{fffd}]0;x");
    assert_eq!(place.name.as_deref(), Some("\u{fffd}[2J"));
}

proptest! {
    #[test]
    fn any_json_is_survived(text in "[\\[\\]{}:,\"0-9a]{0,80}", mappings in "[A-Za-z0-9+/,;!]{0,120}") {
        for json in [text.clone(), map_json(&mappings), format!(r#"{{"sections":[{text}]}}"#)] {
            if let Ok(map) = FittingMap::new(json.as_bytes(), Some("/a")) {
                for at in [(0, 0), (0, u32::MAX), (3, 7), (u32::MAX, 0)] {
                    let _place = map.find(at.0, at.1);
                }
            }
        }
    }

    #[test]
    fn damaged_maps_are_survived(at in 0_usize..400, byte in any::<u8>()) {
        let mut json = small_map().into_bytes();
        let at = at % json.len();
        json[at] = byte;
        let _map = FittingMap::new(&json, None);
        json.truncate(at);
        prop_assert!(FittingMap::new(&json, None).is_err());
    }

    #[test]
    fn what_was_encoded_is_found(
        lines in prop::collection::vec(prop::collection::vec((1_i64..90, 0_i64..2, 0_i64..5_000, 0_i64..300), 0..6), 1..8)
    ) {
        let (mut mappings, mut expected) = (String::new(), Vec::new());
        let mut before = (0, 0, 0);
        for (n, line) in (0_u32..).zip(&lines) {
            let mut generated = 0;
            for (step, source, original_line, column) in line {
                generated += step;
                let segment = vlq(&[*step, source - before.0, original_line - before.1, column - before.2]);
                before = (*source, *original_line, *column);
                write!(mappings, "{segment},").unwrap();
                expected.push(((n, generated as u32), before));
            }
            mappings.push(';');
        }
        let decoded = Decoded::from_json(map_json(&mappings).as_bytes()).unwrap();
        for ((line, column), (source, original_line, original_column)) in expected {
            let found = decoded.find(line, column).unwrap();
            prop_assert_eq!(found.source as i64, source);
            prop_assert_eq!(i64::from(found.line), original_line);
            prop_assert_eq!(i64::from(found.column), original_column);
        }
    }
}
