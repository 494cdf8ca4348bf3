//! `bufwatch.sample/1`: a snapshot as one JSON object. Keys may be added; renaming one takes a new schema
//! number. Bytes and nanoseconds are integers; what is not known is null, never 0.

use serde_json::{Map, Value, json};

use crate::analysis::snapshot::{Health, SiteRow, Snapshot, TargetState};
use crate::event::{Frame, FrameKind};
use crate::export::finding::to_values;
use crate::export::residency_json::{
    freed_sites, memory_usage, residency, rss_parts, rss_steps, top_stores,
};

/// The object that `--headless --json` prints per interval, on one line.
pub fn sample(snapshot: &Snapshot) -> Value {
    let target = &snapshot.target;
    let memory = &snapshot.memory;
    let (state, exit_code) = state(&target.state);
    // Until the probes are in place, nothing was counted: that is not zero.
    let is_counting = target.state != TargetState::Attaching;
    let counted = |n: u64| is_counting.then_some(n);
    let gc = snapshot.gc.filter(|_| is_counting);
    let sees = target.backend.sees();
    let sites: Vec<Value> = snapshot.sites.iter().map(site).collect();
    json!({
        "schema": "bufwatch.sample/1",
        "t_ns": snapshot.taken_at.0,
        "elapsed_ns": snapshot.elapsed.0,
        "pid": (target.pid != 0).then_some(target.pid),
        "inner_pid": target.inner_pid,
        "container": target.container,
        "command": (!target.command.is_empty()).then_some(&target.command),
        "node_version": target.node_version,
        "v8_version": target.v8_version,
        "backend": target.backend.name(),
        "is_sampled": !target.backend.sees().every_store || snapshot.health.coverage.is_some(),
        "watched_share": snapshot.health.coverage,
        "state": state,
        "exit_code": exit_code,
        "min_size_bytes": target.min_size.0,
        "rss_bytes": memory.rss.map(|b| b.0),
        "array_buffers_bytes": memory.array_buffers.map(|b| b.0),
        "v8_heap_bytes": memory.v8_heap.map(|b| b.0),
        "before_attach_bytes": memory.before_attach.map(|b| b.0),
        "stores": stores(snapshot, counted),
        "lost": lost(snapshot, counted),
        "gc": {
            "n_minor": gc.map(|gc| gc.n_minor),
            "n_major": gc.map(|gc| gc.n_major),
            "total_ns": gc.map(|gc| gc.total.0),
            "longest_ns": gc.and_then(|gc| gc.longest).map(|ns| ns.0),
        },
        "rss_parts": rss_parts(snapshot),
        "memory_usage": memory_usage(snapshot),
        "residency": residency(snapshot),
        "top_stores": top_stores(snapshot),
        "rss_steps": rss_steps(snapshot),
        "freed_sites": freed_sites(snapshot),
        "n_sites_total": sees.stacks.then_some(snapshot.n_sites_total),
        "sites": sites,
        "frames": frame_counts(&snapshot.health),
        "notices": snapshot.health.notices,
        "limits": snapshot.health.limits,
        "own": {
            "resolve_latency_ns": {
                "p50": snapshot.health.resolve_p50.map(|ns| ns.0),
                "p99": snapshot.health.resolve_p99.map(|ns| ns.0),
            },
            "cpu_share": snapshot.health.cpu_share,
            "rss_bytes": snapshot.health.rss.map(|b| b.0),
        },
        "census": census(snapshot),
        "findings": to_values(&snapshot.findings),
    })
}

fn state(state: &TargetState) -> (&'static str, Option<i32>) {
    match state {
        TargetState::Attaching => ("attaching", None),
        TargetState::Live => ("live", None),
        TargetState::Execed => ("execed", None),
        TargetState::Exited { code } => ("exited", *code),
    }
}

fn stores(snapshot: &Snapshot, counted: impl Fn(u64) -> Option<u64>) -> Value {
    let stores = &snapshot.stores;
    let (small, sees) = (stores.small, snapshot.target.backend.sees());
    json!({
        "n_live": counted(stores.n_live),
        "live_bytes": counted(stores.live_bytes.0),
        "peak_bytes": counted(stores.peak_bytes.0),
        "n_created": counted(stores.n_created),
        "created_bytes": counted(stores.created_bytes.0),
        "n_destroyed": counted(stores.n_destroyed),
        "destroyed_bytes": counted(stores.destroyed_bytes.0),
        "n_small_live": small.and_then(|it| counted(it.n_live)),
        "small_live_bytes": small.and_then(|it| counted(it.live_bytes.0)),
        "n_small_created": small.and_then(|it| counted(it.n_created)),
        "small_created_bytes": small.and_then(|it| counted(it.created_bytes.0)),
        "n_destroyed_unknown": counted(stores.n_destroyed_unknown).filter(|_| sees.every_store),
        "created_bytes_per_s": counted(stores.created_bytes_per_s),
        "destroyed_bytes_per_s": counted(stores.destroyed_bytes_per_s),
    })
}

