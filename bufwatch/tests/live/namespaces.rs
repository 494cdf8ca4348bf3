//! Node in namespaces of its own, as containers make them: watched from outside and from inside.

use std::time::Duration;

use crate::completeness::assert_live;
use crate::harness::{Lab, child_of, holds_within, with_node};
use crate::sample::Sample;

const START_LIMIT: Duration = Duration::from_secs(20);

/// `unshare` and what it runs have their own pids, mounts and /proc.
const PID_AND_MOUNT: &[&str] = &["--pid", "--mount", "--fork", "--mount-proc", "--kill-child"];
/// The same for an ordinary user, who is root inside.
const USER_TOO: &[&str] =
    &["--user", "--map-root-user", "--pid", "--mount", "--fork", "--mount-proc", "--kill-child"];

#[test]
fn a_process_in_other_namespaces_is_watched_from_outside() {
    for major in ["18", "26"] {
        with_node(major, |lab| {
            for namespaces in [PID_AND_MOUNT, USER_TOO] {
                watch_from_outside(lab, namespaces);
            }
        });
    }
}

fn watch_from_outside(lab: &Lab, namespaces: &[&str]) {
    let mut scenario = lab.scenario_unshared(namespaces, "idle.mjs", &[]);
    let pid = child_of(scenario.pid());
    let watch = lab.attach(pid, &[]);
    let truth = scenario.tell("alloc 5 1048576");
    assert_live(&watch, &truth);
    let sample = watch.next_sample();
    assert_eq!(sample.pid(), u64::from(pid));
    assert_eq!(sample.value()["inner_pid"], 1, "the first process of its namespace");
    assert_names(&sample);
    let census = lab.program(&["census", "--json", "--pid", &pid.to_string()]).stdout.text();
    let census: serde_json::Value = serde_json::from_str(&census).unwrap();
    assert_eq!(census["isolates"][0]["tid"], pid, "threads have the numbers of outside");
    scenario.assert_runs();
}

#[test]
fn bufwatch_in_a_container_numbers_processes_and_threads_as_it_sees_them() {
    for major in ["18", "26"] {
        with_node(major, |lab| {
            // As in a privileged container: bufwatch and Node in the same namespaces.
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("a.bufwatch");
            let file = file.to_str().unwrap();
            let watch = lab.run_unshared(PID_AND_MOUNT, "keeping.mjs", file);
            let sample = watch.wait_for_sample("stores with their lines", |sample| {
                sample.is_counting() && sample.n_live() >= 3
            });
            assert!(sample.pid() < 10, "a pid of the namespace: {}", sample.pid());
            assert_names(&sample);
            // The kernel tells of threads by the numbers of the host, unless it is asked for others.
            let ask = "SELECT DISTINCT tid FROM stores";
            let mut threads = String::new();
            let are_told = holds_within(START_LIMIT, || {
                threads = lab.program(&["sql", file, ask, "--csv"]).stdout.text();
                threads.lines().count() > 1
            });
            assert!(are_told, "no store was recorded: {threads}");
            assert_eq!(threads.trim(), format!("tid\n{}", sample.pid()));
        });
    }
}

/// The line that made the most is a line of the scenario.
fn assert_names(sample: &Sample) {
    let sites = sample.sites();
    let has_line = sites.iter().any(|site| site.label.contains(".mjs"));
    assert!(has_line, "no line of the application: {}", sample.value());
}
