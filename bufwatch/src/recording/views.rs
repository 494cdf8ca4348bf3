//! The views of a recording that are made for people, row by row. What they are written as is `export`'s part.

use std::io;

use rusqlite::types::ValueRef;

use crate::recording::stream::StreamError;
use crate::recording::value::Columns;
use crate::recording::{Reader, RecordingError, value};

/// Views of one file.
const VIEWS_MAX: i64 = 1_000;

/// A view that others are made of, and none for people.
const INTERNAL: &str = "start";

/// A value of a column, as it is in the file.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    /// What is no text in UTF-8 has `�` in it.
    Text(String),
}

impl Reader {
    /// Names of the views, in the order in which they were made.
    pub fn views(&self) -> Result<Vec<String>, RecordingError> {
        self.begin();
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'view' ORDER BY rowid LIMIT ?";
        let names = self.rows(sql, [VIEWS_MAX], value::text);
        let mut names = names.map_err(RecordingError::reading(&self.path))?;
        names.retain(|name| name != INTERNAL);
        Ok(names)
    }

    pub fn columns(&self, view: &str) -> Result<Vec<String>, RecordingError> {
        self.begin();
        let statement = self.connection.prepare(&select(view));
        let statement = statement.map_err(RecordingError::reading(&self.path))?;
        Ok(statement.column_names().map(str::to_owned).collect())
    }

    /// Gives each row of a view to `visit`, until that fails.
    pub fn each_row(
        &self,
        view: &str,
        visit: impl FnMut(Vec<Cell>) -> io::Result<()>,
    ) -> Result<(), StreamError> {
        let n_columns = self.columns(view)?.len();
        let read = |row: &mut Columns<'_, '_>| (0..n_columns).map(|_| row.cell()).collect();
        self.each(&select(view), [], read, visit)
    }
}

/// The name is quoted: it is foreign.
fn select(view: &str) -> String {
    format!("SELECT * FROM \"{}\"", view.replace('"', "\"\""))
}

impl From<ValueRef<'_>> for Cell {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(n) => Self::Integer(n),
            ValueRef::Real(n) => Self::Real(n),
            ValueRef::Text(text) | ValueRef::Blob(text) => {
                Self::Text(String::from_utf8_lossy(text).into_owned())
            }
        }
    }
}
