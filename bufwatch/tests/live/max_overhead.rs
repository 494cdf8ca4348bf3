//! `--max-overhead`: probes are in place for part of the time, and what is said stays true: pinned parents are found, live stores are those of
//! the program, and everything says that it is sampled. Their cost itself is measured by `cargo xtask bench overhead`.

use std::time::Duration;

use crate::harness::{Lab, Watch, holds_within};
use crate::sample::{Sample, number};

/// Stores of Node itself.
const N_FOREIGN_MAX: u64 = 8;

const N_LEAKED: u64 = 40;

/// Until the budget has paid for what the probes cost while they were being removed.
const LIMIT: Duration = Duration::from_mins(1);

/// Of a core, in percent: no churn fits into that.
const LITTLE: &str = "5";

fn share(sample: &Sample) -> Option<f64> {
    sample.value()["watched_share"].as_f64()
}

fn pinned_parents(sample: &Sample) -> u64 {
    let pinned = sample.findings().iter().filter(|it| it["kind"] == "PINNED_PARENT");
    pinned.map(|it| number(&it["n_parents"])).max().unwrap_or(0)
}

fn wait_for_live(watch: &Watch, n: u64) -> Sample {
    watch.wait_for_sample("the stores that the program has", |sample| {
        (n..=n + N_FOREIGN_MAX).contains(&sample.n_live())
    })
}

/// Far above the budget a leak is found all the same, and what came and went unseen is known.
pub(crate) fn a_leak_is_found_above_the_budget(lab: &Lab) {
    let mut scenario = lab.scenario("busy-leak.mjs", &[]);
    let often = ["--max-overhead", LITTLE, "--census-every", "0.5", "--pause-budget", "50"];
    let watch = lab.attach(scenario.pid(), &often);
    let sampled = watch.wait_for_sample("that it is sampled", |sample| {
        share(sample).is_some_and(|share| share < 0.5)
    });
    assert_eq!(sampled.value()["is_sampled"], true);
    assert!(sampled.value()["before_attach_bytes"].is_null(), "{}", sampled.value());
    scenario.tell(&format!("leak {N_LEAKED}"));
    watch.wait_for_sample("all pinned parents", |sample| pinned_parents(sample) == N_LEAKED);
    let truth = scenario.tell("calm");
    assert_eq!(number(&truth["n_live"]), N_LEAKED);
    wait_for_live(&watch, N_LEAKED);
    // Nothing comes any more, so that the budget fills; while probes are away the share only falls.
    let n_before = watch.samples().len();
    let are_back = || {
        let shares: Vec<f64> = watch.samples().iter().skip(n_before).filter_map(share).collect();
        shares.windows(2).any(|pair| pair[1] > pair[0])
    };
    assert!(holds_within(LIMIT, are_back), "the probes do not come back");
    scenario.tell("drop");
    scenario.tell("calm");
    wait_for_live(&watch, 0);
    drop(watch);
    scenario.assert_lives();
}

/// What costs less than it may is seen whole, and nothing says otherwise.
pub(crate) fn below_the_budget_all_is_seen(lab: &Lab) {
    let mut scenario = lab.scenario("backends.mjs", &[]);
    let watch = lab.attach(scenario.pid(), &["--max-overhead", "10"]);
    let truth = scenario.tell("alloc 30 1048576");
    let sample = wait_for_live(&watch, number(&truth["n_live"]));
    assert_eq!(sample.value()["is_sampled"], false);
    assert!(share(&sample).is_none(), "{}", sample.value());
    let large = sample.value()["top_stores"].as_array().unwrap();
    let with_line =
        large.iter().filter(|it| it["size_bytes"] == 1_048_576 && it["site"].is_string());
    assert!(with_line.count() > 0, "{}", sample.value());
    scenario.tell("free 30");
    wait_for_live(&watch, 0);
}
