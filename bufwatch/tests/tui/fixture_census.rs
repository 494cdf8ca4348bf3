//! The census of the made-up target: what its stores are held by, and what is wrong with that. The same second gives the same census.

use std::sync::Arc;

use bufwatch::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use bufwatch::analysis::snapshot::{
    CensusFailure, CensusLog, JoinedCensus, SiteId, SiteRow, Snapshot, StoreRow, TracedSite,
    TracedStore,
};
use bufwatch::base::{Avma, Bytes, Nanos};
use bufwatch::event::census::{
    Census, Counts, Holder, HolderGroup, Isolate, Parent, ParentKind, Retained, Timing, View,
};

const MIB: u64 = 1 << 20;

/// Pool slabs that are older than the attach: no store was traced for them.
const N_SLABS: u64 = 120;
const SLAB: u64 = 8_192;

/// How the stores of a site are held: `[…]` is replaced by a key.
struct Hold {
    site: &'static str,
    path: &'static [&'static str],
    /// Type, offset and length of the views; a length of 0 is the whole store.
    views: &'static [(&'static str, u64, u64)],
}

#[rustfmt::skip]
const HOLDS: [Hold; 6] = [
    Hold { site: "onChunk", path: &["global ingest", ".sessions (SessionRegistry)", ".cache (Map)", "[…] (Buffer)"], views: &[("Buffer", 4_194_304, 16)] },
    Hold { site: "readBody", path: &["handle() /srv/ingest/server.js:118", "variable pending (Array)", "[…] (Buffer)"], views: &[("Buffer", 0, 0)] },
    Hold { site: "openTile", path: &["variable tiles (TileStore)", ".rows (Array)", "[…] (Float32Array)"], views: &[("Uint8Array", 0, 0), ("Float32Array", 131_072, 524_288), ("DataView", 917_504, 65_536)] },
    Hold { site: "Hasher.update", path: &["global hasher (Hasher)", ".memory (Memory)"], views: &[] },
    Hold { site: "toBuffer", path: &["native handle (sharp.node)"], views: &[("Buffer", 0, 0)] },
    Hold { site: "日本語", path: &["グローバル", ".変数 (キャッシュ)", "[…] (Uint8Array)"], views: &[("Uint8Array", 0, 49_152)] },
];

const SLAB_PATH: [&str; 4] =
    ["variable ids (IdTable)", ".slots (Array)", "[…] (Entry)", ".token (Buffer)"];

fn path(steps: &[&str], key: Option<usize>) -> Vec<String> {
    let keyed = |step: &&str| match key {
        Some(key) => step.replace("[…]", &format!("[\"key {key}\"]")),
        None => (*step).to_owned(),
    };
    steps.iter().map(keyed).collect()
}

fn views(hold: &Hold, size: u64) -> Vec<View> {
    let view = |(name, offset, length): &(&str, u64, u64)| View {
        type_name: Arc::from(*name),
        offset: *offset,
        length: Bytes(if *length == 0 { size } else { *length }),
    };
    hold.views.iter().map(view).collect()
}

fn parent(row: &StoreRow, n: usize) -> Option<(Parent, Vec<String>)> {
    let hold = HOLDS.iter().find(|hold| row.site.contains(hold.site))?;
    let views = views(hold, row.size.0);
    let covered = views.iter().map(|view| view.length).max().unwrap_or_default();
    let parent = Parent {
        address: Avma(row.data),
        size: row.size,
        kind: if hold.views.is_empty() { ParentKind::Wasm } else { ParentKind::Own },
        isolates: vec![0],
        n_views: views.len() as u64,
        views_bytes: views.iter().map(|view| view.length).sum(),
        covered,
        retained: Some(Retained { heap: Bytes(144), off_heap: row.size }),
        has_overlaps: views.len() > 1,
        has_aliases: views.len() > 1,
        views,
        holders: vec![Holder { path: path(hold.path, Some(n)), n_views: 1, ..Holder::default() }],
        ..Parent::default()
    };
    Some((parent, path(hold.path, None)))
}

/// A slab of Node's pool, of which a few small Buffers are left; two of three hold nothing else.
fn slab(n: u64) -> (Parent, Vec<String>) {
    let lengths = if n.is_multiple_of(3) { vec![24, 24, 1_024] } else { vec![24] };
    let views: Vec<View> = lengths
        .iter()
        .enumerate()
        .map(|(at, length)| View {
            type_name: Arc::from("Buffer"),
            offset: at as u64 * 2_048 + n % 7 * 64,
            length: Bytes(*length),
        })
        .collect();
    let parent = Parent {
        address: Avma(0x5610_0000 + n * SLAB),
        size: Bytes(SLAB),
        kind: ParentKind::Pool,
        isolates: vec![0],
        n_views: views.len() as u64,
        views_bytes: views.iter().map(|view| view.length).sum(),
        covered: views.iter().map(|view| view.length).sum(),
        views,
        holders: vec![Holder {
            path: path(&SLAB_PATH, Some(n as usize)),
            n_views: 1,
            ..Holder::default()
        }],
        ..Parent::default()
    };
    (parent, path(&SLAB_PATH, None))
}

fn groups(parents: &[(Parent, Vec<String>)]) -> Vec<HolderGroup> {
    let mut groups: Vec<HolderGroup> = Vec::new();
    for (parent, path) in parents {
        let known = groups.iter().position(|group| group.path == *path).unwrap_or_else(|| {
            groups.push(HolderGroup {
                path: path.clone(),
                is_by_application: !path[0].starts_with("native"),
                ..HolderGroup::default()
            });
            groups.len() - 1
        });
        let group = &mut groups[known];
        group.n_parents += 1;
        group.n_views += parent.n_views;
        group.bytes += parent.size;
        group.covered += parent.covered;
        // What native code holds hangs on no object.
        if group.is_by_application {
            let off_heap = group.bytes;
            let heap = Bytes(group.n_parents * 144);
            group.holder = Some(Arc::from("Map"));
            group.retained = Some(Retained { heap, off_heap });
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.bytes));
    groups
}

