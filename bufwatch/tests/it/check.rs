//! `bufwatch check FILE`: one line for each breach, and a code that tells a breach from what could not be judged.

use std::fs;

use serde_json::Value;

use crate::made_recording::{MIB, Made};
use crate::report::{assert_harmless, bufwatch};

fn check(made: &Made, args: &[&str]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = made.write(folder.path(), "a");
    let (code, out, err) = bufwatch(&[&["check", file.to_str().unwrap()], args].concat());
    assert_harmless(&out);
    assert_harmless(&err);
    (code, out, err)
}

#[test]
fn each_breach_has_its_line() {
    let limits =
        ["--max-pinned", "20MB", "--max-growth", "30MB/min", "--fail-on", "pinned_parent,gc_lag"];
    let more = ["--max-rss", "1GB", "--max-array-buffers", "10MB"];
    let (code, out, err) =
        check(&Made { name: "app", ..Made::default() }, &[&limits[..], &more].concat());
    assert_eq!(code, Some(1), "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 4, "{out}");
    assert!(
        lines[0].starts_with("max-pinned: 30.0 MiB of array buffers is kept alive by views"),
        "{out}"
    );
    assert!(lines[1].starts_with("max-growth: arrayBuffers grew by 60.0 MiB/min"), "{out}");
    assert!(
        lines[2].starts_with("max-array-buffers: arrayBuffers was 34.0 MiB at most, 340 %"),
        "{out}"
    );
    assert!(lines[3].contains("(told 10.0 s after the start, confidence high)"), "{out}");
    assert!(err.contains("kept max-rss: ") && err.contains("kept GC_LAG: not found"), "{err}");
}

#[test]
fn what_is_within_its_limits_passes_and_says_nothing_on_stdout() {
    let limits = ["--max-pinned", "1MB", "--max-growth", "1MB/min", "--fail-on", "any"];
    let (code, out, err) = check(&Made { leak: 0, ..Made::default() }, &limits);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
}

/// No news is no good news.
#[test]
fn what_cannot_be_judged_does_not_pass() {
    let made = Made { has_census: false, ..Made::default() };
    for limit in [["--max-pinned", "50MB"], ["--fail-on", "PINNED_PARENT"]] {
        let (code, out, err) = check(&made, &limit);
        assert_eq!((code, out.as_str()), (Some(2), ""));
        assert!(err.contains("there was no census") && err.contains("hint: "), "{err}");
    }
    let (code, out, _) = check(&made, &["--max-pinned", "50MB", "--max-rss", "1MB"]);
    assert_eq!(code, Some(1), "a breach is one whatever else is unknown");
    assert_eq!(out.lines().count(), 1);
    let (code, _, err) = check(&Made { seconds: 4, ..made }, &["--max-growth", "1MB/min"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("too short to tell growth"), "{err}");
}

#[test]
fn a_finding_that_is_not_sure_enough_does_not_count() {
    let made = Made::default();
    let args = ["--fail-on", "PINNED_PARENT", "--min-confidence"];
    assert_eq!(check(&made, &[&args[..], &["high"]].concat()).0, Some(1));
    let (code, _, err) = check(&made, &["--fail-on", "LEAK"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("PINNED_PARENT"), "{err}");
    let (code, _, err) = check(&made, &[]);
    assert_eq!(code, Some(2));
    assert!(err.contains("error: no limit was given"), "{err}");
}

#[test]
fn programs_read_json_and_junit() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made { leak: 2 * MIB, ..Made::default() }.write(folder.path(), "a");
    let xml = folder.path().join("junit.xml");
    let (file, path) = (file.to_str().unwrap(), xml.to_str().unwrap());
    let args =
        ["check", file, "--max-pinned", "1MB", "--max-rss", "1GB", "--json", "--junit", path];
    let (code, out, _) = bufwatch(&args);
    assert_eq!(code, Some(1));
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["schema"], "bufwatch.check/1");
    assert_eq!(value["is_breached"], true);
    assert_eq!(value["limits"][0]["verdict"], "breached");
    let xml = fs::read_to_string(&xml).unwrap();
    assert!(xml.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{xml}");
    assert!(xml.contains("&lt;img src=x") && !xml.contains("<img"), "{xml}");
    assert_harmless(&xml);
}
