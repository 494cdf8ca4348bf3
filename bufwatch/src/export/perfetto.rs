//! A recording as a Perfetto trace, for ui.perfetto.dev: memory as counters, collections and lives of stores as slices, censuses and findings
//! as instants. In bounded memory, however long the recording is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::base::text::count;
use crate::base::{Bytes, FastMap, sanitize};
use crate::event::GcKind;
use crate::event::recorded::RecordedGc;
use crate::event::residency::RssPart;
use crate::export::perfetto_track::{Note, Packets, Track};
use crate::recording::Reader;
use crate::recording::series::{FindingPoint, MemoryPoint, StoreLife};
use crate::recording::stream::StreamError;

/// Stores that get a slice, the largest: a reader lays out each on a track of its own.
pub const STORES_MAX: u64 = 20_000;

/// What readers take times for that name no clock (`BUILTIN_CLOCK_BOOTTIME`); ours are of `CLOCK_MONOTONIC`, which differs only if the
/// machine was suspended.
const CLOCK: u32 = 6;

/// `BUILTIN_CLOCK_REALTIME`.
const WALL_CLOCK: u32 = 1;

const PROCESS: Track = Track(1);
const EVENTS: Track = Track(2);
const STORES: Track = Track(3);
const PARTS: Track = Track(4);

/// The first of the parts of RSS, of threads by their tid, and of stores by their number.
const FIRST_PART: u64 = 0x100;
const FIRST_THREAD: u64 = 1 << 32;
const FIRST_STORE: u64 = 1 << 40;

type Value = fn(&MemoryPoint) -> Option<u64>;

/// Counters of the process: number, name, whether it is bytes, value.
const COUNTERS: [(Track, &str, bool, Value); 7] = [
    (Track(0x10), "RSS", true, |it| it.rss.map(|it| it.0)),
    (Track(0x11), "arrayBuffers", true, |it| it.array_buffers.map(|it| it.0)),
    (Track(0x12), "V8 heap (resident)", true, |it| it.v8_heap.map(|it| it.0)),
    (Track(0x13), "live stores", true, |it| Some(it.live_bytes.0)),
    (Track(0x14), "small live stores", true, |it| it.small_live_bytes.map(|it| it.0)),
    (Track(0x15), "number of live stores", false, |it| Some(it.n_live)),
    (Track(0x16), "lost records", false, |it| Some(it.n_lost)),
];

pub fn write(reader: &Reader, out: &mut dyn Write) -> Result<(), StreamError> {
    let mut packets = Packets::new(out);
    reader.of_one_state(|| {
        head(reader, &mut packets)?;
        memory(reader, &mut packets)?;
        parts(reader, &mut packets)?;
        collections(reader, &mut packets)?;
        events(reader, &mut packets)?;
        stores(reader, &mut packets)
    })
}

fn head(reader: &Reader, packets: &mut Packets<'_>) -> io::Result<()> {
    let about = &reader.about;
    if let Some(wall) = about.started_unix {
        packets.clocks(&[(CLOCK, about.started_at.0), (WALL_CLOCK, wall.0)])?;
    }
    packets.process(PROCESS, about.target.pid, &sanitize(&about.target.command))?;
    COUNTERS.iter().try_for_each(|(track, name, is_bytes, _)| {
        packets.counter(*track, PROCESS, name, *is_bytes)
    })
}

/// A counter keeps its value until the next: what has not changed is not said again.
fn memory(reader: &Reader, packets: &mut Packets<'_>) -> Result<(), StreamError> {
    let mut told: BTreeMap<Track, u64> = BTreeMap::new();
    reader.each_memory(|point| {
        for (track, _, _, value) in &COUNTERS {
            if let Some(value) = value(&point).filter(|value| told.get(track) != Some(value)) {
                told.insert(*track, value);
                packets.value(point.at.0, *track, value)?;
            }
        }
        Ok(())
    })
}

fn parts(reader: &Reader, packets: &mut Packets<'_>) -> Result<(), StreamError> {
    packets.named(PARTS, PROCESS, "RSS by what it is for")?;
    let mut known = BTreeSet::new();
    reader.each_rss_part(|(at, name, bytes)| {
        let Some(part) = RssPart::ALL.into_iter().find(|part| part.name() == name) else {
            return Ok(());
        };
        let track = Track(FIRST_PART + part as u64);
        if known.insert(track) {
            packets.counter(track, PARTS, part.title(), true)?;
        }
        packets.value(at.0, track, bytes.0)
    })
}

