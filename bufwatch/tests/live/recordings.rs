//! Recordings of real processes: a replay says what the live session said, and a bufwatch that is killed leaves a file that opens and
//! holds what was older than a flush.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Lab, SAMPLE_LIMIT, holds_within};
use crate::sample::Sample;

/// How often a bufwatch is killed.
const N_KILLS: u64 = 6;

/// `None` while the recording has nothing to show.
fn replay(lab: &Lab, file: &Path) -> Option<Sample> {
    let args = ["replay", file.to_str().unwrap(), "--headless", "--json"];
    let mut replay = lab.bufwatch(&args);
    (replay.wait_for_exit() == Some(0)).then(|| replay.last_sample())
}

/// A row is written when a store's pages have changed, not whenever they were looked at.
fn without_scan_times(value: &Value) -> Value {
    let mut value = value.clone();
    for store in value.as_array_mut().into_iter().flatten() {
        store.as_object_mut().and_then(|store| store.remove("scanned_ns"));
    }
    value
}

/// The last snapshot of a session and the last of its recording are the same.
fn equals_replay(lab: &Lab) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.bufwatch");
    let mut scenario = lab.scenario("findings/pinned.mjs", &[]);
    let recorded =
        ["--record", file.to_str().unwrap(), "--census-every", "0.2", "--pause-budget", "50"];
    let mut watch = lab.attach(scenario.pid(), &recorded);
    scenario.tell("map fault");
    watch.wait_for_sample("a finding", |sample| !sample.findings().is_empty());
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.wait_for_exit(), Some(130), "{}", watch.stderr());
    let (live, replayed) = (watch.last_sample(), replay(lab, &file).unwrap());
    let (of_live, of_replay) = (live.value().as_object().unwrap(), replayed.value().as_object());
    for (key, value) in of_live {
        let replayed = of_replay.and_then(|of_replay| of_replay.get(key));
        let replayed = replayed.map(without_scan_times);
        assert_eq!(Some(without_scan_times(value)), replayed, "{key} of Node {}", lab.version());
    }
    assert!(live.value()["memory_usage"].is_object(), "V8's counters were read");
    assert_eq!(live.findings()[0]["kind"], "PINNED_PARENT");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let n_files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(n_files, 1, "a recording that has ended is one file");
}

/// Whenever it is killed: the file opens and says what was alive.
fn survives_kills(lab: &Lab) {
    let folder = tempfile::tempdir().unwrap();
    let mut scenario = lab.scenario("findings/pinned.mjs", &[]);
    let pid = scenario.pid().to_string();
    for n in 0..N_KILLS {
        let file = folder.path().join(format!("{n}.bufwatch"));
        let name = file.to_str().unwrap();
        let mut watch = lab.bufwatch(&["record", "--pid", &pid, "-o", name, "--quiet"]);
        // The first flush that is in the file, and then whatever it is doing.
        let is_live = || replay(lab, &file).is_some_and(|sample| sample.is_counting());
        assert!(holds_within(SAMPLE_LIMIT, is_live), "{}", watch.stderr());
        scenario.tell("map fault");
        let has_all = || replay(lab, &file).is_some_and(|sample| sample.n_live() >= 40);
        assert!(holds_within(SAMPLE_LIMIT, has_all), "{}", watch.stderr());
        if n % 2 == 0 {
            scenario.tell("map drop");
        }
        watch.signal(Signal::SIGKILL);
        watch.wait_for_exit();
        let sample = replay(lab, &file).expect("the file opens");
        assert!(n % 2 == 0 || sample.n_live() >= 40, "{} stores", sample.n_live());
        assert!(sample.notices().contains("no end"), "{}", sample.notices());
    }
}

mod replays {
    #[test]
    fn node_18() {
        crate::harness::with_node("18", super::equals_replay);
    }

    #[test]
    fn node_24() {
        crate::harness::with_node("24", super::equals_replay);
    }
}

mod kills {
    #[test]
    fn node_24() {
        crate::harness::with_any_node(super::survives_kills);
    }
}
