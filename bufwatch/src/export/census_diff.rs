//! A comparison of two censuses as text and as JSON (schema `bufwatch.census-diff/1`).

use serde_json::{Value, json};

use crate::analysis::census_diff::{CensusDiff, Change, Group, GroupChange};
use crate::base::Bytes;
use crate::base::text::{count, fit, pad, pad_left};

/// Columns of a line: fits the usual terminal.
const N_COLUMNS: usize = 100;

/// Changed holders told; the JSON has all.
const GROUPS_SHOWN: usize = 30;

pub fn to_value(diff: &CensusDiff) -> Value {
    let group = |group: &Option<Group>| {
        group.as_ref().map(|group| {
            json!({
                "n_parents": group.n_parents,
                "n_views": group.n_views,
                "size_bytes": group.bytes.0,
                "covered_bytes": group.covered.0,
            })
        })
    };
    let holders: Vec<Value> = diff
        .groups
        .iter()
        .map(|change| {
            json!({
                "path": change.path,
                "change": change.change().name(),
                "growth_bytes": change.growth(),
                "n_parents_growth": change.n_parents_growth(),
                "before": group(&change.before),
                "after": group(&change.after),
            })
        })
        .collect();
    json!({
        "schema": "bufwatch.census-diff/1",
        "n_parents_before": diff.n_parents.0,
        "n_parents_after": diff.n_parents.1,
        "bytes_before": diff.bytes.0.0,
        "bytes_after": diff.bytes.1.0,
        "parents": diff.parents.map(|parents| json!({
            "n_appeared": parents.n_appeared,
            "appeared_bytes": parents.appeared.0,
            "n_stayed": parents.n_stayed,
            "stayed_bytes": parents.stayed.0,
            "n_went": parents.n_went,
            "went_bytes": parents.went.0,
        })),
        "holders": holders,
    })
}

/// The text; ends with a line break.
pub fn to_text(diff: &CensusDiff) -> String {
    let mut lines = vec![format!(
        "{} in {} array buffers before, {} in {} after: {}",
        diff.bytes.0,
        count(diff.n_parents.0),
        diff.bytes.1,
        count(diff.n_parents.1),
        signed(diff.bytes.1.0.cast_signed().wrapping_sub(diff.bytes.0.0.cast_signed()))
    )];
    match &diff.parents {
        Some(parents) => lines.push(format!(
            "  {} appeared in {}, {} stayed in {}, {} went with {}",
            parents.appeared,
            count(parents.n_appeared),
            parents.stayed,
            count(parents.n_stayed),
            parents.went,
            count(parents.n_went)
        )),
        None => lines.push(
            "  single array buffers are not compared: that needs two censuses of one process taken with --all"
                .to_owned(),
        ),
    }
    let changed: Vec<&GroupChange> =
        diff.groups.iter().filter(|it| it.change() != Change::Stayed).collect();
    lines.push(String::new());
    if changed.is_empty() {
        lines.push("Nobody holds more or less than before".to_owned());
    } else {
        lines.push("Who holds more or less".to_owned());
        let (growth, n) = (pad_left("GROWTH", 11), pad_left("BUFFERS", 9));
        lines.push(format!("  {growth}  {n}  {}  HOLDER", pad("", 8)));
    }
    for change in changed.iter().take(GROUPS_SHOWN) {
        let n = change.n_parents_growth();
        let sign = if n < 0 { "-" } else { "+" };
        let start = format!(
            "  {}  {}  {}  ",
            pad_left(&signed(change.growth()), 11),
            pad_left(&format!("{sign}{}", count(n.unsigned_abs())), 9),
            pad(change.change().name(), 8)
        );
        let room = N_COLUMNS.saturating_sub(start.len());
        lines.push(format!("{start}{}", fit(&change.path.join(" "), room)));
    }
    let n_left_out = changed.len().saturating_sub(GROUPS_SHOWN);
    if n_left_out > 0 {
        lines.push(format!("  and {} more (--json)", count(n_left_out as u64)));
    }
    let mut out = String::new();
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "+" };
    format!("{sign}{}", Bytes(bytes.unsigned_abs()))
}
