//! Makes recordings without a process: what is in them is known, and every name that can be foreign is hostile.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bufwatch::base::{Avma, Bytes, Nanos, StackId, StoreKey, Tid};
use bufwatch::event::census::{
    Census, Counts, Holder, HolderGroup, Parent, Retained, Timing, View,
};
use bufwatch::event::place::short_frame;
use bufwatch::event::recorded::{
    Moment, RecordedCensus, RecordedDeath, RecordedGc, RecordedGcCounts, RecordedSite,
    RecordedStore, RecordedTraced, SiteTotal,
};
use bufwatch::event::residency::{PageBytes, RssPart, RssSplit};
use bufwatch::event::{Frame, FrameKind, GcKind, MemorySampled};
use bufwatch::recording::row::NoticeList;
use bufwatch::recording::{Batch, Fact, FindingRow, Writer};

/// Ends a statement, a script element and an attribute, clears a terminal, and turns text around.
pub(crate) const HOSTILE: &str =
    "x'); DROP TABLE store; --</script><img src=x onerror=alert(1)>\"'`${1}\u{1b}[2J\u{202e}]]>";

pub(crate) const MIB: u64 = 1 << 20;

const START: Nanos = Nanos::from_secs(1_000);

/// A process that leaks `leak` bytes a second through one line, and churns through another.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) seconds: u64,
    pub(crate) leak: u64,
    /// Of the second line, alive at any time.
    pub(crate) churn: u64,
    pub(crate) has_census: bool,
    pub(crate) has_end: bool,
    /// Lines besides these two.
    pub(crate) n_more_sites: u32,
    /// Stores of the leak, each second.
    pub(crate) n_stores: u64,
    pub(crate) name: &'static str,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            seconds: 30,
            leak: MIB,
            churn: 4 * MIB,
            has_census: true,
            has_end: true,
            n_more_sites: 0,
            n_stores: 1,
            name: HOSTILE,
        }
    }
}

const LEAK: u32 = 2;
const CHURN: u32 = 3;

fn at(seconds: u64) -> Nanos {
    Nanos(START.0 + Nanos::from_secs(seconds).0)
}

/// Of the second line one store each second is written; it dies in the next one.
const PASSING: u64 = 1_000_000;

fn birth(second: u64) -> Nanos {
    Nanos(at(second).0 - 400_000_000)
}

fn death(second: u64) -> Option<RecordedDeath> {
    let number = second.checked_sub(1).filter(|number| *number > 0)?;
    Some(RecordedDeath {
        number: PASSING + number,
        birth: birth(number),
        at: Nanos(at(second).0 - 600_000_000),
        survived: Some(RecordedGcCounts::default()),
    })
}

fn split(live: u64) -> RssSplit {
    let rss = Bytes(40 * MIB + live);
    let mut split = RssSplit { rss, ..RssSplit::default() };
    split.add(RssPart::StoresMapped, Bytes(live));
    split.add(RssPart::Binaries, Bytes(34 * MIB));
    split.add(RssPart::V8Old, Bytes(6 * MIB));
    split
}

impl Made {
    pub(crate) fn write(&self, folder: &Path, file: &str) -> PathBuf {
        let path = folder.join(file);
        let mut writer = Writer::create(&path, false).unwrap();
        writer.write(&self.first()).unwrap();
        for second in 1..=self.seconds {
            writer.write(&self.flush(second)).unwrap();
        }
        let end = [
            ("ended", Fact::Number(at(self.seconds).0)),
            ("how_it_ended", Fact::Text("exited".to_owned())),
            ("exit_code", Fact::Text("0".to_owned())),
        ];
        let facts = if self.has_end { end.to_vec() } else { Vec::new() };
        writer.write(&Batch { facts, ..Batch::default() }).unwrap();
        writer.close().unwrap();
        path
    }

    fn first(&self) -> Batch {
        let text = |text: &str| Fact::Text(text.to_owned());
        let sites = (LEAK..LEAK + 2 + self.n_more_sites).map(|number| self.site(number));
        Batch {
            facts: vec![
                ("started", Fact::Number(START.0)),
                ("started_unix_ns", Fact::Number(1_700_000_000_000_000_000)),
                ("attached", Fact::Number(START.0 + 1_000)),
                ("pid", Fact::Number(4_711)),
                ("command", text(&format!("node {}", self.name))),
                ("node_version", text("24.1.0")),
                ("v8_version", text("13.6.233")),
                ("min_size", Fact::Number(65_536)),
                ("bufwatch_version", text("0.1.0")),
            ],
            sites: sites.collect(),
            notices: vec![NoticeList {
                at: START,
                is_limit: false,
                texts: vec![format!("a notice of {}", self.name)],
            }],
            ..Batch::default()
        }
    }

