//! Writes a recording of a process that never was, as large as is wanted, and says how long opening it and going to moments all over it
//! take. For `cargo xtask bench recording`: what no benchmark can wait for is made up.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use bufwatch::analysis::Interest;
use bufwatch::base::{Bytes, Nanos, StackId, StoreKey, Tid};
use bufwatch::event::recorded::{
    Moment, RecordedDeath, RecordedGc, RecordedGcCounts, RecordedSite, RecordedStore, SiteLive,
    SiteTotal,
};
use bufwatch::event::residency::{PageBytes, RssPart, RssSplit};
use bufwatch::event::{Frame, FrameKind, GcKind, MemorySampled};
use bufwatch::recording::{Batch, Fact, Place};
use bufwatch::session::replay::Replay;
use bufwatch::sys::clock;

const START: u64 = 1_000_000_000_000;
const FLUSH: u64 = 500_000_000;
const N_SITES: u32 = 200;
const SIZES: [u64; 4] = [65_536, 100_000, 262_144, 1_048_576];

/// What is left of those that are born between two flushes, and for how many flushes the others live.
struct Plan {
    n_flushes: u64,
    n_born: u64,
    n_kept: u64,
    longest: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| args.get(at).and_then(|text| text.parse::<u64>().ok());
    let usage = "FILE FLUSHES BORN KEPT LONGEST-LIFE [MAX-SIZE]";
    let (Some(path), Some(n_flushes), Some(n_born), Some(n_kept), Some(longest)) =
        (args.first(), number(1), number(2), number(3), number(4))
    else {
        return Err(usage.into());
    };
    let path = Path::new(path);
    let plan = Plan { n_flushes, n_born, n_kept, longest: longest.max(2) };
    if !path.exists() {
        write(path, &plan, number(5).map(Bytes))?;
    }
    measure(path)
}

