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
