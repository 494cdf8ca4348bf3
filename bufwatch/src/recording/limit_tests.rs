//! Recordings with a limit: they stay below it, and what they still say is what one without a limit says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::base::{Bytes, Nanos, StoreKey};
use crate::event::Frame;
use crate::event::MemorySampled;
use crate::event::census::{Census, Parent};
use crate::event::recorded::{
    Moment, RecordedCensus, RecordedDeath, RecordedGcCounts, RecordedSite, RecordedStore, SiteLive,
    SiteTotal,
};
use crate::event::residency::FirstTouch;

const MAX: Bytes = Bytes(4 << 20);

const FLUSH: Nanos = Nanos::from_millis(500);

fn flush_at(n: u64) -> Nanos {
    Nanos(Nanos::from_secs(100).0 + n * FLUSH.0)
}

/// So many stores in each flush, which live for so many flushes; `None`: for good.
struct Session {
    n_born: u64,
    n_lived: Option<u64>,
    has_census: bool,
}

impl Session {
    fn batch(&self, n: u64) -> Batch {
        let at = flush_at(n);
        let born = |n: u64| (n - 1) * self.n_born + 1..n * self.n_born + 1;
        let n_created = n * self.n_born;
        let n_live = self.n_lived.map_or(n_created, |lived| n.min(lived) * self.n_born);
        let live_bytes = Bytes(n_live * 100_000);
        let dead = self.n_lived.and_then(|lived| n.checked_sub(lived)).filter(|n| *n > 0);
        let deaths = dead.map(born).into_iter().flatten().map(|number| RecordedDeath {
            number,
            birth: Nanos(flush_at((number - 1) / self.n_born + 1).0 - 1_000),
            at: Nanos(at.0 - 10_000),
            survived: Some(RecordedGcCounts::default()),
        });
        let moment = Moment {
            at,
            is_flush: true,
            n_live,
            live_bytes,
            n_created,
            memory: MemorySampled { rss: Some(Bytes(1_000)), ..MemorySampled::default() },
            ..Moment::default()
        };
        // The largest RSS stands between two flushes.
        let peak = MemorySampled { rss: Some(Bytes(9_000 + n)), ..MemorySampled::default() };
        let sample = |before: u64, memory| Moment {
            at: Nanos(at.0 - before),
            is_flush: false,
            memory,
            ..moment.clone()
        };
        let samples = [sample(2_000_000, peak), sample(1_000_000, moment.memory)];
        let total = SiteTotal {
            site: 2,
            at,
            n_live,
            live_bytes,
            n_created,
            live: Some(SiteLive { n_survivors: n, ..SiteLive::default() }),
            ..SiteTotal::default()
        };
        let frame = Frame { function: "f".into(), ..Frame::default() };
        Batch {
            facts: vec![("started", Fact::Number(flush_at(0).0)), ("pid", Fact::Number(7))],
            sites: vec![RecordedSite {
                number: 2,
                stacks: vec![Arc::from([frame])],
                ..RecordedSite::default()
            }],
            totals: vec![total],
            stores: born(n).map(|number| store(number, at)).collect(),
            deaths: deaths.collect(),
            first_touches: born(n)
                .step_by(8)
                .map(|number| (at, number, FirstTouch::Unseen))
                .collect(),
            moments: samples.into_iter().chain([moment]).collect(),
            findings: vec![(at, vec![finding(n)])],
            censuses: self.has_census.then(|| census(n)).into_iter().collect(),
            ..Batch::default()
        }
    }

