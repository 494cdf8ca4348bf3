//! CSV and JSON lines: all rows of the views, read back as they are in the file.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value as Sql;
use serde_json::Value;

use crate::export::command::{exported, exported_text};
use crate::export::made_up::{HOSTILE, Spec};

fn views(recording: &Path) -> Vec<String> {
    let connection = Connection::open(recording).unwrap();
    let sql =
        "SELECT name FROM sqlite_schema WHERE type = 'view' AND name <> 'start' ORDER BY rowid";
    let mut names = connection.prepare(sql).unwrap();
    names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// Names of the columns, and the rows.
fn table(recording: &Path, view: &str) -> (Vec<String>, Vec<Vec<Sql>>) {
    let connection = Connection::open(recording).unwrap();
    let mut statement = connection.prepare(&format!("SELECT * FROM {view}")).unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row<'_>| (0..names.len()).map(|at| row.get(at)).collect();
    let rows = statement.query_map([], row).unwrap().map(Result::unwrap).collect();
    (names, rows)
}

/// As CSV has it: control characters would break lines or terminals.
fn as_text(value: &Sql) -> String {
    match value {
        Sql::Null => String::new(),
        Sql::Integer(n) => n.to_string(),
        Sql::Real(n) => n.to_string(),
        Sql::Text(text) => {
            let is_bad = |c: char| {
                c.is_control()
                    || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            };
            text.chars().map(|c| if is_bad(c) { '\u{fffd}' } else { c }).collect()
        }
        Sql::Blob(_) => "a recording has no blobs".to_owned(),
    }
}

#[test]
fn csv_has_the_rows_of_each_view() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let mut n_rows = 0;
    for view in views(&recording) {
        let bytes = exported(&recording, &["-f", "csv", "--view", &view]);
        let (names, rows) = table(&recording, &view);
        n_rows += rows.len();
        let lines = String::from_utf8(bytes.clone()).unwrap().lines().count();
        assert_eq!(lines, rows.len() + 1, "a row is a line in {view}");
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), names);
        for (record, row) in reader.records().zip(&rows) {
            let expected: Vec<String> = row.iter().map(as_text).collect();
            assert_eq!(record.unwrap().iter().collect::<Vec<_>>(), expected, "{view}");
        }
    }
    assert!(n_rows > 100, "{n_rows}");
}

#[test]
fn json_lines_have_all_views_with_their_types() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec::default().record(folder.path());
    let text = exported_text(&recording, &["-f", "jsonl"]);
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(text.starts_with("{\"row\":\"recording\",\""));
    let first = lines.next().unwrap();
    assert_eq!(first["schema"], "bufwatch.rows/1");
    assert_eq!(first["is_complete"], true);
    assert_eq!(first["views"], serde_json::json!(views(&recording)));
    let mut by_view: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in lines {
        by_view.entry(line["row"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    for view in views(&recording) {
        let (names, rows) = table(&recording, &view);
        let lines = by_view.get(&view).map_or(&[][..], Vec::as_slice);
        assert_eq!(lines.len(), rows.len(), "{view}");
        for (line, row) in lines.iter().zip(&rows) {
            assert_eq!(line.as_object().unwrap().len(), names.len() + 1, "{view}");
            for (name, value) in names.iter().zip(row) {
                let told = &line[name];
                let is_same = match value {
                    Sql::Null => told.is_null(),
                    Sql::Integer(n) => told.as_i64() == Some(*n),
                    Sql::Real(n) => told.as_f64() == Some(*n),
                    Sql::Text(text) if told.is_array() => {
                        serde_json::from_str::<Value>(text).unwrap() == *told
                    }
                    Sql::Text(text) => told == text,
                    Sql::Blob(_) => false,
                };
                assert!(is_same, "{view}.{name}: {value:?} is {told}");
            }
        }
    }
    assert_eq!(by_view["findings"][1]["evidence"], serde_json::json!([HOSTILE[1], "second"]));
    assert_eq!(by_view["sites"][1]["label"], HOSTILE[1]);
    let two = exported_text(&recording, &["-f", "jsonl", "--view", "gcs,sites"]);
    assert_eq!(two.lines().count(), 1 + 4 + HOSTILE.len());
    assert!(two.lines().nth(1).unwrap().starts_with("{\"row\":\"gcs\","));
}

#[test]
fn a_recording_without_stores_has_headings() {
    let folder = tempfile::tempdir().unwrap();
    let recording = Spec { is_ended: false, ..Spec::without_stores() }.record(folder.path());
    let text = exported_text(&recording, &["-f", "csv", "--view", "stores"]);
    assert!(text.starts_with("store,size,kind,born_s,") && text.lines().count() == 1);
    let text = exported_text(&recording, &["-f", "jsonl", "--view", "stores"]);
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("\"is_complete\":false"));
}
