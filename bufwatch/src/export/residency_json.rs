//! The parts of `bufwatch.sample/1` that are about memory in RAM: RSS by what it is for, and the pages of stores. What the keys mean is said
//! in docs/residency.md.

use serde_json::{Map, Value, json};

use crate::analysis::snapshot::{
    FirstWrite, FreedRow, HeapNumbers, Placement, RssStepRow, Snapshot, StorePages, StoreRow,
};
use crate::base::Bytes;
use crate::event::SpaceChanges;
use crate::event::residency::{Allocator, Obstacle, RssPart, RssSplit};

/// Rows of `top_stores`.
const TOP_STORES_MAX: usize = 20;

/// What resident memory is for, all parts of one pass; before the first pass at most the whole of V8's heap.
pub(super) fn rss_parts(snapshot: &Snapshot) -> Value {
    let mut parts = Map::new();
    match (&snapshot.memory.split, snapshot.memory.v8_heap) {
        (Some((_, split)), _) => {
            for part in RssPart::ALL {
                // Without a look at the allocator it is among the others, and nobody knows how much it is.
                let is_known = part != RssPart::AllocatorFree || is_surveyed(split);
                let bytes = is_known.then(|| split.get(part).0);
                parts.insert(part.name().to_owned(), json!(bytes));
            }
        }
        (None, Some(v8_heap)) => {
            parts.insert("v8_heap".to_owned(), json!(v8_heap.0));
        }
        (None, None) => {}
    }
    Value::Object(parts)
}

/// The pass that `rss_parts` are of, and the pages of tracked stores; null before the first pass.
pub(super) fn residency(snapshot: &Snapshot) -> Value {
    let memory = &snapshot.memory;
    let Some((age, split)) = &memory.split else { return Value::Null };
    let stores = &memory.residency;
    json!({
        "age_ns": age.0,
        "rss_bytes": split.rss.0,
        "explained_bytes": split.total().0,
        "unexplained_bytes": split.unexplained(),
        "swapped_bytes": split.swapped.0,
        "untouched_bytes": split.untouched.0,
        "allocator": allocator(split),
        "stores": {
            "n_known": stores.n_known,
            "size_bytes": stores.known_bytes.0,
            "resident_bytes": stores.pages.resident.0,
            "zero_bytes": stores.pages.zero.0,
            "swapped_bytes": stores.pages.swapped.0,
            "huge_bytes": stores.pages.huge.0,
        },
    })
}

/// Free memory of at least one arena is known.
const fn is_surveyed(split: &RssSplit) -> bool {
    split.survey.n_arenas > split.survey.n_arenas_unknown
}

/// What malloc itself says of its memory; what could not be found out is null.
fn allocator(split: &RssSplit) -> Value {
    let survey = &split.survey;
    let counted = |n: u64| is_surveyed(split).then_some(n);
    json!({
        "name": survey.allocator.map(Allocator::name),
        "is_known": split.is_allocator_known,
        "obstacle": survey.obstacle.map(Obstacle::name),
        "n_arenas": (survey.n_arenas > 0).then_some(survey.n_arenas),
        "n_arenas_unknown": (survey.n_arenas > 0).then_some(survey.n_arenas_unknown),
        "n_chunks": counted(survey.n_chunks),
        "n_free": counted(survey.n_free),
        "free_bytes": counted(survey.free.0),
        "free_at_end_bytes": counted(survey.free_at_end.0),
        "free_in_threads_bytes": counted(survey.free_in_threads.0),
        "mmap_threshold_bytes": survey.thresholds.map(|it| it.mmap.0),
        "trim_threshold_bytes": survey.thresholds.map(|it| it.trim.0),
        "are_thresholds_fixed": survey.thresholds.map(|it| it.is_fixed),
        "free_resident_bytes": counted(split.get(RssPart::AllocatorFree).0),
        "walk_ns": (survey.n_arenas > 0).then_some(survey.took.0),
        "untraced_mapped": survey.untraced_mapped.map(|blocks| json!({
            "n": blocks.n,
            "bytes": blocks.bytes.0,
            "resident_bytes": blocks.resident.0,
        })),
    })
}

/// What `process.memoryUsage()` says in the main thread, and what all isolates have together; null before V8's heap was found.
pub(super) fn memory_usage(snapshot: &Snapshot) -> Value {
    let Some(usage) = &snapshot.memory.usage else { return Value::Null };
    let mut value = heap_numbers(usage.main.as_ref());
    value.insert("age_ns".to_owned(), json!(usage.age.0));
    value.insert("rss".to_owned(), json!(usage.rss.map(|b| b.0)));
    value.insert("n_isolates".to_owned(), json!(usage.n_isolates));
    value.insert("all_isolates".to_owned(), Value::Object(heap_numbers(Some(&usage.all))));
    Value::Object(value)
}

fn heap_numbers(numbers: Option<&HeapNumbers>) -> Map<String, Value> {
    let of = |get: fn(&HeapNumbers) -> Option<Bytes>| json!(numbers.and_then(get).map(|b| b.0));
    let used_is = numbers.map(|it| {
        let is_exact = it.used_min == it.used_max;
        if is_exact { "exact" } else { "the middle of heap_used_min and heap_used_max" }
    });
    let middle = |it: &HeapNumbers| Some(Bytes(it.used_min.0.midpoint(it.used_max.0)));
    Map::from_iter([
        ("heap_total".to_owned(), of(|it| Some(it.total))),
        ("heap_used".to_owned(), of(middle)),
        ("heap_used_min".to_owned(), of(|it| Some(it.used_min))),
        ("heap_used_max".to_owned(), of(|it| Some(it.used_max))),
        ("heap_used_is".to_owned(), json!(used_is)),
        ("external".to_owned(), of(|it| it.external)),
        ("array_buffers".to_owned(), of(|it| it.array_buffers)),
    ])
}

