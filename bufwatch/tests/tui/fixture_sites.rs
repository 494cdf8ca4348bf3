//! The sites of the made-up target: real stacks, shortened, and what came from them.

use std::sync::Arc;

use bufwatch::analysis::snapshot::{
    GroupId, GroupRow, Heaviest, N_GC_BUCKETS, N_LIFETIME_BUCKETS, SiteId, SiteRow, TallyRow,
};
use bufwatch::base::{Bytes, StackId};
use bufwatch::event::{Frame, FrameKind, OriginalPlace};
use bufwatch::model::origin::Origin;

const MIB: u64 = 1 << 20;

/// A frame from one line: its kind, the function, and where it is; `~` before a line that is approximate.
fn frame(text: &str) -> Frame {
    let (kind, rest) = text.split_once(' ').unwrap_or(("native", text));
    let kind = match kind {
        "js" => FrameKind::Js,
        "node" => FrameKind::Node,
        "builtin" => FrameKind::Builtin,
        _ => FrameKind::Native,
    };
    let is_resolved = !rest.ends_with("(unresolved)");
    let place = rest.rsplit_once(' ').filter(|(_, place)| is_resolved && place.contains(':'));
    let Some((function, place)) = place.filter(|_| kind != FrameKind::Native) else {
        return Frame { kind, function: Arc::from(rest), is_resolved, ..Frame::default() };
    };
    let (script, line) = place.rsplit_once(':').unwrap_or((place, ""));
    Frame {
        kind,
        function: Arc::from(function),
        script: Some(Arc::from(script)),
        line: line.trim_start_matches('~').parse().ok(),
        column: (kind == FrameKind::Js).then_some(9),
        is_approximate: line.starts_with('~'),
        original: (script == "/srv/ingest/dist/bundle.js").then(|| {
            Arc::new(OriginalPlace {
                source: Arc::from("../src/tiles.ts"),
                line: 204,
                column: 5,
                name: None,
            })
        }),
        is_resolved,
    }
}

const ATTACH: &str = "native v8::internal::JSArrayBuffer::Attach";

/// What called the code that allocates.
const REQUEST: &[&str] = &[
    "js Ingest.handle /srv/ingest/server.js:118",
    "js Layer.handle [as handle_request] /srv/ingest/node_modules/express/lib/router/layer.js:95",
    "js next /srv/ingest/node_modules/express/lib/router/index.js:~284",
    "node emit node:events:518",
    "node parserOnIncoming node:_http_server:1139",
    "builtin JSEntryTrampoline",
    "native node::http_parser::Parser::on_headers_complete",
    "native uv__read",
    "native uv_run",
];

const DATA: &[&str] = &[
    "js (anonymous) /srv/ingest/server.js:131",
    "node emit node:events:518",
    "node addChunk node:internal/streams/readable:561",
    "node onStreamRead node:internal/stream_base_commons:191",
    "builtin JSEntryTrampoline",
    "native node::AsyncWrap::MakeCallback",
    "native uv__stream_io",
    "native uv_run",
];

const TICK: &[&str] = &[
    "node processTicksAndRejections node:internal/process/task_queues:105",
    "builtin JSRunMicrotasksEntry",
    "native uv_run",
];

const READ: &[&str] =
    &["native node::LibuvStreamWrap::OnUvRead", "native uv__read", "native uv_run"];

struct SiteSpec {
    /// Innermost first: from the allocation to the line of the application.
    inner: &'static [&'static str],
    outer: &'static [&'static str],
    size: u64,
    per_second: f64,
    /// Of its stores, how many of a thousand are never freed.
    kept_permille: u64,
    /// Bucket of the lifetime of the others.
    bucket: usize,
}

