//! Records cassettes: some cells of the stack scenarios in all tiers, checked against what V8 says of them as all live tests of stacks
//! are, with everything that was read on the way. `cargo xtask record-cassettes` keeps them in tests/it/cassettes, where they are played.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::completeness::Attached;
use crate::harness::Lab;
use crate::stacks::{INTERVAL, MIN_SIZE, check_phases};

/// One of each kind of code, source and way of being called.
const CELLS: [&str; 25] = [
    "language.mjs: sync nested",
    "language.mjs: async in async",
    "language.mjs: event emitter",
    "language.mjs: static private method",
    "language.mjs: field initialiser",
    "language.mjs: static block",
    "language.mjs: inferred nested",
    "language.mjs: recursion",
    "language.mjs: over many lines",
    "hot.mjs: inlined in a loop",
    "hot.mjs: inlined 8 levels",
    "hot.mjs: nested loops",
    "hot.mjs: eager deoptimisation",
    "hot.mjs: lazy deoptimisation",
    "two-byte.cjs: non-ASCII names",
    "latin.cjs: Latin-1 names",
    "lines-crlf.cjs: nested",
    "lines-line-separator.cjs: nested",
    "made-code.cjs: direct eval",
    "made-code.cjs: eval with a name",
    "made-code.cjs: new Function",
    "made-code.cjs: vm with offsets",
    "made-code.cjs: many context variables",
    "made-code.cjs: WebAssembly",
    "typed-inline.cjs: class",
];

/// Deflate's best; it takes a second.
const COMPRESSION: u8 = 10;

/// A copy, since what is recorded names the paths of scripts.
pub(crate) fn copied_scenarios() -> TempDir {
    let folder = tempfile::Builder::new().prefix("bufwatch-cassette-").tempdir_in("/tmp").unwrap();
    let scenarios = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/scenarios/.");
    assert!(
        Command::new("cp").args(["-r", scenarios]).arg(folder.path()).status().unwrap().success()
    );
    folder
}

/// Where `cargo xtask record-cassettes` asks for it.
pub(crate) fn keep_cassette(name: &str, recorded: &[u8]) {
    let compressed = miniz_oxide::deflate::compress_to_vec_zlib(recorded, COMPRESSION);
    println!("{} bytes, compressed {}", recorded.len(), compressed.len());
    if let Some(kept) = std::env::var_os("BUFWATCH_CASSETTES").map(PathBuf::from) {
        fs::write(kept.join(name), compressed).unwrap();
    }
}

pub(crate) fn of_each_tier(lab: &Lab) {
    let major = lab.version().split('.').next().unwrap();
    let folder = copied_scenarios();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (fixtures, recording) = (path("fixtures"), path("recording"));
    lab.write_files(&path("stacks/fixtures.mjs"), Path::new(&fixtures));
    let args = [["cassette", &fixtures].as_slice(), &CELLS].concat();
    let mut scenario = lab.scenario(&path("stacks/truth.mjs"), &args);
    let more = ["--min-size", MIN_SIZE, "--record-reads", &recording];
    let mut watch = lab.attach_printing(INTERVAL, scenario.pid(), &more);
    let missed = check_phases(lab, "cassette", &mut Attached(&mut scenario, &watch));
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    scenario.send("go");
    assert_eq!(scenario.wait_for_exit(), Some(0));
    assert_eq!(watch.wait_for_exit(), Some(0), "{}", watch.stderr());
    let recorded = fs::read(&recording).unwrap();
    keep_cassette(&format!("node-{major}.cassette"), &recorded);
}
