//! Takes the state of one moment over from a recording. What it holds is foreign: nothing of it is trusted to fit together.

use std::sync::Arc;

use crate::base::{Bytes, FastMap, Nanos};
use crate::event::recorded::{
    Moment, PlacementKind, Recalled, RecordedGcCounts, RecordedPhase, RecordedStore, SiteLive,
    SiteTotal,
};
use crate::event::{CountersSampled, MappingKind};
use crate::model::freed::FreedMemory;
use crate::model::gc::{GcCounts, GcLog};
use crate::model::latency::Latencies;
use crate::model::lifetime::Lifetimes;
use crate::model::limits::GC_MARKS_MAX;
use crate::model::live::Store;
use crate::model::mapping::AddressSpace;
use crate::model::rate::Rate;
use crate::model::residency::Residency;
use crate::model::rss_step::StepLog;
use crate::model::site::{SiteId, Sites};
use crate::model::tally::Tally;
use crate::model::timeline::Timeline;
use crate::model::totals::{Between, Totals};
use crate::model::{FrameCounts, Model, Phase, SelfState, census};
use bufwatch_common::{DropReason, N_SIZE_CLASSES, SizeClassCounters};

/// Between two ticks of the rates, while the model was live.
const TICK: Nanos = Nanos::from_millis(250);

/// What a rate keeps in a tick without anything new (`rate::Rate`).
const KEPT_IN_A_TICK: f64 = 0.8;

/// Of the live stores, when only some of them are in the model.
#[derive(Clone, Debug, Default)]
pub struct RecalledLive {
    pub n_live: u64,
    pub by_site: FastMap<SiteId, SiteLive>,
}

pub(super) fn model(recalled: &Recalled) -> Model {
    let moment = &recalled.moment;
    let (mut sites, by_number) = Sites::recalled(&recalled.sites);
    for total in &recalled.totals {
        if let Some(id) = by_number.get(&total.site) {
            sites.recall_tally(*id, tally(total, moment.at), total.group_peak_bytes);
        }
    }
    let mut model = Model::new(recalled.started_at);
    model.now = moment.at;
    model.target = recalled.target.clone();
    model.phase = match recalled.phase {
        RecordedPhase::Attaching => Phase::Attaching,
        RecordedPhase::Live => Phase::Live,
        RecordedPhase::Execed => Phase::Execed,
        RecordedPhase::Exited { code } => Phase::Exited { code },
    };
    model.census = census::recall::log(
        &recalled.censuses,
        &sites,
        &by_number,
        recalled.target.backend.sees().stacks,
    );
    model.sites = sites;
    model.gc = gc(recalled);
    model.memory = moment.memory;
    model.before_attach = moment.before_attach;
    model.counters = counters(recalled);
    model.totals = totals(moment);
    model.timeline = Timeline::recalled(recalled.started_at, &recalled.curves);
    model.residency.split = recalled.split;
    model.rss_steps = StepLog::recalled(&recalled.steps, &by_number);
    let freed = recalled.freed.iter();
    model.freed = FreedMemory::recalled(
        freed.filter_map(|(site, bytes)| Some((*by_number.get(site)?, *bytes))),
    );
    for heap in recalled.heaps.1.iter().filter(|heap| heap.is_in_main_heap) {
        model.address_space.recall(heap.heap.heap.0, 1, MappingKind::Heap);
    }
    let heaps = recalled.heaps.1.iter().map(|heap| heap.heap);
    model.heaps = (recalled.heaps.0, heaps.collect());
    model.own = own(moment);
    let threads = recalled.threads.iter();
    model.threads = threads.map(|thread| (thread.tid, Arc::clone(&thread.name))).collect();
    for store in &recalled.stores {
        place(&mut model.address_space, store);
        // Two at one address: only a damaged recording has them.
        if model.live.find(store.key.address).is_none() {
            model.live.insert(live_store(store, &by_number));
        }
    }
    if recalled.is_partial {
        let totals = recalled.totals.iter().filter(|total| total.n_live > 0);
        let by_site =
            totals.filter_map(|total| Some((*by_number.get(&total.site)?, total.live?))).collect();
        model.recalled = Some(RecalledLive { n_live: moment.n_live, by_site });
    }
    model
}

fn tally(total: &SiteTotal, now: Nanos) -> Tally {
    // Since its row was written nothing came from the site.
    let n_ticks = now.since(total.at).0.checked_div(TICK.0).unwrap_or(0);
    let kept = KEPT_IN_A_TICK.powi(i32::try_from(n_ticks).unwrap_or(i32::MAX));
    let rate = |before, per_s: f64| Rate::recalled(before, per_s * kept);
    Tally {
        n_live: total.n_live,
        live_bytes: total.live_bytes,
        peak_bytes: total.peak_bytes,
        n_created: total.n_created,
        created_bytes: total.created_bytes,
        lifetimes: Lifetimes::recalled(&total.lifetimes, &total.majors_survived),
        created_rate: rate(total.created_bytes.0, total.created_bytes_per_s),
        n_created_rate: rate(total.n_created, total.n_created_per_s),
    }
}

