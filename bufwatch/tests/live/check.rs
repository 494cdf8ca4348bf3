//! `bufwatch check -- node …`: a leak fails its job with its line, the same program with copies does not; both are traced from their first
//! allocation on.

use std::path::Path;

use crate::harness::{Lab, SAMPLE_LIMIT, Watch, holds_within};
use crate::launched::open_to_all;

/// Where the views are made that are kept.
const KEPT_AT: &str = "pinned.mjs:25";

/// How bufwatch is started.
struct How {
    start: fn(&Lab, &[&str]) -> Watch,
    backend: &'static str,
    /// What it says that it uses, in the recording.
    used: &'static str,
}

/// What came of a check.
struct Checked {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Of a program that keeps views in `way`.
fn check(lab: &Lab, how: &How, way: &str, is_leak: bool) -> Checked {
    let folder = tempfile::tempdir().unwrap();
    open_to_all(folder.path());
    let file = folder.path().join("a.bufwatch");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/live/scenarios/findings/pinned.mjs");
    // How sure it is depends on its age.
    let limits =
        ["check", "--fail-on", "PINNED_PARENT", "--min-confidence", "low", "--max-pinned", "20MB"];
    let backend = ["--backend", how.backend];
    let record = ["--record", file.to_str().unwrap(), "--census-every", "0.2"];
    let command = ["--", lab.node(), "--expose-gc", script];
    let mut check = (how.start)(lab, &[&limits[..], &backend, &record, &command].concat());
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
    // Node's own bootstrap allocates before any script does; of older versions only little.
    if ["24.", "26."].iter().any(|new| lab.version().starts_with(new)) {
        let first = "SELECT count(*) FROM stores WHERE label NOT LIKE '%pinned.mjs%'";
        assert!(answer(lab, &file, first) > Some(0), "{}", check.stderr());
    }
    let used =
        format!("SELECT count(*) FROM meta WHERE name = 'backend' AND value = '{}'", how.used);
    assert_eq!(answer(lab, &file, &used), Some(1), "{}", check.stderr());
    // Collections are seen.
    let counted =
        "SELECT count(*) FROM timeline WHERE n_minor IS NOT NULL AND n_small_live IS NOT NULL";
    assert!(answer(lab, &file, counted) > Some(0));
    Checked { code, stdout: check.stdout(), stderr: check.stderr() }
}

/// A number of the recording; `None` while there is none.
pub(crate) fn answer(lab: &Lab, file: &Path, query: &str) -> Option<u64> {
    let mut sql = lab.bufwatch(&["sql", file.to_str()?, query, "--csv"]);
    let is_answered = sql.wait_for_exit() == Some(0);
    is_answered.then(|| sql.stdout().lines().nth(1)?.parse().ok()).flatten()
}

fn assert_leak_fails(checked: &Checked) {
    let Checked { code, stdout, stderr } = checked;
    assert_eq!(*code, Some(1), "{stdout}{stderr}");
    let found = stdout.lines().find(|line| line.starts_with("PINNED_PARENT: ")).unwrap();
    assert!(found.contains(KEPT_AT), "{found}");
    assert!(stdout.lines().any(|line| line.starts_with("max-pinned: ")), "{stdout}");
}

fn assert_passes(checked: &Checked) {
    let Checked { code, stdout, stderr } = checked;
    assert_eq!((*code, stdout.as_str()), (Some(0), ""), "{stderr}");
}

fn fails_a_leak_and_not_its_twin(lab: &Lab) {
    let start = |lab: &Lab, args: &[&str]| lab.bufwatch(args);
    let how = How { start, backend: "auto", used: "ebpf" };
    assert_leak_fails(&check(lab, &how, "map fault", true));
    assert_passes(&check(lab, &how, "map twin", false));
}

/// Without rights for BPF by breakpoints, with the line all the same. `auto` says on stderr what is used instead.
pub(crate) fn of_an_ordinary_user(lab: &Lab) {
    let start = |lab: &Lab, args: &[&str]| lab.bufwatch_of_nobody(args);
    let how = |backend| How { start, backend, used: "breakpoints" };
    assert_leak_fails(&check(lab, &how("ptrace"), "map fault", true));
    let twin = check(lab, &how("auto"), "map twin", false);
    assert_passes(&twin);
    let notices =
        twin.stderr.lines().filter(|line| line.starts_with("notice: backend breakpoints, since"));
    assert_eq!(notices.count(), 1, "{}", twin.stderr);
}

#[test]
fn node_24() {
    crate::harness::with_any_node(fails_a_leak_and_not_its_twin);
}
