//! Keeps a recording below its limit: older states are left out, every second one at a time, with all that only they showed. What is left
//! is as it was: every state that is kept is whole. If live stores alone are too many, some of them have no row any more, and it says so.

use rusqlite::{Connection, params};

use crate::base::{Bytes, Nanos};
use crate::recording::row::Batch;
use crate::recording::thinned::{LARGE, Thinned};
use crate::recording::value::int;

/// Of the limit: what the database may take. The log beside it needs room as well.
const DATABASE_SHARE: (u64, u64) = (3, 4);

/// States that are kept at least.
const FLUSHES_MIN: u64 = 32;

/// One store in so many at least has a row.
const ONE_IN_MAX: u64 = 1 << 20;

/// About what a row takes with its indexes, of those that are not stores too, and of a store until it is dead.
const ROW: u64 = 300;
const STORE_ROW: u64 = 250;
const PARENT_ROWS: u64 = 400;

/// Of the limit: what the log may grow to before it is written back. `SQLite`'s own is 1,000 pages.
const LOG_SHARE: u64 = 32;
const LOG_PAGES: std::ops::RangeInclusive<u64> = 16..=1_000;

/// How long a statement waits for a lock; nobody else writes.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

/// Rows that are gone when no state shows them: those that are followed by a newer one of the same thing no later than the next state. The
/// first placeholder is the table, the second says what is the same thing.
fn superseded(table: &str, same: &str) -> String {
    format!(
        "DELETE FROM {table} AS a WHERE a.t < ?1 AND (SELECT min(b.t) FROM {table} b WHERE b.t > a.t {same}) \
         <= (SELECT min(f.t) FROM moment f WHERE f.is_flush AND f.t >= a.t)"
    )
}

/// Tables with running totals or states, and what one thing is in them.
const STATES: [(&str, &str); 9] = [
    ("site_total", "AND b.site = a.site"),
    ("freed", "AND b.site = a.site"),
    ("gc", "AND b.tid = a.tid AND b.kind = a.kind"),
    ("loss", "AND b.what = a.what"),
    ("notice", "AND b.is_limit = a.is_limit"),
    ("heap", ""),
    ("rss_scan", ""),
    ("rss_step", "AND b.since = a.since"),
    ("store_pages", "AND b.store = a.store"),
];

/// Samples between two states, but for the largest ones: who asks whether a limit was ever exceeded is told the truth.
const SAMPLES: &str = "DELETE FROM moment WHERE NOT is_flush AND t < ?1 AND t NOT IN (SELECT t FROM (SELECT t, \
     row_number() OVER (PARTITION BY state ORDER BY rss DESC) AS by_rss, row_number() OVER (PARTITION BY state ORDER BY array_buffers DESC) AS by_buffers \
     FROM (SELECT m.t, m.rss, m.array_buffers, (SELECT min(f.t) FROM moment f WHERE f.is_flush AND f.t >= m.t) AS state \
     FROM moment m WHERE NOT m.is_flush AND m.t < ?1)) WHERE by_rss = 1 OR by_buffers = 1)";

/// Findings that no state shows, unless one of them was told there for the first time.
const FINDINGS: &str = "DELETE FROM finding WHERE t IN (SELECT a.t FROM (SELECT DISTINCT t FROM finding WHERE t < ?1) a \
     WHERE (SELECT min(b.t) FROM finding b WHERE b.t > a.t) <= (SELECT min(f.t) FROM moment f WHERE f.is_flush AND f.t >= a.t) \
     AND a.t NOT IN (SELECT min(t) FROM finding GROUP BY kind, confidence, site, via, holder))";

/// Stores that lived at no state that is kept. A birth may be told a little late.
const DEAD_STORES: &str = "DELETE FROM store WHERE death <= ?1 AND NOT EXISTS (SELECT 1 FROM moment f WHERE f.is_flush \
     AND f.t >= store.birth - 1000000000 AND f.t < store.death)";

/// Rows of what is gone.
const ORPHANS: [&str; 6] = [
    "DELETE FROM store_pages WHERE store NOT IN (SELECT number FROM store)",
    "DELETE FROM store_change WHERE store NOT IN (SELECT number FROM store)",
    "DELETE FROM first_touch WHERE store NOT IN (SELECT number FROM store)",
    "DELETE FROM rss_part WHERE t NOT IN (SELECT t FROM rss_scan)",
    "DELETE FROM rss_step_cause WHERE NOT EXISTS (SELECT 1 FROM rss_step s WHERE s.t = rss_step_cause.t AND s.until = rss_step_cause.until)",
    "DELETE FROM rss_step_call WHERE NOT EXISTS (SELECT 1 FROM rss_step s WHERE s.t = rss_step_call.t AND s.until = rss_step_call.until)",
];

