//! Recordings made up for exporters: small, with every kind of row, and with names that mean harm.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bufwatch::base::{Avma, Bytes, Nanos, StackId, StoreKey, Tid};
use bufwatch::event::census::{Census, Counts, Holder, HolderGroup, Parent, Timing, View};
use bufwatch::event::recorded::{
    Moment, RecordedCensus, RecordedDeath, RecordedGc, RecordedGcCounts, RecordedPages,
    RecordedSite, RecordedStore, RecordedTraced, SiteTotal,
};
use bufwatch::event::residency::{PageBytes, RssPart, RssSplit};
use bufwatch::event::{Frame, FrameKind, GcKind, MemorySampled, Thread};
use bufwatch::recording::row::NoticeList;
use bufwatch::recording::{Batch, Fact, FindingRow, Writer};

/// 2026-11-24 03:00:00 UTC.
pub(crate) const WALL: u64 = 1_795_489_200_000_000_000;

/// When the session began.
pub(crate) const START: Nanos = Nanos::from_secs(1_000);

const MIB: u64 = 1 << 20;

/// What foreign texts try.
pub(crate) const HOSTILE: [&str; 12] = [
    "plain",
    "<script>alert(1)</script>&amp;<b a='x' b=\"y\">",
    "x'); DROP TABLE store; --",
    "a,b;c d\"e\"\"f'g\\h",
    "line\nfeed\r\nand\ttab",
    "nul\u{0}esc\u{1b}[2J\u{7}bell\u{9b}0m",
    "\u{202e}gnirts desrever\u{2066}\u{200f}",
    "=cmd|'/c calc'!A0",
    "日本語の関数 🦀 \u{2028}\u{2029}",
    "]]>--><!--%s%n${x}{\"a\":1}",
    "v8::internal::Foo<Bar>::baz(int, char const*)::{lambda#1}",
    "",
];

/// What a made-up recording has.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// One site each.
    pub(crate) names: Vec<String>,
    /// Stores of each site that live to the end; one more dies.
    pub(crate) n_live: u64,
    /// Seconds, a flush each.
    pub(crate) n_flushes: u64,
    pub(crate) has_census: bool,
    /// Else it has no end.
    pub(crate) is_ended: bool,
}

impl Default for Spec {
    fn default() -> Self {
        let names = HOSTILE.map(str::to_owned).to_vec();
        Self { names, n_live: 3, n_flushes: 4, has_census: true, is_ended: true }
    }
}

impl Spec {
    pub(crate) fn without_stores() -> Self {
        Self { names: Vec::new(), has_census: false, ..Self::default() }
    }

    /// Writes it.
    pub(crate) fn record(&self, folder: &Path) -> PathBuf {
        let path = folder.join("made up.bufwatch");
        let mut writer = Writer::create(&path, true).unwrap();
        for n in 1..=self.n_flushes {
            writer.write(&self.flush(n)).unwrap();
        }
        writer.close().unwrap();
        path
    }

    fn flush(&self, n: u64) -> Batch {
        let at = at(n);
        let mut batch = Batch {
            moments: vec![self.moment(n, false), self.moment(n, true)],
            gcs: vec![gc(n)],
            ..Batch::default()
        };
        if n == 1 {
            batch.facts = self.facts();
            batch.threads = Some(Arc::from([
                Thread { tid: Tid(7), name: HOSTILE[1].into() },
                Thread { tid: Tid(8), name: "worker".into() },
            ]));
            batch.sites = self.names.iter().zip(2..).map(|(name, n)| site(n, name)).collect();
            batch.stores = self.stores();
            let list = |is_limit, text: &str| NoticeList { at, is_limit, texts: vec![text.into()] };
            batch.notices = vec![list(false, HOSTILE[4]), list(true, HOSTILE[1])];
            batch.losses = vec![(at, "ring-full".to_owned(), 3)];
        }
        if n == 2 {
            batch.deaths = self.deaths();
            batch.pages = self.pages(at);
            batch.splits = vec![(Nanos(at.0 - 1), Nanos(at.0 - 2), split())];
        }
        if n == 3 && self.has_census {
            batch.censuses = vec![self.census(at)];
            batch.findings = vec![(at, self.names.iter().map(|name| finding(name)).collect())];
        }
        if n == 4 && self.has_census {
            batch.findings = vec![(at, Vec::new())];
        }
        batch.totals = (2..2 + self.n_sites()).map(|site| self.total(site, n)).collect();
        if n == self.n_flushes && self.is_ended {
            batch.facts.push(("how_it_ended", Fact::Text("exited".to_owned())));
            batch.facts.push(("exit_code", Fact::Text("1".to_owned())));
        }
        batch
    }

