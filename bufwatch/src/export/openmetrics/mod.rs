//! A moment as `OpenMetrics` text, what Prometheus scrapes and `promtool` takes. Sites are no labels: they are many and come and go.
//! Syntax: github.com/prometheus/OpenMetrics, specification/OpenMetrics.md 1.0.

mod page;

use std::sync::Arc;

pub use page::{Family, Kind, Page, Sample, Value, label, label_pairs};

use crate::analysis::finding::FindingKind;
use crate::analysis::residency::Counted;
use crate::analysis::snapshot::{GcTotals, Snapshot, TargetState};
use crate::base::{Bytes, Nanos};
use crate::event::StoreKind;
use crate::event::residency::RssPart;

/// `wall`: the moment since 1970, which the samples then carry.
pub fn text(snapshot: &Snapshot, wall: Option<Nanos>) -> String {
    let mut page = Page::new(wall);
    let target = &snapshot.target;
    let pid = target.pid.to_string();
    let labels = [label("command", &target.command), label("pid", &pid)];
    info(&mut page, snapshot, labels.to_vec());
    process(&mut page, snapshot);
    page.finish()
}

/// One of several processes: its place among them, instead of its pid and command line, which come and go.
#[derive(Clone, Debug)]
pub struct Labelled {
    pub labels: Vec<String>,
    /// Since when it is watched, since 1970.
    pub since: Nanos,
    /// `None`: nothing is known of it yet.
    pub snapshot: Option<Arc<Snapshot>>,
}

/// Several processes, told apart by their labels.
pub fn fleet(page: &mut Page, processes: &[Labelled]) {
    for Labelled { labels, since, snapshot } in processes {
        let Some(snapshot) = snapshot else { continue };
        page.set_labels(labels, *since);
        info(page, snapshot, Vec::new());
        let pid = Some(u64::from(snapshot.target.pid));
        page.gauge("bufwatch_target_pid", "", "Pid of the process", &[("", pid)]);
        process(page, snapshot);
    }
    page.set_labels(&[], Nanos(0));
}

fn process(page: &mut Page, snapshot: &Snapshot) {
    alive(page, snapshot);
    memory(page, snapshot);
    // Until the probes are in place, nothing was counted: that is not zero.
    if snapshot.target.state != TargetState::Attaching {
        stores(page, snapshot);
        if let Some(totals) = &snapshot.gc {
            gc(page, totals);
        }
        let lost = snapshot.health.n_lost;
        page.counter("bufwatch_events_lost", "Records of the kernel that were lost", &[("", lost)]);
        if let Some(share) = snapshot.health.coverage {
            let help =
                "Share of the time in which probes were in place; absent where that is always so";
            page.ratio("bufwatch_watched_ratio", help, share);
        }
    }
    census(page, snapshot);
    findings(page, snapshot);
}

fn info(page: &mut Page, snapshot: &Snapshot, mut labels: Vec<String>) {
    let target = &snapshot.target;
    let known = |version: &Option<String>| version.clone().unwrap_or_default();
    labels.insert(labels.len().min(1), label("node_version", &known(&target.node_version)));
    labels.push(label("v8_version", &known(&target.v8_version)));
    page.info("bufwatch_target", "The process that is watched", &labels);
}

fn alive(page: &mut Page, snapshot: &Snapshot) {
    let is_alive = matches!(snapshot.target.state, TargetState::Attaching | TargetState::Live);
    let help = "1 while the process runs";
    page.gauge("bufwatch_target_alive", "", help, &[("", Some(u64::from(is_alive)))]);
    let is_sampled =
        !snapshot.target.backend.sees().every_store || snapshot.health.coverage.is_some();
    let help = "1 where not every store is seen as it comes: counts are at least that many";
    page.gauge("bufwatch_target_sampled", "", help, &[("", Some(u64::from(is_sampled)))]);
}

fn memory(page: &mut Page, snapshot: &Snapshot) {
    let memory = &snapshot.memory;
    let bytes = |bytes: Option<Bytes>| bytes.map(|bytes| bytes.0);
    let mut one = |name: &str, help: &str, value: Option<Bytes>| {
        page.gauge(name, "bytes", help, &[("", bytes(value))]);
    };
    one("bufwatch_resident_memory_bytes", "RSS of the process", memory.rss);
    let help = "process.memoryUsage().arrayBuffers, of all isolates";
    one("bufwatch_array_buffers_bytes", help, memory.array_buffers);
    one("bufwatch_v8_heap_resident_bytes", "V8's own memory in RAM", memory.v8_heap);
    let Some((_, split)) = &memory.split else { return };
    let free = split.is_allocator_known.then(|| split.get(RssPart::AllocatorFree));
    let help = "Freed memory that malloc keeps in RAM";
    page.gauge("bufwatch_freed_resident_bytes", "bytes", help, &[("", bytes(free))]);
    let labels: Vec<String> = RssPart::ALL.iter().map(|part| label("part", part.name())).collect();
    let values = RssPart::ALL.into_iter().map(|part| Some(split.get(part).0));
    let parts: Vec<_> = labels.iter().map(String::as_str).zip(values).collect();
    let help = "RSS by what it is for, as of the last look at all pages";
    page.gauge("bufwatch_rss_bytes", "bytes", help, &parts);
}

/// Live stores of a kind, and how much of them is in RAM.
#[derive(Clone, Copy, Default)]
struct OfKind {
    all: Counted,
    resident: u64,
}

