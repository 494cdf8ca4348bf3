//! `bufwatch check -- node …`: a leak fails its job with its line, the same program with copies does not; both are traced from their first
//! allocation on.

use std::path::Path;

use crate::harness::{Lab, SAMPLE_LIMIT, holds_within};

/// Exit code and stdout of a check of a program that keeps views in `way`.
fn check(lab: &Lab, way: &str, is_leak: bool) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.bufwatch");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/scenarios/findings/pinned.mjs");
    // How sure it is depends on its age.
    let limits =
        ["check", "--fail-on", "PINNED_PARENT", "--min-confidence", "low", "--max-pinned", "20MB"];
    let record = ["--record", file.to_str().unwrap(), "--census-every", "0.2"];
    let command = ["--", lab.node(), "--expose-gc", script];
    let mut check = lab.bufwatch(&[&limits[..], &record, &command].concat());
    check.send(way);
    // What has lived through a collection is not in flight.
    check.send("gc");
    check.wait_for_word("n_parents");
    let n_before = answer(lab, &file, "SELECT count(*) FROM censuses").unwrap_or(0);
    let is_seen = || {
        let query = "SELECT count(*) FROM findings";
        let found = answer(lab, &file, query).is_some_and(|n| n > 0);
        // What is not found is looked for twice.
        let n = answer(lab, &file, "SELECT count(*) FROM censuses").unwrap_or(0);
        if is_leak { found } else { n >= n_before + 2 }
    };
    assert!(holds_within(SAMPLE_LIMIT, is_seen), "of {way} nothing is seen");
    check.close_stdin();
    let code = check.wait_for_exit();
    // Node's own bootstrap allocates before any script does.
    let first = "SELECT count(*) FROM stores WHERE label NOT LIKE '%pinned.mjs%'";
    assert!(answer(lab, &file, first) > Some(0), "{}", check.stderr());
    (code, check.stdout())
}

/// A number of the recording; `None` while there is none.
pub(crate) fn answer(lab: &Lab, file: &Path, query: &str) -> Option<u64> {
    let mut sql = lab.bufwatch(&["sql", file.to_str()?, query, "--csv"]);
    let is_answered = sql.wait_for_exit() == Some(0);
    is_answered.then(|| sql.stdout().lines().nth(1)?.parse().ok()).flatten()
}

fn fails_a_leak_and_not_its_twin(lab: &Lab) {
    let (code, told) = check(lab, "map fault", true);
    assert_eq!(code, Some(1), "{told}");
    let found = told.lines().find(|line| line.starts_with("PINNED_PARENT: ")).unwrap();
    assert!(found.contains("pinned.mjs:"), "{found}");
    assert!(told.lines().any(|line| line.starts_with("max-pinned: ")), "{told}");
    let (code, told) = check(lab, "map twin", false);
    assert_eq!((code, told.as_str()), (Some(0), ""));
}

#[test]
fn node_24() {
    crate::harness::with_any_node(fails_a_leak_and_not_its_twin);
}
