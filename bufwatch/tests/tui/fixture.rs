//! A made-up target at any second of its life: the ingest service whose Map keeps 16-byte views of 10 MiB
//! chunks. The same second gives the same snapshot. Used by the tests and by the `dashboard` example.

use std::sync::Arc;

use bufwatch::analysis::query::{StoreQuery, StoreSort};
use bufwatch::analysis::snapshot::{
    CensusLog, FrameCounts, GcCounts, GcTotals, Health, History, Memory, Placement,
    ResidencyTotals, SiteRow, SmallTotals, Snapshot, StoreDetail, StoreRow, StoreTable,
    StoreTotals, Target, TargetState,
};
use bufwatch::base::{Bytes, Fidelity, Nanos, Series, StoreKey, Tid};
use bufwatch::event::{Backend, GcKind, StoreKind};
use bufwatch_common::DropReason;

#[path = "fixture_census.rs"]
pub(crate) mod census;
#[path = "fixture_memory.rs"]
pub(crate) mod memory;
#[path = "fixture_sites.rs"]
mod sites;

const MIB: u64 = 1 << 20;

fn stores(sites: &[SiteRow], second: u64) -> Vec<StoreRow> {
    let kinds = [StoreKind::Plain, StoreKind::Plain, StoreKind::Plain, StoreKind::Resizable];
    let mut rows = Vec::new();
    for site in sites {
        let n = site.tally.n_live.min(400);
        for i in 0..n {
            let number = site.stack.0 % 0x1000 * 1_000 + i + 1;
            let age = second * (n - i) / n.max(1);
            let data = 0x7f31_0000_0000 + number * 0x100_0000;
            let size = Bytes(site.tally.live_bytes.0 / site.tally.n_live.max(1));
            rows.push(StoreRow {
                key: StoreKey { address: 0x5581_0000 + number * 64, id: number as u32 },
                number,
                data,
                size,
                max_size: size,
                kind: match site.via.as_deref() {
                    Some("new WebAssembly.Memory") => StoreKind::Wasm,
                    Some("napi_create_external_buffer") => StoreKind::External,
                    _ => kinds[i as usize % kinds.len()],
                },
                age: Nanos(age * 1_000_000_000 + 300_000_000),
                survived: Some(GcCounts { n_minor: (age * 2) as u32, n_major: (age / 5) as u32 }),
                tid: Tid(4121 + (i % 3) as u32),
                thread: (i % 3 != 2)
                    .then(|| Arc::from(if i % 3 == 0 { "node" } else { "libuv-worker" })),
                stack: site.stack,
                site: Arc::clone(&site.label),
                via: site.via.clone(),
                residency: None,
                placement: match i % 4 {
                    0 | 1 => Placement::OwnMapping { start: data - 16, len: Bytes(size.0 + 4096) },
                    2 => Placement::MainHeap,
                    _ => Placement::Unknown,
                },
            });
        }
    }
    rows
}

/// As the ptrace backend shows it: no stacks, no collections, nothing of small stores.
pub(crate) fn sampled() -> Snapshot {
    let mut snapshot = usual();
    snapshot.target.backend = Backend::Ptrace;
    snapshot.gc = None;
    snapshot.stores.small = None;
    snapshot.memory.before_attach = None;
    (snapshot.sites, snapshot.n_sites_total) = (Arc::from([]), 0);
    (snapshot.groups, snapshot.n_groups_total) = (Arc::from([]), 0);
    let rows = snapshot.table.rows.iter().map(|row| StoreRow {
        survived: None,
        site: "(no stack)".into(),
        via: None,
        ..row.clone()
    });
    snapshot.table.rows = rows.collect();
    let mut history = (*snapshot.history).clone();
    history.gcs.clear();
    snapshot.history = Arc::new(history);
    snapshot
}

fn majors(row: &StoreRow) -> Option<u32> {
    row.survived.map(|it| it.n_major)
}

