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
    let watch = lab.attach_recorded(INTERVAL, scenario.pid(), &[]);
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

/// A program that must not be accused. It runs beside the one that must: what lasts takes its time to be told.
struct Twin {
    scenario: Scenario,
    watch: Watch,
    since: u64,
}

impl Twin {
    fn start(lab: &Lab, environment: &[(&str, &str)], steps: &[&str]) -> Self {
        let (mut scenario, watch) = start(lab, environment);
        for step in steps {
            scenario.tell(step);
        }
        let since = number(&watch.next_sample().value()["t_ns"]);
        Self { scenario, watch, since }
    }

    /// Nothing at all was said until what lasts would have been told.
    fn assert_none(mut self, what: &str) {
        let is_late = |sample: &Sample| number(&sample.value()["t_ns"]) > self.since + SETTLED_NS;
        (0..N_SAMPLES_MAX).find(|_| is_late(&self.watch.next_sample())).expect("time passes");
        for sample in self.watch.samples() {
            if number(&sample.value()["t_ns"]) >= self.since {
                let findings = sample.findings();
                assert!(findings.is_empty(), "{what}: {findings:#?}");
            }
        }
        self.scenario.tell("calm");
    }
}

fn is_its_line(found: &Value) -> bool {
    found["site"].as_str().is_some_and(|site| site.contains("steps.mjs"))
}

/// 390 of 400 MiB are dropped and stay; with the threshold that is proposed they go.
pub(crate) fn freed_but_resident(lab: &Lab) {
    let steps = ["warm 31000000", "fill 400 1048576", "thin 40"];
    let (mut scenario, watch) = start(lab, &[]);
    for step in steps {
        scenario.tell(step);
    }
    // A look may come while they die.
    let found = wait_until(&watch, "FREED_BUT_RESIDENT", |found| {
        number(&found["bytes"]).abs_diff(390 << 20) < 12 << 20
    });
    assert!(is_its_line(&found), "{found:#}");
    let code = found["remedy_code"].as_str().unwrap();
    let (name, value) = code.split_once(' ').unwrap().0.split_once('=').unwrap();
    Twin::start(lab, &[(name, value)], &steps).assert_none("the remedy");
}

/// First writes to what was allocated before; not: writes as it is allocated.
pub(crate) fn demand_paged(lab: &Lab) {
    let twin = Twin::start(lab, &[], &["fill 3 60000000"]);
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("make 3 60000000");
    // A look may come while they are made.
    let found =
        wait_until(&watch, "UNTOUCHED_RESERVATION", |found| number(&found["bytes"]) > 179_000_000);
    assert!(is_its_line(&found), "{found:#}");
    scenario.tell("write");
    // A look may come while it writes.
    let found = wait_until(&watch, "DEMAND_PAGED", |found| {
        number(&found["bytes"]).abs_diff(180_000_000) < 6_000_000
    });
    assert!(is_its_line(&found), "{found:#}");
    twin.assert_none("written at once");
}

/// Kept stores that become more with each collection; not: as many as before.
pub(crate) fn steady_growth(lab: &Lab) {
    let mut both = ["fill 3 1000000", "gc"].map(|step| (step, start(lab, &[])));
    for (_, (scenario, _)) in &mut both {
        scenario.tell("fill 30 1000000");
    }
    for _ in 0..18 {
        for (step, (scenario, watch)) in &mut both {
            scenario.tell(step);
            scenario.tell("gc");
            watch.next_sample();
        }
    }
    let [(_, (_, growing)), (_, (_, steady))] = &both;
    assert!(is_its_line(&wait_for(growing, "STEADY_GROWTH")));
    let last = steady.next_sample();
    assert!(found(&last, "STEADY_GROWTH").is_none(), "{:#?}", last.findings());
}

/// Dead stores that pile up; not: few at a time.
pub(crate) fn gc_lag(lab: &Lab) {
    let twin = Twin::start(lab, &[], &["churn 10000"]);
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("churn 1000000");
    let found = wait_for(&watch, "GC_LAG");
    assert!(is_its_line(&found), "{found:#}");
    scenario.tell("calm");
    twin.assert_none("small stores");
}

/// Shared memory that goes on being made; not: made once.
pub(crate) fn unaccounted_shared(lab: &Lab) {
    let twin = Twin::start(lab, &[], &["fill 20 10000000"]);
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("shared 10 10000000");
    scenario.tell("shared 10 10000000");
    let found = wait_for(&watch, "UNACCOUNTED_SHARED");
    assert!(is_its_line(&found), "{found:#}");
    twin.assert_none("array buffers");
}

/// Objects; not: as much in array buffers.
pub(crate) fn js_heap(lab: &Lab) {
    let twin = Twin::start(lab, &[], &["fill 40 10000000"]);
    let (mut scenario, watch) = start(lab, &[]);
    scenario.tell("heap 5000000");
    let found = wait_for(&watch, "JS_HEAP");
    assert!(number(&found["bytes"]) > 256 << 20, "{found:#}");
    twin.assert_none("array buffers");
}
