//! Recordings that are foreign, damaged or of the future: a clear error or a state, never a panic.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::base::{Bytes, Nanos, StoreKey, sanitize};
use crate::event::Frame;
use crate::event::recorded::{Moment, RecordedDeath, RecordedSite, RecordedStore, SiteTotal};
use crate::event::residency::FirstTouch;

const HOSTILE: &str = "x'); DROP TABLE store; --\u{0}\u{1b}[2J";

fn store(number: u64, birth: Nanos) -> RecordedStore {
    let key = StoreKey { address: number << 8, id: 1 };
    RecordedStore { key, number, size: Bytes(100), birth, site: 2, ..RecordedStore::default() }
}

/// Of the store before, known at the flush of that second.
fn first_touch(second: u64) -> Option<FirstTouch> {
    match second {
        3 => Some(FirstTouch::At { at: Nanos(2_100), is_in_kernel: true }),
        4 => Some(FirstTouch::Unseen),
        _ => None,
    }
}

/// Flushes at the seconds 1 to 4; at each a store more, of which the first dies at 2.5 s.
fn record(folder: &Path) -> PathBuf {
    let path = folder.join("a.bufwatch");
    let mut writer = Writer::create(&path, false).unwrap();
    let frame =
        Frame { function: HOSTILE.into(), script: Some(HOSTILE.into()), ..Frame::default() };
    let stacks = vec![Arc::from([frame])];
    let label: Arc<str> = HOSTILE.into();
    for n in 1..=4 {
        let at = Nanos::from_secs(n);
        let site = RecordedSite {
            number: 2,
            label: Arc::clone(&label),
            stacks: stacks.clone(),
            ..RecordedSite::default()
        };
        let death = (n == 3).then(|| RecordedDeath {
            number: 1,
            birth: Nanos::from_millis(900),
            at: Nanos::from_millis(2_500),
            survived: Some(crate::event::recorded::RecordedGcCounts::default()),
        });
        let batch = Batch {
            facts: vec![("started", Fact::Number(1)), ("pid", Fact::Number(7))],
            sites: vec![site],
            totals: vec![SiteTotal { site: 2, at, n_created: n, ..SiteTotal::default() }],
            stores: vec![store(n, Nanos(at.0 - 100_000_000))],
            deaths: death.into_iter().collect(),
            first_touches: first_touch(n).map(|touch| (at, n - 1, touch)).into_iter().collect(),
            moments: vec![Moment { at, is_flush: true, n_created: n, ..Moment::default() }],
            ..Batch::default()
        };
        writer.write(&batch).unwrap();
    }
    writer.close().unwrap();
    path
}

fn alive(reader: &Reader, ms: u64) -> Vec<u64> {
    let told = reader.told_at(Nanos::from_millis(ms), &StoresWanted::ALL).unwrap();
    told.recalled.stores.iter().map(|store| store.number).collect()
}

#[test]
fn who_lived_at_a_moment_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let reader = Reader::open(&record(folder.path())).unwrap();
    assert_eq!(alive(&reader, 1_000), [1]);
    assert_eq!(alive(&reader, 2_900), [1, 2], "as of the flush before");
    assert_eq!(alive(&reader, 3_000), [2, 3]);
    assert_eq!(alive(&reader, 99_000), [2, 3, 4]);
    assert_eq!(alive(&reader, 0), [1], "before the first flush, as of it");
    let told = reader.told_at(Nanos::from_secs(9), &StoresWanted::ALL).unwrap();
    // As it was written, but safe to print.
    let printed = sanitize(HOSTILE);
    assert_ne!(printed, HOSTILE);
    assert_eq!(*told.recalled.sites[0].stacks[0][0].function, *printed);
    assert_eq!(told.recalled.totals[0].n_created, 4);
}

#[test]
fn an_existing_file_is_kept_unless_it_is_to_be_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path());
    assert!(matches!(Writer::create(&path, false), Err(RecordingError::Exists(_))));
    Writer::create(&path, true).unwrap().close().unwrap();
    assert!(matches!(Reader::open(&path), Err(RecordingError::Empty(_))));
}

