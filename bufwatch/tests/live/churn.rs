//! Stores that come and go as fast as Node can: nothing is lost with the default settings, and what is
//! lost with a tiny ring buffer is counted and never shown as alive.

use crate::completeness::{assert_live, assert_settled};
use crate::harness::{Lab, with_any_node};

const SECONDS: &str = "10";
const N_KEPT: &str = "50";

/// Node's own stores of 64 KiB, such as the pool slab of Node 26, are not the program's.
const N_FOREIGN_MAX: u64 = 8;

pub(crate) fn nothing_is_lost(lab: &Lab) {
    let mut scenario = lab.scenario("churn.mjs", &[SECONDS, N_KEPT]);
    let watch = lab.attach(scenario.pid(), &[]);
    let truth = scenario.tell("go");
    assert_settled(&truth);
    let n_created = truth["n_created"].as_u64().unwrap();
    let sample = watch.wait_for_sample("all creations", |sample| sample.n_created() >= n_created);
    assert_eq!(sample.n_lost(), 0, "of {n_created} stores");
    let sample = watch.next_sample();
    assert!(sample.n_created() <= n_created + N_FOREIGN_MAX, "{sample:?} of {n_created}");
    let n_live = truth["n_live"].as_u64().unwrap();
    watch.wait_for_sample("only the kept stores alive", |sample| {
        (n_live..=n_live + N_FOREIGN_MAX).contains(&sample.n_live())
    });
}

#[test]
fn losses_of_a_tiny_ring_are_counted_and_nothing_dead_is_shown() {
    with_any_node(|lab| {
        let mut scenario = lab.scenario("churn.mjs", &["3", N_KEPT]);
        let watch = lab.attach(scenario.pid(), &["--ring-size", "4096"]);
        let truth = scenario.tell("go");
        assert_settled(&truth);
        let sample = watch.wait_for_sample("losses", |sample| sample.n_lost() > 0);
        assert!(sample.n_lost() > 0);
        assert_live(&watch, &truth);
    });
}
