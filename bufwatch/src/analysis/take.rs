//! Takes a snapshot of the model. One pass over the live stores finds the rows of the table and the
//! survivors of each site, so that the cost is known: about 20 ns a live store.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use bufwatch_common::DropReason;

use crate::analysis::memory_usage::memory_usage;
use crate::analysis::of_site::OfSite;
use crate::analysis::query::{Condition, StoreFacts, StoreFilter, StoreQuery, StoreSort, is_site};
use crate::analysis::ranking;
use crate::analysis::residency::{FirstWrite, Recent};
use crate::analysis::rss_steps::rss_steps;
use crate::analysis::snapshot::{
    GcTotals, Health, History, Memory, ResidencyTotals, SmallTotals, Snapshot, StoreDetail,
    StorePages, StoreRow, StoreTable, StoreTotals, Target, TargetState,
};
use crate::base::{FastMap, Fidelity, Nanos, StoreKey};
use crate::event::residency::{FirstTouch, StoreMap};
use crate::model::limits::{ASYNC_STACKS_MAX, SITES_MAX as MODEL_SITES_MAX, STACKS_MAX};
use crate::model::live::Store;
use crate::model::site::{Site, SiteId};
use crate::model::{Model, Phase};

/// What the looker wants beyond the totals.
#[derive(Clone, Debug, Default)]
pub struct Interest {
    pub query: StoreQuery,
    pub detail: Option<StoreKey>,
    /// What could not be done at attach, in words.
    pub notices: Vec<String>,
    /// Limits that were reached outside of the model, in words.
    pub limits: Vec<String>,
}

/// Freezes the model as of `now`.
pub fn take(model: &Model, interest: &Interest, now: Nanos) -> Snapshot {
    let scan = scan(model, &interest.query, now);
    let sites = ranking::sites(model, &scan.by_site);
    let groups = ranking::groups(model, &scan.by_site);
    let detail = interest.detail.and_then(|key| detail(model, key, now));
    Snapshot {
        census: model.census.clone(),
        findings: Arc::from([]),
        taken_at: now,
        elapsed: now.since(model.started_at),
        target: target(model),
        memory: memory(model, scan.residency, now),
        stores: totals(model),
        gc: gc(model),
        history: Arc::new(history(model)),
        sites: sites.rows,
        n_sites_total: sites.n_total,
        groups: groups.rows,
        n_groups_total: groups.n_total,
        table: StoreTable {
            query: interest.query.clone(),
            rows: scan.rows.into(),
            n_matched: scan.n_matched,
        },
        rss_steps: rss_steps(model, now),
        recent: recent(model),
        freed: ranking::freed(model),
        detail,
        health: health(model, interest),
    }
}

fn gc(model: &Model) -> Option<GcTotals> {
    let gc = &model.gc;
    model.target.backend.sees().collections.then_some(GcTotals {
        n_minor: gc.n_minor,
        n_major: gc.n_major,
        last: gc.last,
        longest: gc.longest,
        total: gc.total,
    })
}

fn target(model: &Model) -> Target {
    Target {
        pid: model.target.pid,
        inner_pid: model.target.inner_pid,
        container: model.target.container.clone(),
        backend: model.target.backend,
        command: model.target.command.clone(),
        node_version: model.target.node_version.clone(),
        v8_version: model.target.v8_version.clone(),
        state: match model.phase {
            Phase::Attaching => TargetState::Attaching,
            Phase::Live | Phase::Ending => TargetState::Live,
            Phase::Execed => TargetState::Execed,
            Phase::Exited { code } => TargetState::Exited { code },
        },
        min_size: model.target.min_size,
    }
}

fn memory(model: &Model, residency: ResidencyTotals, now: Nanos) -> Memory {
    Memory {
        rss: model.memory.rss,
        array_buffers: model.memory.array_buffers,
        v8_heap: model.memory.v8_heap,
        before_attach: model.before_attach,
        before_attach_fidelity: Fidelity::Inferred,
        n_isolates: model.memory.n_isolates,
        split: model.residency.split.map(|(at, split)| (now.since(at), split)),
        residency,
        usage: memory_usage(model, now),
    }
}

fn recent(model: &Model) -> Recent {
    Recent {
        splits: model.window.splits.iter().copied().collect(),
        stores: model.window.stores.iter().copied().collect(),
    }
}

fn totals(model: &Model) -> StoreTotals {
    let totals = &model.totals;
    let counters = model.counters.as_ref();
    let small = counters.map(|counters| {
        let ((n_live, live_bytes), (n_created, created_bytes)) =
            (counters.small_live(), counters.small_created());
        SmallTotals { n_live, live_bytes, n_created, created_bytes }
    });
    StoreTotals {
        n_live: model.recalled.as_ref().map_or(model.live.len() as u64, |it| it.n_live),
        live_bytes: totals.live_bytes,
        peak_bytes: totals.peak_bytes,
        n_created: totals.n_created,
        created_bytes: totals.created_bytes,
        n_destroyed: totals.n_destroyed,
        destroyed_bytes: totals.destroyed_bytes,
        small,
        n_destroyed_unknown: totals.n_destroyed_unknown,
        created_bytes_per_s: totals.created_rate.per_s() as u64,
        destroyed_bytes_per_s: totals.destroyed_rate.per_s() as u64,
        n_created_per_s: totals.n_created_rate.per_s(),
    }
}

