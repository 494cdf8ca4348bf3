//! Steps of RSS: each has the cause that the scenario says it has, and memory of dead stores is told by line.

use serde_json::Value;

use crate::harness::{Lab, Watch};
use crate::sample::{Sample, number};

const SCENARIO: &str = "residency/steps.mjs";

const INTERVAL: &str = "0.5";

const MB: u64 = 1_000_000;

/// Pages at the ends of stores, and what a collection moves.
const TOLERANCE: u64 = 3;

/// A sample whose look at the whole process began after this call.
pub(crate) fn looked_at(watch: &Watch) -> Sample {
    let now = number(&watch.next_sample().value()["t_ns"]);
    watch.wait_for_sample("a look at the whole process", |sample| {
        let age = sample.value()["residency"]["age_ns"].as_u64();
        let began = age.and_then(|age| number(&sample.value()["t_ns"]).checked_sub(age));
        began > Some(now)
    })
}

/// Bytes of a kind of cause, in all steps that ended after `since`; of stores, only those of the scenario's own lines.
fn bytes_of(sample: &Sample, since: u64, kind: &str) -> i64 {
    let now = number(&sample.value()["t_ns"]);
    let steps = sample.value()["rss_steps"].as_array().unwrap().iter();
    let steps = steps.filter(|step| now.saturating_sub(number(&step["ago_ns"])) > since);
    let causes = steps.flat_map(|step| step["causes"].as_array().unwrap());
    let is_its = |cause: &&Value| {
        let site = cause["site"].as_str();
        cause["kind"] == kind && site.is_none_or(|site| site.contains("steps.mjs"))
    };
    causes.filter(is_its).map(|cause| cause["bytes"].as_i64().unwrap()).sum()
}

/// Waits until so many bytes are told to have come from a kind of cause since then.
fn wait_for_cause(watch: &Watch, since: u64, kind: &str, wanted: i64) -> Sample {
    let slack = wanted.unsigned_abs() * TOLERANCE / 100;
    watch.wait_for_sample(&format!("{wanted} bytes by {kind}"), |sample| {
        bytes_of(sample, since, kind).abs_diff(wanted) <= slack
    })
}

/// After the next look at the whole process: what is told then was not there before.
fn now(watch: &Watch) -> u64 {
    number(&looked_at(watch).value()["t_ns"])
}

/// No more than a tenth of the newest step is unexplained.
fn assert_explained(sample: &Sample) {
    let step = sample.value()["rss_steps"].as_array().unwrap().last().unwrap();
    let (delta, rest) = (&step["delta_bytes"], &step["unexplained_bytes"]);
    let (delta, rest) = (delta.as_i64().unwrap(), rest.as_i64().unwrap());
    println!("{}", step["text"].as_str().unwrap());
    assert!(rest.unsigned_abs() <= delta.unsigned_abs() / 10 + MB, "{step}");
}

/// First writes, births, deaths and V8's own growth are told apart.
pub(crate) fn causes(lab: &Lab) {
    let mut scenario = lab.scenario(SCENARIO, &[]);
    let watch = lab.attach_recorded(INTERVAL, scenario.pid(), &[]);
    watch.wait_for_sample("probes", Sample::is_counting);
    scenario.tell("make 3 60000000");
    let since = now(&watch);
    scenario.tell("write");
    assert_explained(&wait_for_cause(&watch, since, "first-write", 180_000_000));
    let since = now(&watch);
    scenario.tell("fill 50 2000000");
    assert_explained(&wait_for_cause(&watch, since, "born", 100_000_000));
    let since = now(&watch);
    scenario.tell("drop 0");
    assert_explained(&wait_for_cause(&watch, since, "freed", -60_000_000));
    let since = now(&watch);
    let before = scenario.tell("heap 0");
    let after = scenario.tell("heap 1000000");
    let grew = number(&after["rss"]) - number(&before["rss"]);
    let sample = watch.wait_for_sample("growth of V8's heap", |sample| {
        bytes_of(sample, since, "v8-heap") > (grew / 2).cast_signed()
    });
    assert_explained(&sample);
}

/// What malloc keeps of dead stores is told with the line that had made them, and that RSS has not moved.
pub(crate) fn kept(lab: &Lab) {
    let mut scenario = lab.scenario(SCENARIO, &[]);
    let watch = lab.attach_recorded(INTERVAL, scenario.pid(), &[]);
    watch.wait_for_sample("probes", Sample::is_counting);
    scenario.tell("warm 31000000");
    let since = now(&watch);
    scenario.tell("fill 400 1048576");
    let sample = wait_for_cause(&watch, since, "born", 400 * 1_048_576);
    assert_explained(&sample);
    let steps = sample.value()["rss_steps"].as_array().unwrap();
    let grown: u64 = steps.iter().map(|it| number(&it["asked_of_kernel"]["brk_up_bytes"])).sum();
    assert!(grown.abs_diff(400 * 1_048_576) <= 40 * MB, "{grown}: {steps:?}");
    let text = steps.last().unwrap()["text"].as_str().unwrap();
    assert!(text.contains("(malloc's heap grew by "), "{text}");
    let since = now(&watch);
    let answer = scenario.tell("thin 40");
    assert_eq!(answer["n_stores"], 10);
    let freed = 390 * 1_048_576;
    wait_for_cause(&watch, since, "freed", -freed);
    let sample = wait_for_cause(&watch, since, "kept", freed);
    for step in sample.value()["rss_steps"].as_array().unwrap() {
        println!("{}", step["text"].as_str().unwrap());
    }
    let row = &sample.value()["freed_sites"][0];
    assert!(row["site"].as_str().unwrap().contains("steps.mjs"), "{row}");
    let resident = number(&row["resident_bytes"]);
    assert!(resident.abs_diff(freed.unsigned_abs()) < 2 * MB, "{row}");
    // The whole of it is what malloc has free.
    let free = number(&sample.value()["rss_parts"]["allocator_free"]);
    assert!(free.abs_diff(resident) <= free * TOLERANCE / 100, "{free}, {row}");
    scenario.tell("fill 200 1048576");
    let sample = looked_at(&watch);
    let row = &sample.value()["freed_sites"][0];
    assert!(number(&row["resident_bytes"]) < 250 * MB, "used again: {row}");
}
