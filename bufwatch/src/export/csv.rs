//! One view of a recording as CSV (RFC 4180, with bare line feeds), for spreadsheets, pandas and R.

use std::io::{self, Write};

use crate::base::sanitize::sanitize_to;
use crate::recording::Reader;
use crate::recording::stream::StreamError;
use crate::recording::views::Cell;

pub fn write(reader: &Reader, view: &str, out: &mut dyn Write) -> Result<(), StreamError> {
    let names = reader.columns(view)?;
    let names = names.into_iter().map(Cell::Text);
    line(&names.collect::<Vec<_>>(), out)?;
    reader.each_row(view, |row| line(&row, out))
}

/// What is not known is empty.
fn line(cells: &[Cell], out: &mut dyn Write) -> io::Result<()> {
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        match cell {
            Cell::Null => {}
            Cell::Integer(n) => write!(out, "{n}")?,
            Cell::Real(n) => write!(out, "{n}")?,
            Cell::Text(text) => write_text(text, out)?,
        }
    }
    out.write_all(b"\n")
}

/// Control characters become `�`, so that a row is a line. An empty text is told from what is not known by its quotes.
fn write_text(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let text = sanitize_to(text, usize::MAX);
    let is_plain = |c: char| c.is_alphanumeric() || "._-/:@+()<>[]{} ".contains(c);
    let is_bare = text.chars().all(is_plain) && text.trim() == text && !text.is_empty();
    if is_bare {
        return out.write_all(text.as_bytes());
    }
    write!(out, "\"{}\"", text.replace('"', "\"\""))
}
