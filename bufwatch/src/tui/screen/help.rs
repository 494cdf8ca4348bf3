//! The keys, from the key table, and what the signs mean. Builds a page; the frame draws it.

use crate::base::text::{pad, wrap};
use crate::tui::keymap::{self, Mode};
use crate::tui::text::{Line, Page, Role, heading, span};

const SIGNS: [(&str, &str); 9] = [
    ("–", "not known, or not yet"),
    ("~", "follows from other numbers, not measured itself"),
    ("≤ ≥", "only this bound is known"),
    ("allocated", "asked for by the program; resident only as far as it was written"),
    ("GC │ ┃", "minor and major collections; dotted: before the oldest one still remembered"),
    ("survive", "share of a site's stores that lived through two major GCs"),
    ("parent", "the memory of an array buffer, of which views show parts or all"),
    ("viewed", "bytes of a parent that at least one live view shows; the rest is unviewed"),
    ("▲ △ ·", "findings: sure, likely, and what may be meant so"),
];

/// Over a recording.
const ON_AXIS: (&str, &str) = (
    "▲ ◆ C │",
    "on the time axis: a finding is told first, a step of RSS, a census, a major collection",
);

pub fn page(mode: Mode, n_columns: usize) -> Page {
    let mut page = vec![heading("Keys", n_columns)];
    for binding in keymap::all(mode) {
        page.extend(entry(binding.name, binding.long, n_columns));
    }
    page.push(Line::new());
    page.push(heading("Signs", n_columns));
    let on_axis = (mode == Mode::Replay).then_some(ON_AXIS);
    for (sign, meaning) in on_axis.into_iter().chain(SIGNS) {
        page.extend(entry(sign, meaning, n_columns));
    }
    page
}

fn entry(name: &str, text: &str, n_columns: usize) -> Page {
    const NAME_COLUMNS: usize = 11;
    wrap(text, n_columns.saturating_sub(NAME_COLUMNS + 3))
        .into_iter()
        .enumerate()
        .map(|(n, line)| {
            let name = if n == 0 { name } else { "" };
            vec![
                span(Role::Key, format!("  {}", pad(name, NAME_COLUMNS))),
                span(Role::Neutral, line),
            ]
        })
        .collect()
}
