//! What the HTML report shows, as one JSON object for its script. Names stand in it as they are printed: made safe, and never as markup.

use serde_json::{Value, json};

use crate::analysis::describe::{LifetimeBound, lifetime_quantile};
use crate::analysis::post_mortem::PostMortem;
use crate::analysis::snapshot::{GroupRow, JoinedCensus, Snapshot, StoreRow};
use crate::analysis::tree::{FrameLevel, Measure, Node, NodeKind, Shape, Tree};
use crate::base::{Bytes, Nanos, Series, sanitize};
use crate::event::census::{Parent, Retained};
use crate::event::place::full_frame;
use crate::event::residency::RssPart;
use crate::event::{Frame, GcKind};
use crate::export::finding::to_value;
use crate::export::report::{group_place, in_short, place_of, subject, text};

/// Rows of each table; what is left out is told.
const HOLDERS_MAX: usize = 2_000;
const PARENTS_MAX: usize = 20_000;

/// Frames of a site that are shown.
const FRAMES_MAX: usize = 48;

/// Holders of one parent that are shown.
const PATHS_MAX: usize = 3;

pub(super) fn data(told: &PostMortem, file: &str) -> Value {
    let snapshot = &told.snapshot;
    json!({
        "file": sanitize(file),
        "command": sanitize(&snapshot.target.command),
        "subject": subject(told),
        "in_short": in_short(told),
        "elapsed_ns": snapshot.elapsed.0,
        "facts": facts(snapshot),
        "findings": findings(told),
        "gone": gone(told),
        "timeline": timeline(told),
        "rss": rss(snapshot),
        "steps": steps(snapshot),
        "sites": snapshot.groups.iter().map(site).collect::<Vec<_>>(),
        "n_sites_total": snapshot.n_groups_total,
        "stores": snapshot.table.rows.iter().map(store).collect::<Vec<_>>(),
        "n_stores_total": snapshot.table.n_matched,
        "min_size": snapshot.target.min_size.0,
        "census": snapshot.census.last.as_ref().map(|joined| census(joined, told)),
        "freed": snapshot.freed.iter().map(|row| json!({
            "label": sanitize(&row.site),
            "via": row.via.as_deref().map(sanitize),
            "resident": row.resident.0,
        })).collect::<Vec<_>>(),
        "flame": flame(snapshot),
        "trust": text::trust(told),
    })
}

/// Numbers of the moment.
fn facts(snapshot: &Snapshot) -> Value {
    let (memory, stores, gc) = (&snapshot.memory, &snapshot.stores, snapshot.gc);
    json!({
        "rss": memory.rss.map(|it| it.0),
        "array_buffers": memory.array_buffers.map(|it| it.0),
        "v8_heap": memory.v8_heap.map(|it| it.0),
        "live_bytes": stores.live_bytes.0,
        "n_live": stores.n_live,
        "peak_bytes": stores.peak_bytes.0,
        "created_bytes": stores.created_bytes.0,
        "n_created": stores.n_created,
        "small_live_bytes": stores.small.map(|it| it.live_bytes.0),
        "n_small_live": stores.small.map(|it| it.n_live),
        "n_minor": gc.map(|it| it.n_minor),
        "n_major": gc.map(|it| it.n_major),
        "gc_total_ns": gc.map(|it| it.total.0),
        "gc_longest_ns": gc.and_then(|it| it.longest).map(|it| it.0),
    })
}

fn findings(told: &PostMortem) -> Vec<Value> {
    let value = |finding| {
        let mut value = to_value(finding);
        if let Value::Object(keys) = &mut value {
            keys.insert("place".to_owned(), json!(place_of(&told.snapshot, finding)));
            let first = told.first_told(finding).map(|at| at.0);
            keys.insert("first_ns".to_owned(), json!(first));
            keys.insert("gives_back".to_owned(), json!(finding.kind.gives_back()));
            let site = finding.site.as_deref().map(sanitize);
            keys.insert("site".to_owned(), json!(site));
            let holder: Vec<String> = finding.holder.iter().map(|step| sanitize(step)).collect();
            keys.insert("holder".to_owned(), json!(holder));
        }
        value
    };
    told.snapshot.findings.iter().map(value).collect()
}