    fn record(&self, path: &Path, n_flushes: u64, max: Option<Bytes>) -> PathBuf {
        let place = Place::find(path, false).unwrap().limited_to(max);
        let mut writer = place.begin().unwrap();
        let mut most = 0;
        for n in 1..=n_flushes {
            writer.write(&self.batch(n)).unwrap();
            most = most.max(length(path) + length(&path.with_extension("bufwatch-wal")));
        }
        writer.close().unwrap();
        if let Some(max) = max {
            assert!(most <= max.0, "{most} bytes");
        }
        path.to_owned()
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

fn store(number: u64, flushed_at: Nanos) -> RecordedStore {
    RecordedStore {
        key: StoreKey { address: number << 8, id: 1 },
        number,
        size: if number.is_multiple_of(1_000) { Bytes(2 << 20) } else { Bytes(100_000) },
        birth: Nanos(flushed_at.0 - 1_000),
        site: 2,
        ..RecordedStore::default()
    }
}

fn finding(n: u64) -> FindingRow {
    FindingRow {
        kind: if n == 7 { "GC_LAG" } else { "JS_HEAP" }.to_owned(),
        confidence: "high".to_owned(),
        bytes: n,
        summary: "words ".repeat(20),
        ..FindingRow::default()
    }
}

fn census(n: u64) -> RecordedCensus {
    let parent = Parent { size: Bytes(n), n_views: 1, ..Parent::default() };
    let census = Census { parents: vec![parent; 20], ..Census::default() };
    let at = flush_at(n);
    RecordedCensus {
        at,
        known_at: at,
        census: Arc::new(census),
        traced: vec![None; 20],
        orphans: Vec::new(),
    }
}

/// Flushes of a file that are left, by their numbers.
fn left(path: &Path) -> Vec<u64> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement =
        connection.prepare("SELECT t FROM moment WHERE is_flush ORDER BY t").unwrap();
    let times = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
    times.map(|t| (t.unwrap().cast_unsigned() - flush_at(0).0) / FLUSH.0).collect()
}

/// First touches of stores that have no row.
fn n_orphans(path: &Path) -> i64 {
    let sql = "SELECT count(*) FROM first_touch WHERE store NOT IN (SELECT number FROM store)";
    rusqlite::Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn churn_leaves_fewer_states_and_each_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session { n_born: 40, n_lived: Some(3), has_census: true };
    let n = 1_500;
    let whole = session.record(&folder.path().join("whole.bufwatch"), n, None);
    let limited = session.record(&folder.path().join("limited.bufwatch"), n, Some(MAX));
    assert!(length(&whole) > MAX.0 * 3 / 2, "{} bytes without a limit", length(&whole));
    let (whole, reader) = (Reader::open(&whole).unwrap(), Reader::open(&limited).unwrap());
    assert_eq!(n_orphans(&limited), 0);
    let left = left(&limited);
    assert!(left.len() >= 64 && left.len() < 1_000, "{left:?}");
    assert_eq!((left.first(), left.last()), (Some(&1), Some(&n)));
    let step = |at: usize| left[at + 1] - left[at];
    assert!(step(0) > step(left.len() - 2), "what is old is what is left out");
    for flush in &left {
        let told = |reader: &Reader| reader.told_at(flush_at(*flush), &StoresWanted::ALL).unwrap();
        let (all, kept) = (told(&whole), told(&reader));
        assert_eq!(all.recalled.stores, kept.recalled.stores, "flush {flush}");
        assert_eq!(all.recalled.totals, kept.recalled.totals);
        assert_eq!(all.recalled.moment, kept.recalled.moment);
        assert_eq!(all.findings, kept.findings);
        assert!(!kept.recalled.is_partial);
    }
    // The last two censuses are whole, of the others at least the sums.
    let at_end = |reader: &Reader| reader.told_at(flush_at(n), &StoresWanted::ALL).unwrap();
    assert_eq!(at_end(&whole).recalled.censuses.last, at_end(&reader).recalled.censuses.last);
    assert_eq!(at_end(&reader).recalled.censuses.n_taken, n);
    let course = |reader: &Reader| reader.course_until(flush_at(n), 1).unwrap();
    assert_eq!(course(&whole).censuses, course(&reader).censuses);
    let is_lag = |(_, set): &(Nanos, Vec<FindingRow>)| set.iter().any(|it| it.kind == "GC_LAG");
    assert!(course(&reader).told.iter().any(is_lag), "what was ever told is told");
    let most = |reader: &Reader| {
        let mut most = Bytes(0);
        let visit = |point: series::MemoryPoint| {
            most = most.max(point.rss.unwrap_or_default());
            Ok(())
        };
        reader.each_memory(visit).unwrap();
        most
    };
    assert_eq!(most(&reader), Bytes(9_000 + n));
    let thinned = reader.about.thinned.unwrap();
    assert!(thinned.n_stores > 0 && thinned.n_censuses > 0 && thinned.one_in == 1, "{thinned:?}");
    let text = thinned.text();
    assert!(text.starts_with("kept below 4.00 MiB (--max-size): before "), "{text}");
}

#[test]
fn of_too_many_live_stores_some_have_a_row_and_sums_are_exact() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session { n_born: 1_000, n_lived: None, has_census: false };
    let limited = session.record(&folder.path().join("a.bufwatch"), 80, Some(MAX));
    let reader = Reader::open(&limited).unwrap();
    let told = reader.told_at(flush_at(80), &StoresWanted::ALL).unwrap().recalled;
    let thinned = reader.about.thinned.unwrap();
    assert!(thinned.one_in > 1, "{thinned:?}");
    assert_eq!(n_orphans(&limited), 0);
    assert!(told.is_partial);
    assert_eq!((told.moment.n_live, told.totals[0].n_live), (80_000, 80_000));
    let n_large = told.stores.iter().filter(|store| store.size.0 > 1 << 20).count();
    assert_eq!(n_large, 80, "large ones all");
    assert!((1_000..40_000).contains(&told.stores.len()), "{} rows", told.stores.len());
    let text = thinned.text();
    assert!(text.contains(&format!("one in {} has a row", thinned.one_in)), "{text}");
}

