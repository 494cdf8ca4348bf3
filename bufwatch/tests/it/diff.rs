//! `bufwatch diff`: whether a fix helped, said first and with numbers, and what changed by line and holder.

use serde_json::Value;

use crate::made_recording::{MIB, Made};
use crate::report::{assert_harmless, bufwatch};

/// Text and JSON of a comparison of two processes.
fn diff(before: &Made, after: &Made) -> (String, Value) {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (before.write(folder.path(), "a"), after.write(folder.path(), "b"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let (code, text, err) = bufwatch(&["diff", a, b]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let (_, json, _) = bufwatch(&["diff", a, b, "--json"]);
    assert_harmless(&text);
    (text, serde_json::from_str(&json).unwrap())
}

fn leaking(seconds: u64, leak: u64) -> Made {
    Made { seconds, leak, name: "app", ..Made::default() }
}

#[test]
fn a_fix_that_helped_is_said_first() {
    let (text, value) = diff(&leaking(30, MIB), &leaking(30, 0));
    let first = text.lines().next().unwrap();
    assert_eq!(first, "it helped: pinned memory 30.0 MiB → 0 B (-100 %); RSS 74.0 MiB → 44.0 MiB");
    assert!(text.contains("compared as they are at the end, after 30.0 s and 30.0 s"), "{text}");
    assert!(text.contains("went      leak app app.js:10"), "{text}");
    assert!(text.contains("global H .app (Map) […]"), "{text}");
    assert_eq!((&value["verdict"], &value["measure"]), (&"less".into(), &"pinned".into()));
    assert_eq!(value["sites"][0]["growth_bytes"], -(30 << 20));
    assert_eq!(value["holders"]["holders"][0]["change"], "went");
}

#[test]
fn the_same_twice_makes_no_difference_and_a_leak_does() {
    let (text, value) = diff(&leaking(20, MIB), &leaking(20, MIB));
    assert!(text.starts_with("it made no difference"), "{text}");
    assert!(text.contains("No line has more or less"), "{text}");
    assert_eq!(value["verdict"], "same");
    let (text, _) = diff(&leaking(20, 0), &leaking(20, MIB));
    assert!(text.starts_with("it got worse: pinned memory 0 B → 20.0 MiB"), "{text}");
}

#[test]
fn runs_of_different_length_are_compared_by_the_minute() {
    let (text, value) = diff(&leaking(20, MIB), &leaking(60, MIB));
    assert!(
        text.starts_with("it made no difference: pinned memory 60.0 MiB/min → 60.0 MiB/min"),
        "{text}"
    );
    assert!(text.contains("the runs took 20.0 s and 1m00s"), "{text}");
    assert_eq!(value["scale"], "per_minute");
}

#[test]
fn what_work_was_done_is_told() {
    let before = Made { has_census: false, ..leaking(30, 20 * MIB) };
    let after = Made { has_census: false, ..leaking(30, 2 * MIB) };
    let (text, value) = diff(&before, &after);
    assert_eq!(value["measure"], "live");
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    assert!(
        text.contains("by work: 67 % of what was allocated is live at the end before, 18 % after"),
        "{text}"
    );
    assert!(text.contains("Holders are not compared"), "{text}");
}

#[test]
fn two_moments_of_one_recording_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made::default().write(folder.path(), "a");
    let args = ["diff", file.to_str().unwrap(), "--at", "10", "--to", "30"];
    let (code, text, err) = bufwatch(&args);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        text.starts_with("there is more: pinned memory 10.0 MiB → 30.0 MiB (+200 %)"),
        "{text}"
    );
    assert!(text.contains("two moments of one recording, 10.0 s and 30.0 s"), "{text}");
    assert_harmless(&text);
}