fn lost(snapshot: &Snapshot, counted: impl Fn(u64) -> Option<u64>) -> Value {
    let health = &snapshot.health;
    // Of what nobody was to see it is not known how much there was.
    let counted = |n: u64| counted(n).filter(|_| snapshot.target.backend.sees().every_store);
    let reasons: Map<String, Value> =
        health.drops.iter().map(|(reason, n)| (reason.name().to_owned(), json!(n))).collect();
    json!({
        "events": counted(health.n_lost),
        "reconciled": counted(health.n_reconciled),
        "closed_by_reconcile": counted(health.n_closed_by_reconcile),
        "reasons": reasons,
    })
}

/// How well the frames of all distinct stacks are known, by kind.
fn frame_counts(health: &Health) -> Value {
    let kinds = [FrameKind::Js, FrameKind::Node, FrameKind::Builtin, FrameKind::Native];
    let counts = kinds.into_iter().map(|kind| {
        let counts = health.frames_of(kind);
        let value = json!({
            "n": counts.n,
            "n_unresolved": counts.n_unresolved,
            "n_approximate": counts.n_approximate,
        });
        (kind.name().to_owned(), value)
    });
    Value::Object(counts.collect())
}

/// What was looked at in the V8 heap so far; null if nobody asked.
fn census(snapshot: &Snapshot) -> Value {
    let log = &snapshot.census;
    if log.last.is_none() && log.failure.is_none() {
        return Value::Null;
    }
    let last = log.last.as_ref();
    json!({
        "n_taken": log.n_taken,
        "t_ns": last.map(|last| last.taken_at.0),
        "stop_ns": last.map(|last| last.census.timing.stopped.0),
        "total_ns": last.map(|last| last.census.timing.total.0),
        "longest_stop_ns": log.longest_stop.0,
        "total_stop_ns": log.total_stop.0,
        "n_parents": last.map(|last| last.census.parents.len()),
        "live_bytes": last.map(|last| last.census.counts.live_bytes.0),
        "error": log.failure.as_ref().map(|failure| failure.message.as_ref()),
    })
}

fn site(row: &SiteRow) -> Value {
    let tally = &row.tally;
    let frames: Vec<Value> = row.frames.iter().map(frame).collect();
    let async_stack = row.async_stack.as_deref();
    let async_frames: Option<Vec<Value>> = async_stack.map(|it| it.frames().map(frame).collect());
    let async_index = |at: Option<usize>| async_stack.zip(at).map(|(it, at)| it.index_of(at));
    json!({
        "stack": format!("{:016x}", row.stack.0),
        "label": row.label.as_ref(),
        "via": row.via.as_deref(),
        "frames": frames,
        "user_frame": row.user_frame,
        "app_frame": row.app_frame,
        "is_cut": row.is_cut,
        "async_frames": async_frames,
        "async_user_frame": async_index(async_stack.map(|it| it.user_frame)),
        "async_app_frame": async_index(async_stack.and_then(|it| it.app_frame)),
        "n_live": tally.n_live,
        "live_bytes": tally.live_bytes.0,
        "peak_bytes": tally.peak_bytes.0,
        "n_created": tally.n_created,
        "created_bytes": tally.created_bytes.0,
        "resident_bytes": tally.resident.map(|b| b.0),
        "survival": tally.survival,
        "majors_survived": tally.majors_survived,
        "lifetimes": tally.lifetimes,
    })
}

fn frame(frame: &Frame) -> Value {
    json!({
        "function": frame.function.as_ref(),
        "script": frame.script.as_deref(),
        "line": frame.line,
        "column": frame.column,
        "kind": frame.kind.name(),
        "is_approximate": frame.is_approximate,
        "is_resolved": frame.is_resolved,
        "original": frame.original.as_ref().map(|place| json!({
            "script": place.source.as_ref(),
            "line": place.line,
            "column": place.column,
            "name": place.name.as_deref(),
        })),
    })
}