fn gc_counts(counts: RecordedGcCounts) -> GcCounts {
    GcCounts { n_minor: counts.n_minor, n_major: counts.n_major }
}

fn gc(recalled: &Recalled) -> GcLog {
    let moment = &recalled.moment;
    let mut gc = GcLog {
        n_minor: moment.n_minor.unwrap_or_default(),
        n_major: moment.n_major.unwrap_or_default(),
        last: moment.gc_last,
        longest: moment.gc_longest,
        total: moment.gc_total.unwrap_or_default(),
        ..GcLog::default()
    };
    gc.marks.extend(recalled.gc_marks.iter().rev().take(GC_MARKS_MAX).rev());
    for (tid, counts) in &recalled.gc_counts {
        gc.recall(*tid, gc_counts(*counts));
    }
    gc
}

fn counters(recalled: &Recalled) -> Option<CountersSampled> {
    let small = recalled.moment.small?;
    let mut counters = CountersSampled {
        size_classes: [SizeClassCounters::default(); N_SIZE_CLASSES],
        drops: [0; DropReason::COUNT],
    };
    // Only sums are asked for.
    if let Some(first) = counters.size_classes.first_mut() {
        first.n_created = small.n_created;
        first.created_bytes = small.created_bytes.0;
        first.n_destroyed = small.n_created.saturating_sub(small.n_live);
        first.destroyed_bytes = small.created_bytes.saturating_sub(small.live_bytes).0;
    }
    for (reason, n) in &recalled.drops {
        if let Some(count) = counters.drops.get_mut(reason.index() as usize) {
            *count = *n;
        }
    }
    Some(counters)
}

fn totals(moment: &Moment) -> Totals {
    let mut totals = Totals {
        live_bytes: moment.live_bytes,
        peak_bytes: moment.peak_bytes,
        n_created: moment.n_created,
        created_bytes: moment.created_bytes,
        n_destroyed: moment.n_destroyed,
        destroyed_bytes: moment.destroyed_bytes,
        n_destroyed_unknown: moment.n_destroyed_unknown,
        destroyed_unknown_bytes: moment.destroyed_unknown_bytes,
        live_allocator_bytes: moment.live_allocator_bytes,
        n_created_rate: Rate::recalled(moment.n_created, moment.n_created_per_s),
        created_rate: Rate::recalled(moment.created_bytes.0, moment.created_bytes_per_s),
        destroyed_rate: Rate::recalled(moment.destroyed_bytes.0, moment.destroyed_bytes_per_s),
        between: Between::still_at(moment.live_bytes),
        ..Totals::default()
    };
    totals.tick(moment.at);
    totals
}

fn own(moment: &Moment) -> SelfState {
    let own = &moment.own;
    SelfState {
        n_lost: own.n_lost,
        n_reconciled: own.n_reconciled,
        n_closed_by_reconcile: own.n_closed_by_reconcile,
        frames: own.frames.map(|[n, n_unresolved, n_approximate]| FrameCounts {
            n,
            n_unresolved,
            n_approximate,
        }),
        resolve_latency: Latencies::recalled(own.resolve_p50, own.resolve_p99),
        cpu_share: own.cpu_share,
        rss: own.rss,
        coverage: own.coverage,
        ..SelfState::default()
    }
}

fn place(space: &mut AddressSpace, store: &RecordedStore) {
    let Some(placement) = store.placement else { return };
    let (start, Bytes(len)) = (placement.start, placement.len);
    let kind = match placement.kind {
        PlacementKind::Own | PlacementKind::Shared => MappingKind::Anonymous,
        PlacementKind::MainHeap => MappingKind::Heap,
    };
    space.recall(start, len, kind);
}

fn live_store(store: &RecordedStore, by_number: &FastMap<u32, SiteId>) -> Store {
    let residency = store.pages.map(|known| Residency {
        pages: known.pages,
        scanned_at: known.scanned_at,
        touched_at: known.touched_at,
        first_touch: store.first_touch,
        grew_at: known.grew_at,
        is_recycled: known.is_recycled,
        ..Residency::default()
    });
    Store {
        key: store.key,
        number: store.number,
        data: store.data,
        size: store.size,
        max_size: store.max_size,
        birth: store.birth,
        stack: store.stack,
        site: by_number.get(&store.site).copied().unwrap_or(SiteId::WITHOUT_STACK),
        tid: store.tid,
        gc_at_birth: gc_counts(store.gc_at_birth),
        kind: store.kind,
        residency: residency.unwrap_or_default(),
    }
}
