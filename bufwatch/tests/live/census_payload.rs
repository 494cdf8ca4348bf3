//! A census reads nothing of what array buffers contain: memory that nobody has touched is as untouched behind it, and of what is in memory
//! not one byte is among those that it says it has read.

use std::fs;
use std::io::Cursor;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use bufwatch::source::census_cassette::CensusCassette;

use crate::census::take_with;
use crate::census_truth::{assert_exact, list};
use crate::harness::{Lab, with_node};
use crate::sample::number;

const PAGE: u64 = 4_096;

/// What else a process that waits may touch meanwhile.
const N_PAGES_TOLERATED: u64 = 8;

/// Reading a name in Node's file brings 16 of its pages in at once (`fault_around_bytes`).
const N_FILE_PAGES_TOLERATED: u64 = 64;

/// Smaller mappings are V8's own, of which a census copies all.
const MAPPING_MIN: u64 = 16 << 20;

/// V8's own as well: large ones are for code.
fn is_of_stores(fields: &[&str]) -> bool {
    matches!(fields, [_, "rw-p", _, _, "0"])
}

/// Pages of large mappings without a file that the process has, the page of zeros included.
fn n_present(pid: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let page_map = fs::File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let mut n = 0;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (start, end) = fields[0].split_once('-').unwrap();
        let [start, end] = [start, end].map(|it| u64::from_str_radix(it, 16).unwrap());
        if end - start < MAPPING_MIN || !is_of_stores(&fields) {
            continue;
        }
        let mut words = vec![0; ((end - start) / PAGE * 8) as usize];
        page_map.read_exact_at(&mut words, start / PAGE * 8).unwrap();
        n += words.chunks_exact(8).filter(|word| word[7] & 0x80 != 0).count() as u64;
    }
    n
}

/// What the process has in memory: of its own, and all.
fn resident(pid: u32) -> [u64; 2] {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    ["Anonymous:", "Rss:"].map(|name| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024 / PAGE
    })
}

fn stays_untouched(lab: &Lab) {
    let mut scenario = lab.scenario("census/untouched.mjs", &[]);
    let answer = scenario.tell("make");
    scenario.tell("gc");
    let pid = scenario.pid();
    for _ in 0..2 {
        let (present, [own, all]) = (n_present(pid), resident(pid));
        assert_exact(lab, &scenario, &answer);
        let (present_after, [own_after, all_after]) = (n_present(pid), resident(pid));
        let of = lab.version();
        assert!(present_after <= present + N_PAGES_TOLERATED, "Node {of}: {present_after}");
        assert!(own_after <= own + N_PAGES_TOLERATED, "Node {of}: {own} {own_after}");
        let tolerated = N_PAGES_TOLERATED + N_FILE_PAGES_TOLERATED;
        assert!(all_after <= all + tolerated, "Node {of}: {all} {all_after}");
    }
}

/// What pieces say, in addresses.
fn ranges(pieces: impl Iterator<Item = (u64, u64)>) -> Vec<Range<u64>> {
    let mut end = 0;
    let range = pieces.map(|(distance, len)| {
        let start = end + distance;
        end = start + len;
        start..end
    });
    range.collect()
}

/// Everything that a census reads is on its tape, before the stop and after it.
pub(crate) fn nothing_of_it_is_read(lab: &Lab) {
    let mut scenario = lab.scenario("census/payload.mjs", &[]);
    let answer = scenario.tell("make");
    assert_exact(lab, &scenario, &answer);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reads");
    let census =
        take_with(lab, scenario.pid(), &["--all", "--record-reads", path.to_str().unwrap()]);
    let cassette = CensusCassette::read(Cursor::new(fs::read(&path).unwrap())).unwrap();
    let header = &cassette.header;
    let before = ranges(header.read_before.iter().map(|piece| (piece.distance, piece.len)));
    let behind = ranges(header.memory.iter().map(|piece| (piece.distance, piece.len)));
    assert!(before.len() > 20 && behind.len() > 20, "{} {}", before.len(), behind.len());
    let mut n_bytes = 0;
    for row in list(&answer["rows"]) {
        let parent = list(&census["parents"]).iter().find(|it| it["size_bytes"] == row["size"]);
        let address = parent.unwrap()["address"].as_str().unwrap().trim_start_matches("0x");
        let start = u64::from_str_radix(address, 16).unwrap();
        let end = start + number(&row["size"]);
        n_bytes += end - start;
        for read in before.iter().chain(&behind) {
            let is_apart = read.end <= start || end <= read.start;
            assert!(is_apart, "Node {}: {read:x?} of {row} at {start:#x}", lab.version());
        }
    }
    assert!(n_bytes > 100_000_000);
}

#[test]
fn untouched_memory_stays_untouched_node_18() {
    with_node("18", stays_untouched);
}

#[test]
fn untouched_memory_stays_untouched_node_24() {
    with_node("24", stays_untouched);
}
