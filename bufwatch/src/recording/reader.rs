//! Opens a recording and says what is in it as a whole. The file is foreign: it may be of another program, a newer bufwatch, cut or
//! damaged, or made to harm; nothing of it is executed, and no question runs without end.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, OpenFlags, Params, params};

use crate::base::{Bytes, FastMap, Nanos};
use crate::event::recorded::{CurvePoint, RecordedCensus, RecordedSite};
use crate::event::{Backend, Frame, OriginalPlace, TargetIdentified, Thread};
use crate::recording::value::{Columns, int};
use crate::recording::{APPLICATION_ID, RecordingError, Thinned, VERSION, names, value};

/// Steps of `SQLite`'s machine between two looks at how long a question takes; about 10 ms.
const STEPS: i32 = 1_000_000;

/// Such spans that one question may take: minutes.
const SPANS_MAX: u32 = 20_000;

/// Pages of the file that are kept in memory: what a seek asks for is asked for again by the next.
const CACHE_KIB: i64 = 65_536;

/// More than the model ever has.
const SITES_MAX: i64 = 50_000;
const FRAMES_MAX: i64 = 2_000_000;
const THREADS_MAX: i64 = 100_000;
const CURVE_POINTS_MAX: i64 = 5_000_000;

/// The points of shorter recordings are all read, four a second.
const ALL_POINTS_SPAN: Nanos = Nanos::from_secs(12 * 3_600);

/// Of longer ones, over the whole of it: a curve has 600 steps.
const POINTS_OF_LONG: u64 = 30_000;

/// The tables that answers come from: in a foreign file they could be views that never end.
const TABLES: [&str; 12] = [
    "fact",
    "thread",
    "frame",
    "site",
    "site_frame",
    "site_total",
    "store",
    "moment",
    "gc",
    "census",
    "parent",
    "finding",
];

/// A recording, open for reading.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "which columns a file has is independent of each other"
)]
pub struct Reader {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    spans: Arc<AtomicU32>,
    pub about: About,
    pub(super) sites: Arc<[RecordedSite]>,
    pub(super) threads: Arc<[Thread]>,
    /// The whole of them, in order.
    pub(super) curves: Vec<CurvePoint>,
    /// Older files lack these columns.
    pub(super) has_live_totals: bool,
    pub(super) has_dropped_censuses: bool,
    /// What of a parent is swapped out or only read is there.
    pub(super) has_parent_pages: bool,
    /// For how much of the time probes were in place is there.
    pub(super) has_coverage: bool,
    /// Censuses that were read last, with their numbers: one has a hundred thousand rows, and is that of many moments.
    pub(super) censuses: RefCell<Vec<(i64, RecordedCensus)>>,
}

