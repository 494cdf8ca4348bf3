//! A made-up target at any second of its life: the ingest service whose Map keeps 16-byte views of 10 MiB
//! chunks. The same second gives the same snapshot. Used by the tests and by the `dashboard` example.

use std::sync::Arc;

use bufwatch::analysis::query::{StoreQuery, StoreSort};
use bufwatch::analysis::snapshot::{
    FrameCounts, GcTotals, GroupId, Health, History, Memory, N_GC_BUCKETS, N_LIFETIME_BUCKETS,
    Placement, SiteRow, Snapshot, StoreDetail, StoreRow, StoreTable, StoreTotals, Target,
    TargetState,
};
use bufwatch::base::{Bytes, Fidelity, Nanos, Series, StackId, StoreKey, Tid};
use bufwatch::event::{Frame, FrameKind, GcKind, StoreKind};
use bufwatch_common::DropReason;

const MIB: u64 = 1 << 20;

fn frame(kind: FrameKind, function: &str, script: Option<(&str, u32)>) -> Frame {
    Frame {
        kind,
        function: Arc::from(function),
        script: script.map(|(script, _)| Arc::from(script)),
        line: script.map(|(_, line)| line),
        is_resolved: !function.starts_with("0x"),
        ..Frame::default()
    }
}

fn frames(innermost: &[Frame]) -> Arc<[Frame]> {
    let native = [
        frame(FrameKind::Native, "v8::ArrayBuffer::NewBackingStore", None),
        frame(FrameKind::Native, "node::Buffer::New", None),
        frame(FrameKind::Builtin, "Builtins_CallApiCallback", None),
    ];
    let outer = [
        frame(FrameKind::Js, "0x3f21c0a84b1 (js)", None),
        frame(FrameKind::Js, "Ingest.handle", Some(("/srv/ingest/server.js", 118))),
        frame(FrameKind::Node, "emit", Some(("node:events", 518))),
        frame(FrameKind::Node, "onStreamRead", Some(("node:internal/stream_base_commons", 191))),
        frame(FrameKind::Builtin, "Builtins_JSEntryTrampoline", None),
        frame(FrameKind::Native, "node::AsyncWrap::MakeCallback", None),
        frame(FrameKind::Native, "uv__stream_io", None),
        frame(FrameKind::Native, "uv_run", None),
        frame(FrameKind::Native, "node::NodeMainInstance::Run", None),
        frame(FrameKind::Native, "main", None),
    ];
    native.iter().chain(innermost).chain(&outer).cloned().collect()
}

struct SiteSpec {
    label: &'static str,
    via: Option<&'static str>,
    frame: (&'static str, &'static str, u32),
    size: u64,
    per_second: f64,
    /// Of its stores, how many of a thousand are never freed.
    kept_permille: u64,
    /// Bucket of the lifetime of the others.
    bucket: usize,
}

#[rustfmt::skip]
const SITES: [SiteSpec; 9] = [
    SiteSpec { label: "onChunk ingest.js:31", via: Some("Buffer.concat"), frame: ("onChunk", "/srv/ingest/ingest.js", 31), size: 10 * MIB, per_second: 4.4, kept_permille: 980, bucket: 8 },
    SiteSpec { label: "readBody http.js:88", via: Some("Buffer.allocUnsafe"), frame: ("readBody", "/srv/ingest/http.js", 88), size: 2_400_000, per_second: 61.0, kept_permille: 4, bucket: 7 },
    SiteSpec { label: "compress gzip.js:12", via: Some("zlib.gzipSync"), frame: ("compress", "/srv/ingest/gzip.js", 12), size: 65_536 * 4, per_second: 118.0, kept_permille: 0, bucket: 5 },
    SiteSpec { label: "openTile tiles.js:204", via: Some("ArrayBuffer"), frame: ("openTile", "/srv/ingest/tiles.js", 204), size: MIB, per_second: 0.6, kept_permille: 410, bucket: 10 },
    SiteSpec { label: "0x3f21c0a84b1 (js)", via: None, frame: ("0x3f21c0a84b1 (js)", "", 0), size: 131_072, per_second: 9.0, kept_permille: 0, bucket: 3 },
    SiteSpec { label: "Hasher.update hasher.js:57", via: Some("WebAssembly.Memory"), frame: ("Hasher.update", "/srv/ingest/hasher.js", 57), size: 16 * MIB, per_second: 0.01, kept_permille: 1_000, bucket: 0 },
    SiteSpec { label: "readFile node:fs:373", via: Some("fs.readFileSync"), frame: ("readFileSync", "node:fs", 373), size: 812_000, per_second: 2.0, kept_permille: 0, bucket: 6 },
    SiteSpec { label: "日本語ファイル.js:7 の関数", via: None, frame: ("の関数", "/srv/日本語ファイル.js", 7), size: 98_304, per_second: 1.0, kept_permille: 20, bucket: 6 },
    SiteSpec { label: "napi_create_external_buffer", via: Some("sharp.node"), frame: ("toBuffer", "/srv/ingest/node_modules/sharp/lib/output.js", 143), size: 5 * MIB, per_second: 0.3, kept_permille: 100, bucket: 9 },
];