fn stores(page: &mut Page, snapshot: &Snapshot) {
    let mut of_kinds = [OfKind::default(); StoreKind::ALL.len()];
    let mut listed = OfKind::default();
    for row in snapshot.table.rows.iter() {
        let resident = row.residency.map_or(0, |it| it.pages.resident.0);
        for sum in of_kinds.get_mut(row.kind as usize).into_iter().chain([&mut listed]) {
            sum.all.add(row.size);
            sum.resident = sum.resident.saturating_add(resident);
        }
    }
    let stores = &snapshot.stores;
    let resident = snapshot.memory.residency.pages.resident.0;
    let rest = OfKind {
        all: Counted {
            n: stores.n_live.saturating_sub(listed.all.n),
            bytes: stores.live_bytes.saturating_sub(listed.all.bytes),
        },
        resident: resident.saturating_sub(listed.resident),
    };
    let names = StoreKind::ALL.map(StoreKind::name).into_iter().zip(of_kinds);
    // Beyond the limit of single stores, only sums are known.
    let rest = (rest.all.n > 0).then_some(("not_listed", rest));
    let rows: Vec<(String, OfKind)> =
        names.chain(rest).map(|(name, of_kind)| (label("kind", name), of_kind)).collect();
    let mut each = |name: &str, unit: &str, help: &str, value: fn(&OfKind) -> u64| {
        let samples: Vec<_> =
            rows.iter().map(|(label, it)| (label.as_str(), Some(value(it)))).collect();
        page.gauge(name, unit, help, &samples);
    };
    let help = "Live backing stores that are tracked one by one";
    each("bufwatch_backing_stores", "", help, |it| it.all.n);
    each("bufwatch_backing_store_bytes", "bytes", "Bytes of live tracked stores", |it| {
        it.all.bytes.0
    });
    if snapshot.memory.residency.n_known > 0 {
        let help = "Bytes of live tracked stores in RAM, as far as pages were looked at";
        each("bufwatch_backing_store_resident_bytes", "bytes", help, |it| it.resident);
    }
    let small = stores.small.map(|it| it.live_bytes.0);
    let help = "Live stores too small to be tracked one by one";
    page.gauge("bufwatch_small_stores", "", help, &[("", stores.small.map(|it| it.n_live))]);
    page.gauge("bufwatch_small_store_bytes", "bytes", "Bytes of small live stores", &[("", small)]);
    totals(page, snapshot);
}

fn totals(page: &mut Page, snapshot: &Snapshot) {
    let stores = &snapshot.stores;
    let counters = [
        ("bufwatch_backing_stores_created", "Tracked stores created", stores.n_created),
        ("bufwatch_backing_stores_destroyed", "Tracked stores destroyed", stores.n_destroyed),
        (
            "bufwatch_backing_store_created_bytes",
            "Bytes of tracked stores created",
            stores.created_bytes.0,
        ),
        (
            "bufwatch_backing_store_destroyed_bytes",
            "Bytes of tracked stores destroyed",
            stores.destroyed_bytes.0,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, &[("", value)]);
    }
}

fn gc(page: &mut Page, gc: &GcTotals) {
    let counts = [("kind=\"minor\"", gc.n_minor), ("kind=\"major\"", gc.n_major)];
    page.counter("bufwatch_gc_collections", "Garbage collections", &counts);
    page.seconds("bufwatch_gc_pause_seconds", "Time spent in garbage collections", gc.total);
}

/// Nothing is said until somebody looked.
fn census(page: &mut Page, snapshot: &Snapshot) {
    let log = &snapshot.census;
    let Some(last) = &log.last else { return };
    let pinned = last.census.parents.iter().map(crate::export::profile::pinned_bytes);
    let pinned = pinned.fold(0, |sum: u64, n| sum.saturating_add(n));
    let help =
        "Bytes that only views keep alive and that none of them shows, as of the last census";
    page.gauge("bufwatch_pinned_bytes", "bytes", help, &[("", Some(pinned))]);
    page.counter("bufwatch_censuses", "Looks at the V8 heap", &[("", log.n_taken)]);
    let help = "Time for which censuses stopped the process";
    page.seconds("bufwatch_census_stop_seconds", help, log.total_stop);
}

/// Every verdict, so that an alert can tell "no" from "not asked".
fn findings(page: &mut Page, snapshot: &Snapshot) {
    let is_told = |kind: FindingKind| {
        let is_found = snapshot.findings.iter().any(|finding| finding.kind == kind);
        is_found || snapshot.census.last.is_some() || !kind.needs_census()
    };
    let told: Vec<FindingKind> = FindingKind::ALL.into_iter().filter(|it| is_told(*it)).collect();
    let labels: Vec<String> = told.iter().map(|kind| label("verdict", kind.name())).collect();
    let of_kind = |kind: FindingKind| snapshot.findings.iter().filter(move |it| it.kind == kind);
    let samples = |value: &dyn Fn(FindingKind) -> u64| {
        let values = told.iter().map(|kind| Some(value(*kind)));
        labels.iter().map(String::as_str).zip(values).collect::<Vec<_>>()
    };
    let n = samples(&|kind| u64::from(of_kind(kind).next().is_some()));
    page.gauge("bufwatch_verdict", "", "1 if the detector found something", &n);
    let bytes = samples(&|kind| of_kind(kind).fold(0, |sum, it| sum.saturating_add(it.bytes.0)));
    page.gauge(
        "bufwatch_verdict_bytes",
        "bytes",
        "Bytes that the findings of the detector are about",
        &bytes,
    );
}