fn history(model: &Model) -> History {
    let timeline = model.timeline.clone();
    History {
        rss: timeline.rss,
        array_buffers: timeline.array_buffers,
        v8_heap: timeline.v8_heap,
        live_bytes: timeline.live_bytes,
        created_bytes_per_s: timeline.created_bytes_per_s,
        destroyed_bytes_per_s: timeline.destroyed_bytes_per_s,
        gcs: model.gc.marks.iter().map(|(at, kind)| (at.since(model.started_at), *kind)).collect(),
    }
}

/// What one pass over the live stores finds.
struct Scan {
    rows: Vec<StoreRow>,
    n_matched: u64,
    by_site: FastMap<SiteId, OfSite>,
    residency: ResidencyTotals,
}

fn scan(model: &Model, query: &StoreQuery, now: Nanos) -> Scan {
    let sites_matching = sites_matching(model, &query.filter);
    let mut by_site: FastMap<SiteId, OfSite> = FastMap::default();
    let has_collections = model.target.backend.sees().collections;
    let mut n_matched = 0;
    // The worst of the best `limit` on top, to be replaced.
    let mut best: BinaryHeap<Ranked<'_>> = BinaryHeap::with_capacity(query.limit.min(4_096) + 1);
    for store in model.live.iter() {
        let n_major_survived = store.survived(&model.gc).n_major;
        by_site.entry(store.site).or_default().add_live(store, n_major_survived, now);
        let known = has_collections.then_some(n_major_survived);
        if !is_match(store, known, &query.filter, sites_matching.as_ref(), now) {
            continue;
        }
        n_matched += 1;
        let ranked = Ranked {
            rank: rank(model, store, query.sort),
            is_ascending: query.is_ascending,
            store,
        };
        if best.len() < query.limit {
            best.push(ranked);
        } else if best.peek().is_some_and(|worst| ranked < *worst) {
            best.pop();
            best.push(ranked);
        }
    }
    let rows =
        best.into_sorted_vec().into_iter().map(|ranked| row(model, ranked.store, now)).collect();
    if let Some(recalled) = &model.recalled {
        // Not all of them are there.
        by_site =
            recalled.by_site.iter().map(|(site, live)| (*site, OfSite::recalled(live))).collect();
        if query.filter.conditions.is_empty() {
            n_matched = recalled.n_live;
        }
    }
    let residency = by_site.values().fold(ResidencyTotals::default(), |mut sum, of_site| {
        sum.merge(&of_site.residency);
        sum
    });
    Scan { rows, n_matched, by_site, residency }
}

/// A store and its place in the order of a query; less is better.
struct Ranked<'a> {
    rank: (u64, u64),
    is_ascending: bool,
    store: &'a Store,
}

impl Ord for Ranked<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.rank.cmp(&other.rank);
        if self.is_ascending { order } else { order.reverse() }
    }
}

impl PartialOrd for Ranked<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked<'_> {}

/// The second part breaks ties the same way each time, so that rows do not jump.
fn rank(model: &Model, store: &Store, sort: StoreSort) -> (u64, u64) {
    let first = match sort {
        StoreSort::Size => store.size.0,
        // One more, so that nothing in RAM is more than not known.
        StoreSort::InRam => {
            store.residency.known().map_or(0, |known| known.pages.resident.0.saturating_add(1))
        }
        // Older is more.
        StoreSort::Age => u64::MAX - store.birth.0,
        StoreSort::MajorsSurvived => u64::from(store.survived(&model.gc).n_major),
        StoreSort::Site => model.sites.get(store.site).map_or(0, |site| site.tally.live_bytes.0),
    };
    (first, u64::MAX - store.number)
}

/// Whether each site matches the filter's conditions on sites, so that labels are compared once a site.
fn sites_matching(model: &Model, filter: &StoreFilter) -> Option<FastMap<SiteId, bool>> {
    let texts: Vec<&String> = filter
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            Condition::Site(text) => Some(text),
            _ => None,
        })
        .collect();
    if texts.is_empty() {
        return None;
    }
    let is_match = |site: &Site| {
        let origin = &site.origin;
        texts.iter().all(|text| is_site(&origin.label, origin.via.as_deref(), text))
    };
    Some(model.sites.iter().map(|site| (site.id, is_match(site))).collect())
}

fn is_match(
    store: &Store,
    n_major_survived: Option<u32>,
    filter: &StoreFilter,
    sites: Option<&FastMap<SiteId, bool>>,
    now: Nanos,
) -> bool {
    let facts = StoreFacts {
        size: store.size,
        in_ram: store.residency.known().map(|known| known.pages.resident),
        age: now.since(store.birth),
        n_major_survived,
        tid: store.tid,
        kind: store.kind,
    };
    let is_wanted = sites.is_none_or(|sites| sites.get(&store.site).copied().unwrap_or(false));
    filter.conditions.iter().all(|condition| condition.holds(&facts, |_| is_wanted))
}