fn site(n: usize, spec: &SiteSpec, second: u64) -> SiteRow {
    let n_created = (spec.per_second * second as f64) as u64;
    let n_kept = (n_created * spec.kept_permille).div_ceil(1_000);
    let n_young = (n_created - n_kept).min((spec.per_second * 0.8) as u64);
    let n_live = n_kept + n_young;
    let n_freed = n_created - n_live;
    let mut lifetimes = [0; N_LIFETIME_BUCKETS];
    let mut majors_survived = [0; N_GC_BUCKETS];
    for (distance, part) in [(0, 6), (1, 3), (2, 1)] {
        lifetimes[spec.bucket.saturating_sub(distance)] += n_freed * part / 10;
    }
    majors_survived[0] = n_freed * 9 / 10;
    majors_survived[1] = n_freed / 10;
    let (function, script, line) = spec.frame;
    let script = (!script.is_empty()).then_some((script, line));
    SiteRow {
        stack: StackId(0x1000 + n as u64),
        frames: frames(&[frame(FrameKind::Js, function, script)]),
        is_cut: n == 3,
        group: GroupId(n as u32),
        user_frame: Some(3),
        app_frame: Some(3),
        label: Arc::from(spec.label),
        via: spec.via.map(Arc::from),
        n_live,
        live_bytes: Bytes(n_live * spec.size),
        peak_bytes: Bytes((n_live + n_young) * spec.size),
        n_created,
        created_bytes: Bytes(n_created * spec.size),
        created_bytes_per_s: (spec.per_second * spec.size as f64) as u64,
        n_created_per_s: spec.per_second,
        lifetimes,
        majors_survived,
        survival: (n_created > 10).then(|| spec.kept_permille as f64 / 1_000.0),
    }
}

fn stores(sites: &[SiteRow], second: u64) -> Vec<StoreRow> {
    let kinds = [StoreKind::Plain, StoreKind::Plain, StoreKind::Plain, StoreKind::Resizable];
    let mut rows = Vec::new();
    for site in sites {
        let n = site.n_live.min(400);
        for i in 0..n {
            let number = site.stack.0 % 0x1000 * 1_000 + i + 1;
            let age = second * (n - i) / n.max(1);
            let data = 0x7f31_0000_0000 + number * 0x100_0000;
            let size = Bytes(site.live_bytes.0 / site.n_live.max(1));
            rows.push(StoreRow {
                key: StoreKey { address: 0x5581_0000 + number * 64, id: number as u32 },
                number,
                data,
                size,
                max_size: size,
                kind: match site.via.as_deref() {
                    Some("WebAssembly.Memory") => StoreKind::Wasm,
                    Some("sharp.node") => StoreKind::External,
                    _ => kinds[i as usize % kinds.len()],
                },
                age: Nanos(age * 1_000_000_000 + 300_000_000),
                n_minor_survived: (age * 2) as u32,
                n_major_survived: (age / 5) as u32,
                tid: Tid(4121 + (i % 3) as u32),
                thread: (i % 3 != 2)
                    .then(|| Arc::from(if i % 3 == 0 { "node" } else { "libuv-worker" })),
                stack: site.stack,
                site: Arc::clone(&site.label),
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

/// The answer to `query`, as the session would give it.
pub(crate) fn table(rows: Vec<StoreRow>, query: &StoreQuery) -> StoreTable {
    let mut rows: Vec<StoreRow> =
        rows.into_iter().filter(|row| query.filter.matches(row)).collect();
    rows.sort_by(|a, b| match query.sort {
        StoreSort::Size => b.size.cmp(&a.size),
        StoreSort::Age => b.age.cmp(&a.age),
        StoreSort::MajorsSurvived => b.n_major_survived.cmp(&a.n_major_survived),
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

/// The target after `second` seconds, its stores listed by `query`, with the detail of `key`.
pub(crate) fn snapshot(second: u64, query: &StoreQuery, key: Option<StoreKey>) -> Snapshot {
    let history = history(second);
    let mut sites: Vec<SiteRow> =
        SITES.iter().enumerate().map(|(n, spec)| site(n, spec, second)).collect();
    sites.sort_by_key(|site| std::cmp::Reverse(site.live_bytes));
    let rows = stores(&sites, second);
    let detail = key.and_then(|key| {
        let row = rows.iter().find(|row| row.key == key)?.clone();
        let site = sites.iter().find(|site| site.stack == row.stack)?;
        let (frames, label) = (Arc::clone(&site.frames), Arc::clone(&site.label));
        Some(StoreDetail { row, is_live: true, frames, is_cut: site.is_cut, label })
    });
    let n_live = sites.iter().map(|site| site.n_live).sum();
    let n_created = sites.iter().map(|site| site.n_created).sum();
    let live_bytes = sites.iter().map(|site| site.live_bytes).sum::<Bytes>();
    let created_bytes = sites.iter().map(|site| site.created_bytes).sum::<Bytes>();
    Snapshot {
        taken_at: Nanos::from_secs(10_000 + second),
        elapsed: Nanos::from_secs(second),
        target: Target {
            pid: 4121,
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
        },
        stores: StoreTotals {
            n_live,
            live_bytes,
            peak_bytes: live_bytes + Bytes(100 * MIB),
            n_created,
            created_bytes,
            n_destroyed: n_created - n_live,
            destroyed_bytes: created_bytes.saturating_sub(live_bytes),
            n_small_live: 5_012,
            small_live_bytes: Bytes(22 * MIB),
            n_small_created: 812_400,
            small_created_bytes: Bytes(3_100 * MIB),
            n_destroyed_unknown: 14,
            created_bytes_per_s: 232 * MIB,
            destroyed_bytes_per_s: 188 * MIB,
            n_created_per_s: 196.3,
        },
        gc: GcTotals {
            n_minor: history.gcs.iter().filter(|(_, kind)| *kind == GcKind::Minor).count() as u64,
            n_major: history.gcs.iter().filter(|(_, kind)| *kind == GcKind::Major).count() as u64,
            last: Some(Nanos(2_300_000)),
            longest: Some(Nanos(41_000_000)),
            total: Nanos::from_millis(second * 9),
        },
        history: Arc::new(history),
        n_sites_total: sites.len(),
        sites: sites.into(),
        table: table(rows, query),
        detail,
        health: Health {
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