fn gone(told: &PostMortem) -> Vec<Value> {
    told.gone()
        .map(|it| {
            json!({
                "kind": it.worst.kind.name(),
                "bytes": it.worst.bytes.0,
                "summary": it.worst.summary,
                "first_ns": it.first.0,
                "gone_ns": it.gone.map(|at| at.0),
            })
        })
        .collect()
}

fn timeline(told: &PostMortem) -> Value {
    let history = &told.snapshot.history;
    let curve = |name: &str, key: &str, series: &Series, unit: &str| {
        json!({
            "name": name,
            "key": key,
            "unit": unit,
            "step_ns": series.step_ns(),
            "values": series.values(),
        })
    };
    let gcs = told.gcs.iter();
    let gcs = gcs.map(|gc| json!([gc.at.0, gc.pause.0, u8::from(gc.kind == GcKind::Major)]));
    let censuses = told.censuses.iter();
    let censuses = censuses.map(|it| json!([it.at.0, it.stopped.0, it.n_parents, it.pinned.0]));
    json!({
        "curves": [
            curve("RSS", "rss", &history.rss, "B"),
            curve("arrayBuffers", "array-buffers", &history.array_buffers, "B"),
            curve("live stores", "live", &history.live_bytes, "B"),
            curve("V8 heap", "v8", &history.v8_heap, "B"),
        ],
        "rates": [
            curve("allocated", "created", &history.created_bytes_per_s, "B/s"),
            curve("freed", "destroyed", &history.destroyed_bytes_per_s, "B/s"),
        ],
        "gcs": gcs.collect::<Vec<_>>(),
        "n_gcs": told.n_gcs,
        "censuses": censuses.collect::<Vec<_>>(),
    })
}

fn rss(snapshot: &Snapshot) -> Value {
    let Some((age, split)) = &snapshot.memory.split else { return Value::Null };
    let mut parts: Vec<(RssPart, Bytes)> =
        RssPart::ALL.into_iter().map(|part| (part, split.get(part))).collect();
    parts.retain(|(_, bytes)| bytes.0 > 0);
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    json!({
        "age_ns": age.0,
        "rss": split.rss.0,
        "swapped": split.swapped.0,
        "unexplained": split.unexplained(),
        "parts": parts.iter().map(|(part, bytes)| json!([part.name(), part.title(), bytes.0])).collect::<Vec<_>>(),
    })
}

fn steps(snapshot: &Snapshot) -> Vec<Value> {
    let at = |ago: Nanos| snapshot.elapsed.since(ago).0;
    let steps = snapshot.rss_steps.iter();
    steps
        .map(|step| {
            json!({ "at_ns": at(step.ago), "delta": step.delta, "rss": step.rss.0, "text": sanitize(&step.text) })
        })
        .collect()
}

fn site(group: &GroupRow) -> Value {
    let tally = &group.tally;
    let quantile = |q| match lifetime_quantile(&tally.lifetimes, q) {
        Some(LifetimeBound::AtMost(end)) => json!({ "ns": end.0, "is_more": false }),
        Some(LifetimeBound::MoreThan(end)) => json!({ "ns": end.0, "is_more": true }),
        None => Value::Null,
    };
    let heaviest = &group.heaviest;
    let outer = heaviest.async_stack.iter().flat_map(|stack| stack.frames());
    let frame = |frame: &Frame| sanitize(&full_frame(frame));
    json!({
        "label": sanitize(&group.label),
        "via": group.via.as_deref().map(sanitize),
        "place": group_place(group),
        "n_live": tally.n_live,
        "live": tally.live_bytes.0,
        "peak": tally.peak_bytes.0,
        "n_created": tally.n_created,
        "created": tally.created_bytes.0,
        "resident": tally.resident.map(|it| it.0),
        "p50": quantile(0.5),
        "p99": quantile(0.99),
        "survival": tally.survival,
        "n_stacks": group.n_sites,
        "stack": heaviest.frames.iter().take(FRAMES_MAX).map(frame).collect::<Vec<_>>(),
        "begun_by": outer.take(FRAMES_MAX).map(frame).collect::<Vec<_>>(),
    })
}

