//! `bufwatch sql`: a question to a recording, answered as a table, as CSV or as JSON lines.

use std::io::{self, Write};
use std::path::PathBuf;

use rusqlite::types::ValueRef;
use serde_json::{Map, Value};

use crate::base::sanitize::sanitize_to;
use crate::base::text::{UNKNOWN, count, fit, pad, pad_left, width};
use crate::base::{Nanos, sanitize};
use crate::cli::args::parse_seconds;
use crate::cli::message::print_line;
use crate::recording::query::Answer;
use crate::recording::{Query, QueryError};
use crate::sys::clock;

/// Rows of a table, which is printed when its widths are known.
const TABLE_ROWS_MAX: usize = 10_000;

/// Columns that one value takes in a table.
const CELL_MAX: usize = 120;

/// Ask a recording in SQL; only reads. Without a statement: which views there are
#[derive(Debug, clap::Args)]
pub struct SqlArgs {
    /// A file made by `bufwatch record` or --record
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// One statement, such as "SELECT * FROM sites"; docs/queries.md has examples
    #[arg(value_name = "STATEMENT")]
    pub statement: Option<String>,
    /// Print comma-separated values, the names of the columns first
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print one JSON object a row
    #[arg(long)]
    pub json: bool,
    /// How long the answer may take
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = parse_seconds)]
    pub timeout: f64,
}

pub fn run(args: &SqlArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut query = Query::open(&args.file)?;
    let Some(statement) = &args.statement else {
        for (view, columns) in query.views()? {
            writeln!(out, "{} ({})", sanitize(&view), sanitize_to(&columns.join(", "), 4_096))?;
        }
        return Ok(());
    };
    let deadline = Nanos(clock::now().0.saturating_add((args.timeout * 1e9) as u64));
    let is_over = move || clock::now() > deadline;
    if args.json {
        query.ask(statement, args.timeout, is_over, &mut JsonLines { names: Vec::new(), out })
    } else if args.csv {
        query.ask(statement, args.timeout, is_over, &mut Csv { out })
    } else {
        let mut table = Table::default();
        let outcome = query.ask(statement, args.timeout, is_over, &mut table);
        // What was found before it took too long is not thrown away.
        let is_late = matches!(outcome, Err(QueryError::TooLong(_)));
        if outcome.is_ok() || (is_late && !table.rows.is_empty()) {
            table.print(out)?;
        }
        outcome
    }
    .map_err(|error| match error {
        QueryError::Output(error) => error.into(),
        other => other.into(),
    })
}

struct JsonLines<'a> {
    names: Vec<String>,
    out: &'a mut dyn Write,
}

impl Answer for JsonLines<'_> {
    /// A second column of the same name gets a number: an object has each key once.
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        for name in names {
            let n = names.len();
            let mut tries = (2..n + 2).map(|again| format!("{name}_{again}"));
            let is_free = |it: &String| !self.names.contains(it);
            let unique = Some(name.clone()).filter(is_free).or_else(|| tries.find(is_free));
            self.names.push(unique.unwrap_or_default());
        }
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<bool> {
        let cells = self.names.iter().cloned().zip(values.iter().map(|value| json_value(*value)));
        writeln!(self.out, "{}", Value::Object(cells.collect::<Map<_, _>>()))?;
        Ok(true)
    }
}

fn json_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(n) => n.into(),
        // Infinity has no number in JSON.
        ValueRef::Real(n) => n.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => hex(bytes).into(),
    }
}

struct Csv<'a> {
    out: &'a mut dyn Write,
}

impl Answer for Csv<'_> {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        writeln!(self.out, "{}", names.join(","))
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<bool> {
        let cells: Vec<String> = values.iter().map(|value| csv_value(*value)).collect();
        writeln!(self.out, "{}", cells.join(","))?;
        Ok(true)
    }
}

fn csv_value(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Real(n) => n.to_string(),
        ValueRef::Text(text) => quoted(&String::from_utf8_lossy(text)),
        ValueRef::Blob(bytes) => hex(bytes),
    }
}

/// As RFC 4180 has it.
fn quoted(text: &str) -> String {
    let is_plain = !text.contains([',', '"', '\n', '\r']);
    if is_plain { text.to_owned() } else { format!("\"{}\"", text.replace('"', "\"\"")) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
}

fn digit(n: u8) -> char {
    char::from_digit(n.into(), 16).unwrap_or('?')
}

#[derive(Default)]
struct Table {
    names: Vec<String>,
    /// Texts, and whether they are numbers, which stand at the right.
    rows: Vec<Vec<(String, bool)>>,
    has_more: bool,
}

impl Answer for Table {
    fn columns(&mut self, names: &[String]) -> io::Result<()> {
        self.names = names.iter().map(|name| fit(&sanitize(name), CELL_MAX)).collect();
        Ok(())
    }

    fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<bool> {
        if self.rows.len() == TABLE_ROWS_MAX {
            self.has_more = true;
            return Ok(false);
        }
        self.rows.push(values.iter().map(|value| cell(*value)).collect());
        Ok(true)
    }
}

fn cell(value: ValueRef<'_>) -> (String, bool) {
    match value {
        ValueRef::Null => (UNKNOWN.to_owned(), true),
        ValueRef::Integer(n) => (n.to_string(), true),
        ValueRef::Real(n) => (real(n), true),
        ValueRef::Text(text) => (fit(&sanitize(&String::from_utf8_lossy(text)), CELL_MAX), false),
        ValueRef::Blob(bytes) => (fit(&hex(bytes), CELL_MAX), false),
    }
}

/// Six digits are enough to read; CSV and JSON have all.
fn real(n: f64) -> String {
    let text = format!("{n:.6}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() || short == "-" { "0".to_owned() } else { short.to_owned() }
}

impl Table {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut widths: Vec<usize> = self.names.iter().map(|name| width(name)).collect();
        for row in &self.rows {
            for (most, (text, _)) in widths.iter_mut().zip(row) {
                *most = (*most).max(width(text));
            }
        }
        let is_right = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            !self.rows.is_empty() && cells.fold(true, |all, (_, is_number)| all && *is_number)
        };
        let rights: Vec<bool> = (0..self.names.len()).map(is_right).collect();
        let shape = |text: &str, column: usize| {
            let n = widths.get(column).copied().unwrap_or(0);
            let is_right = rights.get(column).copied().unwrap_or(false);
            if is_right { pad_left(text, n) } else { pad(text, n) }
        };
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let cells: Vec<String> = cells.enumerate().map(|(n, text)| shape(text, n)).collect();
            cells.join("  ").trim_end().to_owned()
        };
        writeln!(out, "{}", line(&mut self.names.iter().map(String::as_str)))?;
        let rules: Vec<String> = widths.iter().map(|n| "─".repeat(*n)).collect();
        writeln!(out, "{}", rules.join("  "))?;
        for row in &self.rows {
            writeln!(out, "{}", line(&mut row.iter().map(|(text, _)| text.as_str())))?;
        }
        if self.has_more {
            print_line(&format!(
                "these are the first {} rows; --csv and --json print all",
                count(self.rows.len() as u64)
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        assert_eq!(csv_value(ValueRef::Text(b"a\"b,c")), "\"a\"\"b,c\"");
        assert_eq!(csv_value(ValueRef::Null), "");
        assert_eq!(json_value(ValueRef::Real(f64::INFINITY)), Value::Null);
        assert_eq!(
            (real(1.5), real(2.0), real(0.000_000_1)),
            ("1.5".into(), "2".into(), "0".into())
        );
    }
}