/// What a census has besides its sums.
const CENSUS_TABLES: [&str; 7] =
    ["parent", "array_view", "holder", "holder_group", "orphan", "isolate", "census_gap"];

/// Of the array buffers of a census: what is alive only by views that do not show it.
pub(super) const PINNED: &str = "coalesce((SELECT sum(size - covered) FROM parent p WHERE p.census = c.id AND n_views > 0 AND NOT is_held_itself \
     AND size > covered AND kind IN ('own', 'pool', 'read', 'external')), 0)";

/// The limit of a recording that is being made.
#[derive(Debug)]
pub(super) struct Limit {
    /// Of the database.
    max: u64,
    pub(super) thinned: Thinned,
}

impl Limit {
    pub(super) fn set(connection: &Connection, max_size: Bytes) -> rusqlite::Result<Self> {
        let (share, of) = DATABASE_SHARE;
        let max = max_size.0 / of * share;
        let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page = u64::try_from(page).unwrap_or(4_096).max(512);
        connection.pragma_update(None, "max_page_count", int(max / page))?;
        let log = (max_size.0 / page / LOG_SHARE).clamp(*LOG_PAGES.start(), *LOG_PAGES.end());
        connection.pragma_update(None, "wal_autocheckpoint", int(log))?;
        connection.pragma_update(None, "journal_size_limit", int(log * page))?;
        let limit = Self { max, thinned: Thinned { max_size, one_in: 1, ..Thinned::default() } };
        limit.say(connection)?;
        Ok(limit)
    }

    /// Makes room for a batch, as far as there is something to leave out.
    pub(super) fn make_room(
        &mut self,
        connection: &Connection,
        batch: &Batch,
    ) -> rusqlite::Result<()> {
        if used(connection)?.saturating_add(self.size_of(batch)) <= self.max / 10 * 9 {
            return Ok(());
        }
        loop {
            let (used, needed) = (used(connection)?, self.size_of(batch));
            // As much as the next flushes need too, so that it is seldom.
            let is_enough = used.saturating_add(needed) <= self.max / 4 * 3;
            if is_enough || !self.thin(connection, used, needed)? {
                break;
            }
        }
        self.say(connection)
    }

    /// What could not be written needs more room than was thought.
    pub(super) fn make_more_room(
        &mut self,
        connection: &Connection,
        batch: &Batch,
    ) -> rusqlite::Result<bool> {
        let used = used(connection)?;
        let is_less = self.thin(connection, used, self.size_of(batch))?;
        self.say(connection)?;
        Ok(is_less)
    }

    fn size_of(&self, batch: &Batch) -> u64 {
        let is_kept = |number, size| self.thinned.keeps(number, size);
        let n_stores = batch.stores.iter().filter(|it| is_kept(it.number, it.size)).count();
        let n_parents: usize = batch.censuses.iter().map(|it| it.census.parents.len()).sum();
        // A death is written into the row of the store.
        let of_stores = batch.pages.len() + batch.first_touches.len();
        let n_rows = batch.n_rows() - batch.stores.len() - batch.deaths.len() - of_stores;
        let pages = batch.pages.iter().map(|(_, number, _)| *number);
        let of_stores = pages.chain(batch.first_touches.iter().map(|(_, number, _)| *number));
        let n_of_stores = of_stores.filter(|number| is_kept(*number, Bytes(0))).count();
        (n_rows + n_of_stores) as u64 * ROW
            + n_stores as u64 * STORE_ROW
            + n_parents as u64 * PARENT_ROWS
    }

    /// One step. False if there is nothing left that could go.
    fn thin(&mut self, connection: &Connection, used: u64, needed: u64) -> rusqlite::Result<bool> {
        let of_live =
            count(connection, "SELECT count(*) FROM store WHERE life_class IS NULL")? * STORE_ROW;
        let are_stores_many = of_live.max(needed) > used / 2;
        let n_flushes = count(connection, "SELECT count(*) FROM moment WHERE is_flush")?;
        if n_flushes <= FLUSHES_MIN || are_stores_many {
            if self.thinned.one_in < ONE_IN_MAX {
                self.sample_stores(connection)?;
                return Ok(true);
            }
            if n_flushes <= FLUSHES_MIN {
                return Ok(false);
            }
        }
        self.leave_states_out(connection, n_flushes)?;
        Ok(true)
    }