    fn n_sites(&self) -> u32 {
        self.names.len() as u32
    }

    fn facts(&self) -> Vec<(&'static str, Fact)> {
        vec![
            ("started", Fact::Number(START.0)),
            ("started_unix_ns", Fact::Number(WALL)),
            ("attached", Fact::Number(START.0 + 1)),
            ("pid", Fact::Number(7)),
            ("min_size", Fact::Number(65_536)),
            ("command", Fact::Text(format!("/usr/bin/node {}", self.names.join(" ")))),
            ("node_version", Fact::Text("24.21.0".to_owned())),
        ]
    }

    /// Site n has stores of n MiB, the first dies at flush 2.
    fn stores(&self) -> Vec<RecordedStore> {
        let each =
            (2..2 + self.n_sites()).flat_map(|site| (0..=self.n_live).map(move |n| (site, n)));
        let store = |((site, n), number): ((u32, u64), u64)| RecordedStore {
            key: StoreKey { address: number << 8, id: 1 },
            number,
            data: number << 32,
            size: Bytes(u64::from(site) * MIB),
            max_size: Bytes(u64::from(site) * MIB),
            tid: Tid(if n == 1 { 8 } else { 7 }),
            birth: Nanos(START.0 + 500_000_000 + number),
            stack: StackId(u64::from(site)),
            site,
            ..RecordedStore::default()
        };
        each.zip(1..).map(store).collect()
    }

    fn deaths(&self) -> Vec<RecordedDeath> {
        let first = self.stores().into_iter().step_by(self.n_live as usize + 1);
        let death = |store: RecordedStore| RecordedDeath {
            number: store.number,
            birth: store.birth,
            at: Nanos(at(2).0 - 1_000),
            survived: Some(RecordedGcCounts { n_minor: 1, n_major: 1 }),
        };
        first.map(death).collect()
    }

    /// Half of each live store is in RAM.
    fn pages(&self, at: Nanos) -> Vec<(Nanos, u64, RecordedPages)> {
        let dead: Vec<u64> = self.deaths().iter().map(|death| death.number).collect();
        let live = self.stores().into_iter().filter(|store| !dead.contains(&store.number));
        let pages = |store: RecordedStore| {
            let resident = Bytes(store.size.0 / 2);
            let pages = PageBytes { resident, ..PageBytes::default() };
            (at, store.number, RecordedPages { scanned_at: at, pages, ..RecordedPages::default() })
        };
        live.map(pages).collect()
    }

    fn total(&self, site: u32, n: u64) -> SiteTotal {
        let size = u64::from(site) * MIB;
        let n_created = self.n_live + 1;
        let n_live = if n >= 2 { self.n_live } else { n_created };
        SiteTotal {
            site,
            at: at(n),
            n_live,
            live_bytes: Bytes(n_live * size),
            peak_bytes: Bytes(n_created * size),
            group_peak_bytes: Bytes(n_created * size),
            n_created,
            created_bytes: Bytes(n_created * size),
            ..SiteTotal::default()
        }
    }

    fn moment(&self, n: u64, is_flush: bool) -> Moment {
        let totals: Vec<SiteTotal> = (2..2 + self.n_sites()).map(|it| self.total(it, n)).collect();
        let sum = |of: fn(&SiteTotal) -> u64| totals.iter().map(of).sum::<u64>();
        // The first sample knows nothing yet.
        let known = |bytes: u64| (n > 1).then_some(Bytes(bytes));
        let (n_live, n_created) = (sum(|it| it.n_live), sum(|it| it.n_created));
        let (live, created) = (sum(|it| it.live_bytes.0), sum(|it| it.created_bytes.0));
        Moment {
            at: if is_flush { at(n) } else { Nanos(at(n).0 - 250_000_000) },
            is_flush,
            memory: MemorySampled {
                rss: known(n * 1_000 * MIB),
                array_buffers: known(live),
                v8_heap: known(5 * MIB),
                n_isolates: 1,
                rss_in_node: None,
                n_faults: None,
            },
            n_live,
            live_bytes: Bytes(live),
            peak_bytes: Bytes(created),
            n_created,
            created_bytes: Bytes(created),
            n_destroyed: n_created - n_live,
            destroyed_bytes: Bytes(created - live),
            n_minor: Some(n),
            gc_total: Some(Nanos(n * 2_000_000)),
            gc_last: Some(Nanos(2_000_000)),
            gc_longest: Some(Nanos(2_000_000)),
            ..Moment::default()
        }
    }

