//! The tables of the text report: what RSS is for, lines that allocated, who holds array buffers.

use crate::analysis::describe::lifetime_quantile;
use crate::analysis::snapshot::{GroupRow, JoinedCensus, Snapshot};
use crate::base::text::{UNKNOWN, count, fit, known, pad, pad_left, percent, width, wrap};
use crate::base::{Bytes, sanitize};
use crate::event::census::{HolderGroup, Parent, Retained};
use crate::event::residency::RssPart;
use crate::export::report::group_place;

/// Rows of each table; the HTML report has more.
pub(super) const SITES_SHOWN: usize = 10;
const HOLDERS_SHOWN: usize = 10;
const PARENTS_SHOWN: usize = 5;
const STEPS_SHOWN: usize = 10;
const FREED_SHOWN: usize = 5;

/// A bar of blocks.
const BAR: usize = 24;

/// RSS by what it is for, the most first; empty if nobody looked at all pages.
pub(super) fn rss(snapshot: &Snapshot) -> Vec<String> {
    let Some((age, split)) = &snapshot.memory.split else { return Vec::new() };
    let mut parts: Vec<(RssPart, Bytes)> =
        RssPart::ALL.into_iter().map(|part| (part, split.get(part))).collect();
    parts.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let largest = parts.first().map_or(1, |(_, bytes)| bytes.0.max(1));
    let mut lines = vec![format!("  {} in RAM, looked at {age} before", split.rss)];
    for (part, bytes) in parts.into_iter().filter(|(_, bytes)| bytes.0 > 0) {
        let share = percent(bytes.0 as f64 / split.rss.0.max(1) as f64);
        let n = (bytes.0 as f64 / largest as f64 * BAR as f64).ceil() as usize;
        lines.push(format!(
            "  {} {} {}  {}",
            pad(part.title(), 28),
            pad_left(&bytes.to_string(), 9),
            pad_left(&share, 7),
            "█".repeat(n.min(BAR))
        ));
    }
    let unexplained = split.unexplained();
    if unexplained.unsigned_abs() > split.rss.0 / 100 {
        let sign = if unexplained < 0 { "-" } else { "" };
        let bytes = format!("{sign}{}", Bytes(unexplained.unsigned_abs()));
        lines.push(format!("  {} {}", pad("not explained", 28), pad_left(&bytes, 9)));
    }
    if split.swapped.0 > 0 {
        lines.push(format!("  besides, {} is swapped out", split.swapped));
    }
    lines
}

/// The last steps of RSS, oldest first, with when they were.
pub(super) fn steps(snapshot: &Snapshot) -> Vec<String> {
    let steps = &snapshot.rss_steps;
    let last = steps.get(steps.len().saturating_sub(STEPS_SHOWN)..).unwrap_or_default();
    let at = |ago| snapshot.elapsed.since(ago).to_string();
    last.iter()
        .map(|step| format!("{}  {}", pad_left(&at(step.ago), 8), sanitize(&step.text)))
        .collect()
}

/// Lines of the application by live bytes, two or three lines each.
pub(super) fn sites(snapshot: &Snapshot, n_columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for group in snapshot.groups.iter().take(SITES_SHOWN) {
        lines.push(format!("  {}", fit(&sanitize(&group.text()), n_columns.saturating_sub(2))));
        let facts = wrap(&site_facts(group), n_columns.saturating_sub(4));
        lines.extend(facts.into_iter().map(|line| format!("    {line}")));
        let place = group_place(group).filter(|place| *place != *group.label);
        lines.extend(
            place.map(|place| format!("    at {}", end_of(&place, n_columns.saturating_sub(7)))),
        );
    }
    lines
}

fn site_facts(group: &GroupRow) -> String {
    let tally = &group.tally;
    let mut facts = vec![
        format!("{} live in {}", tally.live_bytes, count(tally.n_live)),
        format!("peak {}", tally.peak_bytes),
        format!("{} allocated in {}", tally.created_bytes, count(tally.n_created)),
    ];
    facts.extend(tally.resident.map(|bytes| format!("{bytes} in RAM")));
    let quantile = |q| lifetime_quantile(&tally.lifetimes, q);
    match quantile(0.5).zip(quantile(0.99)) {
        Some((half, most)) => facts.push(format!("life p50 {half}, p99 {most}")),
        None => facts.push("none freed".to_owned()),
    }
    facts.extend(tally.survival.map(|share| format!("{} survive", percent(share))));
    facts.join("; ")
}