    fn frame(&self, function: &str, line: u32) -> Frame {
        Frame {
            kind: FrameKind::Js,
            function: format!("{function} {}", self.name).into(),
            script: Some(format!("/srv/{}.js", self.name).into()),
            line: Some(line),
            column: Some(7),
            is_resolved: true,
            ..Frame::default()
        }
    }

    fn site(&self, number: u32) -> RecordedSite {
        let frame = match number {
            LEAK => self.frame("leak", 10),
            CHURN => self.frame("churn", 20),
            more => self.frame(&format!("more{more}"), more * 10),
        };
        RecordedSite {
            number,
            group: number,
            stack: StackId(u64::from(number)),
            label: short_frame(&frame).into(),
            via: Some("Buffer.alloc".into()),
            user_frame: Some(0),
            stacks: vec![Arc::from([frame, self.frame("main", 1)])],
            ..RecordedSite::default()
        }
    }

    fn flush(&self, second: u64) -> Batch {
        let at = at(second);
        let leaked = self.leak * second;
        let live = leaked + self.churn;
        let n_leaked = if self.leak == 0 { 0 } else { second * self.n_stores };
        let n_more = u64::from(self.n_more_sites);
        let moment = Moment {
            at,
            memory: MemorySampled {
                rss: Some(Bytes(40 * MIB + live)),
                array_buffers: Some(Bytes(live)),
                v8_heap: Some(Bytes(6 * MIB)),
                n_isolates: 1,
                rss_in_node: None,
                n_faults: None,
            },
            n_live: n_leaked + 4,
            live_bytes: Bytes(live),
            peak_bytes: Bytes(live),
            n_created: second * (self.n_stores + 10) + n_more,
            created_bytes: Bytes(second * (self.leak + 10 * MIB)),
            n_destroyed: second * 10,
            destroyed_bytes: Bytes(second * 10 * MIB),
            created_bytes_per_s: (self.leak + 10 * MIB) as f64,
            n_minor: Some(second),
            n_major: Some(second / 4),
            ..Moment::default()
        };
        let (sample, flush) =
            (Moment { at: Nanos(at.0 - 1), ..moment.clone() }, Moment { is_flush: true, ..moment });
        let total = |site, n_live, live, n_created, created| SiteTotal {
            site,
            at,
            n_live,
            live_bytes: Bytes(live),
            peak_bytes: Bytes(live),
            group_peak_bytes: Bytes(live),
            n_created,
            created_bytes: Bytes(created),
            lifetimes: if site == CHURN { vec![0, 0, 0, 0, 0, 0, second * 10] } else { Vec::new() },
            majors_survived: if site == CHURN { vec![second * 10] } else { Vec::new() },
            ..SiteTotal::default()
        };
        let mut totals = vec![
            total(LEAK, n_leaked, leaked, n_leaked, leaked),
            total(CHURN, 4, self.churn, second * 10, second * 10 * MIB),
        ];
        if second == 1 {
            let more = LEAK + 2..LEAK + 2 + self.n_more_sites;
            totals.extend(more.map(|site| total(site, 0, 0, 1, 70_000 + u64::from(site))));
        }
        Batch {
            totals,
            stores: self.stores(second),
            deaths: death(second).into_iter().collect(),
            moments: vec![sample, flush],
            gcs: vec![RecordedGc {
                tid: Tid(4_711),
                at,
                pause: Nanos::from_millis(2),
                kind: if second.is_multiple_of(4) { GcKind::Major } else { GcKind::Minor },
                counts: RecordedGcCounts { n_minor: second as u32, n_major: second as u32 / 4 },
            }],
            splits: vec![(at, at, split(live))],
            censuses: self.census(second).into_iter().collect(),
            findings: self.findings(second).into_iter().collect(),
            ..Batch::default()
        }
    }

