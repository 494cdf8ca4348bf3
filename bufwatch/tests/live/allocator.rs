//! What malloc keeps of freed memory, against what glibc says itself, and gives back when it is asked to.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Lab, Scenario, Watch, addon, with_any_node};
use crate::sample::Sample;

const SCENARIO: &str = "residency/allocator.mjs";

/// Keeps blocks of 1 MB in mappings of their own, whatever was freed before.
const FIXED_THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Busy programs that give memory back all the time have no RSS to compare with.
const NOTHING_GIVEN_BACK: [(&str, &str); 2] =
    [("MALLOC_TRIM_THRESHOLD_", "1000000000"), ("MALLOC_MMAP_THRESHOLD_", "1000000000")];

const MB: u64 = 1 << 20;

/// What JavaScript itself allocates and frees between two questions.
const NOISE: u64 = MB;

const INTERVAL: &str = "0.5";

fn number(value: &Value) -> u64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number")) as u64
}

/// The addon that asks glibc is there.
fn has_addon() -> bool {
    let has_addon = addon().is_some();
    if !has_addon {
        println!("skipped: no addon: run `cargo xtask setup`");
    }
    has_addon
}

/// A sample whose look at the whole process began after this call.
fn looked_at(watch: &Watch) -> Sample {
    let now = number(&watch.next_sample().value()["t_ns"]);
    watch.wait_for_sample("a look at the whole process", |sample| {
        let age = sample.value()["residency"]["age_ns"].as_u64();
        let began = age.and_then(|age| number(&sample.value()["t_ns"]).checked_sub(age));
        began > Some(now)
    })
}

/// The same, which has walked the heap to its end: a look that was kept waiting for a processor says that it gave up, and the next one tells.
fn known_look(watch: &Watch, is_walked: fn(&Sample) -> bool) -> Sample {
    let now = number(&looked_at(watch).value()["t_ns"]);
    watch.wait_for_sample("a heap that was walked to its end", |sample| {
        number(&sample.value()["t_ns"]) >= now && is_walked(sample)
    })
}

fn are_arenas_walked(sample: &Sample) -> bool {
    allocator(sample)["is_known"] == true
}

/// The blocks that are mapped as well.
fn is_all_walked(sample: &Sample) -> bool {
    are_arenas_walked(sample) && allocator(sample)["untraced_mapped"].is_object()
}

/// The first look at the heap to its end of a bufwatch that comes only now.
fn known_late(lab: &Lab, scenario: &Scenario, is_walked: fn(&Sample) -> bool) -> Sample {
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
    watch.wait_for_sample("a heap that was walked to its end", is_walked)
}

/// The first look of a bufwatch that comes only now.
fn looked_at_late(lab: &Lab, scenario: &Scenario) -> Sample {
    first_look(&lab.attach_printing(INTERVAL, scenario.pid(), &[]))
}

fn first_look(watch: &Watch) -> Sample {
    watch.wait_for_sample("the whole process", |sample| sample.value()["residency"].is_object())
}

/// RSS is read right before and after the pass over the pages; three threads that allocate all the time change it meanwhile.
const BUSY_SHARE: f64 = 0.1;

/// All of RSS is explained, within one percent.
fn assert_sums(sample: &Sample) {
    let residency = &sample.value()["residency"];
    let (rss, sum) = (number(&residency["rss_bytes"]), number(&residency["explained_bytes"]));
    assert!(rss.abs_diff(sum) <= rss / 100, "parts are {sum} of {rss}: {}", sample.value());
}

fn allocator(sample: &Sample) -> &Value {
    &sample.value()["residency"]["allocator"]
}

fn assert_known(sample: &Sample) {
    let allocator = allocator(sample);
    assert_eq!(allocator["name"], "glibc", "{allocator}");
    assert_eq!(allocator["is_known"], true, "{allocator}");
    assert_sums(sample);
}

fn kept(sample: &Sample) -> u64 {
    number(&sample.value()["rss_parts"]["allocator_free"])
}

fn assert_near(seen: u64, wanted: u64, slack: u64, what: &str) {
    assert!(seen.abs_diff(wanted) <= slack, "{what}: {seen}, {wanted} wanted");
}

/// 360 of 400 buffers are dropped and their memory stays: as many bytes as a trim gives back, whenever bufwatch came.
pub(crate) fn kept_by_malloc(lab: &Lab) {
    if has_addon() {
        kept_in(lab, lab.scenario(SCENARIO, &["warm"]));
    }
}

/// The same where brk cannot grow: each buffer has a region of the main arena in a mapping.
pub(crate) fn kept_elsewhere(lab: &Lab) {
    if has_addon() {
        let scenario = lab.scenario(SCENARIO, &["warm", "walled"]);
        assert_walled(&scenario);
        kept_in(lab, scenario);
    }
}

/// The main arena has memory that it did not get by brk.
fn assert_walled(scenario: &Scenario) {
    let ready = scenario.ready();
    assert!(number(&ready["elsewhere"]) >= 4 * MB, "{ready}");
}