fn traced(row: &StoreRow, sites: &[SiteRow]) -> Option<TracedStore> {
    let site = sites.iter().find(|site| site.stack == row.stack)?;
    Some(TracedStore {
        key: row.key,
        number: row.number,
        age: row.age,
        n_major_survived: row.survived.map(|it| it.n_major),
        site: Some(Arc::new(TracedSite {
            id: SiteId::WITHOUT_STACK,
            group: site.group,
            label: Arc::clone(&site.label),
            via: site.via.clone(),
            frames: Arc::clone(&site.frames),
            user_frame: site.user_frame,
            app_frame: site.app_frame,
        })),
    })
}

/// What a census finds in the target at this moment.
fn join(snapshot: &Snapshot) -> JoinedCensus {
    let rows = snapshot.table.rows.iter().enumerate();
    let mut found: Vec<_> = rows
        .filter_map(|(n, row)| Some((parent(row, n)?, traced(row, &snapshot.sites))))
        .chain((0..N_SLABS).map(|n| (slab(n), None)))
        .collect();
    found.sort_by_key(|((parent, _), _)| std::cmp::Reverse(parent.size));
    let (parents, traced): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    let holders = groups(&parents);
    let parents: Vec<Parent> = parents.into_iter().map(|(parent, _)| parent).collect();
    let heap = Bytes(310 * MIB);
    let mut timing = Timing::default();
    (timing.stopped, timing.total) = (Nanos(61_300_000), Nanos(412_000_000));
    JoinedCensus {
        orphans: Vec::new(),
        taken_at: snapshot.taken_at,
        // Only known of a census without gaps.
        census: Arc::new(Census {
            isolates: vec![Isolate { heap_bytes: heap, ..Isolate::default() }],
            holders,
            timing,
            counts: Counts {
                heap_bytes: heap,
                n_objects: 2_310_000,
                n_live_objects: 1_804_112,
                live_bytes: parents.iter().map(|parent| parent.size).sum(),
                ..Counts::default()
            },
            gaps: vec!["2 threads were in the kernel and could not be stopped".to_owned()],
            parents,
        }),
        traced,
    }
}

/// Takes one of `snapshot`, after that of `log`.
pub(crate) fn take(snapshot: &Snapshot, log: &CensusLog) -> CensusLog {
    let joined = join(snapshot);
    let stopped = joined.census.timing.stopped;
    CensusLog {
        n_taken: log.n_taken + 1,
        longest_stop: log.longest_stop.max(stopped),
        total_stop: Nanos(log.total_stop.0 + stopped.0),
        previous: log.last.clone(),
        last: Some(Arc::new(joined)),
        ..CensusLog::default()
    }
}

/// The last try failed.
pub(crate) fn fail(snapshot: &mut Snapshot) {
    snapshot.census.failure = Some(CensusFailure {
        at: Nanos(snapshot.taken_at.0.saturating_sub(12_300_000_000)),
        message: "a garbage collection was under way at each of 5 stops".into(),
        hint: "try again when the process is less busy".into(),
    });
}

/// What detectors would say of it.
pub(crate) fn findings() -> Vec<Finding> {
    let words = |text: &str| text.to_owned();
    let pinned = Finding {
        kind: FindingKind::PinnedParent,
        confidence: Confidence::High,
        bytes: Bytes(9_812 * MIB),
        n_parents: 400,
        summary: words("400 stores of 10.0 MiB are kept alive by one 16-byte view each"),
        evidence: vec![
            words("400 parents of 10.0 MiB each have one live view, of 16 bytes"),
            words("16 of 10,485,760 bytes of each are viewed: <0.1 %"),
            words("the oldest is 3m41s old and survived 44 major GCs"),
        ],
        remedy: Remedy {
            words: words(
                "Store a copy of the 16 bytes. Buffer.from(view) copies into Node's pool, which pins a slab instead; \
                 Uint8Array.prototype.slice makes a store of its own.",
            ),
            code: Some(words(
                "const id = Uint8Array.prototype.slice.call(\n\tchunk, at, at + 16);",
            )),
        },
        site: Some("onChunk ingest.js:31".into()),
        via: Some("Buffer.concat".into()),
        holder: path(HOLDS[0].path, None),
        age: Some(Nanos::from_secs(221)),
        n_major_survived: Some(44),
    };
    let slabs = Finding {
        kind: FindingKind::PoolSlabPin,
        confidence: Confidence::Medium,
        bytes: Bytes(N_SLABS * SLAB * 9 / 10),
        n_parents: N_SLABS,
        summary: words("120 slabs of Node's pool are kept by 24-byte Buffers"),
        evidence: vec![words("1.3 Buffers are left in a slab on average")],
        remedy: Remedy { words: words("Use Buffer.allocUnsafeSlow for what is kept."), code: None },
        site: None,
        via: None,
        holder: path(&SLAB_PATH, None),
        age: None,
        n_major_survived: None,
    };
    let aliased = Finding {
        kind: FindingKind::AliasedViews,
        confidence: Confidence::Low,
        bytes: Bytes(0),
        n_parents: 55,
        summary: words("views of different types show the same bytes of 55 stores"),
        evidence: Vec::new(),
        holder: Vec::new(),
        ..slabs.clone()
    };
    vec![pinned, slabs, aliased]
}