fn measure(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let begun = clock::now();
    let replay = Replay::open(path)?;
    let opened = clock::now().since(begun);
    let mut seeks = Vec::new();
    let (mut at, mut n_live) = (1_u64, 0);
    for _ in 0..40 {
        // Anywhere, but the same each time.
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let elapsed = Nanos(((at >> 33) * (replay.length().0 >> 16)) >> 15);
        let begun = clock::now();
        let snapshot = replay.snapshot_at(elapsed, &Interest::default())?;
        seeks.push(clock::now().since(begun).0 as f64 / 1e6);
        n_live = n_live.max(snapshot.stores.n_live);
    }
    seeks.sort_by(f64::total_cmp);
    let of = |share: usize| seeks.get((seeks.len() - 1) * share / 100).copied().unwrap_or_default();
    let text = serde_json::json!({
        "bytes": path.metadata()?.len(), "open_ms": opened.0 as f64 / 1e6, "most_live": n_live,
        "seek_median_ms": of(50), "seek_p90_ms": of(90), "seek_longest_ms": of(100),
    });
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

fn write(
    path: &Path,
    plan: &Plan,
    max_size: Option<Bytes>,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut writer = Place::find(path, false)?.limited_to(max_size).begin()?;
    let mut made = Made { by_site: vec![Tally::default(); N_SITES as usize], ..Made::default() };
    for flush in 1..=plan.n_flushes {
        writer.write(&made.batch(plan, flush))?;
    }
    let end = vec![("how_it_ended", Fact::Text("stopped".to_owned()))];
    writer.write(&Batch { facts: end, ..Batch::default() })?;
    Ok(writer.close()?)
}

#[derive(Clone, Copy, Default)]
struct Tally {
    n_created: u64,
    created: u64,
    n_live: u64,
    live: u64,
}

#[derive(Default)]
struct Made {
    number: u64,
    n_live: u64,
    live: u64,
    created: u64,
    by_site: Vec<Tally>,
    /// By the flush at which they are dead.
    dying: BTreeMap<u64, Vec<(u64, u64, u32, u64)>>,
}

impl Made {
    fn batch(&mut self, plan: &Plan, flush: u64) -> Batch {
        let at = START + flush * FLUSH;
        let mut batch = Batch::default();
        if flush == 1 {
            let text = |text: &str| Fact::Text(text.to_owned());
            batch.facts = vec![
                ("started", Fact::Number(START)),
                ("attached", Fact::Number(START + 1)),
                ("pid", Fact::Number(1)),
                ("command", text("node made-up.js")),
                ("node_version", text("24.21.0")),
            ];
            batch.sites = (2..N_SITES + 2).map(site).collect();
        }
        let mut changed = BTreeSet::new();
        for (number, birth, site, size) in self.dying.remove(&flush).unwrap_or_default() {
            let survived = Some(RecordedGcCounts::default());
            batch.deaths.push(RecordedDeath {
                number,
                birth: Nanos(birth),
                at: Nanos(at - FLUSH / 2),
                survived,
            });
            (self.n_live, self.live) = (self.n_live - 1, self.live - size);
            let tally = &mut self.by_site[site as usize];
            (tally.n_live, tally.live) = (tally.n_live - 1, tally.live - size);
            changed.insert(site);
        }
        for born in 0..plan.n_born {
            self.number += 1;
            let mixed = self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let size = SIZES[(mixed % 4) as usize] * (1 + mixed % 3);
            // Most come from few lines.
            let line = ((mixed % 20) * (mixed >> 8 & 1) + (mixed >> 9 & 1)) % u64::from(N_SITES);
            let site = if born == 0 { flush % u64::from(N_SITES) } else { line } as u32;
            let birth = at - FLUSH + born * FLUSH / plan.n_born / 2;
            batch.stores.push(store(self.number, site, size, birth));
            if born >= plan.n_kept {
                let dead = flush + 1 + mixed % plan.longest;
                self.dying.entry(dead).or_default().push((self.number, birth, site, size));
            }
            (self.n_live, self.live) = (self.n_live + 1, self.live + size);
            self.created += size;
            let tally = &mut self.by_site[site as usize];
            (tally.n_live, tally.live) = (tally.n_live + 1, tally.live + size);
            (tally.n_created, tally.created) = (tally.n_created + 1, tally.created + size);
            changed.insert(site);
        }
        batch.totals = changed.iter().map(|site| self.total(*site, at)).collect();
        batch.moments = vec![
            self.moment(at - FLUSH / 2, flush, false),
            self.moment(at - 1, flush, false),
            self.moment(at, flush, true),
        ];
        let counts = RecordedGcCounts { n_minor: flush as u32, n_major: flush as u32 / 20 };
        let kind = if flush.is_multiple_of(20) { GcKind::Major } else { GcKind::Minor };
        let gc = (Tid(1), Nanos(at - 7), Nanos::from_millis(1));
        batch.gcs = vec![RecordedGc { tid: gc.0, at: gc.1, pause: gc.2, kind, counts }];
        if flush.is_multiple_of(4) {
            let mut split = RssSplit { rss: Bytes(self.live), ..RssSplit::default() };
            split.add(RssPart::StoresMapped, Bytes(self.live));
            batch.splits = vec![(Nanos(at), Nanos(at - 9), split)];
        }
        batch
    }

    fn total(&self, site: u32, at: u64) -> SiteTotal {
        let tally = self.by_site[site as usize];
        SiteTotal {
            site: site + 2,
            at: Nanos(at),
            n_live: tally.n_live,
            live_bytes: Bytes(tally.live),
            peak_bytes: Bytes(tally.live),
            group_peak_bytes: Bytes(tally.live),
            n_created: tally.n_created,
            created_bytes: Bytes(tally.created),
            lifetimes: vec![0, 0, 0, 1, 22, 333, 4_444, 55_555],
            majors_survived: vec![tally.n_created, 17],
            live: Some(SiteLive {
                n_known: tally.n_live,
                known_bytes: Bytes(tally.live),
                pages: PageBytes { resident: Bytes(tally.live), ..PageBytes::default() },
                ..SiteLive::default()
            }),
            ..SiteTotal::default()
        }
    }

    fn moment(&self, at: u64, flush: u64, is_flush: bool) -> Moment {
        Moment {
            at: Nanos(at),
            is_flush,
            memory: MemorySampled {
                rss: Some(Bytes(self.live + 50_000_000)),
                array_buffers: Some(Bytes(self.live)),
                v8_heap: Some(Bytes(40_000_000)),
                n_isolates: 1,
                rss_in_node: None,
                n_faults: None,
            },
            n_live: self.n_live,
            live_bytes: Bytes(self.live),
            peak_bytes: Bytes(self.live),
            n_created: self.number,
            created_bytes: Bytes(self.created),
            n_destroyed: self.number - self.n_live,
            destroyed_bytes: Bytes(self.created - self.live),
            n_minor: Some(flush),
            n_major: Some(flush / 20),
            ..Moment::default()
        }
    }
}

fn store(number: u64, site: u32, size: u64, birth: u64) -> RecordedStore {
    RecordedStore {
        key: StoreKey { address: 0x5555_0000_0000 + number * 64, id: number as u32 },
        number,
        data: 0x7f00_0000_0000 + number * 4_096,
        size: Bytes(size),
        max_size: Bytes(size),
        tid: Tid(1),
        birth: Nanos(birth),
        stack: StackId(u64::from(site) << 32 | 0x1234_5678),
        site: site + 2,
        ..RecordedStore::default()
    }
}

fn site(number: u32) -> RecordedSite {
    let frame = |function: &str, line| Frame {
        kind: FrameKind::Js,
        function: function.into(),
        script: Some(format!("/srv/app/module{number}.js").into()),
        line: Some(line),
        is_resolved: true,
        ..Frame::default()
    };
    let frames = (0..12).map(|depth| frame(&format!("function{depth}"), number * 10 + depth));
    RecordedSite {
        number,
        group: number,
        stack: StackId(u64::from(number - 2) << 32 | 0x1234_5678),
        label: format!("function0 module{number}.js:{number}").into(),
        via: Some("Buffer.alloc".into()),
        user_frame: Some(0),
        stacks: vec![Arc::from(frames.collect::<Vec<_>>())],
        ..RecordedSite::default()
    }
}
