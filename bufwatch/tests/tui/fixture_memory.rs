//! Where the memory of the made-up target lies: RSS by what it is for, its steps, and what is kept of freed memory.

use std::sync::Arc;

use bufwatch::analysis::snapshot::{
    CauseKind, FreedRow, HeapNumbers, MemoryUsage, Recent, RssStepRow, Snapshot, StepCauseRow,
    StorePages, StoreRow,
};
use bufwatch::base::{Bytes, Nanos};
use bufwatch::event::SpaceChanges;
use bufwatch::event::residency::{
    AllocatorSurvey, MapRun, PageBytes, PagePlace, RssPart, RssSplit, StoreMap,
};

const MIB: u64 = 1 << 20;

const PARTS: [(RssPart, u64); 12] = [
    (RssPart::StoresMapped, 9_472),
    (RssPart::StoresInAllocator, 61),
    (RssPart::AllocatorFree, 390),
    (RssPart::AllocatorOther, 48),
    (RssPart::V8Young, 16),
    (RssPart::V8Old, 180),
    (RssPart::V8Code, 6),
    (RssPart::V8Large, 12),
    (RssPart::V8Other, 3),
    (RssPart::Growable, 4),
    (RssPart::Stacks, 1),
    (RssPart::Binaries, 45),
];

/// As it was `ago` seconds before.
fn split(ago: u64) -> RssSplit {
    let mut split = RssSplit { is_allocator_known: true, ..RssSplit::default() };
    for (part, mib) in PARTS {
        let less = if part == RssPart::StoresMapped { ago * 44 } else { 0 };
        let more = if part == RssPart::AllocatorFree && ago > 20 { 200 } else { 0 };
        split.add(part, Bytes((mib - less - more) * MIB));
    }
    split.rss = split.total() + Bytes(2 * MIB);
    split.untouched = Bytes(1_340 * MIB);
    split.swapped = Bytes(8 * MIB);
    split.survey = AllocatorSurvey { n_arenas: 4, ..AllocatorSurvey::default() };
    split
}

fn step(ago: u64, rss: u64, delta: i64, text: &str, causes: Vec<StepCauseRow>) -> RssStepRow {
    RssStepRow {
        ago: Nanos::from_secs(ago),
        took: Nanos::from_secs(1),
        rss: Bytes(rss * MIB),
        delta: delta * MIB as i64,
        text: text.to_owned(),
        causes,
        unexplained: 0,
        created: Bytes(50 * MIB),
        asked: SpaceChanges { heap_shrunk: Bytes(4 * MIB), ..SpaceChanges::default() },
    }
}

fn cause(kind: CauseKind, mib: i64, site: Option<&str>, n_stores: Option<u64>) -> StepCauseRow {
    StepCauseRow {
        kind,
        bytes: mib * MIB as i64,
        site: site.map(Arc::from),
        n_stores,
        store: n_stores.map(|_| 812),
    }
}

fn steps() -> Vec<RssStepRow> {
    let old = (0..12).map(|n| {
        let text = "+20.0 MiB: V8 heap grew";
        step(200 - n * 2, 900 + n * 20, 20, text, vec![cause(CauseKind::V8, 20, None, None)])
    });
    let by = Some("onChunk ingest.js:31");
    let first = "+48.0 MiB: first write to store #812 (50.0 MiB, made 3m01s before by onChunk ingest.js:31)";
    let freed = "\u{2212}10.0 MiB: \u{2212}400 MiB 400 stores of readBody http.mjs:88 (the largest #812 of 1.00 MiB, made 12.0 s before) freed; +390 MiB memory of freed stores of readBody http.mjs:88 that was not given back to the kernel";
    let body = Some("readBody http.mjs:88");
    let new = [
        step(61, 4_000, 48, first, vec![cause(CauseKind::FirstWrite, 48, by, Some(1))]),
        step(
            20,
            9_000,
            -10,
            freed,
            vec![
                cause(CauseKind::Freed, -400, body, Some(400)),
                cause(CauseKind::Kept, 390, body, Some(0)),
            ],
        ),
    ];
    old.chain(new).collect()
}

fn pages(n: usize, row: &StoreRow) -> Option<StorePages> {
    let ago = |seconds| Some(Nanos::from_secs(seconds));
    let resident = |bytes| PageBytes { resident: Bytes(bytes), ..PageBytes::default() };
    let (pages, touched, is_recycled) = match n % 5 {
        0 => (resident(row.size.0), ago(9), false),
        1 => (resident(row.size.0 / 10), ago(42), false),
        2 => (PageBytes { zero: Bytes(40_960), ..PageBytes::default() }, None, false),
        3 => (resident(row.size.0), None, true),
        _ => return None,
    };
    let scanned = Nanos::from_millis(400);
    Some(StorePages {
        pages,
        scanned,
        touched,
        grew: touched,
        is_recycled,
        ..StorePages::default()
    })
}

/// Written from its start, with holes, and read at its end.
pub(crate) fn map(row: &StoreRow) -> StoreMap {
    let page = 4_096;
    let run = |first: u64, n: u64, place| MapRun { offset: first * page, len: n * page, place };
    let holes = (0..40).map(|n| run(1_000 + n * 10, 3, PagePlace::InRam));
    let runs = [run(0, 900, PagePlace::InRam), run(940, 30, PagePlace::Swapped)].into_iter();
    let read = run(2_200, 300, PagePlace::Zero);
    StoreMap {
        key: row.key,
        start: row.data,
        len: row.size,
        runs: runs.chain(holes).chain([read]).collect(),
        known: row.size,
    }
}

pub(crate) fn known(mut snapshot: Snapshot) -> Snapshot {
    let now = snapshot.taken_at;
    let newest = split(0);
    snapshot.memory.rss = Some(newest.rss);
    snapshot.memory.split = Some((Nanos::from_millis(400), newest));
    let numbers = |factor: u64| HeapNumbers {
        total: Bytes(218 * MIB * factor),
        used_min: Bytes(182 * MIB * factor),
        used_max: Bytes(189 * MIB * factor),
        external: Some(Bytes(9_500 * MIB)),
        array_buffers: Some(Bytes(9_490 * MIB)),
    };
    snapshot.memory.usage = Some(MemoryUsage {
        age: Nanos::from_millis(400),
        rss: Some(newest.rss + Bytes(262_144)),
        main: Some(numbers(1)),
        all: numbers(2),
        n_isolates: 3,
    });
    let splits = (0..50).rev().map(|ago| (now.since(Nanos::from_secs(ago)), split(ago)));
    snapshot.recent = Recent { splits: splits.collect(), ..Recent::default() };
    snapshot.rss_steps = steps().into();
    let freed = snapshot.groups.iter().skip(1).take(3).zip([240, 120, 30]);
    snapshot.freed = freed
        .map(|(group, mib)| FreedRow {
            group: group.id,
            site: Arc::clone(&group.label),
            via: group.via.clone(),
            resident: Bytes(mib * MIB),
        })
        .collect();
    let mut rows = snapshot.table.rows.to_vec();
    for (n, row) in rows.iter_mut().enumerate() {
        row.residency = pages(n, row);
    }
    snapshot.table.rows = rows.into();
    if let Some(detail) = &mut snapshot.detail {
        detail.row.residency = pages(1, &detail.row);
    }
    let mut groups = snapshot.groups.to_vec();
    for (n, group) in groups.iter_mut().enumerate() {
        group.tally.resident = (n != 2).then(|| Bytes(group.tally.live_bytes.0 / (n as u64 + 1)));
    }
    snapshot.groups = groups.into();
    snapshot
}
