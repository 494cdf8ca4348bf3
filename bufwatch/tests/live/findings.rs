//! What the detectors say of programs that do something wrong, of their twins that do it right, and of one that is fine: by one look of
//! `bufwatch census`, and in a session where stores are traced and censuses follow each other.

use serde_json::Value;

use crate::census::take_with;
use crate::harness::{Lab, Scenario, Watch};
use crate::sample::{Sample, number};

/// What a copy may cost beyond its length, at most: the constants in `detect::cost` are below.
const COPY_COST_MAX: u64 = 512;

fn findings_of(lab: &Lab, scenario: &Scenario) -> Vec<Value> {
    let census = take_with(lab, scenario.pid(), &[]);
    census["findings"].as_array().unwrap().clone()
}

fn assert_none(lab: &Lab, scenario: &Scenario, what: &str) {
    let findings = findings_of(lab, scenario);
    assert!(findings.is_empty(), "Node {} with {what}: {findings:#?}", lab.version());
}

fn only(mut findings: Vec<Value>, kind: &str, what: &str) -> Value {
    assert_eq!(findings.len(), 1, "{what}: {findings:#?}");
    let found = findings.remove(0);
    assert_eq!(found["kind"], kind, "{what}: {found:#}");
    assert!(!found["summary"].as_str().unwrap().is_empty(), "{found:#}");
    assert!(!found["remedy"].as_str().unwrap().is_empty(), "{found:#}");
    found
}

/// Ways to keep a view, what the path to it ends with, and the copy that is proposed for it.
const WAYS: [(&str, &str, &str); 7] = [
    ("map", ".map (Map) […]", "map.set(key, Uint8Array.prototype.slice.call(view));"),
    ("array", ".list (Array) […]", "array.push(Uint8Array.prototype.slice.call(view));"),
    ("object", ".dictionary (Object) .…", "object[key] = Uint8Array.prototype.slice.call(view);"),
    ("field", "[…] (Session) .id", "object.id = Uint8Array.prototype.slice.call(view);"),
    ("closure", "variable view", "view = Uint8Array.prototype.slice.call(view);"),
    ("file", "variable header", "header = Uint8Array.prototype.slice.call(view);"),
    ("parser", ".list (Array) […]", "array.push(Uint8Array.prototype.slice.call(view));"),
];

/// Views that are kept pin their parents, to the byte; copies and views that are dropped do not.
pub(crate) fn pinned_parents(lab: &Lab) {
    for (way, holder, code) in WAYS {
        let mut scenario = lab.scenario("findings/pinned.mjs", &[]);
        scenario.tell(&format!("{way} drop"));
        assert_none(lab, &scenario, &format!("{way}, dropped"));
        scenario.tell(&format!("{way} twin"));
        assert_none(lab, &scenario, &format!("{way}, copied"));

        let mut scenario = lab.scenario("findings/pinned.mjs", &[]);
        let truth = scenario.tell(&format!("{way} fault"));
        let found = only(findings_of(lab, &scenario), "PINNED_PARENT", way);
        assert_eq!(found["n_parents"], truth["n_parents"], "{way}: {found:#}");
        let less = number(&truth["n_views"]) * COPY_COST_MAX;
        let (bytes, pinned) = (number(&found["bytes"]), number(&truth["bytes"]));
        assert!((pinned - less..=pinned).contains(&bytes), "{pinned} pinned, {found:#}");
        assert!(found["holder"].as_str().unwrap().ends_with(holder), "{found:#}");
        assert_eq!(found["remedy_code"], code);
        // Nothing was traced.
        assert_eq!((&found["site"], &found["age_ns"]), (&Value::Null, &Value::Null));
        assert_ne!(found["confidence"], "high", "{found:#}");
    }
}