/// The answer to `query`, as the session would give it.
pub(crate) fn table(rows: Vec<StoreRow>, query: &StoreQuery) -> StoreTable {
    let mut rows: Vec<StoreRow> =
        rows.into_iter().filter(|row| query.filter.matches(row)).collect();
    rows.sort_by(|a, b| match query.sort {
        StoreSort::Size | StoreSort::InRam => b.size.cmp(&a.size),
        StoreSort::Age => b.age.cmp(&a.age),
        StoreSort::MajorsSurvived => majors(b).cmp(&majors(a)),
        StoreSort::Site => a.site.cmp(&b.site),
    });
    if query.is_ascending {
        rows.reverse();
    }
    let n_matched = rows.len() as u64;
    rows.truncate(query.limit);
    StoreTable { query: query.clone(), rows: rows.into(), n_matched }
}

fn history(second: u64) -> History {
    let new = || Series::new(250_000_000, 512);
    let (mut rss, mut array_buffers, mut v8_heap) = (new(), new(), new());
    let (mut live_bytes, mut created, mut destroyed) = (new(), new(), new());
    let mut gcs = Vec::new();
    for quarter in 0..second * 4 {
        let at = quarter * 250_000_000;
        let live = quarter * 11 * MIB + (quarter % 20) * 12 * MIB;
        live_bytes.push(at, live);
        array_buffers.push(at, live + 40 * MIB);
        rss.push(at, live + 480 * MIB);
        v8_heap.push(at, (180 + quarter % 24 * 6) * MIB);
        created.push(at, (180 + quarter % 9 * 17) * MIB);
        destroyed.push(at, if quarter % 20 > 16 { 640 * MIB } else { 20 * MIB });
        if quarter % 9 == 1 {
            gcs.push((Nanos(at), GcKind::Minor));
        }
        if quarter % 80 == 79 {
            gcs.push((Nanos(at), GcKind::Major));
        }
    }
    History {
        rss,
        array_buffers,
        v8_heap,
        live_bytes,
        created_bytes_per_s: created,
        destroyed_bytes_per_s: destroyed,
        gcs,
    }
}

fn detail(key: StoreKey, rows: &[StoreRow], sites: &[SiteRow]) -> Option<StoreDetail> {
    let row = rows.iter().find(|row| row.key == key)?.clone();
    let site = sites.iter().find(|site| site.stack == row.stack)?;
    Some(StoreDetail {
        map: None,
        async_stack: None,
        row,
        is_live: true,
        frames: Arc::clone(&site.frames),
        is_cut: site.is_cut,
        user_frame: site.user_frame,
        app_frame: site.app_frame,
    })
}

fn gc(history: &History, second: u64) -> GcTotals {
    let n = |kind| history.gcs.iter().filter(|(_, it)| *it == kind).count() as u64;
    GcTotals {
        n_minor: n(GcKind::Minor),
        n_major: n(GcKind::Major),
        last: Some(Nanos(2_300_000)),
        longest: Some(Nanos(41_000_000)),
        total: Nanos::from_millis(second * 9),
    }
}

