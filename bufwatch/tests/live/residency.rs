//! What is in memory, against programs that say which pages they have written.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::harness::{Lab, Scenario, Watch, with_any_node};
use crate::sample::{Sample, number};

const PAGE: u64 = 4_096;

/// glibc's huge pages for mappings of its own, by madvise.
const HUGE: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

const HUGE_PAGE: u64 = 2 << 20;

/// Often enough, and the debug build has time for other things.
const INTERVAL: &str = "0.5";

/// A row of `top_stores`.
#[derive(Debug)]
struct Row {
    resident: u64,
    zero: u64,
    huge: u64,
    is_touched: bool,
}

/// The stores as they are after the program's last answer: all of them were looked at since.
fn rows_after(watch: &Watch, answer: &Value) -> (Sample, BTreeMap<u64, Row>) {
    let sizes: Vec<u64> =
        answer["stores"].as_array().unwrap().iter().map(|it| number(&it["size"])).collect();
    let now = number(&watch.next_sample().value()["t_ns"]);
    let sample = watch.wait_for_sample("all stores looked at", |sample| {
        let scanned_at = |size: &u64| {
            let row = row_of(sample, *size)?;
            number(&sample.value()["t_ns"]).checked_sub(row["scanned_ns"].as_u64()?)
        };
        sizes.iter().all(|size| scanned_at(size) > Some(now))
    });
    let rows = sizes.iter().map(|size| (*size, read_row(row_of(&sample, *size).unwrap())));
    let rows = rows.collect();
    (sample, rows)
}

fn row_of(sample: &Sample, size: u64) -> Option<&Value> {
    sample.value()["top_stores"].as_array()?.iter().find(|row| row["size_bytes"] == size)
}

fn read_row(row: &Value) -> Row {
    Row {
        resident: number(&row["resident_bytes"]),
        zero: number(&row["zero_bytes"]),
        huge: number(&row["huge_bytes"]),
        is_touched: row["touched_ns"].is_u64(),
    }
}

/// Each store within a page of what the program says it wrote.
fn assert_written(watch: &Watch, answer: &Value) -> BTreeMap<u64, Row> {
    let (_, rows) = rows_after(watch, answer);
    for store in answer["stores"].as_array().unwrap() {
        let (size, written) = (number(&store["size"]), number(&store["written"]));
        let row = &rows[&size];
        assert!(row.resident.abs_diff(written) <= PAGE, "{row:?} of {size}, {written} written");
    }
    rows
}

/// One gigabyte, a tenth at a time, by the program itself and by read(2); reading it makes nothing resident.
pub(crate) fn demand_paging(lab: &Lab) {
    let mut scenario = lab.scenario("residency/pages.mjs", &[]);
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
    scenario.tell("make 4 125000000 unsafe");
    scenario.tell("make 2 125000000 alloc");
    let answer = scenario.tell("make 2 125000000 shared");
    for row in assert_written(&watch, &answer).values() {
        assert_eq!(row.zero, 0);
    }
    for tenth in 0..10 {
        let verb = if tenth % 2 == 0 { "write" } else { "copy" };
        let answer = scenario.tell(&format!("{verb} {} {}", tenth * 10, tenth * 10 + 10));
        for row in assert_written(&watch, &answer).values() {
            assert!(row.is_touched);
        }
    }
    let answer = scenario.tell("read");
    assert_written(&watch, &answer);
}

/// What is only read is the zero page, wherever it is, and what is then written is not.
#[test]
fn reading_makes_nothing_resident() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("residency/pages.mjs", &[]);
        let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
        scenario.tell("make 3 50000000 unsafe");
        let answer = scenario.tell("read");
        for (size, row) in assert_written(&watch, &answer) {
            assert!(row.zero.abs_diff(size) <= PAGE, "{row:?} of {size}");
        }
        let answer = scenario.tell("write 50 100");
        for (size, row) in assert_written(&watch, &answer) {
            assert!(row.zero.abs_diff(size / 2) <= 2 * PAGE, "{row:?} of {size}");
        }
    });
}

/// The program cannot know which huge pages it got; /proc/PID/smaps does.
#[test]
fn huge_pages_are_counted_whole() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario_in(&[HUGE], "residency/pages.mjs", &[]);
        let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
        scenario.tell("make 6 40000000 unsafe");
        for step in ["write 0 10", "write 40 50", "write 0 100"] {
            let answer = scenario.tell(step);
            let (sample, rows) = rows_after(&watch, &answer);
            let seen: u64 = rows.values().map(|row| row.resident).sum();
            let n_huge: u64 = rows.values().map(|row| row.huge).sum();
            let (resident, huge) = in_smaps(&scenario, &sample, &rows);
            if huge == 0 {
                println!("the kernel gives no huge pages here");
                return;
            }
            // A huge page may reach over the end of a store.
            let slack = rows.len() as u64 * HUGE_PAGE;
            assert!(seen <= resident && resident - seen <= slack, "{seen} of {resident}: {step}");
            assert!(n_huge <= huge && huge - n_huge <= slack, "{n_huge} of {huge}: {step}");
        }
    });
}

