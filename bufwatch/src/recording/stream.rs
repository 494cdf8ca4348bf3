//! Rows that are handed on as they come, so that memory does not depend on how many there are.

use std::io;

use rusqlite::Params;

use crate::recording::value::Columns;
use crate::recording::{Reader, RecordingError};

/// Rows after which a question has its whole time again: it is no longer than it is slow.
const ROWS_A_QUESTION: u64 = 1_000;

/// Rows of one question; one that is asked of a foreign file may have no end.
const ROWS_MAX: u64 = 1_000_000_000;

/// A reading that ended early.
#[derive(Debug)]
pub enum StreamError {
    Read(RecordingError),
    /// Whoever got the rows could not take more.
    Write(io::Error),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl From<RecordingError> for StreamError {
    fn from(error: RecordingError) -> Self {
        Self::Read(error)
    }
}

impl Reader {
    /// Several questions to one state of a file that may still be written.
    pub fn of_one_state<T>(
        &self,
        ask: impl FnOnce() -> Result<T, StreamError>,
    ) -> Result<T, StreamError> {
        let failed = RecordingError::reading(&self.path);
        let transaction = self.connection.unchecked_transaction().map_err(&failed)?;
        let answer = ask()?;
        transaction.finish().map_err(&failed)?;
        Ok(answer)
    }

    /// Reads row by row, and gives each to `visit`, until that fails.
    pub(super) fn each<T>(
        &self,
        sql: &str,
        params: impl Params,
        mut read: impl FnMut(&mut Columns<'_, '_>) -> rusqlite::Result<T>,
        mut visit: impl FnMut(T) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        self.begin();
        let failed = RecordingError::reading(&self.path);
        let mut statement = self.connection.prepare(sql).map_err(&failed)?;
        let mut rows = statement.query(params).map_err(&failed)?;
        let mut n_rows = 0_u64;
        while let Some(row) = rows.next().map_err(&failed)? {
            visit(read(&mut Columns::new(row)).map_err(&failed)?)?;
            n_rows += 1;
            if n_rows >= ROWS_MAX {
                let what = format!("a question has more than {ROWS_MAX} answers");
                return Err(RecordingError::Damaged { path: self.path.clone(), what }.into());
            }
            if n_rows.is_multiple_of(ROWS_A_QUESTION) {
                self.begin();
            }
        }
        Ok(())
    }
}