/// A process that cannot be watched costs nobody a file.
#[test]
fn nothing_is_there_and_nothing_is_lost_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let path = folder.path().join("a.bufwatch");
    drop(Place::find(&path, false).unwrap());
    assert_eq!(files(), 0);
    let older = fs::read(record(folder.path())).unwrap();
    let place = Place::find(&path, true).unwrap();
    assert_eq!((files(), fs::read(&path).unwrap() == older), (1, true), "as it was");
    fs::write(folder.path().join("a.bufwatch-wal"), "of an older one").unwrap();
    place.begin().unwrap().close().unwrap();
    assert_eq!(files(), 1);
    assert!(matches!(Reader::open(&path), Err(RecordingError::Empty(_))), "replaced");
}

#[test]
fn a_place_where_no_file_can_be_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let failed =
        |path: &Path| matches!(Place::find(path, true), Err(RecordingError::Create { .. }));
    assert!(failed(folder.path()), "a folder");
    assert!(failed(Path::new("/dev/null")), "a device");
    assert!(failed(&folder.path().join("none").join("a")), "in no folder");
}

#[test]
fn what_is_no_recording_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b");
    assert!(matches!(Reader::open(&path), Err(RecordingError::Open { .. })));
    assert!(matches!(Reader::open(folder.path()), Err(RecordingError::Open { .. })));
    fs::write(&path, "not a database, and longer than its header would be".repeat(99)).unwrap();
    assert!(matches!(Reader::open(&path), Err(RecordingError::Read { .. })));
    fs::write(&path, "").unwrap();
    assert!(matches!(Reader::open(&path), Err(RecordingError::Foreign(_))));
    let path = record(folder.path());
    let change = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    change("PRAGMA user_version = 99");
    assert!(matches!(Reader::open(&path), Err(RecordingError::Newer { found: 99, .. })));
    change("PRAGMA user_version = 1; DROP TABLE store; CREATE VIEW store AS SELECT 1");
    assert!(matches!(Reader::open(&path), Err(RecordingError::Damaged { .. })));
    change("PRAGMA application_id = 1");
    assert!(matches!(Reader::open(&path), Err(RecordingError::Foreign(_))));
}

#[test]
fn first_touches_are_told_from_when_they_were_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path());
    let told = |second, number| {
        let reader = Reader::open(&path).unwrap();
        let told = reader.told_at(Nanos::from_secs(second), &StoresWanted::ALL).unwrap();
        let mut stores = told.recalled.stores.iter();
        stores.find(|store| store.number == number).unwrap().first_touch
    };
    assert_eq!(told(2, 2), FirstTouch::Unknown);
    assert_eq!(Some(told(3, 2)), first_touch(3));
    assert_eq!(told(3, 3), FirstTouch::Unknown);
    assert_eq!(told(4, 3), FirstTouch::Unseen);
    assert_eq!(told(4, 4), FirstTouch::Unknown);
    let sql = "DROP VIEW first_writes; DROP TABLE first_touch";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    assert_eq!(told(3, 2), FirstTouch::Unknown, "of an older bufwatch");
}

#[test]
fn files_of_an_older_bufwatch_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = record(folder.path());
    let older = "DROP VIEW censuses; DROP INDEX store_size; ALTER TABLE site_total DROP COLUMN young_bytes; \
         ALTER TABLE census DROP COLUMN pinned; ALTER TABLE census DROP COLUMN is_dropped";
    Connection::open(&path).unwrap().execute_batch(older).unwrap();
    let reader = Reader::open(&path).unwrap();
    assert_eq!(alive(&reader, 3_000), [2, 3]);
    let told = reader.told_at(Nanos::from_secs(3), &StoresWanted::ALL).unwrap().recalled;
    assert_eq!((told.totals[0].n_created, told.totals[0].live), (3, None));
    assert!(reader.course_until(Nanos::from_secs(9), 1).unwrap().censuses.is_empty());
}

/// Every view that is made for people can be asked.
#[test]
fn the_views_answer() {
    let folder = tempfile::tempdir().unwrap();
    let connection = Connection::open(record(folder.path())).unwrap();
    let mut names =
        connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'view'").unwrap();
    let names: Vec<String> =
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        let sql = format!("SELECT count(*) FROM (SELECT * FROM {name})");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Cut anywhere, with any bytes changed.
    #[test]
    fn damage_is_survived(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = record(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(reader) = Reader::open(&path) {
            drop(reader.marks());
            for at in [0, 2, 9] {
                drop(reader.told_at(Nanos::from_secs(at), &StoresWanted::ALL));
                drop(reader.splits_before(Nanos::from_secs(at)));
                drop(reader.state_time(Nanos::from_secs(at)));
            }
        }
    }
}
