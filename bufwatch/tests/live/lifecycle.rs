//! What a target does besides allocating: ending its workers, forking, becoming another program, dying.

use std::collections::BTreeSet;

use crate::completeness::assert_live;
use crate::harness::{Lab, with_any_node};

const COUNT: &str = "20";
const SIZE: &str = "1048576";

/// Workers make stores of 64 KiB for themselves.
const MIN_SIZE: [&str; 2] = ["--min-size", "131072"];

pub(crate) fn worker_exit(lab: &Lab) {
    let mut scenario = lab.scenario("worker-exit.mjs", &[COUNT, SIZE]);
    let watch = lab.attach(scenario.pid(), &MIN_SIZE);
    for _ in ["made", "exit", "made", "terminate"] {
        let truth = scenario.tell("go");
        assert_live(&watch, &truth);
    }
    let sample = watch.next_sample();
    assert_eq!(sample.n_created(), 40);
    assert_eq!(sample.n_destroyed(), 40);
}

/// The stores of the old program are no more, and the probes must not mistake the new one's.
pub(crate) fn exec(lab: &Lab) {
    let mut scenario = lab.scenario("exec.mjs", &[]);
    let mut watch = lab.attach(scenario.pid(), &MIN_SIZE);
    let truth = scenario.tell("go");
    watch.wait_for_sample("the stores of the old program", |sample| {
        Some(sample.n_live()) == truth["n_live"].as_u64()
    });
    let answer = scenario.tell("go");
    assert_eq!(answer["ready"], true, "the new program said {answer}");
    assert_eq!(watch.wait_for_exit(), Some(0), "it does not watch the new program");
    let last = watch.last_sample();
    assert_eq!((last.state(), last.n_live()), ("execed", 3), "not the old program's last state");
    assert!(watch.stderr().contains("executed another program"), "{}", watch.stderr());
    scenario.assert_runs();
}

#[test]
fn child_process_is_not_counted() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("fork.mjs", &[COUNT, SIZE]);
        let watch = lab.attach(scenario.pid(), &MIN_SIZE);
        let truth = scenario.tell("go");
        assert_eq!(truth["n_foreign"], 20);
        assert_live(&watch, &truth);
        assert_eq!(watch.next_sample().n_created(), 1);
    });
}

#[test]
fn death_of_the_target_is_said_and_keeps_the_last_state() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("idle.mjs", &[]);
        let mut watch = lab.attach(scenario.pid(), &[]);
        let truth = scenario.tell("alloc 7 1048576");
        assert_live(&watch, &truth);
        scenario.kill();
        assert_eq!(watch.wait_for_exit(), Some(0));
        let last = watch.last_sample();
        assert_eq!((last.state(), last.n_live()), ("exited", 7));
        assert!(watch.stderr().contains("ended"), "it does not say why it ended");
    });
}

#[test]
fn normal_exit_of_the_target_ends_bufwatch() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("idle.mjs", &[]);
        let mut watch = lab.attach(scenario.pid(), &[]);
        scenario.send("exit 5");
        assert_eq!(scenario.wait_for_exit(), Some(5));
        assert_eq!(watch.wait_for_exit(), Some(0));
    });
}

/// The probes hang on one thread of the target; when it ends they move, and what was missed is not a leak.
#[test]
fn probes_outlive_the_thread_that_carries_them() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("idle.mjs", &[]);
        let threads_before = threads(scenario.pid());
        scenario.tell("worker");
        let worker = threads(scenario.pid()).difference(&threads_before).min().copied();
        let anchor = worker.expect("the worker has a thread").to_string();
        let [option, min_size] = MIN_SIZE;
        let args = [option, min_size, "--anchor-tid", &anchor];
        let watch = lab.attach(scenario.pid(), &args);
        let truth = scenario.tell("alloc 3 1048576");
        assert_live(&watch, &truth);
        scenario.tell("end");
        watch.wait_for_sample("the probes moved", |sample| {
            sample.notices().contains("carried the probes") && sample.n_live() == 0
        });
        scenario.tell("alloc 2 1048576");
        watch.wait_for_sample("the new stores", |sample| sample.n_live() == 2);
    });
}

/// All threads of a process, by number.
pub(crate) fn threads(pid: u32) -> BTreeSet<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the target runs");
    tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok()).collect()
}