    /// One array buffer of each site, all but 16 bytes of it pinned, and one that was not traced.
    fn census(&self, known_at: Nanos) -> RecordedCensus {
        let stores = self.stores();
        let last = stores.iter().skip(self.n_live as usize).step_by(self.n_live as usize + 1);
        let traced = |store: &RecordedStore| RecordedTraced {
            key: store.key,
            number: store.number,
            age: Nanos::SECOND,
            n_major_survived: Some(1),
            site: store.site,
        };
        let found: Vec<_> = last.zip(&self.names).collect();
        let mut parents: Vec<Parent> =
            found.iter().map(|(store, name)| parent(store.size, name)).collect();
        let mut known: Vec<_> = found.iter().map(|(store, _)| Some(traced(store))).collect();
        parents.push(parent(Bytes(1_016), "nobody"));
        known.push(None);
        let holder = |name: &String| HolderGroup {
            path: vec!["Map".to_owned(), name.clone()],
            bytes: Bytes(MIB),
            n_parents: 1,
            ..HolderGroup::default()
        };
        let timing = Timing {
            stopped_at: Nanos(known_at.0 - 20_000_000),
            stopped: Nanos(5_000_000),
            total: Nanos(20_000_000),
        };
        let census = Census {
            parents,
            holders: self.names.iter().map(holder).collect(),
            timing,
            counts: Counts { live_bytes: Bytes(MIB), ..Counts::default() },
            gaps: vec![HOSTILE[2].to_owned()],
            ..Census::default()
        };
        let at = timing.stopped_at;
        RecordedCensus { at, known_at, census: Arc::new(census), traced: known, orphans: vec![] }
    }
}

/// The n-th flush.
fn at(n: u64) -> Nanos {
    Nanos(START.0 + n * Nanos::SECOND.0)
}

fn site(number: u32, name: &str) -> RecordedSite {
    let native =
        Frame { function: "node::Buffer::New".into(), is_resolved: true, ..Frame::default() };
    let own = Frame {
        kind: FrameKind::Js,
        function: name.into(),
        script: Some(format!("/srv/{name}.js").into()),
        line: Some(number),
        column: Some(9),
        is_approximate: number % 2 == 1,
        is_resolved: true,
        original: None,
    };
    let main =
        Frame { function: "main".into(), line: Some(1), is_approximate: false, ..own.clone() };
    RecordedSite {
        number,
        group: number,
        stack: StackId(u64::from(number)),
        label: name.into(),
        via: Some(name.into()),
        is_cut: false,
        stacks: vec![Arc::from([native, own, main])],
        user_frame: Some(1),
    }
}

fn gc(n: u64) -> RecordedGc {
    RecordedGc {
        tid: Tid(7),
        at: Nanos(at(n).0 - 100_000_000),
        pause: Nanos(2_000_000),
        kind: if n.is_multiple_of(2) { GcKind::Major } else { GcKind::Minor },
        counts: RecordedGcCounts { n_minor: n as u32, n_major: n as u32 / 2 },
    }
}

fn split() -> RssSplit {
    let mut split = RssSplit { rss: Bytes(2_000 * MIB), ..RssSplit::default() };
    split.add(RssPart::StoresMapped, Bytes(1_500 * MIB));
    split.add(RssPart::V8Old, Bytes(400 * MIB));
    split
}

fn parent(size: Bytes, name: &str) -> Parent {
    let view = View { type_name: name.into(), offset: 0, length: Bytes(16) };
    let holder = Holder { path: vec!["Map".to_owned(), name.to_owned()], ..Holder::default() };
    Parent {
        address: Avma(size.0 << 20),
        size,
        n_views: 1,
        views_bytes: Bytes(16),
        covered: Bytes(16),
        views: vec![view],
        holders: vec![holder],
        ..Parent::default()
    }
}

fn finding(name: &str) -> FindingRow {
    FindingRow {
        kind: "PINNED_PARENT".to_owned(),
        confidence: "high".to_owned(),
        bytes: 5 * MIB,
        n_parents: 1,
        summary: format!("one view pins {name}"),
        evidence: vec![name.to_owned(), "second".to_owned()],
        remedy: "copy it".to_owned(),
        remedy_code: Some(name.to_owned()),
        site: Some(name.to_owned()),
        via: None,
        holder: vec![name.to_owned()],
        age: Some(Nanos::SECOND),
        n_major_survived: Some(1),
    }
}