/// What a recording says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub target: TargetIdentified,
    /// `CLOCK_MONOTONIC` of the target's machine.
    pub started_at: Nanos,
    /// The same moment since 1970.
    pub started_unix: Option<Nanos>,
    pub attached_at: Option<Nanos>,
    /// The last flush.
    pub last_at: Nanos,
    pub bufwatch_version: Option<String>,
    /// `None`: bufwatch was killed, or still records.
    pub how_it_ended: Option<String>,
    pub exit_code: Option<i32>,
    /// What it has lost to its limit of size.
    pub thinned: Option<Thinned>,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let opening = |source| RecordingError::Open { path: path.to_owned(), source };
        let is_file = File::open(path).and_then(|file| file.metadata()).map_err(opening)?.is_file();
        if !is_file {
            return Err(opening(io::Error::other("it is not a file")));
        }
        let connection = connect(path).map_err(RecordingError::reading(path))?;
        let spans = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&spans);
        let is_too_long = move || counted.fetch_add(1, Ordering::Relaxed) > SPANS_MAX;
        let mut reader = Self {
            path: path.to_owned(),
            connection,
            spans,
            about: About::default(),
            sites: Arc::from([]),
            threads: Arc::from([]),
            curves: Vec::new(),
            has_live_totals: false,
            has_dropped_censuses: false,
            has_parent_pages: false,
            has_coverage: false,
            censuses: RefCell::default(),
        };
        let failed = RecordingError::reading(path);
        reader.connection.progress_handler(STEPS, Some(is_too_long)).map_err(&failed)?;
        identify(&reader.connection, path)?;
        reader.about = reader.read_about().map_err(&failed)?;
        let has = |table, column| reader.has_column(table, column).map_err(&failed);
        let (has_live_totals, has_dropped_censuses, has_parent_pages, has_coverage) = (
            has("site_total", "young_bytes")?,
            has("census", "is_dropped")?,
            has("parent", "swapped")?,
            has("moment", "watched_share")?,
        );
        reader.has_live_totals = has_live_totals;
        reader.has_dropped_censuses = has_dropped_censuses;
        reader.has_parent_pages = has_parent_pages;
        reader.has_coverage = has_coverage;
        if reader.about.last_at.0 == 0 {
            return Err(RecordingError::Empty(path.to_owned()));
        }
        reader.sites = reader.read_sites().map_err(&failed)?.into();
        reader.threads = reader.read_threads().map_err(&failed)?.into();
        reader.curves = reader.read_curves().map_err(&failed)?;
        Ok(reader)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A question begins: it has its whole time.
    pub(super) fn begin(&self) {
        self.spans.store(0, Ordering::Relaxed);
    }

    /// Several questions to one state of a file that may still be written; without this each takes and releases a lock.
    pub(super) fn at_once<T>(
        &self,
        ask: impl FnOnce() -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self.connection.unchecked_transaction()?;
        let answer = ask()?;
        transaction.finish()?;
        Ok(answer)
    }

    pub(super) fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&mut Columns<'_, '_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, |row| read(&mut Columns::new(row)))?;
        rows.collect()
    }

    /// The first row, if there is one.
    pub(super) fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&mut Columns<'_, '_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Option<T>> {
        Ok(self.rows(sql, params, read)?.pop())
    }

    fn read_about(&self) -> rusqlite::Result<About> {
        let number = |name: &str| {
            let sql = "SELECT value FROM fact WHERE name = ? AND typeof(value) = 'integer'";
            self.row(sql, params![name], value::number)
        };
        let text = |name: &str| {
            let sql = "SELECT value FROM fact WHERE name = ? AND typeof(value) = 'text'";
            self.row(sql, params![name], value::text)
        };
        let last = self.row("SELECT max(t) FROM moment WHERE is_flush", [], value::known_nanos)?;
        let target = TargetIdentified {
            pid: number("pid")?.and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0),
            inner_pid: number("inner_pid")?.and_then(|pid| u32::try_from(pid).ok()),
            container: text("container")?,
            command: text("command")?.unwrap_or_default(),
            backend: text("backend")?.and_then(|name| Backend::read(&name)).unwrap_or_default(),
            node_version: text("node_version")?,
            v8_version: text("v8_version")?,
            min_size: Bytes(number("min_size")?.unwrap_or(0)),
            ..TargetIdentified::default()
        };
        Ok(About {
            target,
            started_at: Nanos(number("started")?.unwrap_or(0)),
            started_unix: number("started_unix_ns")?.map(Nanos),
            attached_at: number("attached")?.map(Nanos),
            last_at: last.flatten().unwrap_or_default(),
            bufwatch_version: text("bufwatch_version")?,
            how_it_ended: text("how_it_ended")?,
            exit_code: text("exit_code")?.and_then(|code| code.parse().ok()),
            thinned: self.read_thinned()?,
        })
    }

    fn read_thinned(&self) -> rusqlite::Result<Option<Thinned>> {
        let number = |name: &str| {
            let sql = "SELECT value FROM fact WHERE name = ? AND typeof(value) = 'integer'";
            self.row(sql, params![name], value::number)
        };
        let Some(max_size) = number("max_size")? else { return Ok(None) };
        let thinned = Thinned {
            max_size: Bytes(max_size),
            until: Nanos(number("thinned_until_ns")?.unwrap_or(0)),
            gap: Nanos(number("thinned_gap_ns")?.unwrap_or(0)),
            n_stores: number("n_store_rows_gone")?.unwrap_or(0),
            n_censuses: number("n_censuses_gone")?.unwrap_or(0),
            one_in: number("stores_one_in")?.unwrap_or(1),
        };
        Ok(Some(thinned).filter(Thinned::is_any))
    }

    fn has_column(&self, table: &str, column: &str) -> rusqlite::Result<bool> {
        let sql = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?";
        Ok(self.row(sql, params![table, column], value::number)?.is_some())
    }

    fn read_threads(&self) -> rusqlite::Result<Vec<Thread>> {
        self.rows("SELECT tid, name FROM thread LIMIT ?", params![THREADS_MAX], |row| {
            Ok(Thread { tid: crate::base::Tid(row.small()?), name: row.text()?.into() })
        })
    }

    fn read_sites(&self) -> rusqlite::Result<Vec<RecordedSite>> {
        let sql = "SELECT id, kind, function, script, line, col, is_approximate, is_resolved, original_script, original_line, original_col, \
             original_name FROM frame LIMIT ?";
        let frames = self.rows(sql, params![FRAMES_MAX], |row| Ok((row.number()?, frame(row)?)))?;
        let frames: FastMap<u64, Frame> = frames.into_iter().collect();
        let sql = "SELECT site, part, frame FROM site_frame ORDER BY site, part, position LIMIT ?";
        let places = |row: &mut Columns<'_, '_>| Ok((row.small()?, row.small()?, row.number()?));
        let mut stacks: FastMap<u32, Vec<(u32, Vec<Frame>)>> = FastMap::default();
        for (site, part, id) in self.rows(sql, params![FRAMES_MAX], places)? {
            let Some(frame) = frames.get(&id) else { continue };
            let parts = stacks.entry(site).or_default();
            match parts.last_mut().filter(|(last, _)| *last == part) {
                Some((_, frames)) => frames.push(frame.clone()),
                None => parts.push((part, vec![frame.clone()])),
            }
        }
        let sql = "SELECT id, group_id, stack, label, via, is_cut, user_frame FROM site ORDER BY id LIMIT ?";
        self.rows(sql, params![SITES_MAX], |row| {
            let number = row.small()?;
            let parts = stacks.remove(&number).unwrap_or_default();
            let own_is_empty = parts.first().is_none_or(|(part, _)| *part != 0);
            let none: Option<Arc<[Frame]>> = own_is_empty.then(|| Arc::from([]));
            let all = parts.into_iter().map(|(_, frames)| Arc::from(frames));
            Ok(RecordedSite {
                number,
                group: row.small()?,
                stack: crate::base::StackId(row.bits()?),
                label: row.text()?.into(),
                via: row.known_text()?.map(Into::into),
                is_cut: row.flag()?,
                user_frame: row.known_small()?,
                stacks: none.into_iter().chain(all).collect(),
            })
        })
    }

    fn read_curves(&self) -> rusqlite::Result<Vec<CurvePoint>> {
        let columns = "t, rss, array_buffers, v8_heap, live_bytes, created_bytes_per_s, destroyed_bytes_per_s FROM moment";
        let point = |row: &mut Columns<'_, '_>| {
            Ok(CurvePoint {
                at: row.nanos()?,
                rss: row.known_bytes()?,
                array_buffers: row.known_bytes()?,
                v8_heap: row.known_bytes()?,
                live_bytes: row.bytes()?,
                created_bytes_per_s: row.real()?,
                destroyed_bytes_per_s: row.real()?,
            })
        };
        let length = self.about.last_at.since(self.about.started_at);
        if length <= ALL_POINTS_SPAN {
            let sql = format!("SELECT {columns} WHERE NOT is_flush ORDER BY t LIMIT ?");
            return self.rows(&sql, params![CURVE_POINTS_MAX], point);
        }
        // Some in each step of a curve: what is between them is not read.
        let step = length.0 / POINTS_OF_LONG;
        let sql = format!(
            "WITH RECURSIVE picked(at) AS (SELECT min(t) FROM moment UNION ALL \
             SELECT (SELECT min(m.t) FROM moment m WHERE m.t >= picked.at + ?1) FROM picked WHERE picked.at IS NOT NULL LIMIT ?2) \
             SELECT {columns} JOIN picked ON t = picked.at ORDER BY t LIMIT ?2"
        );
        self.rows(&sql, params![int(step), CURVE_POINTS_MAX], point)
    }

    /// The last flush up to a moment; before the first, that one.
    pub(super) fn flush_before(&self, at: Nanos) -> rusqlite::Result<Option<Nanos>> {
        let sql = "SELECT t FROM moment WHERE is_flush AND t <= ? ORDER BY t DESC LIMIT 1";
        let before = self.row(sql, params![int(at.0)], value::nanos)?;
        match before {
            Some(before) => Ok(Some(before)),
            None => {
                let sql = "SELECT t FROM moment WHERE is_flush ORDER BY t LIMIT 1";
                self.row(sql, [], value::nanos)
            }
        }
    }
}

