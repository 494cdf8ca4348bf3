//! Who holds a view is told in the words of the program: every way of holding one, each with the path that must be told of it.

use serde_json::Value;

use crate::census_truth::{assert_exact, holder, list, parent};
use crate::harness::{Lab, Scenario};

pub(crate) fn all(lab: &Lab) {
    let mut scenario = lab.scenario("census/holders.mjs", &[]);
    let answer = scenario.tell("hold");
    assert_paths(lab, &scenario, &answer);
    let answer = scenario.tell("gc");
    assert_paths(lab, &scenario, &answer);
    // What runs now may be nearer to a view than what keeps it.
    let answer = scenario.tell("load");
    assert_exact(lab, &scenario, &answer);
}

/// Exactly the views that are alive, each with its holder.
pub(crate) fn assert_paths(lab: &Lab, scenario: &Scenario, answer: &Value) {
    let census = assert_exact(lab, scenario, answer);
    let rows = list(&answer["rows"]).iter().filter(|row| row["held"].is_object());
    let wrong: Vec<String> = rows.filter_map(|row| what_is_wrong(&census, row)).collect();
    assert!(wrong.is_empty(), "Node {}: {wrong:#?}", lab.version());
}

fn what_is_wrong(census: &Value, row: &Value) -> Option<String> {
    let (path, root, is_by_application) = holder(parent(census, row));
    let path: Vec<String> = path.into_iter().map(without_place).collect();
    let held = &row["held"];
    let expected = list(&held["path"]);
    let is_end = path.len() >= expected.len()
        && path.iter().rev().zip(expected.iter().rev()).all(|(step, it)| *it == **step);
    let is_right = is_end && held["root"] == root && held["is_by_application"] == is_by_application;
    let found = serde_json::json!([path, root, is_by_application]);
    (!is_right).then(|| format!("{}: {found}, not {held}", row["name"]))
}

/// `read() /folder/holders.mjs:17` as `read() FILE`.
fn without_place(step: &str) -> String {
    let is_place = |word: &str| {
        let file = word.rsplit_once(':').map_or(word, |(file, _)| file);
        [".mjs", ".cjs", ".js"].iter().any(|end| file.ends_with(end)) && file.len() < word.len()
    };
    let words = step.split(' ').map(|word| {
        let end = word.trim_start_matches(|it: char| !")],".contains(it));
        if is_place(word) { format!("FILE{end}") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn places_are_left_out() {
    assert_eq!(without_place(".x (read() /a/holders.mjs:17)"), ".x (read() FILE)");
    assert_eq!(without_place("waits() /a/holders.mjs:1, waiting"), "waits() FILE, waiting");
    assert_eq!(without_place("[\"key 17\"]"), "[\"key 17\"]");
}
