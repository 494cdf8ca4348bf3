//! Exact first writes by page faults, against a program that says when it wrote; and none unless they were asked for.

use std::path::Path;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Lab, Watch};
use crate::sample::{Sample, number};

const INTERVAL: &str = "0.5";

const FLAG: &str = "--faults";

/// Stores of these sizes and a page more each; untouched but for the allocator's header.
const MAKE: &str = "make 3 40000000 unsafe";

/// Blocks of malloc's heap, once it has freed a larger one.
const FILL: &str = "fill 40 1048576";

fn rows(sample: &Sample) -> Vec<&Value> {
    let rows = sample.value()["top_stores"].as_array().unwrap().iter();
    rows.filter(|row| row["size_bytes"].as_u64() >= Some(1 << 20)).collect()
}

/// When the first write was, and who is said to have written.
fn first_write(sample: &Sample, row: &Value) -> (u64, String) {
    let at = number(&sample.value()["t_ns"]) - number(&row["first_write"]["ago_ns"]);
    (at, row["first_write"]["by"].as_str().unwrap().to_owned())
}

fn all_are_told(sample: &Sample) -> bool {
    let rows = rows(sample);
    rows.len() >= 3 && rows.iter().all(|row| row["first_write"]["ago_ns"].is_u64())
}

/// All stores are told to be first written to between the moments that the program read before and after it wrote.
fn assert_written_in(watch: &Watch, step: &Value, by: &str) -> Sample {
    let sample = watch.wait_for_sample("first writes", all_are_told);
    for row in rows(&sample) {
        let mut stores = step["stores"].as_array().unwrap().iter();
        let store = stores.find(|store| store["size"] == row["size_bytes"]).unwrap();
        let within = number(&store["first"][0])..=number(&store["first"][1]);
        let (at, told_by) = first_write(&sample, row);
        assert!(within.contains(&at), "{at} is not in {within:?}: {row}");
        assert_eq!(told_by, by, "{row}");
    }
    sample
}

fn start(lab: &Lab, flags: &[&str]) -> (crate::harness::Scenario, Watch) {
    let scenario = lab.scenario("residency/pages.mjs", &[]);
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), flags);
    (scenario, watch)
}

/// By the program, and by read(2); later writes change nothing; the recording says the same.
fn told(lab: &Lab, file: &Path) {
    let flags = [FLAG, "--record", file.to_str().unwrap()];
    let (mut scenario, mut watch) = start(lab, &flags);
    assert!(watch.stderr_so_far().contains("page fault"), "its cost is said first");
    scenario.tell(MAKE);
    let is_looked_at = |sample: &Sample| {
        let rows = rows(sample);
        rows.len() >= 3 && rows.iter().all(|row| row["scanned_ns"].is_u64())
    };
    let sample = watch.wait_for_sample("untouched stores", is_looked_at);
    assert!(rows(&sample).iter().all(|row| row["first_write"].is_null()), "{}", sample.value());
    let written = scenario.tell("write 10 30");
    assert_written_in(&watch, &written, "program");
    scenario.tell("write 0 100");
    watch.next_sample();
    assert_written_in(&watch, &written, "program");
    scenario.tell("drop");
    watch.wait_for_sample("none of them", |sample| rows(sample).is_empty());
    scenario.tell(MAKE);
    let copied = scenario.tell("copy 20 50");
    assert_written_in(&watch, &copied, "kernel");
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.wait_for_exit(), Some(130), "{}", watch.stderr());
    let live = watch.last_sample();
    let args = ["replay", file.to_str().unwrap(), "--headless", "--json"];
    let mut replay = lab.bufwatch(&args);
    assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
    let replayed = replay.last_sample();
    assert!(all_are_told(&replayed), "{}", replayed.value()["top_stores"]);
    let of = |sample: &Sample| -> Vec<_> {
        rows(sample).iter().map(|row| first_write(sample, row)).collect()
    };
    assert_eq!(of(&live), of(&replayed));
}

/// Nothing faults in memory that was there: that is said, not a time.
fn unseen(lab: &Lab) {
    let mut scenario = lab.scenario("residency/steps.mjs", &[]);
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[FLAG]);
    for step in ["warm 31000000", FILL] {
        scenario.tell(step);
    }
    // What nobody has looked at is not remembered when it dies.
    watch.wait_for_sample("stores that were looked at", |sample| {
        let rows = rows(sample);
        rows.len() >= 20 && rows.iter().all(|row| row["scanned_ns"].is_u64())
    });
    scenario.tell("dropall");
    // Nor is it known to be there before it was looked at.
    watch.wait_for_sample("memory of the dead", |sample| {
        let rows = sample.value()["freed_sites"].as_array().unwrap().iter();
        rows.filter_map(|row| row["resident_bytes"].as_u64()).sum::<u64>() >= 20 << 20
    });
    scenario.tell(FILL);
    let is_recycled = |row: &&&Value| row["is_recycled"] == true && row["first_write"].is_object();
    let sample = watch.wait_for_sample("stores in memory that was there", |sample| {
        rows(sample).iter().filter(is_recycled).count() >= 10
    });
    for row in rows(&sample).iter().filter(is_recycled) {
        assert_eq!(row["first_write"]["ago_ns"], Value::Null, "{row}");
    }
}

/// Without the flag nothing is told of it, nor attached.
fn not_told(lab: &Lab) {
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell(MAKE);
    scenario.tell("write 10 30");
    let sample = watch.wait_for_sample("written stores", |sample| {
        let rows = rows(sample);
        rows.len() >= 3 && rows.iter().all(|row| row["resident_bytes"].as_u64() > Some(7_000_000))
    });
    for row in rows(&sample) {
        assert!(row["first_write"].is_null() && row["touched_ns"].is_u64(), "{row}");
    }
    assert_eq!(watch.stderr_so_far(), "");
}

/// All at once, since they mostly wait.
pub(crate) fn exact_when_asked_for(lab: &Lab) {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| told(lab, &folder.path().join("a.bufwatch")));
        scope.spawn(|| unseen(lab));
        scope.spawn(|| not_told(lab));
    });
}