/// Memory of dead stores that is still in RAM.
pub(super) fn freed(snapshot: &Snapshot, n_columns: usize) -> Vec<String> {
    let row = |row: &crate::analysis::snapshot::FreedRow| {
        let via = row.via.as_ref().map_or_else(String::new, |via| format!(" via {via}"));
        let text = sanitize(&format!("{}{via}", row.site));
        format!(
            "  {}  {}",
            pad_left(&row.resident.to_string(), 9),
            fit(&text, n_columns.saturating_sub(13))
        )
    };
    snapshot.freed.iter().take(FREED_SHOWN).map(row).collect()
}

/// Who holds how much, the most first.
pub(super) fn holders(joined: &JoinedCensus, n_columns: usize) -> Vec<String> {
    let groups = &joined.census.holders;
    if groups.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![head(&["SIZE", "RETAINED", "IN USE", "BUFFERS"], "HOLDER")];
    for group in groups.iter().take(HOLDERS_SHOWN) {
        lines.push(group_line(group, n_columns));
    }
    lines.extend(and_more(groups.len(), HOLDERS_SHOWN));
    lines
}

fn group_line(group: &HolderGroup, n_columns: usize) -> String {
    let values = [
        group.bytes.to_string(),
        known(group.retained.map(Retained::total)),
        share(group.covered, group.bytes),
        count(group.n_parents),
    ];
    row(&values, &sanitize(&group.path.join(" ")), n_columns)
}

/// Array buffers that views keep alive without showing them, the most of that first.
pub(super) fn pinned(joined: &JoinedCensus, n_columns: usize) -> Vec<String> {
    let uncovered = |parent: &Parent| parent.size.saturating_sub(parent.covered);
    let parents = joined.census.parents.iter().enumerate();
    let mut pinned: Vec<(usize, &Parent)> = parents
        .filter(|(_, it)| it.n_views > 0 && !it.is_held_itself && uncovered(it).0 > 0)
        .collect();
    if pinned.is_empty() {
        return Vec::new();
    }
    pinned.sort_by_key(|(index, parent)| (std::cmp::Reverse(uncovered(parent)), *index));
    let mut lines = vec![head(&["SIZE", "IN USE", "VIEWS", "AGE"], "HOLDER ← LINE")];
    for (index, parent) in pinned.iter().take(PARENTS_SHOWN) {
        let traced = joined.traced(*index);
        let values = [
            parent.size.to_string(),
            share(parent.covered, parent.size),
            count(parent.n_views),
            known(traced.map(|store| store.age)),
        ];
        let holder =
            parent.holders.first().map_or_else(|| UNKNOWN.to_owned(), |it| it.path.join(" "));
        let line = traced
            .and_then(|store| store.site.as_ref())
            .map_or_else(String::new, |site| format!(" ← {}", site.label));
        lines.push(row(&values, &sanitize(&format!("{holder}{line}")), n_columns));
    }
    lines.extend(and_more(pinned.len(), PARENTS_SHOWN));
    lines
}

fn and_more(n: usize, n_shown: usize) -> Option<String> {
    let n_more = n.saturating_sub(n_shown);
    (n_more > 0).then(|| format!("  and {} more (--html has them)", count(n_more as u64)))
}

fn head(titles: &[&str; 4], last: &str) -> String {
    let [a, b, c, d] = titles.map(|title| pad_left(title, 9));
    format!("  {a}  {b}  {c}  {d}  {last}")
}

fn row(values: &[String; 4], text: &str, n_columns: usize) -> String {
    let [a, b, c, d] = values.each_ref().map(|value| pad_left(value, 9));
    let start = format!("  {a}  {b}  {c}  {d}  ");
    let room = n_columns.saturating_sub(width(&start));
    format!("{start}{}", end_of(text, room))
}

/// What of a long path or place is cut is its beginning.
fn end_of(text: &str, room: usize) -> String {
    let n = text.chars().count();
    if n <= room || room < 2 {
        return fit(text, room.max(2));
    }
    let tail: String = text.chars().skip(n + 1 - room).collect();
    format!("…{tail}")
}

fn share(part: Bytes, whole: Bytes) -> String {
    if whole.0 == 0 { UNKNOWN.to_owned() } else { percent(part.0 as f64 / whole.0 as f64) }
}
