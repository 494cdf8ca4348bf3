//! `bufwatch daemon` and the host that it is on: processes are seen as they begin, what is not needed any more is given up, and there is a way
//! without BPF.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, LIMIT, files, is_of, labels, recordings};
use crate::harness::{Lab, holds_within};
use crate::program::Program;

/// There is one look at /proc, at the start.
const SCAN_RARELY: &str = "scan_every = \"1h\"";

/// Capabilities by the bits that the kernel gives them: to read all files, trace, open mapped files, be urgent.
const LOOKING: u64 = 1 << 2 | 1 << 19 | 1 << 40 | 1 << 23;
/// BPF and probes.
const PROBING: u64 = 1 << 39 | 1 << 38 | 1 << 21;

fn is_ready(daemon: &Daemon) -> bool {
    daemon.get("/readyz").0 == 200
}

/// A process that starts, one that becomes Node by `exec`, and a Node that becomes another are watched though nobody looks at /proc; one that is over before its time is
/// counted.
pub(crate) fn seen_as_they_begin(lab: &Lab) {
    let daemon = Daemon::start_with(lab, SCAN_RARELY, "");
    let started = daemon.wait_for_event("daemon_started", |_| true);
    assert_eq!((&started["backend"], &started["sees_execs"]), (&"ebpf".into(), &true.into()));
    assert!(holds_within(LIMIT, || is_ready(&daemon)));
    let mut becoming = becoming_node(lab);
    let mut again = lab.scenario("exec.mjs", &[]);
    assert_eq!(again.ready()["can_exec"], true);
    let begun = lab.scenario("idle.mjs", &[]);
    let row = daemon.wait_until_watched(begun.pid());
    assert_eq!(row["node_version"], lab.version());
    assert_eq!((&row["backend"], &row["is_sampled"]), (&"ebpf".into(), &false.into()));
    writeln!(becoming.child.stdin.as_mut().unwrap()).unwrap();
    daemon.wait_until_watched(becoming.child.id());
    daemon.wait_until_watched(again.pid());
    again.tell("");
    again.send("");
    let is_of_again = |event: &Value| event["pid"] == again.pid();
    let ended = daemon.wait_for_event("process_ended", is_of_again);
    assert_eq!(ended["reason"], "execed");
    let is_watched_again =
        || daemon.events_of("process_watched").into_iter().filter(is_of_again).count() == 2;
    assert!(holds_within(LIMIT, is_watched_again), "{:#?}", daemon.events());
    let watched = daemon.wait_for_event("process_watched", |it| it["pid"] == begun.pid());
    assert!(watched["age_ns"].is_u64(), "{watched}");
    assert_eq!(daemon.metric("bufwatch_daemon_scans_total", &[]), Some(1.0));
    assert!(daemon.metric("bufwatch_daemon_execs_total", &[]) >= Some(2.0));
    daemon.stop();

    let more = format!(
        "[processes]\nmin_age = \"2s\"\n[[processes.include]]\ncommand = \"{}*\"\n",
        lab.node()
    );
    let daemon = Daemon::start_as(lab, &format!("{SCAN_RARELY}\n{more}"));
    assert!(holds_within(LIMIT, || is_ready(&daemon)));
    let mut short = Command::new(lab.node()).args(["-e", "0"]).spawn().unwrap();
    assert!(short.wait().unwrap().success());
    let is_counted =
        || daemon.metric("bufwatch_daemon_processes_short_lived_total", &[]) >= Some(1.0);
    assert!(holds_within(LIMIT, is_counted), "nobody has seen the process that has ended");
    let told = daemon.events_of("process_watched");
    assert!(told.iter().all(|event| event["pid"] != short.id()), "{told:#?}");
    daemon.stop();
}

/// A shell that waits for a line and then is Node.
fn becoming_node(lab: &Lab) -> Program {
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "--",
        "sh",
        "-c",
        "read line; exec \"$0\" -e 'setInterval(() => {}, 1000)'",
    ]);
    command.arg(lab.node());
    Program::start(command, "sh")
}

