//! Compares a census with what a scenario says of itself (`scenarios/census/truth.mjs`): exactly its array buffers, each with exactly its
//! views, and nothing of what it dropped.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::census::{n_in_a_row, take};
use crate::harness::{Lab, Scenario};
use crate::sample::number;

/// Array buffers of Node itself, and what it reads into, are smaller.
const SIZE_MIN: u64 = 100_000;

/// What the load makes and drops: each of its tasks holds one or two, and what runs now a few more.
const GARBAGE_SIZE: u64 = 200_000;
const GARBAGE_ALIVE_MAX: usize = 24;

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is no list"))
}

/// What the census says of the store that a row of the truth is about.
pub(crate) fn parent<'a>(census: &'a Value, row: &Value) -> &'a Value {
    let found = list(&census["parents"]).iter().find(|parent| parent["size_bytes"] == row["size"]);
    found.unwrap_or_else(|| panic!("missing: {row}"))
}

/// The first holder's path, its root, and whether the application is on it.
pub(crate) fn holder(parent: &Value) -> (Vec<&str>, &str, bool) {
    let holder = &parent["holders"][0];
    let path = list(&holder["path"]).iter().map(|step| step.as_str().unwrap()).collect();
    (path, holder["root"].as_str().unwrap(), holder["is_by_application"].as_bool().unwrap())
}

/// Takes a census that must find what the rows say and nothing else.
pub(crate) fn assert_exact(lab: &Lab, scenario: &Scenario, answer: &Value) -> Value {
    for _ in 1..n_in_a_row() {
        assert_one(lab, scenario, answer);
    }
    assert_one(lab, scenario, answer)
}

fn assert_one(lab: &Lab, scenario: &Scenario, answer: &Value) -> Value {
    let census = take(lab, scenario.pid());
    let of = lab.version();
    assert_eq!(census["gaps"], Value::Array(Vec::new()), "of Node {of}");
    let mut found: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for parent in list(&census["parents"]) {
        found.entry(number(&parent["size_bytes"])).or_default().push(parent);
    }
    found.retain(|size, _| *size >= SIZE_MIN);
    let garbage = found.remove(&GARBAGE_SIZE).unwrap_or_default();
    assert!(garbage.len() <= GARBAGE_ALIVE_MAX, "{} of what the load dropped", garbage.len());
    for row in list(&answer["rows"]) {
        let Some(parents) = found.remove(&number(&row["size"])) else {
            panic!("Node {of}: missing: {row}");
        };
        let [parent] = parents.as_slice() else {
            panic!("Node {of}: {row} is not one: {parents:?}")
        };
        assert_row(of, row, parent);
    }
    assert!(found.is_empty(), "Node {of}: these are dead: {found:#?}");
    census
}

fn assert_row(of: &str, row: &Value, parent: &Value) {
    let facts = row.as_object().unwrap().iter();
    for (name, expected) in facts {
        let is_same = match name.as_str() {
            "n_isolates" => list(&parent["isolates"]).len() as u64 == number(expected),
            "name" | "size" | "held" => true,
            name => parent[name] == *expected,
        };
        assert!(is_same, "Node {of}: {name} of {row} is not that of {parent}");
    }
}
