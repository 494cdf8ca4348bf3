//! `bench seed`: the measurement that this project began with. Views of one large Buffer against copies, with and without written pages, on
//! every Node version: what Node says of its memory, what bufwatch says from outside, what of the Buffer is in RAM, and what is found.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::report::{self, Report};
use super::tracer::Tracer;
use super::workload::{Workload, number};
use crate::process::say;
use crate::setup;
use crate::workspace::{NODE_VERSIONS, Workspace};

const CASES: [(&str, &str); 4] =
    [("views", "written"), ("views", "untouched"), ("copies", "written"), ("copies", "untouched")];

/// Until the memory was looked at and a census was taken.
const SETTLED: Duration = Duration::from_secs(6);

const MEGABYTE: f64 = 1e6;

/// In the words of `process.memoryUsage()`, and of bufwatch.
const NUMBERS: [(&str, &str); 4] = [
    ("rss", "rss"),
    ("heapUsed", "heap_used"),
    ("external", "external"),
    ("arrayBuffers", "array_buffers"),
];

pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let mut table = String::from(
        "| Node | kept | Buffer | rss | heapUsed | external | arrayBuffers | of the Buffer in RAM | finding |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for node in NODE_VERSIONS {
        setup::for_node(workspace, node)?;
        for (kept, pages) in CASES {
            say(format_args!("Node {node}: {kept}, {pages}"));
            write_row(&mut table, workspace, node, kept, pages)?;
        }
    }
    let report = Report {
        section: "seed",
        command: "cargo xtask bench seed",
        node: &NODE_VERSIONS.join(", "),
        has_bpftrace: false,
        table: &table,
    };
    report::publish(workspace, &report, true)
}

fn write_row(
    table: &mut String,
    workspace: &Workspace,
    node: &str,
    kept: &str,
    pages: &str,
) -> Result<()> {
    let mut target = Workload::start(workspace, node, "seed", &format!("{kept},{pages}"))?;
    let tracer = Tracer::bufwatch_with(workspace, target.pid(), &["--census-every", "1"])?;
    target.ask("make")?;
    // Asking makes objects, and with that V8 finishes what the collection has left: both look at what is behind that.
    target.ask("usage")?;
    let said = target.ask("usage")?;
    std::thread::sleep(SETTLED);
    let seen = tracer.stop().context("bufwatch printed nothing")?;
    target.finish()?;
    write!(table, "| {node} | {kept} | {pages} |")?;
    for (of_node, of_bufwatch) in NUMBERS {
        let outside = seen.pointer(&format!("/memory_usage/{of_bufwatch}")).and_then(Value::as_f64);
        let outside = outside.map_or_else(|| "–".to_owned(), |it| format!("{:.2}", it / MEGABYTE));
        write!(table, " {:.2} / {outside} |", number(&said, of_node)? / MEGABYTE)?;
    }
    let parent = seen.pointer("/top_stores").and_then(Value::as_array).and_then(|stores| {
        stores.iter().find(|store| store["size_bytes"].as_u64() == Some(50_000_000))
    });
    let resident = match parent {
        Some(store) => format!("{:.2}", number(store, "resident_bytes")? / MEGABYTE),
        None => "gone".to_owned(),
    };
    writeln!(table, " {resident} | {} |", finding(&seen))?;
    Ok(())
}

fn finding(seen: &Value) -> String {
    let found = seen.get("findings").and_then(Value::as_array);
    let kinds: Vec<String> = found
        .into_iter()
        .flatten()
        .filter_map(|found| {
            let bytes = found["bytes"].as_f64()? / MEGABYTE;
            Some(format!("{} {bytes:.1} MB", found["kind"].as_str()?))
        })
        .collect();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
}
