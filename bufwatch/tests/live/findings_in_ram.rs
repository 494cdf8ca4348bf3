//! What is said of the memory of a whole process: of one that does it, and of its twin that does not.

use serde_json::Value;

use crate::harness::{Lab, Scenario, Watch};
use crate::sample::{Sample, number};

const SCENARIO: &str = "residency/steps.mjs";

const INTERVAL: &str = "0.5";

/// Looks at the whole process take a debug build so long that they are rare: three may be half a minute.
const N_SAMPLES_MAX: usize = 120;

/// Looks of ten seconds and the ages of stores: by then what lasts is told.
const SETTLED_NS: u64 = 25_000_000_000;

fn start(lab: &Lab, environment: &[(&str, &str)]) -> (Scenario, Watch) {
    let scenario = lab.scenario_in(environment, SCENARIO, &[]);
    let watch = lab.attach_printing(INTERVAL, scenario.pid(), &[]);
    watch.wait_for_sample("probes", Sample::is_counting);
    (scenario, watch)
}

fn found<'a>(sample: &'a Sample, kind: &str) -> Option<&'a Value> {
    sample.findings().iter().find(|found| found["kind"] == kind)
}

/// The finding, when it is there.
fn wait_for(watch: &Watch, kind: &str) -> Value {
    wait_until(watch, kind, |_| true)
}

/// The finding, when it is as it should be.
fn wait_until(watch: &Watch, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let value = (0..N_SAMPLES_MAX)
        .find_map(|_| found(&watch.next_sample(), kind).filter(|value| fits(value)).cloned())
        .unwrap_or_else(|| panic!("no {kind}: {:#?}", watch.next_sample().findings()));
    println!("{}", value["summary"].as_str().unwrap());
    assert!(!value["evidence"].as_array().unwrap().is_empty(), "{value:#}");
    assert!(!value["remedy"].as_str().unwrap().is_empty(), "{value:#}");
    value
}

/// Nothing at all is said from now on until what lasts would have been told.
fn assert_none(watch: &Watch, what: &str) {
    let since = number(&watch.next_sample().value()["t_ns"]);
    for _ in 0..N_SAMPLES_MAX {
        let sample = watch.next_sample();
        let findings = sample.findings();
        assert!(findings.is_empty(), "{what}: {findings:#?}");
        if number(&sample.value()["t_ns"]) > since + SETTLED_NS {
            return;
        }
    }
    panic!("too few samples");
}

fn is_its_line(found: &Value) -> bool {
    found["site"].as_str().is_some_and(|site| site.contains("steps.mjs"))
}

/// 390 of 400 MiB are dropped and stay; with the threshold that is proposed they go.
pub(crate) fn freed_but_resident(lab: &Lab) {
    let (mut scenario, watch) = start(lab, &[]);
    for step in ["warm 31000000", "fill 400 1048576", "thin 40"] {
        scenario.tell(step);
    }
    let found = wait_for(&watch, "FREED_BUT_RESIDENT");
    let bytes = number(&found["bytes"]);
    assert!(bytes.abs_diff(390 << 20) < 12 << 20, "{found:#}");
    assert!(is_its_line(&found), "{found:#}");
    let code = found["remedy_code"].as_str().unwrap();
    let (name, value) = code.split_once(' ').unwrap().0.split_once('=').unwrap();
    let (mut scenario, watch) = start(lab, &[(name, value)]);
    for step in ["warm 31000000", "fill 400 1048576", "thin 40"] {
        scenario.tell(step);
    }
    assert_none(&watch, "the remedy");
}

/// First writes to what was allocated before; not: writes as it is allocated.
pub(crate) fn demand_paged(lab: &Lab) {
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("make 3 60000000");
    let found = wait_for(&watch, "UNTOUCHED_RESERVATION");
    assert!(is_its_line(&found) && number(&found["bytes"]) > 179_000_000, "{found:#}");
    scenario.tell("write");
    // A look may come while it writes.
    let found = wait_until(&watch, "DEMAND_PAGED", |found| {
        number(&found["bytes"]).abs_diff(180_000_000) < 6_000_000
    });
    assert!(is_its_line(&found), "{found:#}");
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("fill 3 60000000");
    assert_none(&watch, "written at once");
}

/// Kept stores that become more with each collection; not: as many as before.
pub(crate) fn steady_growth(lab: &Lab) {
    for (step, is_growing) in [("fill 3 1000000", true), ("gc", false)] {
        let (mut scenario, watch) = start(lab, &[]);
        scenario.tell("fill 30 1000000");
        let mut last = watch.next_sample();
        for _ in 0..18 {
            scenario.tell(step);
            scenario.tell("gc");
            watch.next_sample();
            last = watch.next_sample();
        }
        assert_eq!(found(&last, "STEADY_GROWTH").is_some(), is_growing, "{:#?}", last.findings());
        if is_growing {
            assert!(is_its_line(&wait_for(&watch, "STEADY_GROWTH")));
        }
    }
}

/// Dead stores that pile up; not: few at a time.
pub(crate) fn gc_lag(lab: &Lab) {
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("churn 1000000");
    let found = wait_for(&watch, "GC_LAG");
    assert!(is_its_line(&found), "{found:#}");
    scenario.tell("calm");
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("churn 10000");
    assert_none(&watch, "small stores");
    scenario.tell("calm");
}

/// Shared memory that goes on being made; not: made once.
pub(crate) fn unaccounted_shared(lab: &Lab) {
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("shared 10 10000000");
    scenario.tell("shared 10 10000000");
    let found = wait_for(&watch, "UNACCOUNTED_SHARED");
    assert!(is_its_line(&found), "{found:#}");
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("fill 20 10000000");
    assert_none(&watch, "array buffers");
}

/// Objects; not: as much in array buffers.
pub(crate) fn js_heap(lab: &Lab) {
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("heap 5000000");
    let found = wait_for(&watch, "JS_HEAP");
    assert!(number(&found["bytes"]) > 256 << 20, "{found:#}");
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("fill 40 10000000");
    assert_none(&watch, "array buffers");
}
