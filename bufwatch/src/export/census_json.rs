//! A census as one JSON object, schema `bufwatch.census/1` (docs: DESIGN.md, "JSON contract"). Unknown is null, never 0.

use serde::Serialize;
use serde_json::Value;

use crate::analysis::finding::Finding;
use crate::analysis::snapshot::{JoinedCensus, TracedStore};
use crate::event::census::{Holder, HolderGroup, Parent};
use crate::export::finding::to_values;

pub const SCHEMA: &str = "bufwatch.census/1";

/// Which process a census is of.
#[derive(Clone, Debug)]
pub struct Subject {
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Without `v`.
    pub node_version: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    pid: u32,
    process_start_ticks: u64,
    node_version: Option<&'a str>,
    stop_ns: u64,
    total_ns: u64,
    heap_bytes: u64,
    n_objects: u64,
    n_live_objects: u64,
    n_rejected: u64,
    n_retries: u64,
    array_buffers_bytes: Option<u64>,
    live_bytes: u64,
    isolates: Vec<IsolateRow>,
    n_parents_total: u64,
    total_bytes: u64,
    parents: Vec<ParentRow<'a>>,
    holders: Vec<GroupRow<'a>>,
    findings: Vec<Value>,
    gaps: &'a [String],
}

#[derive(Serialize)]
struct IsolateRow {
    tid: Option<u32>,
    address: String,
    heap_bytes: u64,
    is_in_javascript: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
#[derive(Serialize)]
struct ParentRow<'a> {
    address: String,
    size_bytes: u64,
    kind: &'static str,
    is_resizable: bool,
    is_held_itself: bool,
    isolates: &'a [u16],
    n_views: u64,
    views_bytes: u64,
    covered_bytes: u64,
    has_overlaps: bool,
    has_aliases: bool,
    resident_bytes: Option<u64>,
    swapped_bytes: Option<u64>,
    only_read_bytes: Option<u64>,
    untouched_bytes: Option<u64>,
    age_ns: Option<u64>,
    n_major_survived: Option<u64>,
    site: Option<&'a str>,
    via: Option<&'a str>,
    retained_bytes: Option<u64>,
    retained_heap_bytes: Option<u64>,
    views: Vec<ViewRow<'a>>,
    holders: Vec<HolderRow<'a>>,
}

#[derive(Serialize)]
struct ViewRow<'a> {
    #[serde(rename = "type")]
    type_name: &'a str,
    offset: u64,
    length_bytes: u64,
}

#[derive(Serialize)]
struct HolderRow<'a> {
    path: &'a [String],
    root: &'static str,
    is_by_application: bool,
    n_views: u64,
}

#[derive(Serialize)]
struct GroupRow<'a> {
    path: &'a [String],
    root: &'static str,
    is_by_application: bool,
    n_parents: u64,
    n_views: u64,
    size_bytes: u64,
    covered_bytes: u64,
    holder: Option<&'a str>,
    retained_bytes: Option<u64>,
    retained_heap_bytes: Option<u64>,
}

/// The parents that `shown` has the indices of, and all that is true of the census as a whole.
pub fn to_json(
    joined: &JoinedCensus,
    findings: &[Finding],
    subject: &Subject,
    shown: &[usize],
) -> serde_json::Result<String> {
    let census = &joined.census;
    let parents = shown
        .iter()
        .filter_map(|index| Some(parent_row(census.parents.get(*index)?, joined.traced(*index))));
    serde_json::to_string(&Document {
        schema: SCHEMA,
        pid: subject.pid,
        process_start_ticks: subject.start_ticks,
        node_version: subject.node_version.as_deref(),
        stop_ns: census.timing.stopped.0,
        total_ns: census.timing.total.0,
        heap_bytes: census.counts.heap_bytes.0,
        n_objects: census.counts.n_objects,
        n_live_objects: census.counts.n_live_objects,
        n_rejected: census.counts.n_rejected,
        n_retries: census.counts.n_retries,
        array_buffers_bytes: census.counts.allocator_bytes.map(|it| it.0),
        live_bytes: census.counts.live_bytes.0,
        isolates: census
            .isolates
            .iter()
            .map(|isolate| IsolateRow {
                tid: isolate.tid,
                address: isolate.address.to_string(),
                heap_bytes: isolate.heap_bytes.0,
                is_in_javascript: isolate.is_in_javascript,
            })
            .collect(),
        n_parents_total: census.parents.len() as u64,
        total_bytes: census.parents.iter().map(|it| it.size.0).sum(),
        parents: parents.collect(),
        holders: census.holders.iter().map(group_row).collect(),
        findings: to_values(findings),
        gaps: &census.gaps,
    })
}

fn parent_row<'a>(parent: &'a Parent, traced: Option<&'a TracedStore>) -> ParentRow<'a> {
    let site = traced.and_then(|it| it.site.as_ref());
    ParentRow {
        address: parent.address.to_string(),
        size_bytes: parent.size.0,
        kind: parent.kind.name(),
        is_resizable: parent.is_resizable,
        is_held_itself: parent.is_held_itself,
        isolates: &parent.isolates,
        n_views: parent.n_views,
        views_bytes: parent.views_bytes.0,
        covered_bytes: parent.covered.0,
        has_overlaps: parent.has_overlaps,
        has_aliases: parent.has_aliases,
        resident_bytes: parent.resident().map(|it| it.0),
        swapped_bytes: parent.pages.map(|it| it.swapped.0),
        only_read_bytes: parent.pages.map(|it| it.zero.0),
        untouched_bytes: parent.untouched().map(|it| it.0),
        age_ns: traced.map(|it| it.age.0),
        n_major_survived: traced.and_then(|it| it.n_major_survived).map(u64::from),
        site: site.map(|it| it.label.as_ref()),
        via: site.and_then(|it| it.via.as_deref()),
        retained_bytes: parent.retained.map(|it| it.total().0),
        retained_heap_bytes: parent.retained.map(|it| it.heap.0),
        views: parent
            .views
            .iter()
            .map(|view| ViewRow {
                type_name: &view.type_name,
                offset: view.offset,
                length_bytes: view.length.0,
            })
            .collect(),
        holders: parent.holders.iter().map(holder_row).collect(),
    }
}

fn holder_row(holder: &Holder) -> HolderRow<'_> {
    HolderRow {
        path: &holder.path,
        root: holder.root.name(),
        is_by_application: holder.is_by_application,
        n_views: holder.n_views,
    }
}

fn group_row(group: &HolderGroup) -> GroupRow<'_> {
    GroupRow {
        path: &group.path,
        root: group.root.name(),
        is_by_application: group.is_by_application,
        n_parents: group.n_parents,
        n_views: group.n_views,
        size_bytes: group.bytes.0,
        covered_bytes: group.covered.0,
        holder: group.holder.as_deref(),
        retained_bytes: group.retained.map(|it| it.total().0),
        retained_heap_bytes: group.retained.map(|it| it.heap.0),
    }
}
