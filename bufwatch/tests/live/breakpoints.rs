//! What bufwatch starts with breakpoints in its code is not harmed by them: it ends as it would, what it starts is let go, signals reach it,
//! and it ends with bufwatch. That events and lines are exact is tested where those of eBPF are (`completeness`, `stacks`, `check`).

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::gettid;

use crate::completeness::{Watched as _, assert_live, assert_settled};
use crate::harness::{Lab, SAMPLE_LIMIT, Watch, addon, holds_within, now, scenario_path};
use crate::sample::number;

/// Sessions that are killed, or their program is.
const N_KILLED: u32 = 40;

/// Their last moment, seen from the start: Node takes some ten milliseconds for its own, and censuses begin after half a second.
const MOMENT_MAX: Duration = Duration::from_millis(1_500);

const OFTEN: [&str; 4] = ["--census-every", "0.1", "--pause-budget", "50"];

const MIN_SIZE: [&str; 2] = ["--min-size", "131072"];

/// Node's own stores of 64 KiB, such as its pool slabs.
const N_FOREIGN_MAX: u64 = 8;

/// Each program, process, worker and signal ends as without bufwatch.
pub(crate) fn what_it_starts_is_unharmed(lab: &Lab) {
    let mut alone = lab.scenario("children.mjs", &[]);
    let mut launched = lab.launch("children.mjs", &[], &OFTEN);
    let truth = alone.tell("go");
    if addon().is_some() {
        assert_eq!(truth["ends"]["changed code of a copy"], 0, "{truth:#}");
        assert_eq!(alone.tell("code")["n_changed"], 0);
        assert!(launched.tell("code")["n_changed"].as_u64() > Some(0), "there are no breakpoints");
    }
    for _ in 0..3 {
        assert_eq!(launched.tell("go"), truth);
    }
    // From somebody else.
    let before = number(&truth["n_signals"]);
    for n in 1..=3 {
        launched.signal(Signal::SIGUSR2);
        let is_told = || number(&launched.tell("signals")["n_signals"]) == before + n;
        assert!(holds_within(SAMPLE_LIMIT, is_told), "signal {n} does not come");
    }
    let sample = launched.watch().next_sample();
    assert_eq!((sample.n_lost(), sample.state()), (0, "live"));
    // Handed on.
    launched.watch_mut().signal(Signal::SIGTERM);
    assert_eq!(launched.wait_for_exit(), Some(128 + 15));
}

/// While it is stopped by its user censuses do not let it run on, and it ends when it is told to.
pub(crate) fn stopped_and_continued(lab: &Lab) {
    let mut launched = lab.launch("backends.mjs", &[], &OFTEN);
    for n in 1..=4_u64 {
        launched.signal(Signal::SIGSTOP);
        assert!(holds_within(SAMPLE_LIMIT, || are_all_stopped(launched.pid())), "round {n}");
        launched.send("alloc 1 1048576");
        let n_taken = launched.watch().next_sample().n_censuses();
        let two_more = |sample: &crate::sample::Sample| sample.n_censuses() >= n_taken + 2;
        launched.watch().wait_for_sample("two more censuses", two_more);
        assert!(!launched.has_answered(), "it runs although it was stopped");
        launched.signal(Signal::SIGCONT);
        assert_eq!(launched.answer()["n_live"], n);
    }
    launched.signal(Signal::SIGSTOP);
    assert!(holds_within(SAMPLE_LIMIT, || are_all_stopped(launched.pid())));
    launched.signal(Signal::SIGKILL);
    assert_eq!(launched.wait_for_exit(), Some(128 + 9));
}

/// By a signal, or by who traces them.
fn are_all_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut states = threads.map(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next())
    });
    states.all(|state| matches!(state, Some('T' | 't')))
}

/// Another program under the same pid: it runs, and is not what was to be watched.
pub(crate) fn becomes_another_program(lab: &Lab) {
    let mut launched = lab.launch("exec.mjs", &[], &MIN_SIZE);
    if launched.ready()["can_exec"] != true {
        println!("skipped: this Node cannot exec without the addon");
        return;
    }
    let truth = launched.tell("go");
    launched.watch().wait_for_sample("the stores of the old program", |sample| {
        Some(sample.n_live()) == truth["n_live"].as_u64()
    });
    assert_eq!(launched.tell("go")["ready"], true);
    assert_eq!(launched.tell("alloc 3 1048576")["n_live"], 3);
    launched.send("exit 5");
    assert_eq!(launched.wait_for_exit(), Some(5));
    let last = launched.watch_mut().last_sample();
    assert_eq!((last.state(), last.n_live()), ("execed", 3), "not the old program's last state");
}