/// Small Buffers of which few live long keep slabs of whatever size the pool has.
pub(crate) fn pool_slabs(lab: &Lab) {
    let mut scenario = lab.scenario("findings/pool.mjs", &[]);
    scenario.tell("drop");
    assert_none(lab, &scenario, "dropped Buffers");
    scenario.tell("twin");
    assert_none(lab, &scenario, "Buffers with memory of their own");
    scenario.tell("all");
    assert_none(lab, &scenario, "slabs that are used up");

    let mut scenario = lab.scenario("findings/pool.mjs", &[]);
    let truth = scenario.tell("fault");
    let found = only(findings_of(lab, &scenario), "POOL_SLAB_PIN", "one of many kept");
    // The slab that is cut from now is not accused, and at either end of the pool's use others may share one.
    let (n_found, n_slabs) = (number(&found["n_parents"]), number(&truth["n_slabs"]));
    assert!((n_slabs - 3..=n_slabs).contains(&n_found), "{truth} {found:#}");
    let slab = number(&truth["slab"]);
    let kept = number(&truth["n_kept"]) * (100 + COPY_COST_MAX);
    let bytes = number(&found["bytes"]);
    assert!((n_found * slab - kept..n_found * slab).contains(&bytes), "{truth} {found:#}");
    assert!(found["holder"].as_str().unwrap().ends_with("Array […]"), "{found:#}");
    assert_eq!(found["remedy_code"], "array.push(Uint8Array.prototype.slice.call(buffer));");
}

/// Different types in different hands, and slots that reach into the next ones; not: a codec, a copy, slots side by side.
pub(crate) fn aliased_views(lab: &Lab) {
    let mut scenario = lab.scenario("findings/aliases.mjs", &[]);
    for twin in ["types twin", "types codec", "ring twin"] {
        scenario.tell(twin);
        assert_none(lab, &scenario, twin);
    }
    for (fault, said) in [("types fault", "different types"), ("ring fault", "as in a ring")] {
        let mut scenario = lab.scenario("findings/aliases.mjs", &[]);
        scenario.tell(fault);
        let found = only(findings_of(lab, &scenario), "ALIASED_VIEWS", fault);
        assert!(found["summary"].as_str().unwrap().contains(said), "{found:#}");
        assert_eq!((&found["bytes"], &found["confidence"]), (&0.into(), &"low".into()));
    }
}

/// Buffers that an addon holds; not: those that JavaScript holds beside it.
pub(crate) fn native_handles(lab: &Lab) {
    let mut scenario = lab.scenario("findings/native.mjs", &[]);
    if scenario.tell("handle twin 10")["can_hold"] != true {
        println!("skipped: the addon of the tests is missing or old, run `cargo xtask setup`");
        return;
    }
    scenario.tell("gc");
    assert_none(lab, &scenario, "buffers that JavaScript holds, too");
    scenario.tell("handle fault 10");
    scenario.tell("gc");
    let found = only(findings_of(lab, &scenario), "NATIVE_RETAINED", "an addon");
    // On Node 26 V8 may itself still refer to one of them.
    let n = number(&found["n_parents"]);
    assert!((9..=10).contains(&n) && number(&found["bytes"]) == n * 1_000_000, "{found:#}");
}

/// A pool that is cut by `slice` stays as large as it was; one that is replaced does not.
pub(crate) fn cut_pools(lab: &Lab) {
    let mut scenario = lab.scenario("findings/pools.mjs", &[]);
    scenario.tell("replace");
    assert_none(lab, &scenario, "a pool that was replaced");
    scenario.tell("cut");
    let found = only(findings_of(lab, &scenario), "GROW_ONLY_POOL", "a pool that was cut");
    let bytes = number(&found["bytes"]);
    assert!((29_900_000..30_000_000).contains(&bytes), "{found:#}");
    assert_eq!(found["remedy_code"], "bufferPool = Buffer.allocUnsafeSlow(INITIAL_SIZE);");
}

/// Whatever a program has that is fine: idle, and with all that a server under load has in flight.
pub(crate) fn a_program_that_is_fine(lab: &Lab) {
    let mut scenario = lab.scenario("findings/fine.mjs", &[]);
    assert_none(lab, &scenario, "nothing at all");
    scenario.tell("hold");
    assert_none(lab, &scenario, "caches, codecs, typed arrays, WebAssembly");
    let before = number(&scenario.tell("load")["n_requests"]);
    for _ in 0..5 {
        assert_none(lab, &scenario, "requests in flight");
    }
    let after = number(&scenario.tell("nothing")["n_requests"]);
    assert!(after > before, "no request was served while the censuses were taken");
}

