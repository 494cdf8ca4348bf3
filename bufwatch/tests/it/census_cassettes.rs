//! Censuses of recorded processes find what the program that was recorded says of itself, and nothing else. The live test that records
//! them (`tests/live/census_recording.rs`) lets `cargo xtask record-cassettes` make all of them anew.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::sync::LazyLock;

use bufwatch::base::Bytes;
use bufwatch::event::census::{Census, Parent};
use bufwatch::source::census_cassette::{CensusCassette, FORMAT};
use bufwatch::v8::census::take::Detail;
use serde_json::Value;

/// What Node itself has is smaller.
const SIZE_MIN: u64 = 100_000;

/// All parents with all views.
pub(crate) const DETAIL: Detail =
    Detail { n_parents: usize::MAX, n_views: 1_000, min_size: Bytes(0) };

/// All that are kept, by major version of Node.
pub(crate) fn cassettes() -> &'static [(u32, CensusCassette)] {
    static CASSETTES: LazyLock<Vec<(u32, CensusCassette)>> =
        LazyLock::new(|| [18, 20, 22, 24, 26].map(|major| (major, load(major))).into());
    &CASSETTES
}

fn load(major: u32) -> CensusCassette {
    let name = format!("tests/it/cassettes/census-{major}.cassette");
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(&bytes).unwrap();
    CensusCassette::read(Cursor::new(bytes)).unwrap()
}

/// Null for what no truth states.
fn fact(parent: &Parent, name: &str) -> Value {
    match name {
        "kind" => format!("{:?}", parent.kind).to_lowercase().into(),
        "n_views" => parent.n_views.into(),
        "views_bytes" => parent.views_bytes.0.into(),
        "covered_bytes" => parent.covered.0.into(),
        "has_aliases" => parent.has_aliases.into(),
        _ => Value::Null,
    }
}

/// A row of the truth and the parent that it is about.
fn check_row(major: u32, row: &Value, parent: &Parent) {
    for (name, expected) in row.as_object().unwrap() {
        match name.as_str() {
            "name" | "size" => {}
            "held" => {
                let expected: Vec<&str> = expected["path"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|it| it.as_str().unwrap())
                    .collect();
                let path: Vec<&str> = parent.holders[0].path.iter().map(String::as_str).collect();
                assert!(path.ends_with(&expected), "Node {major}: {row} is held by {path:?}");
            }
            name => assert_eq!(fact(parent, name), *expected, "Node {major}: {name} of {row}"),
        }
    }
}

fn check(major: u32, census: &Census, truth: &Value) {
    assert_eq!(census.gaps, Vec::<String>::new(), "Node {major}");
    let mut found: BTreeMap<u64, Vec<&Parent>> = BTreeMap::new();
    for parent in census.parents.iter().filter(|parent| parent.size.0 >= SIZE_MIN) {
        found.entry(parent.size.0).or_default().push(parent);
    }
    for row in truth.as_array().unwrap() {
        let parents = found.remove(&row["size"].as_u64().unwrap()).unwrap_or_default();
        assert_eq!(parents.len(), 1, "Node {major}: of {row} there is not one: {parents:?}");
        check_row(major, row, parents[0]);
    }
    assert!(found.is_empty(), "Node {major}: these are dead: {found:#?}");
}

#[test]
fn every_recorded_buffer_is_found_with_its_holder() {
    for (major, cassette) in cassettes() {
        let census = cassette.take(&cassette.image(), DETAIL).unwrap();
        check(*major, &census, &cassette.header.truth);
    }
}

#[test]
fn cassettes_of_censuses_have_what_they_are_for() {
    for (major, cassette) in cassettes() {
        let header = &cassette.header;
        assert_eq!(header.format, FORMAT);
        let version = header.node_version.as_deref().unwrap();
        assert!(version.starts_with(&format!("{major}.")), "{version}");
        let rows = header.truth.as_array().unwrap();
        let names = ["Map", "closure", "class field", "WeakMap", "SharedArrayBuffer"];
        for name in names.iter().chain(&["WebAssembly.Memory", "typed arrays", "moved"]) {
            assert!(rows.iter().any(|row| row["name"] == *name), "Node {major}: no {name}");
        }
        assert!(rows.iter().filter(|row| row["name"] == "Map").count() >= 40, "Node {major}");
        let census = cassette.take(&cassette.image(), DETAIL).unwrap();
        println!("Node {major}: {} bytes, {:?}", cassette.bytes.len(), census.counts);
        for folder in [&b"/home"[..], b"/root", b"/work/", b"/usr"] {
            let has = cassette.bytes.windows(folder.len()).any(|bytes| bytes == folder);
            assert!(!has, "Node {major}: a path of some machine");
        }
    }
}
