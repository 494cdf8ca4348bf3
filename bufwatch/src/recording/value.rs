//! Numbers and lists as columns, and columns as numbers and lists: `SQLite` has no unsigned ones, and a foreign column may hold anything.

use rusqlite::Row;

use crate::base::sanitize::sanitize_to;
use crate::base::{Bytes, Nanos};
use crate::recording::views::Cell;

/// Characters of a text; what bufwatch writes is shorter.
const TEXT_CHARS_MAX: usize = 1 << 16;

/// A list of numbers at most this long is read.
const LIST_MAX: usize = 10_000;

/// Never negative; beyond 2^63 there is no time and no size.
pub(super) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

pub(super) fn known(n: Option<u64>) -> Option<i64> {
    n.map(int)
}

/// As JSON, without the zeros at its end.
pub(super) fn list(numbers: &[u64]) -> String {
    let n = numbers.iter().rposition(|n| *n != 0).map_or(0, |last| last + 1);
    let shown: Vec<String> =
        numbers.get(..n).unwrap_or_default().iter().map(u64::to_string).collect();
    format!("[{}]", shown.join(","))
}

/// Texts as JSON.
pub(super) fn texts<T: serde::Serialize>(texts: &[T]) -> String {
    serde_json::to_string(texts).unwrap_or_else(|_| "[]".to_owned())
}

pub(super) fn read_list(text: &str) -> Vec<u64> {
    let mut numbers: Vec<u64> = serde_json::from_str(text).unwrap_or_default();
    numbers.truncate(LIST_MAX);
    numbers
}

pub(super) fn read_texts(text: &str) -> Vec<String> {
    let mut texts: Vec<String> = serde_json::from_str(text).unwrap_or_default();
    texts.truncate(LIST_MAX);
    texts.iter().map(|text| printable(text)).collect()
}

fn printable(text: &str) -> String {
    sanitize_to(text, TEXT_CHARS_MAX)
}

/// Columns of a row, one after the other.
pub(super) struct Columns<'a, 'stmt> {
    row: &'a Row<'stmt>,
    at: usize,
}

impl<'a, 'stmt> Columns<'a, 'stmt> {
    pub(super) fn new(row: &'a Row<'stmt>) -> Self {
        Self { row, at: 0 }
    }

    fn next<T: rusqlite::types::FromSql>(&mut self) -> rusqlite::Result<T> {
        let at = self.at;
        self.at += 1;
        self.row.get(at)
    }

    /// Negative ones are nothing that we wrote, and become zero.
    pub(super) fn number(&mut self) -> rusqlite::Result<u64> {
        Ok(u64::try_from(self.next::<i64>()?).unwrap_or(0))
    }

    pub(super) fn known_number(&mut self) -> rusqlite::Result<Option<u64>> {
        Ok(self.next::<Option<i64>>()?.map(|n| u64::try_from(n).unwrap_or(0)))
    }

    pub(super) fn signed(&mut self) -> rusqlite::Result<i64> {
        self.next()
    }

    /// All 64 bits.
    pub(super) fn bits(&mut self) -> rusqlite::Result<u64> {
        Ok(self.next::<i64>()?.cast_unsigned())
    }

    pub(super) fn small(&mut self) -> rusqlite::Result<u32> {
        Ok(u32::try_from(self.number()?).unwrap_or(u32::MAX))
    }

    pub(super) fn known_small(&mut self) -> rusqlite::Result<Option<u32>> {
        Ok(self.known_number()?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)))
    }

    pub(super) fn bytes(&mut self) -> rusqlite::Result<Bytes> {
        self.number().map(Bytes)
    }

    pub(super) fn known_bytes(&mut self) -> rusqlite::Result<Option<Bytes>> {
        Ok(self.known_number()?.map(Bytes))
    }

    pub(super) fn nanos(&mut self) -> rusqlite::Result<Nanos> {
        self.number().map(Nanos)
    }

    pub(super) fn known_nanos(&mut self) -> rusqlite::Result<Option<Nanos>> {
        Ok(self.known_number()?.map(Nanos))
    }

    pub(super) fn flag(&mut self) -> rusqlite::Result<bool> {
        Ok(self.next::<i64>()? != 0)
    }

    /// A rate; nonsense becomes zero.
    pub(super) fn real(&mut self) -> rusqlite::Result<f64> {
        let real: f64 = self.next()?;
        Ok(if real.is_finite() && real >= 0.0 { real } else { 0.0 })
    }

    pub(super) fn known_real(&mut self) -> rusqlite::Result<Option<f64>> {
        let real: Option<f64> = self.next()?;
        Ok(real.filter(|real| real.is_finite() && *real >= 0.0))
    }

    /// Safe to print, whoever wrote the file.
    pub(super) fn text(&mut self) -> rusqlite::Result<String> {
        Ok(printable(&self.next::<String>()?))
    }

    /// Whatever it is.
    pub(super) fn cell(&mut self) -> rusqlite::Result<Cell> {
        let at = self.at;
        self.at += 1;
        self.row.get_ref(at).map(Cell::from)
    }

    pub(super) fn known_text(&mut self) -> rusqlite::Result<Option<String>> {
        Ok(self.next::<Option<String>>()?.as_deref().map(printable))
    }

    /// Of several lines, as it is in the file: who shows it makes each line safe.
    pub(super) fn known_lines(&mut self) -> rusqlite::Result<Option<String>> {
        self.next()
    }
}

/// The first column.
pub(super) fn text(row: &mut Columns<'_, '_>) -> rusqlite::Result<String> {
    row.text()
}

/// The first column.
pub(super) fn number(row: &mut Columns<'_, '_>) -> rusqlite::Result<u64> {
    row.number()
}

/// The first column.
pub(super) fn nanos(row: &mut Columns<'_, '_>) -> rusqlite::Result<Nanos> {
    row.nanos()
}

/// The first column.
pub(super) fn known_nanos(row: &mut Columns<'_, '_>) -> rusqlite::Result<Option<Nanos>> {
    row.known_nanos()
}
