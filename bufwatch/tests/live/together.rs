//! Tests that mostly wait for the next look at all pages, on every version of Node: those of a list run at once, each with processes of
//! its own. What each of them does stands in the module of its subject.

use std::thread::{self, Builder};

use crate::harness::{Lab, with_node};
use crate::{
    allocator, daemon, daemon_host, findings, findings_in_ram, max_overhead, residency,
    residency_steps,
};

/// What is to be seen, on which version of Node, and its name.
type Check = (&'static str, &'static str, fn(&Lab));

#[test]
fn written_pages_are_counted_on_every_node() {
    assert_all(&on_every_node("demand_paging", residency::demand_paging));
}

#[test]
fn memory_usage_is_told_on_every_node() {
    assert_all(&on_every_node("usage_from_outside", residency::usage_from_outside));
}

#[test]
fn what_malloc_keeps_is_told_on_every_node() {
    assert_all(&on_every_node("kept_by_malloc", allocator::kept_by_malloc));
}

#[test]
fn what_malloc_gives_back_is_told_on_every_node() {
    assert_all(&on_every_node("given_back", allocator::given_back));
}

/// Each with a process that must not be accused beside it. In two lots: the kernel removes the probes of one bufwatch after the other, which
/// takes more than a second each.
#[test]
fn findings_in_ram_are_told_and_their_twins_are_not() {
    assert_all(&[
        ("steady_growth", "18", findings_in_ram::steady_growth),
        ("demand_paged", "20", findings_in_ram::demand_paged),
        ("js_heap", "22", findings_in_ram::js_heap),
    ]);
    assert_all(&[
        ("freed_but_resident", "24", findings_in_ram::freed_but_resident),
        ("unaccounted_shared", "24", findings_in_ram::unaccounted_shared),
        ("gc_lag", "26", findings_in_ram::gc_lag),
    ]);
}

#[test]
fn steps_of_rss_and_free_lists_are_told() {
    assert_all(&[
        ("steps", "18", residency_steps::causes),
        ("kept", "26", residency_steps::kept),
        ("free_lists", "26", findings::free_lists),
    ]);
}

#[test]
fn a_daemon_tells_what_leaks() {
    assert_all(&[
        ("daemon", "18", daemon::leaks_are_told),
        ("daemon", "26", daemon::leaks_are_told),
        ("recorded", "20", daemon::recorded_when_wanted),
        ("kept", "22", daemon::kept_around_findings),
        ("elsewhere", "24", daemon::shown_elsewhere),
    ]);
}

/// Two programs at once: each of them takes all that a processor can give.
#[test]
fn what_probes_cost_is_limited_on_every_node() {
    for [first, second] in [["18", "20"], ["22", "24"]] {
        assert_all(&[
            ("leak_above_budget", first, max_overhead::a_leak_is_found_above_the_budget),
            ("leak_above_budget", second, max_overhead::a_leak_is_found_above_the_budget),
        ]);
    }
    assert_all(&[
        ("leak_above_budget", "26", max_overhead::a_leak_is_found_above_the_budget),
        ("below_budget", "20", max_overhead::below_the_budget_all_is_seen),
    ]);
}

#[test]
fn a_daemon_does_with_the_host_what_it_must() {
    assert_all(&[
        ("begun", "24", daemon_host::seen_as_they_begin),
        ("privileges", "22", daemon_host::privileges_are_given_up),
        ("no_bpf", "18", daemon_host::watched_without_bpf),
    ]);
}

#[test]
fn what_malloc_has_where_brk_cannot_grow_is_told() {
    let mut checks: Vec<Check> = Vec::new();
    for major in ["18", "24"] {
        checks.push(("kept_elsewhere", major, allocator::kept_elsewhere));
        checks.push(("given_back_elsewhere", major, allocator::given_back_elsewhere));
    }
    assert_all(&checks);
}

fn on_every_node(name: &'static str, check: fn(&Lab)) -> [Check; 5] {
    ["18", "20", "22", "24", "26"].map(|major| (name, major, check))
}

/// A check that fails says why by itself; all of them run to their end.
fn assert_all(checks: &[Check]) {
    let failed: Vec<String> = thread::scope(|scope| {
        let start = |(name, major, check): &Check| {
            let name = format!("{name} on Node {major}");
            let (major, check) = (*major, *check);
            let builder = Builder::new().name(name.clone());
            (name, builder.spawn_scoped(scope, move || with_node(major, check)).unwrap())
        };
        let running: Vec<_> = checks.iter().map(start).collect();
        let ended = running.into_iter().map(|(name, thread)| (name, thread.join().is_err()));
        ended.filter(|(_, is_failed)| *is_failed).map(|(name, _)| name).collect()
    });
    assert!(failed.is_empty(), "failed, as said above: {failed:?}");
}