/// The target after `second` seconds, its stores listed by `query`, with the detail of `key`.
pub(crate) fn snapshot(second: u64, query: &StoreQuery, key: Option<StoreKey>) -> Snapshot {
    let history = history(second);
    let sites = sites::sites(second);
    let groups = sites::groups(&sites);
    let rows = stores(&sites, second);
    let detail = key.and_then(|key| detail(key, &rows, &sites));
    let n_live = sites.iter().map(|site| site.tally.n_live).sum();
    let n_created = sites.iter().map(|site| site.tally.n_created).sum();
    let live_bytes = sites.iter().map(|site| site.tally.live_bytes).sum::<Bytes>();
    let created_bytes = sites.iter().map(|site| site.tally.created_bytes).sum::<Bytes>();
    Snapshot {
        census: CensusLog::default(),
        findings: Arc::from([]),
        taken_at: Nanos::from_secs(10_000 + second),
        elapsed: Nanos::from_secs(second),
        target: Target {
            backend: Backend::Ebpf,
            pid: 4121,
            inner_pid: None,
            container: None,
            command: "node ingest.js".to_owned(),
            node_version: Some("22.23.3".to_owned()),
            v8_version: Some("12.4.254.21".to_owned()),
            state: TargetState::Live,
            min_size: Bytes(65_536),
        },
        memory: Memory {
            rss: Some(live_bytes + Bytes(480 * MIB)),
            array_buffers: Some(live_bytes + Bytes(40 * MIB)),
            v8_heap: Some(Bytes(310 * MIB)),
            before_attach: Some(Bytes(40 * MIB)),
            before_attach_fidelity: Fidelity::Inferred,
            n_isolates: 3,
            split: None,
            residency: ResidencyTotals::default(),
            usage: None,
        },
        stores: StoreTotals {
            n_live,
            live_bytes,
            peak_bytes: live_bytes + Bytes(100 * MIB),
            n_created,
            created_bytes,
            n_destroyed: n_created - n_live,
            destroyed_bytes: created_bytes.saturating_sub(live_bytes),
            small: Some(SmallTotals {
                n_live: 5_012,
                live_bytes: Bytes(22 * MIB),
                n_created: 812_400,
                created_bytes: Bytes(3_100 * MIB),
            }),
            n_destroyed_unknown: 14,
            created_bytes_per_s: 232 * MIB,
            destroyed_bytes_per_s: 188 * MIB,
            n_created_per_s: 196.3,
        },
        gc: Some(gc(&history, second)),
        history: Arc::new(history),
        n_groups_total: groups.len(),
        groups: groups.into(),
        n_sites_total: sites.len(),
        sites: sites.into(),
        table: table(rows, query),
        freed: Arc::from([]),
        recent: bufwatch::analysis::snapshot::Recent::default(),
        rss_steps: Arc::from([]),
        detail,
        health: Health {
            resolve_p50: Some(Nanos::from_millis(2)),
            resolve_p99: Some(Nanos::from_millis(21)),
            cpu_share: Some(0.004),
            rss: Some(Bytes(31 * MIB)),
            frames: [(4_120, 33, 16), (3_921, 0, 4), (1_900, 0, 0), (2_103, 210, 0)].map(
                |(n, n_unresolved, n_approximate)| FrameCounts { n, n_unresolved, n_approximate },
            ),
            drops: vec![(DropReason::StoreNull, 12), (DropReason::DestroyedUnknown, 14)],
            ..Health::default()
        },
    }
}

/// The usual one: 3m41s in, by size.
pub(crate) fn usual() -> Snapshot {
    snapshot(221, &StoreQuery::default(), None)
}

/// The usual one after two censuses, of which the first was a minute ago, with findings.
pub(crate) fn judged() -> Snapshot {
    let query = StoreQuery::default();
    let first = census::take(&snapshot(160, &query, None), &CensusLog::default());
    let second = census::take(&snapshot(209, &query, None), &first);
    Snapshot { census: second, findings: census::findings().into(), ..usual() }
}

/// The usual one, of which it is known where it lies.
pub(crate) fn in_ram() -> Snapshot {
    memory::known(usual())
}

/// The same with everything wrong that can be.
pub(crate) fn lossy() -> Snapshot {
    let mut snapshot = usual();
    snapshot.health = Health {
        n_lost: 12_345,
        n_reconciled: 3,
        n_closed_by_reconcile: 87,
        drops: vec![(DropReason::RingFull, 12_345), (DropReason::StackUnreadable, 9)],
        limits: vec!["1,048,576 live stores: the rest is counted, not listed".to_owned()],
        notices: vec![
            "no probe for v8::internal::Heap::CollectGarbage in this binary: no GCs are shown, \
             and nothing is known of the GCs that stores survived"
                .to_owned(),
        ],
        ..snapshot.health
    };
    snapshot
}