/// Resident bytes, and those in huge pages, of the mappings that the stores are in.
fn in_smaps(scenario: &Scenario, sample: &Sample, rows: &BTreeMap<u64, Row>) -> (u64, u64) {
    let data: Vec<u64> =
        rows.keys().map(|size| number(&row_of(sample, *size).unwrap()["data"])).collect();
    let text = std::fs::read_to_string(format!("/proc/{}/smaps", scenario.pid())).unwrap();
    let mut is_theirs = false;
    let (mut resident, mut huge) = (0, 0);
    for line in text.lines() {
        let (first, rest) = line.split_once([' ', ':']).unwrap_or((line, ""));
        if let Some((start, end)) = first.split_once('-') {
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            let range = address(start)..address(end);
            is_theirs = data.iter().any(|at| range.contains(at));
        }
        let bytes = || 1024 * rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        match first {
            "Rss" if is_theirs => resident += bytes(),
            "AnonHugePages" if is_theirs => huge += bytes(),
            _ => {}
        }
    }
    (resident, huge)
}

/// The main thread's own word before and after a sample that was taken in between, if it was the same: at rest, that is.
fn at_rest(scenario: &mut Scenario, watch: &Watch) -> Option<(Value, Value)> {
    let before = scenario.tell("usage");
    let now = number(&watch.next_sample().value()["t_ns"]);
    let sample = watch.wait_for_sample("the heap looked at", |sample| {
        let age = sample.value()["memory_usage"]["age_ns"].as_u64();
        age.is_some_and(|age| number(&sample.value()["t_ns"]).saturating_sub(age) > now)
    });
    let after = scenario.tell("usage");
    let grew = number(&after["heapUsed"]).abs_diff(number(&before["heapUsed"]));
    let is_same = ["heapTotal", "external"].iter().all(|key| {
        // What the answers themselves need.
        number(&after[*key]).abs_diff(number(&before[*key])) <= SLACK
    });
    // Pages that V8 has emptied it gives back a little later, from another thread.
    let is_same = is_same && number(&after["rss"]).abs_diff(number(&before["rss"])) <= RSS_SLACK;
    (is_same && grew < USED_SLACK).then(|| (after, sample.value()["memory_usage"].clone()))
}

/// The buffers in which numbers come from C++ are made and die all the time.
const SLACK: u64 = 1_024;

/// The kernel's counters for each CPU are added up now and then.
const RSS_SLACK: u64 = 1 << 19;

/// Each answer makes objects.
const USED_SLACK: u64 = 100_000;

/// While a program is at rest the numbers are those that it would say itself.
pub(crate) fn usage_from_outside(lab: &Lab) {
    let mut scenario = lab.scenario("residency/usage.mjs", &[]);
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
    let steps = [
        "usage",
        "buffer 30000000",
        "objects 200000",
        "arrays 20",
        "string 5000000",
        "worker",
        "drop",
    ];
    for step in steps {
        scenario.tell(step);
        let rest = (0..10).find_map(|_| at_rest(&mut scenario, &watch));
        let (own, seen) = rest.unwrap_or_else(|| panic!("it is never at rest after `{step}`"));
        let of = |key: &str| number(&seen[key]);
        println!("{step}: {own}\n  {seen}");
        assert_eq!(of("heap_total"), number(&own["heapTotal"]), "{step}");
        assert!(of("external").abs_diff(number(&own["external"])) <= SLACK, "{step}");
        assert!(of("array_buffers").abs_diff(number(&own["arrayBuffers"])) <= SLACK, "{step}");
        assert!(of("rss").abs_diff(number(&own["rss"])) <= 2 * RSS_SLACK, "{step}: {own} {seen}");
        let used = number(&own["heapUsed"]);
        let (least, most) = (of("heap_used_min"), of("heap_used_max"));
        assert!(least <= used + USED_SLACK && used <= most + USED_SLACK, "{step}");
        assert!(most - least <= 1 << 20, "{step}");
    }
    let seen = watch.next_sample().value()["memory_usage"].clone();
    assert_eq!(seen["n_isolates"], 2);
    assert!(number(&seen["all_isolates"]["array_buffers"]) > 20_000_000);
}
