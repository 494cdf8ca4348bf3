//! Questions in SQL that somebody typed, asked of a recording that somebody sent. Neither is trusted: nothing is written, no other file is
//! opened, and no question takes without end. How answers are printed is the caller's business.

use std::path::Path;

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode};

use crate::recording::RecordingError;
use crate::recording::reader::{connect, identify};

/// Steps of `SQLite`'s machine between two looks at the clock: below a millisecond.
const STEPS: i32 = 20_000;

/// A text or blob is at most this long: functions work on one without looking at the clock.
const VALUE_BYTES_MAX: i32 = 16 << 20;

const STATEMENT_BYTES_MAX: i32 = 1 << 20;

/// `LIKE` and `GLOB` take exponentially long with the wildcards of their pattern.
const PATTERN_BYTES_MAX: i32 = 256;

/// Bytes that all of an answer's work may take; beyond it `SQLite` says that it is out of memory.
const HEAP_MAX: i64 = 1 << 30;

/// Pragmas that only tell of tables.
const PRAGMAS: [&str; 3] = ["table_info", "table_xinfo", "table_list"];

/// What an extension or the command line shell could bring: none of them is in this build.
const FUNCTIONS_REFUSED: [&str; 4] = ["load_extension", "readfile", "writefile", "edit"];

/// A recording that can be asked.
#[derive(Debug)]
pub struct Query {
    connection: Connection,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    #[error(transparent)]
    Recording(#[from] RecordingError),
    #[error("the statement cannot be run: {0}")]
    Statement(rusqlite::Error),
    #[error("the statement may only read: {0}")]
    Refused(rusqlite::Error),
    #[error("one statement at a time: there is another one behind the first")]
    Several,
    #[error("the statement asks for nothing")]
    Nothing,
    #[error("the answer took longer than {0} s")]
    TooLong(f64),
    #[error(transparent)]
    Output(#[from] std::io::Error),
}

impl QueryError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Recording(error) => error.hint(),
            Self::Statement(_) => {
                "`bufwatch sql FILE` without a statement lists what can be asked; docs/queries.md has examples"
            }
            Self::Refused(_) => "a recording is only read: SELECT, WITH, VALUES and EXPLAIN work",
            Self::Several => "ask them one by one",
            Self::Nothing => "a statement is, for example, SELECT * FROM sites",
            Self::TooLong(_) => "give it more time with --timeout SECONDS, or ask for less",
            Self::Output(_) => "may bufwatch write there?",
        }
    }
}

/// What takes an answer: its columns once, and then each row.
pub trait Answer {
    fn columns(&mut self, names: &[String]) -> std::io::Result<()>;
    /// False if it wants no more.
    fn row(&mut self, values: &[ValueRef<'_>]) -> std::io::Result<bool>;
}

impl Query {
    pub fn open(path: &Path) -> Result<Self, QueryError> {
        let failed = RecordingError::reading(path);
        let mut connection = connect(path).map_err(&failed)?;
        identify(&connection, path)?;
        let limits = [
            (Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX),
            (Limit::SQLITE_LIMIT_SQL_LENGTH, STATEMENT_BYTES_MAX),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES_MAX),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ];
        for (limit, value) in limits {
            connection.set_limit(limit, value).map_err(&failed)?;
        }
        connection.pragma_update(None, "hard_heap_limit", HEAP_MAX).map_err(&failed)?;
        connection.authorizer(Some(authorize)).map_err(&failed)?;
        Ok(Self { connection })
    }

    /// `seconds`: how long it may take, which `is_over` tells.
    pub fn ask(
        &mut self,
        sql: &str,
        seconds: f64,
        is_over: impl Fn() -> bool + Send + 'static,
        answer: &mut dyn Answer,
    ) -> Result<(), QueryError> {
        let failed = |error: rusqlite::Error| failed(error, seconds);
        self.connection.progress_handler(STEPS, Some(is_over)).map_err(failed)?;
        let mut batch = rusqlite::Batch::new(&self.connection, sql);
        let mut statement = batch.next().map_err(failed)?.ok_or(QueryError::Nothing)?;
        if batch.next().map_err(failed)?.is_some() {
            return Err(QueryError::Several);
        }
        if statement.column_count() == 0 {
            return Err(QueryError::Nothing);
        }
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        answer.columns(&names)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let values = (0..names.len()).map(|index| row.get_ref(index));
            let values: Vec<ValueRef<'_>> = values.collect::<Result<_, _>>().map_err(failed)?;
            if !answer.row(&values)? {
                break;
            }
        }
        Ok(())
    }

    /// The views made for people with their columns.
    pub fn views(&self) -> Result<Vec<(String, Vec<String>)>, QueryError> {
        let failed = |error: rusqlite::Error| failed(error, 0.0);
        let sql = "SELECT s.name, c.name FROM sqlite_schema s, pragma_table_info(s.name) c WHERE s.type = 'view' \
             ORDER BY s.name, c.cid LIMIT 10000";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        let mut views: Vec<(String, Vec<String>)> = Vec::new();
        for row in rows {
            let (view, column) = row.map_err(failed)?;
            match views.last_mut().filter(|(last, _)| *last == view) {
                Some((_, columns)) => columns.push(column),
                None => views.push((view, vec![column])),
            }
        }
        Ok(views)
    }
}

fn failed(error: rusqlite::Error, seconds: f64) -> QueryError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => QueryError::TooLong(seconds),
        Some(ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly) => {
            QueryError::Refused(error)
        }
        _ => QueryError::Statement(error),
    }
}

/// Reading, and nothing else.
fn authorize(context: AuthContext<'_>) -> Authorization {
    let is_reading = match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => {
            !FUNCTIONS_REFUSED.iter().any(|name| function_name.eq_ignore_ascii_case(name))
        }
        AuthAction::Pragma { pragma_name, .. } => {
            PRAGMAS.iter().any(|name| pragma_name.eq_ignore_ascii_case(name))
        }
        _ => false,
    };
    if is_reading { Authorization::Allow } else { Authorization::Deny }
}