/// A line of /proc/PID/status of each thread.
fn of_threads(pid: u32, name: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().trim().to_owned()
    };
    // A thread may end meanwhile.
    let statuses =
        threads.filter_map(|it| fs::read_to_string(it.unwrap().path().join("status")).ok());
    statuses.map(of).collect()
}

/// No thread has more than that, by any set, and no program could get more.
fn assert_has_only(pid: u32, allowed: u64) {
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let sets = of_threads(pid, set);
        assert!(!sets.is_empty());
        for mask in sets {
            let mask = u64::from_str_radix(&mask, 16).unwrap();
            assert_eq!(mask & !allowed, 0, "{set} {mask:x}");
        }
    }
    assert!(of_threads(pid, "NoNewPrivs").iter().all(|it| it == "1"));
}

/// With what is left it attaches to a process of another user, and records it.
pub(crate) fn privileges_are_given_up(lab: &Lab) {
    let (folder, settings) = recordings("");
    let daemon = Daemon::start(lab, &settings);
    let mut other = lab.scenario_of_nobody("findings/pinned.mjs", &[]);
    let row = daemon.wait_until_watched(other.pid());
    assert_eq!(row["user"], "nobody");
    // It was there before, and ends when the kernel has removed the probe of a try.
    let is_tried = || of_threads(daemon.pid(), "Name").iter().all(|name| name != "bw-detach");
    assert!(holds_within(LIMIT, is_tried), "a probe that was tried is not removed");
    assert_has_only(daemon.pid(), LOOKING | PROBING);
    // What was asked of it after that: a census, a finding with its line, a file.
    other.tell("map fault");
    let opened = daemon.wait_for_event("finding_opened", is_of(other.pid()));
    let site = opened["finding"]["site"].as_str();
    assert!(site.is_some_and(|site| site.contains("pinned.mjs:")), "{opened:#}");
    let path = PathBuf::from(row["recording"].as_str().unwrap());
    assert!(files(&folder).contains(&path));
    let is_written = || fs::metadata(&path).is_ok_and(|file| file.len() > 0);
    assert!(holds_within(LIMIT, is_written), "{} is empty", path.display());
    daemon.stop();
    other.assert_lives();
}

/// Without BPF: findings all the same, marked as sampled, and with fewer capabilities.
pub(crate) fn watched_without_bpf(lab: &Lab) {
    let mut leaking = lab.scenario("findings/pinned.mjs", &[]);
    let mut fine = lab.scenario("findings/pinned.mjs", &[]);
    let daemon = Daemon::start(lab, "[tracing]\nbackend = \"ptrace\"");
    let started = daemon.wait_for_event("daemon_started", |_| true);
    assert_eq!((&started["backend"], &started["sees_execs"]), (&"ptrace".into(), &false.into()));
    let row = daemon.wait_until_watched(leaking.pid());
    daemon.wait_until_watched(fine.pid());
    assert_eq!((&row["backend"], &row["is_sampled"]), (&"ptrace".into(), &true.into()));
    assert_eq!(daemon.metric("bufwatch_target_sampled", &labels(&row)), Some(1.0));
    assert_has_only(daemon.pid(), LOOKING);
    leaking.tell("map fault");
    fine.tell("map twin");
    let opened = daemon.wait_for_event("finding_opened", is_of(leaking.pid()));
    assert_eq!(opened["finding"]["site"], Value::Null, "lines are not known");
    assert!(daemon.metric("bufwatch_pinned_bytes", &labels(&row)) > Some(1e6));
    let sample = daemon.json(&format!("/v1/processes/{}/snapshot", leaking.pid()));
    assert_eq!((&sample["backend"], &sample["is_sampled"]), (&"ptrace".into(), &true.into()));
    let of_fine = daemon.events_of("finding_opened").into_iter().filter(is_of(fine.pid()));
    assert_eq!(of_fine.count(), 0);
    daemon.stop();
    leaking.assert_lives();
    fine.assert_lives();
}
