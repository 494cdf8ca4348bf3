//! Recordings that are cut, have flipped bits or pages of each other: every command that reads one ends, with an answer or a clear error.

use std::fs;
use std::path::Path;

use crate::made_recording::Made;
use crate::report::{assert_harmless, bufwatch};

/// Damaged files; `BUFWATCH_FUZZ` says it otherwise.
const N_FILES: u64 = 6;

const PAGE: usize = 4_096;

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// One of the things that disks, copies and enemies do.
fn damaged(whole: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    match random.below(4) {
        0 => bytes.truncate(random.below(whole.len())),
        1 => {
            for _ in 0..=random.below(40) {
                let at = random.below(bytes.len());
                bytes[at] ^= 1 << random.below(8);
            }
        }
        2 => {
            // Behind the schema, so that most files open.
            for _ in 0..=random.below(200) {
                let at = whole.len() / 8 + random.below(whole.len() - whole.len() / 8);
                bytes[at] = random.below(256) as u8;
            }
        }
        _ => {
            let n_pages = whole.len() / PAGE;
            let (from, to) = (random.below(n_pages) * PAGE, (1 + random.below(n_pages - 1)) * PAGE);
            bytes.copy_within(from..from + PAGE, to);
        }
    }
    bytes
}

fn assert_ends(args: &[&str], is_for_people: bool, seed: u64) -> Option<i32> {
    let (code, out, err) = bufwatch(args);
    let has_ended_well = matches!(code, Some(0..=2)) && !err.contains("panicked");
    assert!(has_ended_well, "seed {seed}, {args:?}: {code:?} {err}");
    assert!(code != Some(2) || !err.is_empty(), "seed {seed}, {args:?}: nothing is said");
    assert_harmless(&err);
    if is_for_people {
        assert_harmless(&out);
    }
    code
}

fn all_commands(file: &Path, whole: &Path, seed: u64) -> u64 {
    let (file, whole) = (file.to_str().unwrap(), whole.to_str().unwrap());
    let html = format!("{file}.html");
    // What is binary is decoded by tests of its own.
    let commands: [(&[&str], bool); 11] = [
        (&["replay", file, "--headless"], true),
        (&["replay", file, "--headless", "--json", "--at", "12"], false),
        (&["report", file], true),
        (&["report", file, "--html", &html, "--force"], true),
        (&["diff", whole, file], true),
        (&["diff", file, whole, "--json"], false),
        (
            &["check", "--max-pinned", "1MB", "--max-growth", "1MB/min", "--fail-on", "any", file],
            true,
        ),
        (&["sql", file, "SELECT * FROM stores JOIN sites USING (site)"], true),
        (&["export", file, "-f", "speedscope"], false),
        (&["export", file, "-f", "jsonl"], false),
        (&["export", file, "-f", "openmetrics"], false),
    ];
    let commands = commands.into_iter();
    commands.filter(|(args, is)| assert_ends(args, *is, seed) == Some(0)).count() as u64
}

#[test]
fn every_command_ends_on_a_damaged_file() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Made { n_more_sites: 20, ..Made::default() }.write(folder.path(), "whole");
    let bytes = fs::read(&whole).unwrap();
    let n = std::env::var("BUFWATCH_FUZZ").map_or(N_FILES, |n| n.parse().unwrap());
    let mut n_answers = 0;
    for seed in 1..=n {
        let file = folder.path().join("damaged");
        fs::write(&file, damaged(&bytes, &mut Random(seed))).unwrap();
        n_answers += all_commands(&file, &whole, seed);
    }
    println!("{n} files, {n_answers} answers");
    assert!(n_answers > 0, "no damaged file was read at all");
}
