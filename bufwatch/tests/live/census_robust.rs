//! A census at the wrong moment: of a process that is just starting or that dies meanwhile, and of one that runs on when bufwatch is
//! killed in the middle of it.

use std::fs;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::census::{Rows, assert_exact, found_rows};
use crate::harness::{Lab, Scenario, Watch, holds_within, now, state_of, with_any_node};

/// From the start of a process to any moment of it.
const MOMENT_LIMIT: Duration = Duration::from_secs(20);

/// As far as a process is started: mappings that it has by then. Node has 15 to 30 when its libraries are loaded, and 60 to 100 when it
/// waits for the first event.
const N_MAPPINGS: std::ops::Range<usize> = 12..84;
const N_MAPPINGS_STEP: usize = 8;

const N_KILLED_TARGETS: u32 = 50;
const N_KILLED_CENSUSES: u32 = 100;

/// A census of the targets here stops them for a few milliseconds.
const IN_STOP: Duration = Duration::from_millis(8);

/// A process is frozen at ever later moments of its start. There is nothing of the application yet: a census either says that it found
/// nothing of it, or that the process is starting.
pub(crate) fn while_the_process_starts(lab: &Lab) {
    let mut n_starting = 0;
    for n_mappings in N_MAPPINGS.step_by(N_MAPPINGS_STEP) {
        let mut scenario = lab.starting(&[], "census.mjs", &[]);
        let pid = scenario.pid();
        wait_until(|| is_node(pid) && (mappings(pid) >= n_mappings || scenario.has_answered()));
        scenario.signal(Signal::SIGSTOP);
        let mut census = census_of(lab, &scenario);
        match census.wait_for_exit() {
            Some(0) => {
                let census: Value = serde_json::from_str(&census.stdout()).unwrap();
                assert_eq!(found_rows(&census).0, Rows::new(), "with {n_mappings} mappings");
            }
            Some(2) => {
                let said = census.stderr();
                // It may have been frozen in a collection.
                let is_starting = said.contains("is still starting");
                assert!(is_starting || said.contains("was collecting garbage"), "{said}");
                assert!(said.contains("hint:"), "{said}");
                n_starting += u32::from(is_starting);
            }
            other => panic!("{other:?}: {}", census.stderr()),
        }
        // What was seen too early is seen later.
        scenario.signal(Signal::SIGCONT);
        scenario.answer();
        let answer = scenario.tell("pinned 20");
        assert_exact(lab, &scenario, &answer);
    }
    assert!(n_starting > 0, "no process was caught while it started");
}

#[test]
fn a_target_that_dies_meanwhile_is_said() {
    with_any_node(|lab| {
        let mut n_lost = 0;
        for round in 0..N_KILLED_TARGETS {
            let mut scenario = lab.scenario("census.mjs", &[]);
            let answer = scenario.tell("pinned 20");
            let pid = scenario.pid();
            let mut census = census_of(lab, &scenario);
            moment_of(&mut census, pid, round, N_KILLED_TARGETS);
            if round % 2 == 0 {
                scenario.kill();
            } else {
                // Nobody waits for it: it stays as a zombie until the scenario is dropped.
                scenario.signal(Signal::SIGKILL);
            }
            match census.wait_for_exit() {
                Some(0) => {
                    // Its copy was complete.
                    let census: Value = serde_json::from_str(&census.stdout()).unwrap();
                    assert_eq!(found_rows(&census).0, crate::census::true_rows(&answer));
                }
                Some(3) => {
                    let said = census.stderr();
                    assert!(said.contains("hint:") && !said.contains("panicked"), "{said}");
                    assert!(said.contains("ended") || said.contains("no process"), "{said}");
                    n_lost += 1;
                }
                other => panic!("round {round}: {other:?}: {}", census.stderr()),
            }
        }
        assert!(n_lost > 0, "no target died before its census was taken");
    });
}

#[test]
fn a_census_that_is_killed_leaves_the_target_running() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("census.mjs", &[]);
        let pid = scenario.pid();
        scenario.tell("pinned 100");
        scenario.tell("slices 100000");
        let answer = scenario.tell("workers 2");
        let mut n_caught = 0;
        for round in 0..N_KILLED_CENSUSES {
            let mut census = census_of(lab, &scenario);
            moment_of(&mut census, pid, round, N_KILLED_CENSUSES);
            n_caught += u32::from(is_traced(pid));
            if !census.has_ended() {
                census.signal(Signal::SIGKILL);
            }
            census.wait_for_exit();
            let stopped = || matches!(state_of(pid), None | Some('T' | 't' | 'Z'));
            let runs = || !is_traced(pid) && !stopped();
            assert!(holds_within(Duration::from_secs(5), runs), "it is in {:?}", state_of(pid));
        }
        assert!(n_caught > 0, "no census was caught while it held the target");
        assert_exact(lab, &scenario, &answer);
        scenario.tell("gc");
    });
}

fn census_of(lab: &Lab, scenario: &Scenario) -> Watch {
    lab.bufwatch(&["census", "--pid", &scenario.pid().to_string(), "--json", "--all"])
}

/// Waits for a moment of a census, each round for another one: one in three before the stop, one in the stop, one behind it.
fn moment_of(census: &mut Watch, pid: u32, round: u32, n_rounds: u32) {
    let start = now();
    let share = round / 3 * 3;
    let wait = |limit: Duration, census: &mut Watch| {
        let limit = limit * share / n_rounds;
        let start = now();
        while start.elapsed() < limit && !census.has_ended() {
            thread::yield_now();
        }
    };
    if round.is_multiple_of(3) {
        return wait(Duration::from_millis(150), census);
    }
    while !is_traced(pid) && !census.has_ended() && start.elapsed() < MOMENT_LIMIT {
        thread::yield_now();
    }
    if round % 3 == 1 {
        return wait(IN_STOP, census);
    }
    while is_traced(pid) && start.elapsed() < MOMENT_LIMIT {
        thread::yield_now();
    }
    wait(Duration::from_millis(300), census);
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let start = now();
    while !condition() {
        assert!(start.elapsed() < MOMENT_LIMIT, "the moment does not come");
        thread::yield_now();
    }
}

/// Not the program any more that starts it.
fn is_node(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("node"))
}

fn mappings(pid: u32) -> usize {
    fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default().lines().count()
}

/// Any of its threads.
fn is_traced(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.flatten().any(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        tracer.is_some_and(|pid| pid.trim() != "0")
    })
}