fn kept_in(lab: &Lab, mut scenario: Scenario) {
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
    assert_eq!(scenario.tell("fill")["settled"], true);
    let early = known_look(&watch, are_arenas_walked);
    drop(watch);
    let late = known_late(lab, &scenario, are_arenas_walked);
    let numbers = scenario.tell("numbers");
    let trimmed = scenario.tell("trim");
    let dropped = number(&trimmed["before"]) - number(&trimmed["after"]);
    assert!(dropped > 300 * MB, "{trimmed}");
    for (sample, when) in [(&early, "early"), (&late, "late")] {
        assert_known(sample);
        assert_near(kept(sample), dropped, dropped * 3 / 100, when);
        let free = number(&allocator(sample)["free_bytes"]);
        assert_near(free, number(&numbers["free"]), NOISE, when);
        // Why: the block that was freed first.
        let allocator = allocator(sample);
        assert!(number(&allocator["mmap_threshold_bytes"]) >= 31 * MB, "{allocator}");
        assert_eq!(allocator["are_thresholds_fixed"], false);
    }
    // The 40 that live lie in arenas, and were seen coming.
    let in_allocator = number(&early.value()["rss_parts"]["stores_in_allocator"]);
    assert!(in_allocator >= 40 * MB, "{}", early.value()["rss_parts"]);
    println!("{} of {dropped}; {} late; {}", kept(&early), kept(&late), allocator(&late));
    let after = known_late(lab, &scenario, are_arenas_walked);
    assert!(kept(&after) < 10 * MB, "{}", allocator(&after));
}

/// With mappings of their own the buffers' memory goes back at once; those that live were not seen coming, but are there.
pub(crate) fn given_back(lab: &Lab) {
    if has_addon() {
        given_back_in(lab, lab.scenario_in(&[FIXED_THRESHOLD], SCENARIO, &["warm"]));
    }
}

/// The same where brk cannot grow: mapped blocks and regions of the main arena lie between each other.
pub(crate) fn given_back_elsewhere(lab: &Lab) {
    if has_addon() {
        let scenario = lab.scenario_in(&[FIXED_THRESHOLD], SCENARIO, &["warm", "walled"]);
        assert_walled(&scenario);
        given_back_in(lab, scenario);
    }
}

fn given_back_in(lab: &Lab, mut scenario: Scenario) {
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
    assert_eq!(scenario.tell("fill")["settled"], true);
    let early = known_look(&watch, is_all_walked);
    drop(watch);
    let late = known_late(lab, &scenario, is_all_walked);
    let numbers = scenario.tell("numbers");
    for sample in [&early, &late] {
        assert_known(sample);
        assert!(kept(sample) < 10 * MB, "{}", sample.value()["rss_parts"]);
        assert_eq!(allocator(sample)["mmap_threshold_bytes"], 131_072);
        assert_eq!(allocator(sample)["are_thresholds_fixed"], true);
        assert_near(
            number(&allocator(sample)["free_bytes"]),
            number(&numbers["free"]),
            NOISE,
            "free",
        );
    }
    assert!(number(&early.value()["rss_parts"]["stores_mapped"]) >= 40 * MB);
    let blocks = &allocator(&late)["untraced_mapped"];
    assert_eq!(number(&blocks["n"]), number(&numbers["n_mapped"]), "{blocks}");
    assert_eq!(number(&blocks["bytes"]), number(&numbers["mapped_bytes"]), "{blocks}");
    assert!(number(&blocks["resident_bytes"]) >= 40 * MB, "{blocks}");
    let traced = &allocator(&early)["untraced_mapped"];
    assert_eq!(number(&traced["n"]) + 40, number(&blocks["n"]), "{traced}");
}

/// Threads that never stop allocating: what is said to be free was free, or nothing is said.
pub(crate) fn busy(lab: &Lab) {
    const N_LOOKS: usize = 3;
    if !has_addon() {
        return;
    }
    let mut scenario = lab.scenario_in(&NOTHING_GIVEN_BACK, SCENARIO, &["cold"]);
    scenario.tell("busy 3");
    let mut n_known = 0;
    for _ in 0..N_LOOKS {
        scenario.tell("band");
        // It is also what is asked of its parts of RSS.
        let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]).with_unexplained(BUSY_SHARE);
        let sample = first_look(&watch);
        drop(watch);
        let band = scenario.tell("band");
        let range = number(&band["least"])..=number(&band["most"]);
        let allocator = allocator(&sample);
        println!("{allocator} {range:?} {}", band["n"]);
        if allocator["is_known"] == true {
            n_known += 1;
            assert_in(number(&allocator["free_bytes"]), range, &band);
        } else {
            // Or the time for the look was up: three threads want the processors as well.
            let obstacle = allocator["obstacle"].as_str();
            assert!(matches!(obstacle, Some("changing" | "too-large")), "{allocator}");
        }
    }
    println!("known in {n_known} of {N_LOOKS} looks");
}

/// Between what glibc said before and after; arenas are looked at one after the other, here and there.
fn assert_in(free: u64, range: RangeInclusive<u64>, band: &Value) {
    let slack = NOISE + (range.end() - range.start()) / 4;
    let wide = range.start().saturating_sub(slack)..=range.end() + slack;
    assert!(wide.contains(&free), "{free} of {band}");
}

/// What another allocator keeps cannot be told, and that is said.
#[test]
fn other_allocators_are_named() {
    const LIBRARIES: [(&str, &str); 3] = [
        ("libjemalloc.so.2", "jemalloc"),
        ("libmimalloc.so.2", "mimalloc"),
        ("libtcmalloc_minimal.so.4", "tcmalloc"),
    ];
    with_any_node(|lab| {
        for (file, name) in LIBRARIES {
            let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"];
            let paths = folders.map(|folder| format!("{folder}/{file}"));
            let Some(path) = paths.iter().find(|path| Path::new(path).is_file()) else {
                println!("skipped: no {file} here");
                continue;
            };
            let scenario = lab.scenario_in(&[("LD_PRELOAD", path)], "idle.mjs", &[]);
            let sample = looked_at_late(lab, &scenario);
            let allocator = allocator(&sample);
            assert_eq!(allocator["name"], name);
            assert_eq!(allocator["is_known"], false);
            assert_eq!(allocator["free_bytes"], Value::Null);
            assert_eq!(sample.value()["rss_parts"]["allocator_free"], Value::Null);
            assert!(sample.notices().contains(name), "{}", sample.notices());
            assert_sums(&sample);
        }
    });
}