pub(crate) fn workers_that_end(lab: &Lab) {
    let mut launched = lab.launch("worker-exit.mjs", &["20", "1048576"], &MIN_SIZE);
    for _ in ["made", "exit", "made", "terminate"] {
        let truth = launched.tell("go");
        assert_live(launched.watch(), &truth);
    }
    let sample = launched.watch().next_sample();
    assert_eq!((sample.n_created(), sample.n_destroyed()), (40, 40));
    launched.send("go");
    assert_eq!(launched.wait_for_exit(), Some(0));
}

/// Its heap is looked at while its breakpoints are met all the time.
pub(crate) fn censuses_while_stores_come(lab: &Lab) {
    let mut launched = lab.launch("churn.mjs", &["4", "50"], &OFTEN);
    let before = launched.watch().next_sample().n_created();
    let truth = launched.tell("go");
    assert_settled(&truth);
    let n_created = number(&truth["n_created"]);
    let sample = launched
        .watch()
        .wait_for_sample("all creations", |sample| sample.n_created() >= before + n_created);
    assert!(sample.n_created() <= before + n_created + N_FOREIGN_MAX, "{n_created} {sample:?}");
    assert!(sample.n_censuses() >= 4, "{}", sample.value()["census"]);
    let n_live = number(&truth["n_live"]);
    let sample = launched.watch().wait_for_sample("only the kept stores alive", |sample| {
        (n_live..=n_live + before + N_FOREIGN_MAX).contains(&sample.n_live())
    });
    assert_eq!(sample.n_lost(), 0);
    launched.send("go");
    assert_eq!(launched.wait_for_exit(), Some(0));
}

/// Whenever bufwatch is killed, its program is gone.
pub(crate) fn it_ends_with_bufwatch(lab: &Lab) {
    for round in 0..N_KILLED {
        let (mut watch, mark) = churning(lab, round);
        watch.signal(Signal::SIGKILL);
        watch.wait_for_exit();
        let is_gone = || processes_with(&mark).is_empty();
        assert!(holds_within(SAMPLE_LIMIT, is_gone), "round {round}: {:?}", processes_with(&mark));
    }
}

/// Whenever its program is killed, bufwatch says so by its code.
pub(crate) fn bufwatch_ends_with_it(lab: &Lab) {
    for round in 0..N_KILLED {
        let (mut watch, mark) = churning(lab, round);
        let bufwatch = watch.pid();
        let mut killed = false;
        let kill = |pid: &u32| {
            let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
            nix::sys::signal::kill(pid, Signal::SIGKILL).is_ok()
        };
        // At the earliest moments there is none yet.
        holds_within(SAMPLE_LIMIT, || {
            let others = processes_with(&mark).into_iter().filter(|pid| *pid != bufwatch);
            killed |= others.collect::<Vec<_>>().iter().any(kill);
            killed || watch.has_ended()
        });
        let code = watch.wait_for_exit();
        // While it attached, or later.
        assert!(matches!(code, Some(3 | 137)), "round {round}: {code:?}: {}", watch.stderr());
        assert_eq!(processes_with(&mark), [0; 0]);
    }
}

/// A program that makes and drops stores all the time, at a moment that depends on the round, and a word of its command line.
fn churning(lab: &Lab, round: u32) -> (Watch, String) {
    let mark = format!("mark-{}-{round}", gettid());
    let script = scenario_path("churn.mjs");
    let how = ["run", "--backend", "ptrace", "--headless"];
    let command = ["--", lab.node(), "--expose-gc", script.to_str().unwrap(), "60", "50", &mark];
    let start = now();
    let mut watch = lab.bufwatch_of_nobody(&[&how[..], &OFTEN, &command].concat());
    watch.send("go");
    let moment = MOMENT_MAX * round / N_KILLED;
    holds_within(SAMPLE_LIMIT, || start.elapsed() > moment || watch.has_ended());
    (watch, mark)
}

/// Those that have not ended and have a word in their command line.
fn processes_with(word: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    })
    .collect()
}
