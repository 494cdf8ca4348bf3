//! The same programs by both backends: what eBPF and ptrace say of one is compared with what it says of itself, and with each other where they
//! differ on purpose. What runs by ptrace runs as an ordinary user on processes of its own.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{Lab, SAMPLE_LIMIT, Scenario, Watch, holds_within, now, state_of};
use crate::sample::{Sample, number};

/// Sessions of which bufwatch is killed.
const N_KILLED: u32 = 40;

/// A session that looks often, since a test waits for it.
const OFTEN: [&str; 4] = ["--census-every", "0.2", "--pause-budget", "50"];

fn attached(lab: &Lab, scenario: &Scenario, backend: &str) -> Watch {
    let pid = scenario.pid().to_string();
    let how = ["--backend", backend, "--headless", "--json", "--interval", "0.1", "--pid", &pid];
    let args = [&how[..], &OFTEN].concat();
    let watch = match backend {
        "ebpf" => lab.bufwatch(&args),
        _ => lab.bufwatch_of_nobody(&args),
    };
    watch.wait_for_sample("an attached session", |sample| sample.state() == "live");
    watch
}

/// Two censuses later than now: what is not found by then is not there.
fn later(watch: &Watch) -> Sample {
    let n = watch.next_sample().n_censuses();
    watch.wait_for_sample("two more censuses", |sample| sample.n_censuses() >= n + 2)
}

fn pinned(sample: &Sample) -> Vec<Value> {
    let findings = sample.findings().iter();
    findings.filter(|it| it["kind"] == "PINNED_PARENT").cloned().collect()
}

/// Both find the pinned parents of the program, to the number, and nothing of its twin.
pub(crate) fn the_same_findings(lab: &Lab) {
    for backend in ["ebpf", "ptrace"] {
        let mut twin = lab.scenario_of_nobody("findings/pinned.mjs", &[]);
        let watch = attached(lab, &twin, backend);
        twin.tell("map twin");
        let sample = later(&watch);
        assert!(sample.findings().is_empty(), "{backend}: {:#?}", sample.findings());

        let mut fault = lab.scenario_of_nobody("findings/pinned.mjs", &[]);
        let watch = attached(lab, &fault, backend);
        let truth = fault.tell("map fault");
        let has_all = |sample: &Sample| {
            pinned(sample).iter().any(|found| found["n_parents"] == truth["n_parents"])
        };
        let sample = watch.wait_for_sample("all pinned parents", has_all);
        let found = pinned(&sample).remove(0);
        assert!(found["holder"].as_str().unwrap().ends_with(".map (Map) […]"), "{found:#}");
        let has_line = backend == "ebpf";
        assert_eq!(found["site"].is_string(), has_line, "{backend}: {found:#}");
        assert_eq!(found["n_major_survived"].is_u64(), has_line, "{backend}: {found:#}");
        assert!(found["age_ns"].is_u64(), "{backend}: {found:#}");
    }
}

/// Live stores, births and deaths by ptrace, and what it cannot know.
pub(crate) fn stores_by_ptrace(lab: &Lab) {
    let mut scenario = lab.scenario_of_nobody("backends.mjs", &[]);
    scenario.tell("alloc 5 1048576");
    let watch = attached(lab, &scenario, "ptrace");
    let is_seen = |truth: Value| {
        let (n, bytes) = (number(&truth["n_live"]), number(&truth["live_bytes"]));
        move |sample: &Sample| {
            let node = sample.n_live().checked_sub(n);
            // Node's own are among them, such as its pool.
            node.is_some_and(|node| node <= 4 && sample.live_bytes() >= bytes)
        }
    };
    let truth = scenario.tell("alloc 0 0");
    let first = watch.wait_for_sample("what was there before", is_seen(truth));
    // It is older than the attach, and was not made since.
    assert!(first.n_created() <= 4, "{}", first.value());
    let before = first.n_created();
    let truth = scenario.tell("alloc 7 2097152");
    let more = watch.wait_for_sample("seven births", is_seen(truth));
    let n_born = more.n_created() - before;
    assert!((7..=9).contains(&n_born), "{n_born} births: {}", more.value());
    let top = more.value()["top_stores"].as_array().unwrap().clone();
    let large = top.iter().filter(|store| store["size_bytes"] == 2_097_152);
    assert!(large.clone().count() == 7, "{top:#?}");
    for store in large {
        assert!(store["age_ns"].is_u64() && store["site"].is_null(), "{store:#}");
        assert_eq!(store["kind"], "plain");
    }
    // Memory is given back when it is collected, not when it is dropped.
    let truth = scenario.tell("free 6");
    let is_seen = is_seen(truth);
    let fewer =
        watch.wait_for_sample("six deaths", |sample| is_seen(sample) && sample.n_destroyed() >= 6);
    unknown_is_null(fewer.value());
    drop(watch);
    scenario.assert_runs();
}

fn unknown_is_null(sample: &Value) {
    assert_eq!((&sample["backend"], &sample["is_sampled"]), (&"ptrace".into(), &true.into()));
    for unknown in [
        "/gc/n_minor",
        "/gc/n_major",
        "/gc/total_ns",
        "/lost/events",
        "/stores/n_small_live",
        "/stores/n_small_created",
        "/stores/n_destroyed_unknown",
        "/before_attach_bytes",
        "/n_sites_total",
    ] {
        assert!(sample.pointer(unknown).is_some_and(Value::is_null), "{unknown}: {sample:#}");
    }
    for known in ["/rss_bytes", "/array_buffers_bytes", "/v8_heap_bytes", "/census/n_taken"] {
        assert!(sample.pointer(known).is_some_and(Value::is_u64), "{known}: {sample:#}");
    }
    assert!(sample["notices"].to_string().contains("sampled"), "{sample:#}");
}

/// Whenever bufwatch is killed, the target runs on.
pub(crate) fn killed_sessions_leave_the_target_running(lab: &Lab) {
    let mut scenario = lab.scenario_of_nobody("backends.mjs", &[]);
    scenario.tell("alloc 20 1048576");
    let pid = scenario.pid().to_string();
    let often = ["--census-every", "0.05", "--pause-budget", "50"];
    for round in 0..N_KILLED {
        let how = ["--backend", "ptrace", "--headless", "--pid", &pid];
        let mut watch = lab.bufwatch_of_nobody(&[&how[..], &often].concat());
        let moment = Duration::from_millis(u64::from(round) * 700 / u64::from(N_KILLED));
        let start = now();
        holds_within(SAMPLE_LIMIT, || start.elapsed() > moment || watch.has_ended());
        watch.signal(Signal::SIGKILL);
        watch.wait_for_exit();
        let runs = || !matches!(state_of(scenario.pid()), None | Some('T' | 't' | 'Z'));
        assert!(holds_within(SAMPLE_LIMIT, runs), "it is in {:?}", state_of(scenario.pid()));
    }
    scenario.assert_runs();
}
