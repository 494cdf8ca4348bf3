//! Records a census: of a small program, with everything that was read for it and what the program says of itself. `cargo xtask
//! record-cassettes` keeps these in tests/it/cassettes, where they are played, compared with that truth, and damaged.

use std::fs;
use std::io::Cursor;

use bufwatch::base::Bytes;
use bufwatch::source::census_cassette::CensusCassette;
use bufwatch::v8::census::take::Detail;
use serde_json::Value;

use crate::harness::Lab;
use crate::recording::{copied_scenarios, keep_cassette};
use crate::sample::number;

pub(crate) fn of_a_small_program(lab: &Lab) {
    let major = lab.version().split('.').next().unwrap();
    let folder = copied_scenarios();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (script, recording) = (path("census/cassette.mjs"), path("recording"));
    let mut scenario = lab.scenario(&script, &[]);
    let answer = scenario.tell("hold");
    let pid = scenario.pid().to_string();
    let args = ["census", "--pid", &pid, "--all", "--json", "--record-reads", &recording];
    let mut census = lab.bufwatch(&args);
    assert_eq!(census.wait_for_exit(), Some(0), "{}", census.stderr());
    let mut cassette = CensusCassette::read(Cursor::new(fs::read(&recording).unwrap())).unwrap();
    assert_same(&serde_json::from_str(&census.stdout()).unwrap(), &cassette);
    // The census that is played begins at the stop.
    cassette.header.read_before.clear();
    cassette.header.truth = answer["rows"].clone();
    let mut bytes = Vec::new();
    cassette.write(&mut bytes).unwrap();
    keep_cassette(&format!("census-{major}.cassette"), &bytes);
}

/// Played, it finds what it found live, although the bodies of strings and code are blank.
fn assert_same(live: &Value, cassette: &CensusCassette) {
    let detail = Detail { n_parents: usize::MAX, n_views: 1_000, min_size: Bytes(0) };
    let played = cassette.take(&cassette.image(), detail).unwrap();
    let of_played = played.parents.iter().map(|it| (it.size.0, it.n_views, it.covered.0));
    let of_live = live["parents"].as_array().unwrap().iter();
    let of_live = of_live.map(|it| {
        (number(&it["size_bytes"]), number(&it["n_views"]), number(&it["covered_bytes"]))
    });
    assert_eq!(of_played.collect::<Vec<_>>(), of_live.collect::<Vec<_>>());
}
