//! With `--async-origin`, memory that Node makes in callbacks goes by the line that began it, as the program itself tells it,
//! and by none where that is not certain; without it nothing is different and nothing more is probed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::harness::{Lab, Scenario, Watch};
use crate::probes::n_changed_bytes;
use crate::sample::{Frame, Sample, Site};
use crate::stacks::INTERVAL;

/// Smaller than most pieces of what is read from a socket.
const MIN_SIZE: &str = "4096";

/// Of what is read in pieces: those below the smallest tracked store are missing, and some have room to spare.
const SHARE_OF_PIECES: std::ops::Range<f64> = 0.9..1.1;

/// Labels of what has no line and no origin that is certain: all of them jobs of a stream of a file.
const WITHOUT_ORIGIN: [&str; 2] = ["fs.createReadStream", "wrapper (node:fs)"];

/// What the program says came of one of its lines.
#[derive(Debug, Deserialize)]
struct Begun {
    function: String,
    line: u32,
    /// The name of what Node did, or function and line of the program's own callback.
    via: String,
    bytes: u64,
    is_exact: bool,
}

/// Line that began something, and what was done.
type Key = (String, u32, String);

pub(crate) fn lines_that_began_it(lab: &Lab) {
    let (begun, sample) = run(lab, &["--async-origin"]);
    assert_eq!(sample.n_lost(), 0);
    let mut expected: BTreeMap<Key, (u64, bool)> = BTreeMap::new();
    for it in begun {
        let entry = expected.entry((it.function, it.line, it.via)).or_insert((0, it.is_exact));
        entry.0 += it.bytes;
    }
    let mut found: BTreeMap<Key, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for site in sample.sites() {
        match begun_by(&site) {
            Some(frame) => {
                let line = frame.line.unwrap_or_default();
                *found.entry((frame.function.clone(), line, what_was_done(&site))).or_default() +=
                    site.created_bytes;
            }
            None if site.user_frame.is_none() && !WITHOUT_ORIGIN.contains(&&*site.label) => {
                failures.push(format!(
                    "{} bytes of `{}` have no origin",
                    site.created_bytes, site.label
                ));
            }
            None => {}
        }
        // Only what has no line of its own goes by one that began it, and says so.
        let is_marked = site.label.ends_with("(async)");
        if begun_by(&site).is_some() && is_marked == site.user_frame.is_some() {
            failures.push(format!("`{}` does not tell who allocated", site.label));
        }
    }
    for (key, (bytes, is_exact)) in &expected {
        let seen = found.remove(key).unwrap_or(0);
        let is_right = if *is_exact {
            seen == *bytes
        } else {
            SHARE_OF_PIECES.contains(&(seen as f64 / *bytes as f64))
        };
        println!("{key:?}: {seen} of {bytes} bytes");
        if !is_right {
            failures.push(format!("{key:?}: {seen} bytes instead of {bytes}"));
        }
    }
    failures.extend(found.iter().map(|(key, bytes)| format!("{key:?}: {bytes} bytes, wrong")));
    assert!(failures.is_empty(), "{}:\n{}", lab.version(), failures.join("\n"));
}

/// The frame of the program that began it.
fn begun_by(site: &Site) -> Option<&Frame> {
    site.async_frames.as_ref()?.get(site.async_user_frame?)
}

/// What the program calls it: the API, or its own line if the callback reached one.
fn what_was_done(site: &Site) -> String {
    match site.user_frame.and_then(|at| site.frames.get(at)) {
        Some(own) => format!("{}:{}", own.function, own.line.unwrap_or_default()),
        None => site.via.clone().unwrap_or_default(),
    }
}

pub(crate) fn nothing_without_the_flag(lab: &Lab) {
    let mut scenario = lab.scenario("async-origins.mjs", &[]);
    let watch = attach(lab, &scenario, &["--async-origin"]);
    let n_with = n_changed_bytes(scenario.pid());
    let (async_places, other_places) = planned_places(lab, scenario.pid());
    assert_eq!(n_with, async_places.len() + other_places.len());
    drop(watch);
    let mut watch = attach(lab, &scenario, &[]);
    assert_eq!(n_changed_bytes(scenario.pid()), other_places.len());
    scenario.tell("go");
    let sample = watch.next_sample();
    assert!(!sample.sites().is_empty());
    for site in sample.sites() {
        assert_eq!((site.async_frames.as_ref(), site.async_user_frame), (None, None), "{site:?}");
        assert!(!site.label.ends_with("(async)") || site.via.is_none(), "{site:?}");
    }
    watch.signal(nix::sys::signal::Signal::SIGINT);
    assert_eq!(watch.wait_for_exit(), Some(130));
}

fn run(lab: &Lab, more: &[&str]) -> (Vec<Begun>, Sample) {
    let mut scenario = lab.scenario("async-origins.mjs", &[]);
    let watch = attach(lab, &scenario, more);
    let answer = scenario.tell("go");
    let begun = serde_json::from_value(answer["begun"].clone()).unwrap();
    (begun, watch.next_sample())
}

fn attach(lab: &Lab, scenario: &Scenario, more: &[&str]) -> Watch {
    let args = [&["--min-size", MIN_SIZE], more].concat();
    lab.attach_printing(INTERVAL, scenario.pid(), &args)
}

/// Where the plan has probes, those of async origins apart.
fn planned_places(lab: &Lab, pid: u32) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut plan = lab.bufwatch(&["plan", "--pid", &pid.to_string(), "--json"]);
    assert_eq!(plan.wait_for_exit(), Some(0));
    let plan: Value = serde_json::from_str(&plan.stdout()).unwrap();
    let probes = plan["probes"].as_array().unwrap();
    let (of_async, others): (Vec<&Value>, Vec<&Value>) =
        probes.iter().partition(|probe| probe["purpose"].as_str().unwrap().starts_with("async-"));
    let places = |probes: Vec<&Value>| -> BTreeSet<String> {
        probes.iter().map(|probe| format!("{} {}", probe["image"], probe["file_offset"])).collect()
    };
    (places(of_async), places(others))
}
