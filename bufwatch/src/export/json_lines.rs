//! The views of a recording as JSON lines: one object a row, with the name of its view as `row`, for jq, `DuckDB` and pandas.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::recording::Reader;
use crate::recording::stream::StreamError;
use crate::recording::views::Cell;

/// Columns that hold lists, as JSON in a text: `(view, column)`.
const LISTS: [(&str, &str); 6] = [
    ("sites", "lifetimes"),
    ("sites", "majors_survived"),
    ("holders", "path"),
    ("parent_holders", "path"),
    ("findings", "evidence"),
    ("findings", "holder"),
];

/// Writes a first line of its own and then the views, each from its first row on.
pub fn write(reader: &Reader, views: &[String], out: &mut dyn Write) -> Result<(), StreamError> {
    let about = &reader.about;
    let facts = json!({
        "schema": "bufwatch.rows/1",
        "views": views,
        "pid": about.target.pid,
        "bufwatch_version": about.bufwatch_version,
        // Else bufwatch was killed, or still records.
        "is_complete": about.how_it_ended.is_some(),
    });
    writeln!(out, "{{\"row\":\"recording\",{}", facts.to_string().trim_start_matches('{'))?;
    reader.of_one_state(|| views.iter().try_for_each(|view| of_view(reader, view, out)))
}

fn of_view(reader: &Reader, view: &str, out: &mut dyn Write) -> Result<(), StreamError> {
    let names = reader.columns(view)?;
    let keys: Vec<Key> = names.iter().map(|name| Key::of(view, name)).collect();
    let row = json!(view).to_string();
    reader.each_row(view, |cells| line(&row, &keys, &cells, out))
}

/// A column.
struct Key {
    /// As JSON.
    name: String,
    is_list: bool,
}

impl Key {
    fn of(view: &str, name: &str) -> Self {
        Self { name: json!(name).to_string(), is_list: LISTS.contains(&(view, name)) }
    }
}

fn line(row: &str, keys: &[Key], cells: &[Cell], out: &mut dyn Write) -> io::Result<()> {
    write!(out, "{{\"row\":{row}")?;
    for (key, cell) in keys.iter().zip(cells) {
        write!(out, ",{}:", key.name)?;
        match cell {
            Cell::Null => write!(out, "null")?,
            Cell::Integer(n) => write!(out, "{n}")?,
            // Numbers that JSON does not have are null.
            Cell::Real(n) => write!(out, "{}", json!(n))?,
            Cell::Text(text) => match list(key, text) {
                Some(list) => write!(out, "{list}")?,
                None => serde_json::to_writer(&mut *out, text)?,
            },
        }
    }
    writeln!(out, "}}")
}

fn list(key: &Key, text: &str) -> Option<Value> {
    let value = key.is_list.then(|| serde_json::from_str::<Value>(text).ok())??;
    value.is_array().then_some(value)
}