fn session(lab: &Lab, scenario: &Scenario, seconds: &str) -> Watch {
    let more = ["--census-every", seconds, "--pause-budget", "50"];
    lab.attach_recorded("0.1", scenario.pid(), &more)
}

/// The first sample with a later census than the last one so far.
fn next_census(watch: &Watch) -> Sample {
    let n_taken = watch.next_sample().n_censuses();
    watch.wait_for_sample("the next census", |sample| sample.n_censuses() > n_taken)
}

/// In a session a finding names the line that allocated, and is sure once two collections have run.
pub(crate) fn traced_parents(lab: &Lab) {
    let mut scenario = lab.scenario("findings/pinned.mjs", &[]);
    let watch = session(lab, &scenario, "1");
    scenario.tell("map fault");
    for _ in 0..3 {
        scenario.tell("gc");
    }
    let is_sure =
        |sample: &Sample| sample.findings().iter().any(|found| found["confidence"] == "high");
    let sample = watch.wait_for_sample("a finding of high confidence", is_sure);
    let found = only(sample.findings().to_vec(), "PINNED_PARENT", "map");
    assert_eq!(found["n_parents"], 40);
    assert!(found["site"].as_str().unwrap().contains("pinned.mjs:"), "{found:#}");
    assert_eq!(found["via"], "Buffer.allocUnsafeSlow");
    assert!(found["summary"].as_str().unwrap().contains("pinned.mjs:"), "{found:#}");
    assert!(number(&found["n_major_survived"]) >= 2, "{found:#}");
    assert!(number(&found["age_ns"]) >= 5_000_000_000, "{found:#}");
}

/// Stores that outlive their array buffers and grow in number; not: those that are let go.
pub(crate) fn stores_without_buffer(lab: &Lab) {
    let mut scenario = lab.scenario("findings/native.mjs", &[]);
    // What is told to it fits between two of them.
    let watch = session(lab, &scenario, "4");
    next_census(&watch);
    for word in ["blobs 10", "gc"] {
        scenario.tell(word);
    }
    assert!(next_census(&watch).findings().is_empty(), "nothing to compare with");
    for word in ["gc", "blobs 5"] {
        scenario.tell(word);
    }
    let sample = next_census(&watch);
    let found = only(sample.findings().to_vec(), "NATIVE_RETAINED", "blobs");
    assert_eq!((&found["n_parents"], &found["bytes"]), (&10.into(), &10_000_000.into()));
    assert!(found["site"].as_str().unwrap().contains("native.mjs:"), "{found:#}");
    for word in ["unblob", "gc", "blobs 3"] {
        scenario.tell(word);
    }
    let sample = next_census(&watch);
    assert!(sample.findings().is_empty(), "{:#?}", sample.findings());
}

/// A free list that lent and grew between two censuses, and a cache that grew.
pub(crate) fn free_lists(lab: &Lab) {
    let mut scenario = lab.scenario("findings/pools.mjs", &[]);
    let watch = session(lab, &scenario, "6");
    next_census(&watch);
    for word in ["cache 40", "lend 40", "back", "lend 4"] {
        scenario.tell(word);
    }
    let sample = next_census(&watch);
    assert!(sample.findings().is_empty(), "{:#?}", sample.findings());
    for word in ["cache 10", "back", "lend 50", "back"] {
        scenario.tell(word);
    }
    let sample = next_census(&watch);
    let found = only(sample.findings().to_vec(), "GROW_ONLY_POOL", "a free list");
    assert_eq!((&found["n_parents"], &found["bytes"]), (&36.into(), &36_000_000.into()));
    assert!(found["holder"].as_str().unwrap().ends_with(".idle (Array) […]"), "{found:#}");
}