    /// Of the older half every second state.
    fn leave_states_out(
        &mut self,
        connection: &Connection,
        n_flushes: u64,
    ) -> rusqlite::Result<()> {
        let sql = "SELECT t FROM moment WHERE is_flush ORDER BY t LIMIT 1 OFFSET ?";
        let middle: i64 = connection.query_row(sql, [int(n_flushes / 2)], |row| row.get(0))?;
        let transaction = connection.unchecked_transaction()?;
        let sql = "DELETE FROM moment WHERE t IN (SELECT t FROM (SELECT t, row_number() OVER (ORDER BY t) AS n FROM moment \
             WHERE is_flush AND t < ?1) WHERE n % 2 = 0)";
        transaction.execute(sql, [middle])?;
        transaction.execute(SAMPLES, [middle])?;
        let sql = "SELECT max(gap) FROM (SELECT t - lag(t) OVER (ORDER BY t) AS gap FROM moment WHERE is_flush AND t <= ?1)";
        let gap: Option<i64> = transaction.query_row(sql, [middle], |row| row.get(0))?;
        let sql = "SELECT value FROM fact WHERE name = 'started' AND typeof(value) = 'integer'";
        let started: i64 = transaction.query_row(sql, [], |row| row.get(0)).unwrap_or(0);
        let nanos = |n: i64| Nanos(u64::try_from(n).unwrap_or(0));
        self.thinned.until = self.thinned.until.max(nanos(middle.saturating_sub(started)));
        self.thinned.gap = nanos(gap.unwrap_or(0));
        self.say(&transaction)?;
        transaction.commit()?;
        write_back(connection)?;
        // From here on each step leaves a file that is whole: these rows are in no state any more.
        for (table, same) in STATES {
            connection.execute(&superseded(table, same), [middle])?;
            write_back(connection)?;
        }
        connection.execute(FINDINGS, [middle])?;
        let n = connection.execute(DEAD_STORES, [middle])?;
        self.thinned.n_stores += n as u64;
        for sql in ORPHANS {
            connection.execute(sql, [])?;
        }
        write_back(connection)?;
        self.leave_censuses_out(connection, middle)
    }

    /// Of the older half of those that are whole only sums, but for the last two.
    fn leave_censuses_out(&mut self, connection: &Connection, middle: i64) -> rusqlite::Result<()> {
        let sql = "SELECT count(*) FROM census WHERE is_dropped = 0";
        let n = count(connection, sql)?.saturating_sub(2).div_ceil(2);
        let transaction = connection.unchecked_transaction()?;
        let sql = format!(
            "UPDATE census AS c SET pinned = {PINNED}, is_dropped = 1 WHERE id IN (SELECT id FROM census WHERE is_dropped = 0 \
             AND known < ? ORDER BY id LIMIT ?)"
        );
        let n = transaction.execute(&sql, params![middle, int(n)])?;
        for table in CENSUS_TABLES {
            let sql = format!(
                "DELETE FROM {table} WHERE census IN (SELECT id FROM census WHERE is_dropped = 1)"
            );
            if n > 0 {
                transaction.execute(&sql, [])?;
            }
        }
        transaction.commit()?;
        self.thinned.n_censuses += n as u64;
        write_back(connection)
    }

    fn sample_stores(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        self.thinned.one_in *= 2;
        let transaction = connection.unchecked_transaction()?;
        let sql = "DELETE FROM store WHERE size < ?1 AND number % ?2 <> 0";
        let n = transaction.execute(sql, params![int(LARGE.0), int(self.thinned.one_in)])?;
        self.thinned.n_stores += n as u64;
        for sql in ORPHANS.iter().take(3) {
            transaction.execute(sql, [])?;
        }
        self.say(&transaction)?;
        transaction.commit()?;
        write_back(connection)
    }

    /// In the file, for whoever reads it.
    fn say(&self, connection: &Connection) -> rusqlite::Result<()> {
        let thinned = &self.thinned;
        let facts = [
            ("max_size", thinned.max_size.0),
            ("thinned_until_ns", thinned.until.0),
            ("thinned_gap_ns", thinned.gap.0),
            ("n_store_rows_gone", thinned.n_stores),
            ("n_censuses_gone", thinned.n_censuses),
            ("stores_one_in", thinned.one_in),
        ];
        for (name, n) in facts {
            let sql = "INSERT OR REPLACE INTO fact VALUES (?, ?)";
            connection.prepare_cached(sql)?.execute(params![name, int(n)])?;
        }
        Ok(())
    }
}

/// The log into the database, so that it begins anew. Somebody who reads may keep it from that: then it is done later.
fn write_back(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::ZERO)?;
    let done = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    connection.busy_timeout(PATIENCE)?;
    done
}

/// Bytes of the database that are in use.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pragma = |name: &str| {
        connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
    };
    let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
    Ok(pages.saturating_mul(pragma("page_size")?))
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}
