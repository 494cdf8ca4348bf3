//! One step of RSS in full: when, by how much, and all of its causes. Builds a page; the frame draws it.

use crate::analysis::asked_text;
use crate::analysis::snapshot::{CauseKind, RssStepRow, Snapshot, StepCauseRow};
use crate::base::text::{count, pad_left, wrap};
use crate::base::{Bytes, sanitize};
use crate::tui::memory::{StepKey, signed, steps, why};
use crate::tui::text::{Line, Page, Role, fact, heading, span};

pub fn page(key: StepKey, snapshot: &Snapshot, n_columns: usize) -> Page {
    let Some(step) = steps(snapshot).find(|step| StepKey::of(step, snapshot) == key) else {
        return vec![
            heading("Step of RSS", n_columns),
            vec![span(Role::Unknown, "  this step is not remembered any more")],
        ];
    };
    let mut page = vec![heading(&format!("RSS {}", signed(step.delta)), n_columns)];
    let words = wrap(&sanitize(why(step)), n_columns.saturating_sub(4));
    page.extend(words.into_iter().map(|line| vec![span(Role::Title, format!("  {line}"))]));
    page.push(Line::new());
    let mut say = |label: &str, value: String| {
        page.extend(fact(label, &value, Role::Neutral, n_columns));
    };
    say("when", format!("{} ago, within {}", step.ago, step.took));
    say("RSS afterwards", step.rss.to_string());
    let allocated = match step.created {
        Bytes(0) => "nothing".to_owned(),
        bytes => format!("{bytes} in stores, written or not"),
    };
    say("allocated then", allocated);
    if let Some(asked) = asked_text(&step.asked) {
        say("asked of kernel", asked);
    }
    page.push(Line::new());
    page.push(heading("Causes, the largest first", n_columns));
    for cause in &step.causes {
        page.extend(cause_lines(cause, n_columns));
    }
    page.extend(rest(step));
    page
}

fn cause_lines(cause: &StepCauseRow, n_columns: usize) -> Page {
    const BYTES_COLUMNS: usize = 12;
    let stores = match (cause.n_stores, cause.store) {
        (Some(1), Some(number)) => format!(", store #{number}"),
        (Some(n), Some(number)) if n > 1 => {
            format!(", {} stores, the largest #{number}", count(n))
        }
        _ => String::new(),
    };
    let site = cause.site.as_ref().map_or_else(String::new, |site| format!(": {site}"));
    let text = sanitize(&format!("{}{site}{stores}", words(cause.kind, cause.bytes)));
    wrap(&text, n_columns.saturating_sub(BYTES_COLUMNS + 3))
        .into_iter()
        .enumerate()
        .map(|(n, line)| {
            let bytes = if n == 0 { signed(cause.bytes) } else { String::new() };
            vec![
                span(Role::Title, pad_left(&bytes, BYTES_COLUMNS)),
                span(Role::Neutral, format!("  {line}")),
            ]
        })
        .collect()
}

const fn words(kind: CauseKind, bytes: i64) -> &'static str {
    match kind {
        CauseKind::FirstWrite => "first write to stores that were there",
        CauseKind::MoreWritten => "more written of stores that were there",
        CauseKind::Born => "new stores, written",
        CauseKind::Freed => "stores freed",
        CauseKind::Advised => "pages given back with madvise",
        CauseKind::Reclaimed => "pages swapped out or given back",
        CauseKind::Kept if bytes > 0 => "memory of freed stores that malloc keeps",
        CauseKind::Kept => "memory of stores freed before, gone or used again",
        CauseKind::V8 => "V8's heap",
        CauseKind::Part(part) => part.title(),
    }
}

fn rest(step: &RssStepRow) -> Page {
    let role = if step.unexplained == 0 { Role::Muted } else { Role::Neutral };
    let text = format!("{}  not explained", pad_left(&signed(step.unexplained), 12));
    vec![vec![span(role, text)]]
}