#[rustfmt::skip]
const SITES: [SiteSpec; 12] = [
    SiteSpec { inner: &[ATTACH, "node allocate node:buffer:460", "node concat node:buffer:612", "js onChunk /srv/ingest/ingest.js:31"], outer: DATA, size: 10 * MIB, per_second: 3.6, kept_permille: 980, bucket: 8 },
    SiteSpec { inner: &[ATTACH, "node allocate node:buffer:460", "node concat node:buffer:612", "js onChunk /srv/ingest/ingest.js:31"], outer: REQUEST, size: 10 * MIB, per_second: 0.8, kept_permille: 970, bucket: 8 },
    SiteSpec { inner: &[ATTACH, "node createUnsafeBuffer node:internal/buffer:1089", "node allocUnsafe node:buffer:396", "js readBody file:///srv/ingest/http.mjs:88"], outer: REQUEST, size: 2_400_000, per_second: 61.0, kept_permille: 4, bucket: 7 },
    SiteSpec { inner: &[ATTACH, "node processChunkSync node:zlib:440", "node zlibBufferSync node:zlib:170", "node syncBufferWrapper node:zlib:757", "js compress /srv/ingest/gzip.js:~12"], outer: TICK, size: 65_536 * 4, per_second: 118.0, kept_permille: 0, bucket: 5 },
    SiteSpec { inner: &[ATTACH, "builtin ArrayBufferConstructor", "builtin JSBuiltinsConstructStub", "js openTile /srv/ingest/dist/bundle.js:1"], outer: REQUEST, size: MIB, per_second: 0.6, kept_permille: 410, bucket: 10 },
    SiteSpec { inner: &[ATTACH, "builtin TypedArrayConstructor", "js js#41:7 (unresolved)"], outer: TICK, size: 131_072, per_second: 9.0, kept_permille: 0, bucket: 3 },
    SiteSpec { inner: &[ATTACH, "native v8::internal::wasm::WebAssemblyMemory", "builtin CallApiCallbackGeneric", "js Hasher.update /srv/ingest/hasher.js:57", "js walk /srv/ingest/hasher.js:80", "js walk /srv/ingest/hasher.js:80", "js walk /srv/ingest/hasher.js:80"], outer: TICK, size: 16 * MIB, per_second: 0.01, kept_permille: 1_000, bucket: 0 },
    SiteSpec { inner: &[ATTACH, "node tryCreateBuffer node:fs:412", "node readFileSync node:fs:442", "js loadConfig /srv/ingest/config.js:9"], outer: TICK, size: 812_000, per_second: 1.5, kept_permille: 0, bucket: 6 },
    SiteSpec { inner: &[ATTACH, "builtin TypedArrayPrototypeSlice", "js の関数 /srv/日本語ファイル.js:7"], outer: TICK, size: 98_304, per_second: 1.0, kept_permille: 20, bucket: 6 },
    SiteSpec { inner: &[ATTACH, "native node::Buffer::New", "native napi_create_external_buffer", "native sharp.node+0x4a10", "js toBuffer /srv/ingest/node_modules/sharp/lib/output.js:143"], outer: REQUEST, size: 5 * MIB, per_second: 0.3, kept_permille: 100, bucket: 9 },
    SiteSpec { inner: &[ATTACH, "native node::EmitToJSStreamListener::OnStreamRead"], outer: READ, size: 65_536, per_second: 40.0, kept_permille: 0, bucket: 4 },
    SiteSpec { inner: &[ATTACH, "node allocUnsafeSlow node:buffer:420", "node readFileAfterStat node:fs:300"], outer: &["builtin JSEntryTrampoline", "native node::fs::FSReqCallback::Resolve", "native uv_run"], size: 700_000, per_second: 0.5, kept_permille: 0, bucket: 6 },
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
    let frames: Arc<[Frame]> =
        spec.inner.iter().chain(spec.outer).map(|text| frame(text)).collect();
    let origin = Origin::of(&frames);
    SiteRow {
        id: SiteId::WITHOUT_STACK,
        async_stack: None,
        stack: StackId(0x1000 + n as u64),
        frames,
        is_cut: n == 4,
        // The first two are one line.
        group: GroupId(n.saturating_sub(1) as u32),
        user_frame: origin.user_frame,
        app_frame: origin.app_frame,
        label: origin.label,
        via: origin.via,
        tally: TallyRow {
            live: bufwatch::analysis::snapshot::LiveFacts::default(),
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
            resident: None,
        },
    }
}

/// The lines of the sites, which are by live bytes already.
pub(crate) fn groups(sites: &[SiteRow]) -> Vec<GroupRow> {
    let mut groups: Vec<GroupRow> = Vec::new();
    for site in sites {
        if let Some(group) = groups.iter_mut().find(|group| group.id == site.group) {
            let (sum, other) = (&mut group.tally, &site.tally);
            sum.n_live += other.n_live;
            sum.live_bytes += other.live_bytes;
            sum.peak_bytes += other.peak_bytes;
            sum.n_created += other.n_created;
            sum.created_bytes += other.created_bytes;
            sum.created_bytes_per_s += other.created_bytes_per_s;
            sum.n_created_per_s += other.n_created_per_s;
            for (bucket, n) in sum.lifetimes.iter_mut().zip(other.lifetimes) {
                *bucket += n;
            }
            for (bucket, n) in sum.majors_survived.iter_mut().zip(other.majors_survived) {
                *bucket += n;
            }
            group.n_sites += 1;
            continue;
        }
        groups.push(GroupRow {
            id: site.group,
            label: Arc::clone(&site.label),
            via: site.via.clone(),
            n_sites: 1,
            tally: site.tally.clone(),
            survivors: Arc::from([]),
            heaviest: Heaviest {
                async_stack: None,
                stack: site.stack,
                frames: Arc::clone(&site.frames),
                is_cut: site.is_cut,
                user_frame: site.user_frame,
                app_frame: site.app_frame,
            },
        });
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.tally.live_bytes));
    groups
}

/// By live bytes.
pub(crate) fn sites(second: u64) -> Vec<SiteRow> {
    let mut sites: Vec<SiteRow> =
        SITES.iter().enumerate().map(|(n, spec)| site(n, spec, second)).collect();
    sites.sort_by_key(|site| std::cmp::Reverse(site.tally.live_bytes));
    sites
}