fn store(row: &StoreRow) -> Value {
    json!([
        row.number,
        row.size.0,
        row.kind.name(),
        row.age.0,
        row.survived.map(|it| it.n_major),
        row.residency.map(|known| known.pages.held().0),
        sanitize(&row.site),
        row.via.as_deref().map(sanitize),
    ])
}

/// Who holds what, and the array buffers that views keep alive.
fn census(joined: &JoinedCensus, told: &PostMortem) -> Value {
    let census = &joined.census;
    let path = |path: &[String]| sanitize(&path.join(" "));
    let holders = census.holders.iter().take(HOLDERS_MAX).map(|group| {
        json!({
            "path": path(&group.path),
            "bytes": group.bytes.0,
            "covered": group.covered.0,
            "n_parents": group.n_parents,
            "n_views": group.n_views,
            "retained": group.retained.map(|it| Retained::total(it).0),
        })
    });
    let mut parents: Vec<(usize, &Parent)> =
        census.parents.iter().enumerate().filter(|(_, it)| it.n_views > 0).collect();
    let n_parents = parents.len();
    parents
        .sort_by_key(|(index, it)| (std::cmp::Reverse(it.size.saturating_sub(it.covered)), *index));
    let parents = parents.into_iter().take(PARENTS_MAX).map(|(index, parent)| {
        let traced = joined.traced(index);
        json!([
            parent.size.0,
            parent.covered.0,
            parent.n_views,
            parent.kind.name(),
            traced.map(|store| store.age.0),
            parent.is_held_itself,
            parent.holders.iter().take(PATHS_MAX).map(|it| path(&it.path)).collect::<Vec<_>>(),
            traced.and_then(|store| store.site.as_ref()).map(|site| sanitize(&site.label)),
        ])
    });
    json!({
        "at_ns": told.censuses.last().map(|it| it.at.0),
        "holders": holders.collect::<Vec<_>>(),
        "n_holders_total": census.holders.len(),
        "parents": parents.collect::<Vec<_>>(),
        "n_parents_total": n_parents,
        "gaps": census.gaps.iter().map(|gap| sanitize(gap)).collect::<Vec<_>>(),
    })
}

/// The call tree by live and allocated bytes. Names repeat, so they are numbered; parents come before their children.
fn flame(snapshot: &Snapshot) -> Value {
    let shape = Shape { measure: Measure::Live, is_inverted: false, level: FrameLevel::JavaScript };
    let tree = Tree::of(snapshot, shape);
    let mut names: Vec<String> = Vec::new();
    let mut by_name = crate::base::FastMap::default();
    let mut nodes = Vec::new();
    let mut pending: Vec<(usize, Option<usize>)> =
        tree.roots.iter().rev().map(|root| (*root, None)).collect();
    while let Some((index, parent)) = pending.pop() {
        let Some(node) = tree.nodes.get(index) else { continue };
        let number = nodes.len();
        let name = *by_name.entry(node.full()).or_insert_with_key(|name| {
            names.push(name.clone());
            names.len() - 1
        });
        nodes.push(json!([
            parent,
            name,
            kind(node),
            node.values.live_bytes,
            node.values.allocated_bytes
        ]));
        pending.extend(node.children.iter().rev().map(|child| (*child, Some(number))));
    }
    json!({
        "names": names,
        "nodes": nodes,
        "total": [tree.total.live_bytes, tree.total.allocated_bytes],
        "not_listed": [tree.not_listed.live_bytes, tree.not_listed.allocated_bytes],
        "n_cut": tree.n_cut,
    })
}

const fn kind(node: &Node) -> &'static str {
    match node.kind {
        NodeKind::Frame(kind) => kind.name(),
        NodeKind::Name => "name",
        NodeKind::Cut => "cut",
    }
}