    fn stores(&self, second: u64) -> Vec<RecordedStore> {
        let n = if self.leak == 0 { 0 } else { self.n_stores };
        let first = (second - 1) * self.n_stores + 1;
        let store = |number| RecordedStore {
            key: StoreKey { address: number << 20, id: 1 },
            number,
            data: number << 32,
            size: Bytes(self.leak / self.n_stores),
            max_size: Bytes(self.leak / self.n_stores),
            tid: Tid(4_711),
            birth: Nanos(at(second).0 - 500_000_000),
            stack: StackId(u64::from(LEAK)),
            site: LEAK,
            ..RecordedStore::default()
        };
        let passing = RecordedStore {
            site: CHURN,
            size: Bytes(MIB),
            birth: birth(second),
            ..store(PASSING + second)
        };
        (first..first + n).map(store).chain([passing]).collect()
    }

    /// Every ten seconds, of the leak.
    fn census(&self, second: u64) -> Option<RecordedCensus> {
        if !self.has_census || !second.is_multiple_of(10) {
            return None;
        }
        let n = if self.leak == 0 { 0 } else { second * self.n_stores };
        let size = Bytes(self.leak / self.n_stores);
        let path = |key: &str| vec!["global H".to_owned(), format!(".{} (Map) {key}", self.name)];
        let view = View { type_name: "Buffer".into(), offset: 0, length: Bytes(16) };
        let parents: Vec<Parent> = (1..=n)
            .map(|number| Parent {
                address: Avma(number << 32),
                size,
                n_views: 1,
                views_bytes: Bytes(16),
                covered: Bytes(16),
                pages: Some(PageBytes { resident: size, ..PageBytes::default() }),
                views: vec![view.clone()],
                holders: vec![Holder {
                    path: path(&format!("[{number}]")),
                    is_by_application: true,
                    n_views: 1,
                    ..Holder::default()
                }],
                ..Parent::default()
            })
            .collect();
        let traced = (1..=n).map(|number| {
            Some(RecordedTraced {
                key: StoreKey { address: number << 20, id: 1 },
                number,
                age: Nanos::from_secs(second - (number - 1) / self.n_stores),
                n_major_survived: Some(2),
                site: LEAK,
            })
        });
        let group = HolderGroup {
            path: path("[…]"),
            is_by_application: true,
            n_parents: n,
            n_views: n,
            bytes: Bytes(n * size.0),
            covered: Bytes(n * 16),
            holder: Some("Map".into()),
            retained: Some(Retained { heap: Bytes(n * 100), off_heap: Bytes(n * size.0) }),
            ..HolderGroup::default()
        };
        let holders = if n > 0 { vec![group] } else { Vec::new() };
        let live_bytes = Bytes(n * size.0);
        let counts = Counts {
            heap_bytes: Bytes(6 * MIB),
            live_bytes,
            n_live_objects: 9_000,
            ..Counts::default()
        };
        let timing = Timing {
            stopped_at: at(second),
            stopped: Nanos::from_millis(5),
            total: Nanos::from_millis(20),
        };
        let census = Census { parents, holders, timing, counts, ..Census::default() };
        let (at, traced) = (at(second), traced.collect());
        Some(RecordedCensus {
            at,
            known_at: at,
            census: Arc::new(census),
            traced,
            orphans: Vec::new(),
        })
    }

    /// From the first census on.
    fn findings(&self, second: u64) -> Option<(Nanos, Vec<FindingRow>)> {
        if !self.has_census || self.leak == 0 || !second.is_multiple_of(10) {
            return None;
        }
        let n = second * self.n_stores;
        let bytes = n * (self.leak / self.n_stores - 16);
        let row = FindingRow {
            kind: "PINNED_PARENT".to_owned(),
            confidence: "high".to_owned(),
            bytes,
            n_parents: n,
            summary: format!("{n} array buffers of {} are kept alive", self.name),
            evidence: vec![format!("held by {}", self.name)],
            remedy: "Keep a copy".to_owned(),
            remedy_code: Some("map.set(key, view.slice());".to_owned()),
            site: Some(short_frame(&self.frame("leak", 10))),
            via: Some("Buffer.alloc".to_owned()),
            holder: vec!["global H".to_owned(), format!(".{} (Map)", self.name), "[…]".to_owned()],
            age: Some(Nanos::from_secs(second)),
            n_major_survived: Some(2),
        };
        Some((at(second), vec![row]))
    }
}
