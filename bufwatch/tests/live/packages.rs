//! Packages from npm, each in a version or with an option that keeps more memory than its caller sees, and in one that does not.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::census::take_with;
use crate::harness::{Lab, Scenario, holds_within};

/// Set by `cargo xtask test` where the packages could be had.
const PACKAGES: &str = "BUFWATCH_PACKAGES";

/// A timer of ioredis 5 cuts its pool.
const POOL_LIMIT: Duration = Duration::from_secs(20);

fn findings(lab: &Lab, scenario: &Scenario) -> Vec<Value> {
    take_with(lab, scenario.pid(), &[])["findings"].as_array().unwrap().clone()
}

/// The only finding of a new process that was told what to do, as soon as there is one.
fn finding_after(lab: &Lab, packages: &str, verb: &str) -> Value {
    let mut scenario = lab.scenario_in(&[(PACKAGES, packages)], "packages.mjs", &[]);
    scenario.tell(verb);
    let mut found = Vec::new();
    holds_within(POOL_LIMIT, || {
        found = findings(lab, &scenario);
        !found.is_empty()
    });
    assert_eq!(found.len(), 1, "{verb}: {found:#?}");
    found.remove(0)
}

fn assert_fine_after(lab: &Lab, packages: &str, verb: &str) {
    let mut scenario = lab.scenario_in(&[(PACKAGES, packages)], "packages.mjs", &[]);
    scenario.tell(verb);
    let found = findings(lab, &scenario);
    assert!(found.is_empty(), "{verb}: {found:#?}");
}

pub(crate) fn all(lab: &Lab) {
    let Ok(packages) = std::env::var(PACKAGES) else {
        eprintln!("skipped: {PACKAGES} is not set");
        return;
    };
    assert!(Path::new(&packages).join("node_modules/msgpackr").is_dir(), "{packages}");
    let pool = finding_after(lab, &packages, "ioredis 5");
    assert_eq!(pool["kind"], "GROW_ONLY_POOL", "{pool:#?}");
    assert!(pool["holder"].to_string().contains("variable bufferPool"), "{pool:#?}");
    assert_fine_after(lab, &packages, "ioredis 6");
    let views = finding_after(lab, &packages, "msgpackr views");
    assert_eq!(views["kind"], "PINNED_PARENT", "{views:#?}");
    assert!(views["holder"].to_string().contains("global sessions Map"), "{views:#?}");
    assert!(views["n_parents"].as_u64() >= Some(490), "{views:#?}");
    assert_fine_after(lab, &packages, "msgpackr copies");
}
