//! `bufwatch sql`: the questions of the documentation have answers, and nothing but reading is possible.

use std::fs;

use rusqlite::Connection;
use serde_json::Value;

use crate::made_recording::Made;
use crate::report::{assert_harmless, bufwatch};

const QUERIES: &str = include_str!("../../../docs/queries.md");

/// The statements that stand in the documentation.
fn documented() -> Vec<&'static str> {
    let blocks = QUERIES.split("```sql\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

#[test]
fn the_documented_queries_have_answers() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made::default().write(folder.path(), "a");
    let file = file.to_str().unwrap();
    let queries = documented();
    assert!(queries.len() >= 10);
    for query in queries {
        let (code, out, err) = bufwatch(&["sql", file, query]);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{query}");
        assert!(out.lines().count() >= 3, "no row for {query}\n{out}");
        assert_harmless(&out);
    }
}

#[test]
fn answers_are_exact_in_json_and_csv() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made { name: "a,\"b\"", ..Made::default() }.write(folder.path(), "a");
    let file = file.to_str().unwrap();
    let query =
        "SELECT live_bytes, function, NULL AS n FROM sites ORDER BY live_bytes DESC LIMIT 1";
    let (_, out, _) = bufwatch(&["sql", file, query, "--json"]);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["live_bytes"], 30 << 20);
    assert_eq!(value["function"], "leak a,\"b\"");
    assert!(value["n"].is_null());
    let (_, out, _) = bufwatch(&["sql", file, query, "--csv"]);
    assert_eq!(out, "live_bytes,function,n\n31457280,\"leak a,\"\"b\"\"\",\n");
    let (_, out, _) = bufwatch(&["sql", file]);
    assert!(out.contains("sites (site, label, via, "), "{out}");
}

#[test]
fn nothing_but_reading_is_possible() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made { seconds: 2, ..Made::default() }.write(folder.path(), "a");
    let before = fs::read(&file).unwrap();
    let other = folder.path().join("other.db");
    let attach = format!("ATTACH '{}' AS other", other.display());
    let vacuum = format!("VACUUM INTO '{}'", other.display());
    let endless =
        "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT sum(x) FROM c";
    for (statement, expected) in [
        ("DELETE FROM store", "may only read"),
        ("INSERT INTO fact VALUES ('a', 1)", "may only read"),
        ("CREATE TEMP TABLE t (a)", "may only read"),
        ("PRAGMA user_version = 9", "may only read"),
        ("PRAGMA writable_schema = 1", "may only read"),
        ("BEGIN", "may only read"),
        (&attach, "may only read"),
        (&vacuum, "asks for nothing"),
        ("SELECT load_extension('x')", "not authorized"),
        ("SELECT 1; DELETE FROM store", "may only read"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("SELECT length(zeroblob(1000000000))", "too big"),
        ("SELECT x FROM nowhere", "no such table"),
        (" ", "asks for nothing"),
        (endless, "took longer than 0.2 s"),
    ] {
        let args = ["sql", file.to_str().unwrap(), "--timeout", "0.2", statement];
        let (code, _, err) = bufwatch(&args);
        assert_eq!(code, Some(2), "{statement}");
        assert!(err.contains(expected) && err.contains("hint: "), "{statement}: {err}");
    }
    assert!(!other.exists());
    assert!(fs::read(&file).unwrap() == before);
}

/// Views of a foreign file are statements of somebody else.
#[test]
fn a_hostile_schema_gets_no_further() {
    let folder = tempfile::tempdir().unwrap();
    let file = Made { seconds: 2, ..Made::default() }.write(folder.path(), "a");
    let hostile = "DROP VIEW sites; DROP VIEW gcs; \
        CREATE VIEW sites AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c; \
        CREATE VIEW gcs AS SELECT load_extension('/tmp/x.so') AS x; \
        CREATE VIEW \"a\u{1b}[2Jb\" AS SELECT 1 AS \"c\u{1b}[2Jd\"";
    Connection::open(&file).unwrap().execute_batch(hostile).unwrap();
    let file = file.to_str().unwrap();
    let (code, _, err) = bufwatch(&["sql", file, "--timeout", "0.2", "SELECT max(x) FROM sites"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("took longer"), "{err}");
    let (code, _, err) = bufwatch(&["sql", file, "SELECT * FROM gcs"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("unsafe use of load_extension"), "{err}");
    let (code, out, _) = bufwatch(&["sql", file, "SELECT * FROM \"a\u{1b}[2Jb\""]);
    assert_eq!(code, Some(0));
    assert_harmless(&out);
    assert_harmless(&bufwatch(&["sql", file]).1);
}
