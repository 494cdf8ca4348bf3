//! A census as text for people: what is pinned, how little of it is in use, and who holds it. Not for programs; they read the JSON.

use std::fmt::Write as _;

use crate::analysis::finding::Finding;
use crate::analysis::snapshot::JoinedCensus;
use crate::base::Bytes;
use crate::base::text::{count, fit, known, pad, pad_left, percent};
use crate::event::census::{Census, HolderGroup, Parent, Retained};
use crate::export::census_json::Subject;
use crate::export::finding::to_lines;

/// Columns of a line: fits the usual terminal.
const N_COLUMNS: usize = 100;

/// Groups of holders told; the JSON has all.
const GROUPS_SHOWN: usize = 10;

/// Holders told of one parent.
const HOLDERS_SHOWN: usize = 3;

/// The text; ends with a line break.
pub fn to_text(
    joined: &JoinedCensus,
    findings: &[Finding],
    subject: &Subject,
    shown: &[usize],
) -> String {
    let census = &joined.census;
    let parents: Vec<&Parent> =
        shown.iter().filter_map(|index| census.parents.get(*index)).collect();
    let mut out = String::new();
    let mut say = |line: &str| {
        out.push_str(line.trim_end());
        out.push('\n');
    };
    for line in totals(census, subject) {
        say(&line);
    }
    if !findings.is_empty() {
        say("");
        say("Findings");
    }
    for line in to_lines(findings, N_COLUMNS) {
        say(&line);
    }
    if !census.holders.is_empty() {
        say("");
        say("Who holds the memory");
        say(&format!(
            "  {}  {}  {}  {}  HOLDER",
            pad_left("SIZE", 9),
            pad_left("RETAINED", 9),
            pad_left("IN USE", 7),
            pad_left("BUFFERS", 9)
        ));
    }
    for group in census.holders.iter().take(GROUPS_SHOWN) {
        say(&group_line(group));
    }
    if !parents.is_empty() {
        say("");
        say("Largest array buffers");
        say(&format!(
            "  {}  {}  {}  {}  FIRST HOLDERS",
            pad_left("SIZE", 9),
            pad_left("IN USE", 7),
            pad_left("VIEWS", 9),
            pad("KIND", 8)
        ));
    }
    for parent in &parents {
        for line in parent_lines(parent) {
            say(&line);
        }
    }
    let n_left_out = census.parents.len().saturating_sub(parents.len());
    if n_left_out > 0 {
        say(&format!("  and {} more (--top, --all)", count(n_left_out as u64)));
    }
    if !census.gaps.is_empty() {
        say("");
        say("Not covered");
        for gap in &census.gaps {
            say(&format!("  {gap}"));
        }
    }
    out
}

/// What the census is of, and what is alive in all.
fn totals(census: &Census, subject: &Subject) -> Vec<String> {
    let mut lines = Vec::new();
    let total: Bytes = census.parents.iter().map(|parent| parent.size).sum();
    let covered: Bytes = census.parents.iter().map(|parent| parent.covered).sum();
    let views: u64 = census.parents.iter().map(|parent| parent.n_views).sum();
    lines.push(format!(
        "bufwatch census  pid {}  node {}  stopped for {}, done in {}",
        subject.pid,
        known(subject.node_version.as_deref()),
        census.timing.stopped,
        census.timing.total
    ));
    lines.push(format!(
        "  {} of live off-heap memory in {} array buffers; {} views show {} of it ({})",
        total,
        count(census.parents.len() as u64),
        count(views),
        covered,
        share(covered, total)
    ));
    lines.push(format!(
        "  arrayBuffers {}, V8 heap {} in {} {}, {} live objects",
        known(census.counts.allocator_bytes),
        census.counts.heap_bytes,
        census.isolates.len(),
        if census.isolates.len() == 1 { "isolate" } else { "isolates" },
        count(census.counts.n_live_objects)
    ));
    lines.insert(1, String::new());
    lines
}

fn share(part: Bytes, whole: Bytes) -> String {
    if whole.0 == 0 { "–".to_owned() } else { percent(part.0 as f64 / whole.0 as f64) }
}

fn group_line(group: &HolderGroup) -> String {
    let start = format!(
        "  {}  {}  {}  {}  ",
        pad_left(&group.bytes.to_string(), 9),
        pad_left(&known(group.retained.map(Retained::total)), 9),
        pad_left(&share(group.covered, group.bytes), 7),
        pad_left(&count(group.n_parents), 9)
    );
    let room = N_COLUMNS.saturating_sub(start.len());
    format!("{start}{}", path_text(&group.path, room))
}

fn parent_lines(parent: &Parent) -> Vec<String> {
    let start = format!(
        "  {}  {}  {}  {}  ",
        pad_left(&parent.size.to_string(), 9),
        pad_left(&share(parent.covered, parent.size), 7),
        pad_left(&count(parent.n_views), 9),
        pad(parent.kind.name(), 8)
    );
    let room = N_COLUMNS.saturating_sub(start.len());
    let mut lines: Vec<String> = Vec::new();
    for holder in parent.holders.iter().take(HOLDERS_SHOWN) {
        let mut text = path_text(&holder.path, room);
        if holder.n_views > 1 {
            write!(text, " ×{}", count(holder.n_views)).unwrap_or_default();
        }
        let indent = if lines.is_empty() { start.clone() } else { " ".repeat(start.len()) };
        lines.push(format!("{indent}{text}"));
    }
    if lines.is_empty() {
        lines.push(start);
    }
    lines
}

/// `global H .reg (Registry) .cache (Map) ["key 17"]`; of a long one the end, which is next to the view.
fn path_text(path: &[String], room: usize) -> String {
    let text = path.join(" ");
    let n = text.chars().count();
    if n <= room || room < 2 {
        return fit(&text, room.max(2));
    }
    let tail: String = text.chars().skip(n + 1 - room).collect();
    format!("…{tail}")
}