#[test]
fn what_cannot_be_kept_below_it_is_an_error_and_the_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.bufwatch");
    let session = Session { n_born: 1, n_lived: Some(1), has_census: false };
    let mut writer = Place::find(&path, false).unwrap().limited_to(Some(MAX)).begin().unwrap();
    writer.write(&session.batch(1)).unwrap();
    let label: Arc<str> = "x".repeat(1_000).into();
    let site =
        |number| RecordedSite { number, label: Arc::clone(&label), ..RecordedSite::default() };
    let batch = Batch { sites: (2..10_000).map(site).collect(), ..session.batch(2) };
    let error = writer.write(&batch).unwrap_err();
    assert!(matches!(error, RecordingError::Limit { .. }), "{error}");
    writer.write(&session.batch(3)).unwrap();
    drop(writer);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(reader.about.last_at, flush_at(3));
}

/// A moment with very many stores is read by its sums and the rows that are shown.
#[test]
fn the_first_of_many_are_those_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let session = Session { n_born: 1_000, n_lived: Some(25), has_census: false };
    let path = session.record(&folder.path().join("a.bufwatch"), 40, None);
    let reader = Reader::open(&path).unwrap();
    let told = |wanted: &StoresWanted| reader.told_at(flush_at(33), wanted).unwrap().recalled;
    let mut all = told(&StoresWanted::ALL);
    assert!(!all.is_partial && all.stores.len() == 25_000);
    for order in
        [StoreOrder::Largest, StoreOrder::Smallest, StoreOrder::Oldest, StoreOrder::Youngest]
    {
        let first = all.stores.first().unwrap().key;
        let few = told(&StoresWanted { first: Some((order, 700)), also: Some(first) });
        assert!(few.is_partial, "{order:?}");
        assert_eq!(few.totals, all.totals);
        let by_number = |it: &RecordedStore| it.number;
        match order {
            StoreOrder::Largest => all.stores.sort_by_key(|it| (u64::MAX - it.size.0, it.number)),
            StoreOrder::Smallest => all.stores.sort_by_key(|it| (it.size.0, u64::MAX - it.number)),
            StoreOrder::Oldest => all.stores.sort_by_key(by_number),
            StoreOrder::Youngest => all.stores.sort_by_key(|it| u64::MAX - it.number),
        }
        let mut expected: Vec<u64> = all.stores.iter().take(700).map(by_number).collect();
        if !expected.contains(&8_001) {
            expected.push(8_001);
        }
        expected.sort_unstable();
        assert_eq!(few.stores.iter().map(by_number).collect::<Vec<_>>(), expected, "{order:?}");
        all.stores.sort_by_key(by_number);
    }
}