fn row(model: &Model, store: &Store, now: Nanos) -> StoreRow {
    let ago = |at: Nanos| (at.0 != 0).then(|| now.since(at));
    let sees = model.target.backend.sees();
    let site = model.sites.get(store.site);
    StoreRow {
        key: store.key,
        number: store.number,
        data: store.data,
        size: store.size,
        max_size: store.max_size,
        kind: store.kind,
        age: now.since(store.birth),
        survived: sees.collections.then(|| store.survived(&model.gc)),
        tid: store.tid,
        thread: model.thread_name(store.tid),
        stack: site.map_or(store.stack, |site| site.stack),
        site: model.site_label(store.site),
        via: site.and_then(|site| site.origin.via.clone()),
        placement: model.address_space.place(store.data),
        residency: store.residency.known().map(|known| StorePages {
            pages: known.pages,
            scanned: now.since(known.scanned_at),
            touched: ago(known.touched_at),
            grew: ago(known.grew_at),
            first_write: match known.first_touch {
                FirstTouch::Unknown => FirstWrite::Unknown,
                FirstTouch::Unseen => FirstWrite::Unseen,
                FirstTouch::At { at, is_in_kernel: true } => FirstWrite::ByKernel(now.since(at)),
                FirstTouch::At { at, .. } => FirstWrite::ByProgram(now.since(at)),
            },
            is_recycled: known.is_recycled,
        }),
    }
}

fn detail(model: &Model, key: StoreKey, now: Nanos) -> Option<StoreDetail> {
    let store = model.live.find(key.address).filter(|store| store.key == key)?;
    let site = model.sites.get(store.site)?;
    Some(StoreDetail {
        row: row(model, store, now),
        is_live: true,
        frames: Arc::clone(&site.frames),
        is_cut: site.is_cut,
        user_frame: site.origin.user_frame,
        app_frame: site.origin.app_frame,
        async_stack: site.async_stack.clone(),
        map: map(model, store, now),
    })
}

/// The pages of the store, if they were looked at where it is now.
fn map(model: &Model, store: &Store, now: Nanos) -> Option<(Nanos, Arc<StoreMap>)> {
    let (at, map) = model.residency.map.as_ref()?;
    let is_of_it = (map.key, map.start, map.len) == (store.key, store.data, store.size);
    is_of_it.then(|| (now.since(*at), Arc::clone(map)))
}

/// Deaths of unknown stores that cannot all be older than the attach, where nothing at all was born.
const N_UNKNOWN_DEATHS_MANY: u64 = 500;

fn health(model: &Model, interest: &Interest) -> Health {
    let counted =
        model.counters.iter().flat_map(|counters| DropReason::ALL.iter().zip(&counters.drops));
    let mut limits = interest.limits.clone();
    if model.sites.n_beyond_limit > 0 {
        limits.push(format!(
            "more than {MODEL_SITES_MAX} sites or {STACKS_MAX} stacks: {} stacks are in \"other sites\"",
            model.sites.n_beyond_limit
        ));
    }
    let n_beyond_limit = model.sites.async_origins.n_beyond_limit;
    if n_beyond_limit > 0 {
        limits.push(format!(
            "more than {ASYNC_STACKS_MAX} stacks began something asynchronous: {n_beyond_limit} more are no async origins"
        ));
    }
    let n_unknown = model.totals.n_destroyed_unknown;
    let n_small = model.counters.as_ref().map_or(0, |counters| counters.small_created().0);
    if model.totals.n_created == 0 && n_small == 0 && n_unknown >= N_UNKNOWN_DEATHS_MANY {
        limits.push(format!(
            "{n_unknown} stores were destroyed and none was seen coming, not even a small one: this build of Node creates them where there is no probe"
        ));
    }
    if model.freed.n_beyond_limit > 0 {
        limits.push(
            "memory of too many dead stores is still there: that of some is not told by site"
                .to_owned(),
        );
    }
    if model.address_space.n_beyond_limit > 0 {
        limits.push("too many mappings: the placement of some stores is unknown".to_owned());
    }
    let drops: Vec<_> = counted.filter(|(_, n)| **n > 0).map(|(reason, n)| (*reason, *n)).collect();
    if drops.iter().any(|(reason, _)| *reason == DropReason::LiveMapFull) {
        limits.push("the kernel's live map is full: further stores are not tracked".to_owned());
    }
    Health {
        n_lost: model.own.n_lost,
        n_reconciled: model.own.n_reconciled,
        n_closed_by_reconcile: model.own.n_closed_by_reconcile,
        drops,
        limits,
        frames: model.own.frames,
        resolve_p50: model.own.resolve_latency.quantile(0.5),
        resolve_p99: model.own.resolve_latency.quantile(0.99),
        cpu_share: model.own.cpu_share,
        rss: model.own.rss,
        coverage: model.own.coverage.filter(|share| *share < 1.0),
        notices: interest.notices.clone(),
    }
}
