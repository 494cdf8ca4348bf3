//! Recordings of real processes: a replay says what the live session said, and a bufwatch that is killed leaves a file that opens and
//! holds what was older than a flush.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::Value;

use crate::harness::Lab;
use crate::sample::Sample;

/// How often a bufwatch is killed; `BUFWATCH_KILLS` says it otherwise.
const N_KILLS: u64 = 10;

/// Longest that is waited before a kill, in stores that the program makes.
const STORES_WAITED_FOR: u64 = 1_024;

/// `None` while the recording has nothing to show.
fn replay(lab: &Lab, file: &Path) -> Option<Sample> {
    replay_or_why(lab, file).ok()
}

/// What is said of a recording that has nothing to show.
fn replay_or_why(lab: &Lab, file: &Path) -> Result<Sample, String> {
    let args = ["replay", file.to_str().unwrap(), "--headless", "--json"];
    let mut replay = lab.bufwatch(&args);
    match replay.wait_for_exit() {
        Some(0) => Ok(replay.last_sample()),
        _ => Err(replay.stderr()),
    }
}

/// A row is written when a store's pages have changed, not whenever they were looked at.
fn without_scan_times(value: &Value) -> Value {
    let mut value = value.clone();
    for store in value.as_array_mut().into_iter().flatten() {
        store.as_object_mut().and_then(|store| store.remove("scanned_ns"));
    }
    value
}

/// What a session said last of findings, lines and stores is what the replay of its recording says.
pub(crate) fn assert_same_tables(live: &Sample, replayed: &Sample) {
    for key in ["findings", "sites", "stores", "gc", "rss_bytes", "array_buffers_bytes", "lost"] {
        assert_eq!(live.value()[key], replayed.value()[key], "{key}");
    }
}

/// All that a session said last is what the replay of its recording says.
fn assert_same(live: &Sample, replayed: &Sample) {
    let (of_live, of_replay) = (live.value().as_object().unwrap(), replayed.value().as_object());
    for (key, value) in of_live {
        let replayed = of_replay.and_then(|of_replay| of_replay.get(key));
        assert_eq!(Some(without_scan_times(value)), replayed.map(without_scan_times), "{key}");
    }
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
    let live = watch.last_sample();
    assert_same(&live, &replay(lab, &file).unwrap());
    assert!(live.value()["memory_usage"].is_object(), "V8's counters were read");
    assert_eq!(live.findings()[0]["kind"], "PINNED_PARENT");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let n_files = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(n_files, 1, "a recording that has ended is one file");
}

/// With a limit that many live stores do not fit in: the file stays below it, sums are those of the session, and it is told everywhere.
fn stays_below_a_limit(lab: &Lab) {
    const MAX: u64 = 4 << 20;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.bufwatch");
    let length =
        |end: &str| fs::metadata(format!("{}{end}", file.display())).map_or(0, |file| file.len());
    let mut scenario = lab.scenario("residency/steps.mjs", &[]);
    let limited = ["--record", file.to_str().unwrap(), "--max-size", "4MiB"];
    let mut watch = lab.attach(scenario.pid(), &limited);
    let mut largest = 0;
    for _ in 0..8 {
        scenario.tell("make 5000 70000");
        watch.next_sample();
        largest = largest.max(length("") + length("-wal"));
    }
    let is_thinned = |sample: &Sample| sample.value()["limits"].to_string().contains("kept below");
    watch.wait_for_sample("the limit told", is_thinned);
    watch.signal(Signal::SIGINT);
    assert_eq!(watch.wait_for_exit(), Some(130), "{}", watch.stderr());
    largest = largest.max(length(""));
    println!("{largest} bytes at most");
    assert!(largest <= MAX, "{largest} bytes");
    assert!(watch.stderr().contains("limit: the recording is kept below 4.00 MiB"));
    let (live, replayed) = (watch.last_sample(), replay(lab, &file).unwrap());
    assert!(is_thinned(&replayed), "{}", replayed.value()["limits"]);
    for key in ["stores", "sites", "findings", "rss_parts", "rss_bytes"] {
        assert_eq!(live.value()[key], replayed.value()[key], "{key}");
    }
    assert!(replayed.n_live() >= 40_000, "{} stores", replayed.n_live());
}

/// Whenever it is killed under load: the file opens, is whole, and has each store that the program made more than a second before.
fn survives_kills(lab: &Lab) {
    let n_kills = std::env::var("BUFWATCH_KILLS").map_or(N_KILLS, |n| n.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut scenario = lab.scenario("kills.mjs", &[]);
    let pid = scenario.pid().to_string();
    let mut random = u64::from(std::process::id());
    // Of waits at random some runs would have too few long ones.
    let step = STORES_WAITED_FOR / n_kills.max(1);
    let (mut n_checked, mut n_files) = (0, 0);
    for n in 0..n_kills {
        let file = folder.path().join(format!("{n}.bufwatch"));
        let name = file.to_str().unwrap();
        scenario.tell("drop");
        let mut watch = lab.bufwatch(&["record", "--pid", &pid, "-o", name, "--quiet"]);
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // In stores that the program makes: from before the probes are in place to some seconds later.
        scenario.tell(&format!("wait {}", n * step + (random >> 33) % step.max(1)));
        let truth = scenario.tell("truth");
        watch.signal(Signal::SIGKILL);
        watch.wait_for_exit();
        if !file.exists() {
            continue;
        }
        n_files += 1;
        // As it was left, not as a reader that may write has mended it.
        let replayed = replay_or_why(lab, &file);
        let n_due = stores_of_killed(&file, &truth);
        n_checked += n_due;
        match replayed {
            Ok(sample) => assert!(sample.notices().contains("no end"), "{}", sample.notices()),
            Err(said) => {
                let is_empty = said.contains("ends before its first flush");
                assert!(is_empty && n_due == 0, "{n_due} stores had to be there: {said}");
            }
        }
    }
    println!("{n_kills} kills, {n_files} files, {n_checked} stores that had to be there");
    assert!(n_files * 2 > n_kills && n_checked > n_kills * 50, "{n_files} files, {n_checked}");
}

/// How many stores had to be in the file; all are.
fn stores_of_killed(file: &Path, truth: &Value) -> u64 {
    let connection = Connection::open(file).unwrap();
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let sql = "SELECT value FROM fact WHERE name = 'attached'";
    let attached_at = connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let attached_at = attached_at.map_or(u64::MAX, i64::cast_unsigned);
    let mut statement = connection.prepare("SELECT size FROM store").unwrap();
    let sizes = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    let sizes: BTreeSet<u64> = sizes.map(|size| size.unwrap().cast_unsigned()).collect();
    let now = truth["now"].as_u64().unwrap();
    let mut n = 0;
    for made in truth["made"].as_array().unwrap() {
        let (size, at) = (made[0].as_u64().unwrap(), made[1].as_u64().unwrap());
        if at > attached_at && at + 1_000_000_000 < now {
            assert!(sizes.contains(&size), "a store of {size} made {} ns before", now - at);
            n += 1;
        }
    }
    n
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

mod limited {
    #[test]
    fn node_26() {
        crate::harness::with_node("26", super::stays_below_a_limit);
    }
}

mod kills {
    #[test]
    fn node_24() {
        crate::harness::with_any_node(super::survives_kills);
    }
}
