//! A comparison of two recordings, or of two moments of one, as text and as JSON (schema `bufwatch.diff/1`).

use serde_json::{Value, json};

use crate::analysis::census_diff::{CensusDiff, Change, GroupChange};
use crate::analysis::recording_diff::{
    Measure, RecordingDiff, Scale, SiteChange, SiteState, Totals, Verdict,
};
use crate::base::text::{count, known, pad, pad_left, percent, wrap};
use crate::base::{Bytes, sanitize};
use crate::export::census_diff;

/// Columns of a line: fits the usual terminal.
const N_COLUMNS: usize = 100;

/// Rows told of lines and of holders; the JSON has all.
const ROWS_SHOWN: usize = 20;

/// The sentence that says whether there is less of it now, with its numbers.
pub fn sentence(diff: &RecordingDiff) -> String {
    let (x, y) = (diff.measured(&diff.before), diff.measured(&diff.after));
    let of = |bytes, totals| diff.scaled(bytes, totals);
    let per = if diff.scale == Scale::PerMinute { "/min" } else { "" };
    let what = if diff.measure == Measure::Pinned { "pinned memory" } else { "live stores" };
    let (a, b) = (of(x, &diff.before), of(y, &diff.after));
    let start = match (diff.is_same_process, diff.verdict) {
        (false, Verdict::Less) => "it helped",
        (false, Verdict::More) => "it got worse",
        (false, Verdict::Same) => "it made no difference",
        (true, Verdict::Less) => "there is less",
        (true, Verdict::More) => "there is more",
        (true, Verdict::Same) => "there is as much",
        (_, Verdict::Unclear) => "it cannot be said: the runs did not do the same work",
    };
    let share = (a.0 > 0).then(|| (b.0 as f64 - a.0 as f64) / a.0 as f64);
    let share = share.map_or_else(String::new, |share| {
        let sign = if share < 0.0 { "-" } else { "+" };
        format!(" ({sign}{})", percent(share.abs()))
    });
    let rss = diff.before.rss.zip(diff.after.rss);
    let rss = rss.map_or_else(String::new, |(a, b)| format!("; RSS {a} → {b}"));
    format!("{start}: {what} {a}{per} → {b}{per}{share}{rss}")
}

/// What the numbers are, so that nobody compares what cannot be.
fn basis(diff: &RecordingDiff) -> String {
    let (a, b) = (&diff.before, &diff.after);
    let mut text = match (diff.is_same_process, diff.scale) {
        (true, _) => {
            format!("two moments of one recording, {} and {} after its start", a.elapsed, b.elapsed)
        }
        (false, Scale::AsTheyAre) => {
            format!("compared as they are at the end, after {} and {}", a.elapsed, b.elapsed)
        }
        (false, Scale::PerMinute) => format!(
            "the runs took {} and {}: memory at the end is divided by their minutes",
            a.elapsed, b.elapsed
        ),
    };
    if let Some((x, y)) = diff.by_work.filter(|_| !diff.is_same_process) {
        let what = if diff.measure == Measure::Pinned { "pinned" } else { "live" };
        let (x, y) = (percent(x), percent(y));
        let by_work = format!("{x} of what was allocated is {what} at the end before, {y} after");
        text = format!("{text}; by work: {by_work}");
    }
    text
}

