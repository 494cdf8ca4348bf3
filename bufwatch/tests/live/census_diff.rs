//! `bufwatch census --diff` of two censuses of a program that keeps more array buffers in between: what came is told with its number and
//! bytes, what stayed is not told as new.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Lab, with_any_node};

fn write_census(lab: &Lab, pid: u32, path: &Path) {
    let mut census = lab.bufwatch(&["census", "--pid", &pid.to_string(), "--json", "--all"]);
    assert_eq!(census.wait_for_exit(), Some(0), "{}", census.stderr());
    fs::write(path, census.stdout()).unwrap();
}

fn compare(lab: &Lab, before: &Path, after: &Path) -> Value {
    let (before, after) = (before.to_str().unwrap(), after.to_str().unwrap());
    let mut diff = lab.bufwatch(&["census", "--diff", before, after, "--json"]);
    assert_eq!(diff.wait_for_exit(), Some(0), "{}", diff.stderr());
    serde_json::from_str(&diff.stdout()).unwrap()
}

#[test]
fn what_appeared_stayed_and_went_between_two_censuses() {
    with_any_node(|lab| {
        let folder = tempfile::tempdir().unwrap();
        let [before, after] = ["a.json", "b.json"].map(|name| folder.path().join(name));
        let mut scenario = lab.scenario("census.mjs", &[]);
        scenario.tell("pinned 50");
        scenario.tell("gc");
        write_census(lab, scenario.pid(), &before);
        scenario.tell("pinned 30");
        scenario.tell("gc");
        write_census(lab, scenario.pid(), &after);

        let diff = compare(lab, &before, &after);
        let grown = &diff["holders"][0];
        let path = ["global H", "Object", ".reg (Registry)", ".cache (Map)", "[…]"];
        assert_eq!(grown["path"], Value::from(path.to_vec()));
        assert_eq!(grown["change"], "grew");
        // The scenario's keys are the same, so that the first 30 of the 50 went and 30 others came.
        let parents = &diff["parents"];
        assert!(parents["n_appeared"].as_u64().unwrap() >= 30, "{parents}");
        assert!(parents["n_stayed"].as_u64().unwrap() >= 20, "{parents}");

        let same = compare(lab, &after, &after);
        assert_eq!(same["parents"]["n_appeared"], 0);
        assert_eq!(same["parents"]["n_went"], 0);
        let holders = same["holders"].as_array().unwrap();
        assert!(holders.iter().all(|holder| holder["change"] == "stayed"));
    });
}

#[test]
fn files_that_are_no_census_are_refused() {
    with_any_node(|lab| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("foreign.json");
        fs::write(&path, "{\"schema\":\"bufwatch.census/7\"}").unwrap();
        let path = path.to_str().unwrap();
        let mut diff = lab.bufwatch(&["census", "--diff", path, path]);
        assert_eq!(diff.wait_for_exit(), Some(2));
        assert!(diff.stderr().contains("bufwatch.census/7"), "{}", diff.stderr());
    });
}
