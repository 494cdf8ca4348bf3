//! What the model knows, as rows of a recording.

use std::sync::Arc;

use crate::analysis::finding::Finding;
use crate::base::{Bytes, Nanos};
use crate::event::CountersSampled;
use crate::event::recorded::{
    Moment, OwnMoment, PlacementKind, RecordedCause, RecordedCensus, RecordedChange,
    RecordedGcCounts, RecordedHeap, RecordedPages, RecordedPlacement, RecordedSite, RecordedStep,
    RecordedStore, RecordedTraced, SiteTotal, SmallStores,
};
use crate::event::residency::FirstTouch;
use crate::model::Model;
use crate::model::census::{JoinedCensus, TracedStore};
use crate::model::gc::GcCounts;
use crate::model::live::Store;
use crate::model::mapping::Placement;
use crate::model::rss_step::RssStep;
use crate::model::site::{Site, SiteId};
use crate::recording::FindingRow;

pub(super) fn counts(counts: GcCounts) -> RecordedGcCounts {
    RecordedGcCounts { n_minor: counts.n_minor, n_major: counts.n_major }
}

pub(super) fn site(site: &Site) -> RecordedSite {
    let begun_by = site.async_stack.iter().flat_map(|it| it.stacks.iter());
    RecordedSite {
        number: site.id.number(),
        group: site.group.0,
        stack: site.stack,
        label: Arc::clone(&site.origin.label),
        via: site.origin.via.clone(),
        is_cut: site.is_cut,
        stacks: [&site.frames].into_iter().chain(begun_by).map(Arc::clone).collect(),
        user_frame: site.origin.user_frame.and_then(|at| u32::try_from(at).ok()),
    }
}

pub(super) fn site_total(model: &Model, site: &Site, at: Nanos) -> SiteTotal {
    let tally = &site.tally;
    let group_peak = model.sites.group(site.group).map(|group| group.tally.peak_bytes);
    SiteTotal {
        site: site.id.number(),
        at,
        n_live: tally.n_live,
        live_bytes: tally.live_bytes,
        peak_bytes: tally.peak_bytes,
        group_peak_bytes: group_peak.unwrap_or(tally.peak_bytes),
        n_created: tally.n_created,
        created_bytes: tally.created_bytes,
        created_bytes_per_s: tally.created_rate.per_s(),
        n_created_per_s: tally.n_created_rate.per_s(),
        n_folded: 0,
        folded_bytes: Bytes(0),
        lifetimes: tally.lifetimes.by_time.to_vec(),
        majors_survived: tally.lifetimes.by_majors.to_vec(),
        live: None,
    }
}

pub(super) fn store(model: &Model, store: &Store) -> RecordedStore {
    RecordedStore {
        key: store.key,
        number: store.number,
        data: store.data,
        size: store.size,
        max_size: store.max_size,
        kind: store.kind,
        tid: store.tid,
        birth: store.birth,
        stack: store.stack,
        site: store.site.number(),
        gc_at_birth: counts(store.gc_at_birth),
        placement: placement(model, store),
        pages: None,
        first_touch: FirstTouch::Unknown,
    }
}

/// `None` until the address space is known there.
pub(super) fn placement(model: &Model, store: &Store) -> Option<RecordedPlacement> {
    let (kind, start, len) = match model.address_space.place(store.data) {
        Placement::Unknown => return None,
        Placement::OwnMapping { start, len } => (PlacementKind::Own, start, len),
        Placement::MainHeap => (PlacementKind::MainHeap, store.data, store.size),
        Placement::SharedMapping { start, len } => (PlacementKind::Shared, start, len),
    };
    Some(RecordedPlacement { kind, start, len })
}

pub(super) fn change(store: &Store, at: Nanos) -> RecordedChange {
    RecordedChange {
        number: store.number,
        at,
        size: store.size,
        data: store.data,
        tid: store.tid,
        gc_at_birth: counts(store.gc_at_birth),
    }
}

/// `None` until they were looked at.
pub(super) fn pages(store: &Store) -> Option<RecordedPages> {
    let known = store.residency.known()?;
    Some(RecordedPages {
        scanned_at: known.scanned_at,
        pages: known.pages,
        touched_at: known.touched_at,
        grew_at: known.grew_at,
        is_recycled: known.is_recycled,
    })
}

