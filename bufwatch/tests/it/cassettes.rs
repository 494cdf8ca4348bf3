//! What a session recorded on a cassette is resolved again, frame for frame the same. The live test that records them has checked the
//! frames against V8's own stack traces (tests/live/recording.rs); `cargo xtask record-cassettes` makes all of them anew.

use std::collections::{BTreeMap, BTreeSet};

use bufwatch::base::Avma;
use bufwatch::symbolize::cassette::{Cassette, FORMAT, NamedFrame, Step};
use bufwatch::symbolize::js::CodeMappings as _;
use bufwatch::v8::{CodeMaps, Heap, Tier};

use crate::cassette_player::{Played, PlayedMemory, cassettes, play};

/// Each cell in each tier, on two threads.
const N_STACKS_MIN: usize = 150;

/// The share of frames whose line is exact.
const EXACT_MIN: f64 = 0.98;

/// A failure of all frames would print more than one reads.
const N_FAILURES_SHOWN: usize = 20;

/// What the cells were chosen for. Functions and scripts of which each cassette has frames.
const FUNCTIONS: [&str; 10] = [
    "方法",
    "Üñï",
    "level8",
    "innerOfAsync",
    "crowded",
    "<static_initializer>",
    "first",
    "viaClass",
    "wasm-function[2]",
    "WasmToJsWrapper",
];
const SCRIPTS: [&str; 6] =
    ["language.mjs", "lines-crlf.cjs", "made-up.js", "shifted.js", "eval at ", "node:"];

#[test]
fn every_frame_is_resolved_as_it_was() {
    for (major, cassette) in cassettes() {
        let (mut n_frames, mut failures) = (0, Vec::new());
        play(cassette, &PlayedMemory::default(), |played| {
            n_frames += 1;
            let got = names(&played);
            if got != played.recorded.names {
                failures.push(format!("{:#x?}\ngot {got:#?}", played.recorded));
            }
        });
        for failure in failures.iter().take(N_FAILURES_SHOWN) {
            println!("Node {major}: {failure}");
        }
        assert_eq!(failures.len(), 0, "Node {major}: of {n_frames} frames, printed above");
    }
}

fn names(played: &Played<'_>) -> Option<Vec<NamedFrame>> {
    Some(played.got?.iter().map(NamedFrame::from).collect())
}

#[test]
fn cassettes_have_what_they_are_for() {
    for (major, cassette) in cassettes() {
        assert_eq!(cassette.header.format, FORMAT);
        let version = cassette.header.node_version.as_deref().unwrap();
        assert!(version.starts_with(&format!("{major}.")), "{version}");
        let count = |fits: fn(&Step) -> bool| cassette.steps.iter().filter(|s| fits(s)).count();
        assert!(count(|step| matches!(step, Step::Stack { .. })) >= N_STACKS_MIN, "Node {major}");
        assert!(count(|step| *step == Step::ForgetCode) >= 3, "Node {major}: collections");
        assert!(count(|step| matches!(step, Step::ForgetThread { .. })) >= 1, "Node {major}: ends");
        check_frames(*major, cassette);
    }
}

fn check_frames(major: u32, cassette: &Cassette) {
    let mut n_by_tier: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut functions, mut scripts) = (BTreeSet::new(), BTreeSet::new());
    let (mut threads, mut longest_chain, mut n_exact, mut n_names) = (BTreeSet::new(), 0, 0, 0);
    play(cassette, &PlayedMemory::default(), |mut played| {
        threads.insert(played.tid);
        if let Some(tier) = tier(&mut played, cassette) {
            *n_by_tier.entry(tier).or_default() += 1;
        }
        let names = names(&played).unwrap_or_default();
        longest_chain = longest_chain.max(names.len());
        n_names += names.len();
        for name in names {
            n_exact += usize::from(name.line.is_some() && !name.is_approximate);
            functions.insert(name.function);
            scripts.extend(name.script);
        }
    });
    println!(
        "Node {major}: {n_by_tier:?}, {n_exact} of {n_names} exact, inlined up to {longest_chain}"
    );
    let tiers: &[&str] = if major >= 24 {
        &["ignition", "sparkplug", "maglev", "turbofan"]
    } else {
        &["ignition", "sparkplug", "turbofan"]
    };
    for tier in tiers {
        assert!(n_by_tier.get(tier) >= Some(&20), "Node {major}: {tier} in {n_by_tier:?}");
    }
    assert_eq!(threads.len(), 2, "Node {major}: the main thread and a worker");
    assert!(longest_chain >= 8, "Node {major}: {longest_chain} inlined functions");
    assert!(n_exact as f64 >= EXACT_MIN * n_names as f64, "Node {major}: {n_exact} of {n_names}");
    for function in FUNCTIONS {
        assert!(functions.contains(function), "Node {major}: no {function} in {functions:?}");
    }
    for script in SCRIPTS {
        let is_there = scripts.iter().any(|it: &String| it.contains(script));
        assert!(is_there, "Node {major}: no {script} in {scripts:?}");
    }
    let is_private = |script: &&String| script.contains('/') && !is_public(script);
    assert_eq!(scripts.iter().find(is_private), None, "Node {major}: a path of some machine");
}

/// Recorded in the folder for temporary files, by Node's own scripts or by made-up ones.
fn is_public(script: &str) -> bool {
    ["/tmp/bufwatch-cassette-", "node:", "wasm:"].iter().any(|part| script.contains(part))
}

/// By which compiler the code of a frame is; none for code that was remembered when it was recorded.
fn tier(played: &mut Played<'_>, cassette: &Cassette) -> Option<&'static str> {
    if played.recorded.bytecode_offset != 0 {
        return Some("ignition");
    }
    let pc = Avma(played.recorded.pc);
    let heap = Heap::new(played.memory, &cassette.header.facts.layout);
    let code = heap.find_code(pc, played.mappings.mapping_start(pc)?, &mut CodeMaps::default())?;
    Some(match code.tier {
        Tier::Baseline => "sparkplug",
        Tier::Maglev => "maglev",
        Tier::Turbofan => "turbofan",
    })
}