fn collections(reader: &Reader, packets: &mut Packets<'_>) -> Result<(), StreamError> {
    let process = (PROCESS, reader.about.target.pid);
    let names: FastMap<u32, String> =
        reader.threads().iter().map(|it| (it.tid.0, sanitize(&it.name))).collect();
    let mut known = BTreeSet::new();
    reader.each_gc(|RecordedGc { tid, at, pause, kind, .. }| {
        let track = Track(FIRST_THREAD + u64::from(tid.0));
        if known.insert(track) {
            packets.thread(track, process, tid.0, names.get(&tid.0).map(String::as_str))?;
        }
        let name = match kind {
            GcKind::Minor => "minor GC",
            GcKind::Major => "major GC",
        };
        let span = (at.0.saturating_sub(pause.0), Some(at.0));
        packets.slice(span, track, ("gc", name), Vec::new())
    })
}

/// Censuses, and findings when they are told for the first time.
fn events(reader: &Reader, packets: &mut Packets<'_>) -> Result<(), StreamError> {
    packets.named(EVENTS, PROCESS, "censuses and findings")?;
    reader.each_census(|census| {
        let notes = vec![
            Note::Number("stopped for, ns", census.stopped.0),
            Note::Number("live array buffers", census.n_parents),
            Note::Number("live bytes", census.live_bytes.0),
        ];
        packets.instant(census.stopped_at.0, EVENTS, ("census", "census"), notes)
    })?;
    // Kind and site of those that were told last, and are being told.
    let (mut before, mut now) = (BTreeSet::new(), BTreeSet::new());
    let mut told_at = None;
    reader.each_finding(|finding| {
        if told_at.replace(finding.at) != Some(finding.at) {
            before = std::mem::take(&mut now);
        }
        if finding.is_none {
            return Ok(());
        }
        let key = (finding.kind.clone(), finding.site.clone());
        let is_new = !before.contains(&key);
        if now.insert(key) && is_new { found(&finding, packets) } else { Ok(()) }
    })
}

fn found(finding: &FindingPoint, packets: &mut Packets<'_>) -> io::Result<()> {
    let mut notes = vec![
        Note::Text("summary", sanitize(&finding.summary)),
        Note::Number("bytes", finding.bytes.0),
        Note::Text("confidence", sanitize(&finding.confidence)),
        Note::Text("remedy", sanitize(&finding.remedy)),
    ];
    notes.extend(finding.site.as_ref().map(|site| Note::Text("site", sanitize(site))));
    packets.instant(finding.at.0, EVENTS, ("finding", &sanitize(&finding.kind)), notes)
}

fn stores(reader: &Reader, packets: &mut Packets<'_>) -> Result<(), StreamError> {
    let n = reader.n_stores()?;
    let name = if n > STORES_MAX {
        format!("stores: the {} largest of {}", count(STORES_MAX), count(n))
    } else {
        "stores".to_owned()
    };
    packets.named(STORES, PROCESS, &name)?;
    let sites: FastMap<u32, (String, Option<String>)> = reader
        .sites()
        .iter()
        .map(|site| (site.number, (sanitize(&site.label), site.via.as_deref().map(sanitize))))
        .collect();
    reader.each_large_store(STORES_MAX, |store| {
        // Lives overlap: each is on a track of its own, and readers draw tracks of one name as one.
        let track = Track(FIRST_STORE.saturating_add(store.number));
        packets.named(track, STORES, &name)?;
        let site = sites.get(&store.site);
        let label = site.map_or("(no stack)", |(label, _)| label.as_str());
        let api = site.and_then(|(_, via)| via.clone());
        let span = (store.birth.0, store.death.map(|death| death.0));
        packets.slice(span, track, ("store", label), notes(&store, api))
    })
}

fn notes(store: &StoreLife, api: Option<String>) -> Vec<Note> {
    let mut notes = vec![
        Note::Number("store", store.number),
        Note::Number("bytes", store.size.0),
        Note::Text("size", Bytes(store.size.0).to_string()),
        Note::Text("kind", store.kind.name().to_owned()),
        Note::Number("tid", u64::from(store.tid.0)),
    ];
    notes.extend(api.map(|api| Note::Text("api", api)));
    notes
}