fn frame(row: &mut Columns<'_, '_>) -> rusqlite::Result<Frame> {
    let mut frame = Frame {
        kind: names::read_frame_kind(&row.text()?),
        function: row.text()?.into(),
        script: row.known_text()?.map(Into::into),
        line: row.known_small()?,
        column: row.known_small()?,
        is_approximate: row.flag()?,
        is_resolved: row.flag()?,
        original: None,
    };
    let source = row.known_text()?;
    let (line, column, name) = (row.known_small()?, row.known_small()?, row.known_text()?);
    frame.original = source.zip(line).map(|(source, line)| {
        Arc::new(OriginalPlace {
            source: source.into(),
            line,
            column: column.unwrap_or(1),
            name: name.map(Into::into),
        })
    });
    Ok(frame)
}

/// An error unless it is one of ours that can be read.
pub(super) fn identify(connection: &Connection, path: &Path) -> Result<(), RecordingError> {
    let failed = RecordingError::reading(path);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if pragma("application_id").map_err(&failed)? != APPLICATION_ID {
        return Err(RecordingError::Foreign(path.to_owned()));
    }
    let found = pragma("user_version").map_err(&failed)?;
    if !(1..=VERSION).contains(&found) {
        return Err(RecordingError::Newer { path: path.to_owned(), found, known: VERSION });
    }
    let sql = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?";
    for name in TABLES {
        let n: i64 = connection.query_row(sql, [name], |row| row.get(0)).map_err(&failed)?;
        if n == 0 {
            let what = format!("it has no table `{name}`");
            return Err(RecordingError::Damaged { path: path.to_owned(), what });
        }
    }
    Ok(())
}

/// For reading only. Where nothing can be created beside the file, as on a read-only disk, it is read as it is: nobody can change it.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = |connection: Connection| {
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.pragma_query_value(None, "schema_version", |_| Ok(()))?;
        Ok(connection)
    };
    match Connection::open_with_flags(path, flags).and_then(open) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::CannotOpen) => {
            let uri = format!("file:{}?immutable=1", escaped(path));
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            Connection::open_with_flags(uri, flags).and_then(open).map_err(|_| error)
        }
        other => other,
    }
}

/// A path in a URI: all but letters, digits and slashes as `%XX`.
fn escaped(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut escaped = String::new();
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || *byte == b'/' {
            escaped.push(char::from(*byte));
        } else if write!(escaped, "%{byte:02X}").is_err() {
            // Writing to a string does not fail.
            break;
        }
    }
    escaped
}
