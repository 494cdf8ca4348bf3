//! `bufwatch report` of recordings whose contents are known.

use std::path::Path;
use std::process::Command;

use crate::made_recording::Made;

/// Exit code, stdout and stderr of the program that was built with this test.
pub(crate) fn bufwatch(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_bufwatch")).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn report(file: &Path, more: &[&str]) -> String {
    let (code, out, err) = bufwatch(&[&["report", file.to_str().unwrap()], more].concat());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    out
}

/// Nothing that moves the cursor of a terminal or turns its text around.
pub(crate) fn assert_harmless(text: &str) {
    let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(is_bad), "{:?}", text.lines().find(|line| line.contains(is_bad)));
}

#[test]
fn the_report_says_what_is_wrong_where_and_who_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made { name: "cache", ..Made::default() };
    let text = report(&made.write(folder.path(), "a"), &[]);
    let words: Vec<&str> = text.split_whitespace().collect();
    let flat = words.join(" ");
    for expected in [
        "pid 4711, Node 24.1.0, V8 13.6.233",
        "recorded from 2023-11-14 22:13:20 UTC for 30.0 s by bufwatch 0.1.0; the process exited with code 0",
        "30 array buffers of cache are kept alive (at the end, RSS was 74.0 MiB)",
        "PINNED_PARENT 30.0 MiB in 30 array buffers, confidence high",
        "line: leak cache /srv/cache.js:10:7",
        "holder: global H .cache (Map) […]",
        "told: first 10.0 s after the start",
        "live stores, own mappings",
        "Lines by live bytes (2 of 2)",
        "30.0 MiB live in 30; peak 30.0 MiB; 30.0 MiB allocated in 30; none freed",
        "4.00 MiB live in 4;",
        "no record was lost",
        "3 censuses of the V8 heap, the last 0 ns before; the process stood still for 15.0 ms in all, 5.0 ms at most",
        "notice: a notice of cache",
    ] {
        assert!(flat.contains(expected), "{expected}\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
}

#[test]
fn an_earlier_moment_and_a_recording_without_end_are_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made { has_end: false, ..Made::default() };
    let file = made.write(folder.path(), "a");
    let text = report(&file, &["--at", "12"]);
    for expected in [
        "the recording has no end: bufwatch was killed, or still records",
        "told as of 12.0 s after the start",
        "PINNED_PARENT  10.0 MiB in 10 array buffers",
        "RSS by what it is for, then",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let text = report(&file, &["--at", "3"]);
    assert!(text.contains("nothing was found, but nobody looked"), "{text}");
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    assert_harmless(&report(&Made::default().write(folder.path(), "a"), &[]));
}

#[test]
fn what_is_no_recording_is_an_error_with_a_hint() {
    let (code, out, err) = bufwatch(&["report", "/nowhere/at/all"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("error: ") && err.contains("hint: does it exist"), "{err}");
}