/// What RSS rose and fell by, the newest last.
pub(super) fn rss_steps(snapshot: &Snapshot) -> Value {
    let step = |row: &RssStepRow| {
        let causes = row.causes.iter().map(|cause| {
            json!({
                "kind": cause.kind.name(),
                "bytes": cause.bytes,
                "site": cause.site.as_deref(),
                "n_stores": cause.n_stores,
                "store": cause.store,
            })
        });
        json!({
            "ago_ns": row.ago.0,
            "took_ns": row.took.0,
            "rss_bytes": row.rss.0,
            "delta_bytes": row.delta,
            "text": row.text,
            "causes": causes.collect::<Vec<Value>>(),
            "unexplained_bytes": row.unexplained,
            "created_bytes": row.created.0,
            "asked_of_kernel": asked(snapshot, &row.asked),
        })
    };
    snapshot.rss_steps.iter().map(step).collect()
}

/// Null where mappings are not followed.
fn asked(snapshot: &Snapshot, asked: &SpaceChanges) -> Value {
    if !snapshot.target.backend.sees().mappings {
        return Value::Null;
    }
    json!({
        "mmap_bytes": asked.mapped.0,
        "munmap_bytes": asked.unmapped.0,
        "brk_up_bytes": asked.heap_grown.0,
        "brk_down_bytes": asked.heap_shrunk.0,
        "madvise_bytes": asked.advised.0,
    })
}

/// Memory of dead stores that is still in RAM, by the line that had allocated them.
pub(super) fn freed_sites(snapshot: &Snapshot) -> Value {
    let row = |row: &FreedRow| {
        json!({
            "site": row.site.as_ref(),
            "via": row.via.as_deref(),
            "resident_bytes": row.resident.0,
        })
    };
    snapshot.freed.iter().map(row).collect()
}

/// The largest live stores, or what else the table of the snapshot was asked for. Times are ages at `t_ns`.
pub(super) fn top_stores(snapshot: &Snapshot) -> Value {
    let has_stacks = snapshot.target.backend.sees().stacks;
    let rows = snapshot.table.rows.iter().take(TOP_STORES_MAX);
    rows.map(|row| top_store(row, has_stacks)).collect()
}

fn top_store(row: &StoreRow, has_stacks: bool) -> Value {
    let pages = row.residency.map(|known| known.pages);
    let residency = row.residency.as_ref();
    json!({
        "number": row.number,
        "kind": row.kind.name(),
        "data": row.data,
        "size_bytes": row.size.0,
        "max_size_bytes": row.max_size.0,
        "resident_bytes": pages.map(|pages| pages.resident.0),
        "zero_bytes": pages.map(|pages| pages.zero.0),
        "swapped_bytes": pages.map(|pages| pages.swapped.0),
        "huge_bytes": pages.map(|pages| pages.huge.0),
        "scanned_ns": residency.map(|known| known.scanned.0),
        "touched_ns": residency.and_then(|known| known.touched).map(|ns| ns.0),
        "grew_ns": residency.and_then(|known| known.grew).map(|ns| ns.0),
        "first_write": residency.and_then(first_write),
        "is_recycled": residency.map(|known| known.is_recycled),
        "age_ns": row.age.0,
        "site": has_stacks.then_some(row.site.as_ref()),
        "via": row.via.as_deref(),
        "placement": placement(row.placement),
    })
}

/// Null unless page faults are followed and it was written to; null in it is what no fault has told.
fn first_write(known: &StorePages) -> Option<Value> {
    let (age, by) = match known.first_write {
        FirstWrite::Unknown => return None,
        FirstWrite::Unseen => (None, None),
        FirstWrite::ByProgram(age) => (Some(age.0), Some("program")),
        FirstWrite::ByKernel(age) => (Some(age.0), Some("kernel")),
    };
    Some(json!({ "ago_ns": age, "by": by }))
}

fn placement(placement: Placement) -> Option<&'static str> {
    match placement {
        Placement::Unknown => None,
        Placement::OwnMapping { .. } => Some("own-mapping"),
        Placement::MainHeap => Some("malloc-heap"),
        Placement::SharedMapping { .. } => Some("shared-mapping"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;

    #[test]
    fn a_first_write_that_no_fault_told_of_is_not_one_that_nobody_asked_for() {
        let told =
            |first_write| super::first_write(&StorePages { first_write, ..StorePages::default() });
        assert_eq!(told(FirstWrite::Unknown), None);
        assert_eq!(told(FirstWrite::Unseen), Some(json!({ "ago_ns": null, "by": null })));
        let by = |by| Some(json!({ "ago_ns": 7, "by": by }));
        assert_eq!(told(FirstWrite::ByProgram(Nanos(7))), by("program"));
        assert_eq!(told(FirstWrite::ByKernel(Nanos(7))), by("kernel"));
    }
}
