//! Writes a recording: one transaction a flush, into a write-ahead log while it is made, so that whatever ends bufwatch leaves a file that
//! opens; a single plain file afterwards.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::base::{Bytes, FastMap};
use crate::event::Frame;
use crate::recording::row::Batch;
use crate::recording::rows::Rows;
use crate::recording::thinning::Limit;
use crate::recording::value::int;
use crate::recording::{Place, RecordingError, Thinned, census_writer};

/// A recording that is being made.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    connection: Connection,
    frames: FastMap<Frame, i64>,
    n_censuses: i64,
    limit: Option<Limit>,
}

impl Writer {
    /// Creates the file, for nobody else to read. An existing one is overwritten only if that is asked for.
    pub fn create(path: &Path, is_overwriting: bool) -> Result<Self, RecordingError> {
        Place::find(path, is_overwriting)?.begin()
    }

    /// Goes on with a file that was just made.
    pub(super) fn open(path: &Path, max_size: Option<Bytes>) -> Result<Self, RecordingError> {
        let open = || -> rusqlite::Result<Connection> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            // A power cut may cost the last transactions, never the file.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.set_prepared_statement_cache_capacity(64);
            Ok(connection)
        };
        let failed = RecordingError::writing(path);
        let connection = open().map_err(&failed)?;
        let limit = max_size.map(|max_size| Limit::set(&connection, max_size)).transpose();
        let (limit, frames) = (limit.map_err(&failed)?, FastMap::default());
        Ok(Self { path: path.to_owned(), connection, frames, n_censuses: 0, limit })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it or nothing.
    pub fn write(&mut self, batch: &Batch) -> Result<(), RecordingError> {
        let path = self.path.clone();
        let failed = RecordingError::writing(&path);
        if let Some(limit) = &mut self.limit {
            limit.make_room(&self.connection, batch).map_err(&failed)?;
        }
        loop {
            let n_censuses = self.n_censuses;
            let Err(error) = self.try_write(batch) else { return Ok(()) };
            // Nothing of it is in the file.
            self.frames = FastMap::default();
            self.n_censuses = n_censuses;
            let is_full = error.sqlite_error_code() == Some(ErrorCode::DiskFull);
            let Some(limit) = self.limit.as_mut().filter(|_| is_full) else {
                return Err(failed(error));
            };
            if !limit.make_more_room(&self.connection, batch).map_err(&failed)? {
                let max_size = limit.thinned.max_size;
                return Err(RecordingError::Limit { path: path.clone(), max_size });
            }
        }
    }

    /// What was left out so far; `None` without a limit, or if it was not reached.
    pub fn thinned(&self) -> Option<Thinned> {
        self.limit.as_ref().map(|limit| limit.thinned).filter(Thinned::is_any)
    }

    fn try_write(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let kept = self.limit.as_ref().map_or_else(Thinned::default, |limit| limit.thinned);
        let transaction = self.connection.transaction()?;
        let rows = Rows { transaction: &transaction, kept };
        for (name, fact) in &batch.facts {
            rows.fact(name, fact)?;
        }
        for thread in batch.threads.iter().flat_map(|threads| threads.iter()) {
            rows.execute(
                "INSERT OR REPLACE INTO thread VALUES (?, ?)",
                params![thread.tid.0, &*thread.name],
            )?;
        }
        for site in &batch.sites {
            rows.site(site, &mut self.frames)?;
        }
        batch.totals.iter().try_for_each(|total| rows.site_total(total))?;
        let mut stores = batch.stores.iter().filter(|it| kept.keeps(it.number, it.size));
        stores.try_for_each(|store| rows.store(store))?;
        rows.what_became(batch)?;
        batch
            .splits
            .iter()
            .try_for_each(|(at, scanned_at, split)| rows.split(*at, *scanned_at, split))?;
        rows.rss(batch)?;
        batch.moments.iter().try_for_each(|moment| rows.moment(moment))?;
        for census in &batch.censuses {
            self.n_censuses += 1;
            census_writer::write(&transaction, self.n_censuses, census)?;
        }
        for failure in &batch.census_failures {
            rows.execute(
                "INSERT OR REPLACE INTO census_failure VALUES (?, ?, ?)",
                params![int(failure.at.0), &*failure.message, &*failure.hint],
            )?;
        }
        for (at, findings) in &batch.findings {
            rows.findings(*at, findings)?;
        }
        for (at, what, n) in &batch.losses {
            rows.execute(
                "INSERT OR REPLACE INTO loss VALUES (?, ?, ?)",
                params![int(at.0), what, int(*n)],
            )?;
        }
        batch.notices.iter().try_for_each(|notices| rows.notices(notices))?;
        transaction.commit()
    }

    /// Makes it a single plain file.
    pub fn close(self) -> Result<(), RecordingError> {
        let writing = RecordingError::writing(&self.path);
        self.connection.flush_prepared_statement_cache();
        let close = || -> rusqlite::Result<()> {
            self.connection.pragma_update(None, "wal_checkpoint", "TRUNCATE")?;
            self.connection.pragma_update(None, "journal_mode", "DELETE")
        };
        close().map_err(&writing)?;
        self.connection.close().map_err(|(_, source)| writing(source))
    }
}