pub(super) fn moment(model: &Model, at: Nanos, is_flush: bool) -> Moment {
    let totals = &model.totals;
    let has_gcs = model.target.backend.sees().collections;
    Moment {
        at,
        is_flush,
        memory: model.memory,
        before_attach: model.before_attach,
        n_live: model.live.len() as u64,
        live_bytes: totals.live_bytes,
        peak_bytes: totals.peak_bytes,
        live_allocator_bytes: totals.live_allocator_bytes,
        n_created: totals.n_created,
        created_bytes: totals.created_bytes,
        n_destroyed: totals.n_destroyed,
        destroyed_bytes: totals.destroyed_bytes,
        n_destroyed_unknown: totals.n_destroyed_unknown,
        destroyed_unknown_bytes: totals.destroyed_unknown_bytes,
        n_created_per_s: totals.n_created_rate.per_s(),
        created_bytes_per_s: totals.created_rate.per_s(),
        destroyed_bytes_per_s: totals.destroyed_rate.per_s(),
        small: model.counters.as_ref().map(small),
        n_minor: has_gcs.then_some(model.gc.n_minor),
        n_major: has_gcs.then_some(model.gc.n_major),
        gc_last: model.gc.last,
        gc_longest: model.gc.longest,
        gc_total: has_gcs.then_some(model.gc.total),
        own: own(model),
    }
}

fn small(counters: &CountersSampled) -> SmallStores {
    let ((n_live, live_bytes), (n_created, created_bytes)) =
        (counters.small_live(), counters.small_created());
    SmallStores { n_live, live_bytes, n_created, created_bytes }
}

fn own(model: &Model) -> OwnMoment {
    let own = &model.own;
    OwnMoment {
        n_lost: own.n_lost,
        n_reconciled: own.n_reconciled,
        n_closed_by_reconcile: own.n_closed_by_reconcile,
        cpu_share: own.cpu_share,
        rss: own.rss,
        coverage: own.coverage,
        resolve_p50: own.resolve_latency.quantile(0.5),
        resolve_p99: own.resolve_latency.quantile(0.99),
        frames: own.frames.map(|counts| [counts.n, counts.n_unresolved, counts.n_approximate]),
    }
}

/// Known at `at`; `text` is for people.
pub(super) fn step(step: &RssStep, at: Nanos, text: String) -> RecordedStep {
    let causes = step.causes.iter().map(|cause| RecordedCause {
        kind: cause.kind.name().to_owned(),
        site: cause.site.map(SiteId::number),
        bytes: cause.bytes,
        n_stores: cause.stores.n,
        store: cause.stores.largest.number,
        store_size: cause.stores.largest.size,
        store_birth: cause.stores.largest.birth,
    });
    RecordedStep {
        known_at: at,
        from: step.from,
        to: step.to,
        rss_before: step.rss_before,
        rss_after: step.rss_after,
        text,
        causes: causes.collect(),
        unexplained: step.unexplained,
        created: step.created,
        asked: step.asked,
    }
}

pub(super) fn heaps(model: &Model) -> Vec<RecordedHeap> {
    let is_main = |at: u64| model.address_space.place(at) == Placement::MainHeap;
    let heaps = model.heaps.1.iter();
    heaps.map(|heap| RecordedHeap { heap: *heap, is_in_main_heap: is_main(heap.heap.0) }).collect()
}

pub(super) fn census(joined: &JoinedCensus, known_at: Nanos) -> RecordedCensus {
    let orphans = joined.orphans.iter();
    RecordedCensus {
        at: joined.taken_at,
        known_at,
        census: Arc::clone(&joined.census),
        traced: joined.traced.iter().map(|store| store.as_ref().map(traced)).collect(),
        orphans: orphans.map(|orphan| (orphan.size, traced(&orphan.store))).collect(),
    }
}

fn traced(store: &TracedStore) -> RecordedTraced {
    RecordedTraced {
        key: store.key,
        number: store.number,
        age: store.age,
        n_major_survived: store.n_major_survived,
        site: store.site.as_ref().map_or(0, |site| site.id.number()),
    }
}

pub(super) fn finding(finding: &Finding) -> FindingRow {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    FindingRow {
        kind: finding.kind.name().to_owned(),
        confidence: finding.confidence.name().to_owned(),
        bytes: finding.bytes.0,
        n_parents: finding.n_parents,
        summary: finding.summary.clone(),
        evidence: finding.evidence.clone(),
        remedy: finding.remedy.words.clone(),
        remedy_code: finding.remedy.code.clone(),
        site: text(&finding.site),
        via: text(&finding.via),
        holder: finding.holder.clone(),
        age: finding.age,
        n_major_survived: finding.n_major_survived,
    }
}
