//! Retained sizes of `bufwatch census` against those that V8's own heap snapshot of the same process gives, for the same objects: to the
//! byte, without a tolerance. The objects compared are the program's own and nothing in V8 refers to them, so their graph is the same at
//! the three moments (census, snapshot, census), although the snapshot collects garbage first and moves them.

use serde_json::Value;

use crate::census::take;
use crate::harness::{Lab, Scenario};
use crate::heap_snapshot::{HeapSnapshot, Retained};
use crate::sample::number;

/// A group of views: the end of its path, where its holder is in the snapshot, and what kind of object this is.
const GROUPS: [(&str, &[&str], &str); 7] = [
    (".registry (Registry) .cache (Map) […]", &["registry", "cache"], "Map"),
    ("variable held", &["closures"], "Array"),
    ("variable second", &["lonely", "context"], "system / Context"),
    // The second one, which holds all but the first.
    (".list (Item) .next (Item) .buf", &["list", "next"], "Item"),
    (".left (Sharer) .buffers (Array) […]", &["left", "buffers"], "Array"),
    (".right (Sharer) .buffers (Array) […]", &["right", "buffers"], "Array"),
    // With what a WeakMap holds for them.
    (".byId (Map) […] (Session) .buf", &["sessions", "byId"], "Map"),
];

fn retained_of(row: &Value) -> Retained {
    Retained { total: number(&row["retained_bytes"]), heap: number(&row["retained_heap_bytes"]) }
}

fn group<'a>(census: &'a Value, end: &str) -> &'a Value {
    let ends = |group: &&Value| {
        let path = group["path"].as_array().unwrap();
        let path: Vec<&str> = path.iter().map(|step| step.as_str().unwrap()).collect();
        path.join(" ").ends_with(end)
    };
    let found = census["holders"].as_array().unwrap().iter().find(ends);
    found.unwrap_or_else(|| panic!("no holder {end} in {}", census["holders"]))
}

fn snapshot(scenario: &mut Scenario) -> HeapSnapshot {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.heapsnapshot");
    scenario.tell(&format!("snapshot {}", path.display()));
    HeapSnapshot::read(&path)
}

pub(crate) fn as_in_a_heap_snapshot(lab: &Lab) {
    let mut scenario = lab.scenario("retained.mjs", &[]);
    scenario.tell("make");
    let before = take(lab, scenario.pid());
    let snapshot = snapshot(&mut scenario);
    let after = take(lab, scenario.pid());
    let all = snapshot.object_with(&["registry", "closures", "lonely", "sessions"]);
    for (end, way, name) in GROUPS {
        let holder = snapshot.follow(all, way);
        assert_eq!(snapshot.name(holder), name, "{way:?}");
        for census in [&before, &after] {
            assert_eq!(retained_of(group(census, end)), snapshot.retained(holder), "{end}");
        }
    }
    assert_eq!(group(&after, "variable second")["holder"], "variables of makeLonely()");
    assert_eq!(group(&after, "variable held")["holder"], "Array");

    // Every parent of the scenario has one view, and most of them retain it.
    let views = snapshot.buffers_by_size();
    let parents = after["parents"].as_array().unwrap();
    let mut n_retained = 0;
    for parent in parents.iter().filter(|parent| number(&parent["size_bytes"]) > 100_000) {
        let size = number(&parent["size_bytes"]);
        let found = retained_of(parent);
        let [view] = views[&size].as_slice() else { panic!("several views of {size} bytes") };
        assert_eq!(found, snapshot.retained(*view), "{parent}");
        n_retained += u32::from(found.total > size);
    }
    assert_eq!(n_retained, 500 + 200 + 3 + 50 + 2 * 20 + 10 + 40 * 6);

    // The values of a WeakMap die with it, so it retains them as well; in DevTools only the keys do.
    let secrets = group(&after, ".secret (Array) […]");
    assert_eq!(secrets["holder"], "WeakMap");
    assert!(number(&secrets["retained_bytes"]) > number(&secrets["size_bytes"]));
}