/// The text, the sentence first; ends with a line break.
pub fn to_text(diff: &RecordingDiff) -> String {
    let mut lines = wrap(&sentence(diff), N_COLUMNS);
    lines.extend(wrap(&basis(diff), N_COLUMNS - 2).into_iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.extend(total_lines(&diff.before, &diff.after));
    lines.push(String::new());
    if diff.sites.is_empty() {
        lines.push("No line has more or less than before".to_owned());
    } else {
        lines.push("Lines that have more or less alive".to_owned());
        lines.push(head("LINE"));
    }
    lines.extend(diff.sites.iter().take(ROWS_SHOWN).flat_map(site_lines));
    lines.extend(and_more(diff.sites.len()));
    lines.push(String::new());
    match &diff.holders {
        Some(holders) => lines.extend(holder_lines(holders)),
        None => {
            lines.push("Holders are not compared: that needs a census on both sides".to_owned());
        }
    }
    let mut out = String::new();
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn total_lines(a: &Totals, b: &Totals) -> Vec<String> {
    let row = |label: &str, before: Option<Bytes>, after: Option<Bytes>| {
        let growth = before.zip(after).map(|(a, b)| signed(difference(a, b)));
        let values = [known(before), known(after), known(growth)].map(|text| pad_left(&text, 11));
        format!("  {}{}", pad(label, 14), values.join("  "))
    };
    let title = ["BEFORE", "AFTER", "CHANGE"].map(|text| pad_left(text, 11));
    vec![
        format!("  {}{}", pad("", 14), title.join("  ")),
        row("RSS", a.rss, b.rss),
        row("arrayBuffers", a.array_buffers, b.array_buffers),
        row("live stores", Some(a.live), Some(b.live)),
        row("pinned", a.pinned, b.pinned),
        row("allocated", Some(a.created), Some(b.created)),
    ]
}

fn head(last: &str) -> String {
    let titles = ["BEFORE", "AFTER", "CHANGE"].map(|text| pad_left(text, 11));
    format!("  {}  {}  {last}", titles.join("  "), pad("", 8))
}

fn site_lines(site: &SiteChange) -> Vec<String> {
    let live = |state: &Option<SiteState>| state.as_ref().map(|it| it.live);
    let via = site.via.as_ref().map_or_else(String::new, |via| format!(" via {via}"));
    row(live(&site.before), live(&site.after), site.change(), &format!("{}{via}", site.label))
}

fn holder_lines(diff: &CensusDiff) -> Vec<String> {
    let changed: Vec<&GroupChange> =
        diff.groups.iter().filter(|it| it.change() != Change::Stayed).collect();
    if changed.is_empty() {
        return vec!["Nobody holds more or less than before".to_owned()];
    }
    let mut lines = vec!["Who holds more or less".to_owned(), head("HOLDER")];
    for it in changed.iter().take(ROWS_SHOWN) {
        let bytes =
            |group: &Option<crate::analysis::census_diff::Group>| group.as_ref().map(|it| it.bytes);
        lines.extend(row(bytes(&it.before), bytes(&it.after), it.change(), &it.path.join(" ")));
    }
    lines.extend(and_more(changed.len()));
    lines
}

/// A long name goes on in the next line.
fn row(before: Option<Bytes>, after: Option<Bytes>, change: Change, name: &str) -> Vec<String> {
    let growth = signed(difference(before.unwrap_or_default(), after.unwrap_or_default()));
    let values = [known(before), known(after), growth].map(|text| pad_left(&text, 11));
    let start = format!("  {}  {}  ", values.join("  "), pad(change.name(), 8));
    let room = N_COLUMNS.saturating_sub(start.chars().count());
    let indent = " ".repeat(start.chars().count());
    let names = wrap(&sanitize(name), room).into_iter().enumerate();
    names.map(|(n, text)| format!("{}{text}", if n == 0 { &start } else { &indent })).collect()
}

fn and_more(n: usize) -> Option<String> {
    let n_more = n.saturating_sub(ROWS_SHOWN);
    (n_more > 0).then(|| format!("  and {} more (--json)", count(n_more as u64)))
}

fn difference(before: Bytes, after: Bytes) -> i64 {
    after.0.cast_signed().wrapping_sub(before.0.cast_signed())
}

fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "+" };
    format!("{sign}{}", Bytes(bytes.unsigned_abs()))
}

pub fn to_value(diff: &RecordingDiff) -> Value {
    let verdict = match diff.verdict {
        Verdict::Less => "less",
        Verdict::Same => "same",
        Verdict::More => "more",
        Verdict::Unclear => "unclear",
    };
    json!({
        "schema": "bufwatch.diff/1",
        "verdict": verdict,
        "sentence": sentence(diff),
        "measure": if diff.measure == Measure::Pinned { "pinned" } else { "live" },
        "scale": if diff.scale == Scale::PerMinute { "per_minute" } else { "as_they_are" },
        "is_same_process": diff.is_same_process,
        "measured_before": diff.scaled(diff.measured(&diff.before), &diff.before).0,
        "measured_after": diff.scaled(diff.measured(&diff.after), &diff.after).0,
        "by_work": diff.by_work.map(|(a, b)| [a, b]),
        "before": totals_value(&diff.before),
        "after": totals_value(&diff.after),
        "sites": diff.sites.iter().map(site_value).collect::<Vec<_>>(),
        "holders": diff.holders.as_ref().map(census_diff::to_value),
    })
}

fn totals_value(totals: &Totals) -> Value {
    json!({
        "elapsed_ns": totals.elapsed.0,
        "rss_bytes": totals.rss.map(|it| it.0),
        "array_buffers_bytes": totals.array_buffers.map(|it| it.0),
        "live_bytes": totals.live.0,
        "n_live": totals.n_live,
        "created_bytes": totals.created.0,
        "n_created": totals.n_created,
        "pinned_bytes": totals.pinned.map(|it| it.0),
    })
}

fn site_value(site: &SiteChange) -> Value {
    let state = |state: &Option<SiteState>| {
        state.as_ref().map(|it| {
            json!({ "live_bytes": it.live.0, "n_live": it.n_live, "created_bytes": it.created.0 })
        })
    };
    json!({
        "site": site.label,
        "via": site.via,
        "change": site.change().name(),
        "growth_bytes": site.growth(),
        "before": state(&site.before),
        "after": state(&site.after),
    })
}
