//! The census of array buffers of every kind, with views of every kind: found are all that are alive, with their kinds, what their views
//! show, and nothing else.

use serde_json::Value;

use crate::census::take;
use crate::census_truth::{assert_exact, list};
use crate::harness::Lab;

pub(crate) fn all(lab: &Lab) {
    let mut scenario = lab.scenario("census/kinds.mjs", &[]);
    let answer = scenario.tell("kinds");
    assert_exact(lab, &scenario, &answer);
    let answer = scenario.tell("gc");
    assert_exact(lab, &scenario, &answer);
    scenario.tell("workers 2");
    let answer = scenario.tell("load");
    assert_exact(lab, &scenario, &answer);
}

/// Slabs of 8 and 64 KiB, of which a few small Buffers are kept.
pub(crate) fn pools(lab: &Lab) {
    let mut scenario = lab.scenario("census/kinds.mjs", &[]);
    let answer = scenario.tell("pools");
    assert_slabs(lab, &take(lab, scenario.pid()), &answer);
    let answer_after = scenario.tell("gc");
    assert!(answer_after["slabs"].is_null());
    assert_slabs(lab, &take(lab, scenario.pid()), &answer);
}

fn assert_slabs(lab: &Lab, census: &Value, answer: &Value) {
    let of = lab.version();
    for slab in list(&answer["slabs"]) {
        let views = &slab["views"];
        let of_size = list(&census["parents"]).iter();
        let of_size: Vec<&Value> =
            of_size.filter(|parent| parent["size_bytes"] == slab["size"]).collect();
        let is_it = |parent: &&&Value| views_of(parent) == *views;
        let found: Vec<&Value> = of_size.iter().filter(is_it).copied().collect();
        let [parent] = found.as_slice() else { panic!("Node {of}: {slab} is not in {of_size:#?}") };
        assert_eq!(parent["kind"], "pool", "Node {of}: {parent}");
        assert_eq!(parent["covered_bytes"], slab["covered_bytes"], "Node {of}: {parent}");
    }
}

fn views_of(parent: &Value) -> Value {
    let views = list(&parent["views"]).iter();
    views.map(|view| serde_json::json!([view["offset"], view["length_bytes"]])).collect()
}
