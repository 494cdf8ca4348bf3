//! One site in full: what it holds, how long its stores live, and its whole stack. Builds a page; the
//! frame draws it.

use crate::analysis::describe::{frame_text, lifetime_bucket_end, site_text};
use crate::analysis::snapshot::{N_GC_BUCKETS, SiteRow, Snapshot};
use crate::base::Bytes;
use crate::base::text::{count, pad, pad_left, per_second, percent};
use crate::event::{Frame, FrameKind};
use crate::tui::text::{Line, Page, Role, bar, fact, heading, lifetimes, span, survival};

pub fn page(row: &SiteRow, snapshot: &Snapshot, n_columns: usize) -> Page {
    let mut page = vec![heading(&site_text(row), n_columns)];
    let all = snapshot.stores.live_bytes.0;
    let share = match all {
        0 => String::new(),
        _ => format!(", {} of all tracked", percent(row.live_bytes.0 as f64 / all as f64)),
    };
    let mut say = |label: &str, value: String, role| {
        page.extend(fact(label, &value, role, n_columns));
    };
    say("live", format!("{} in {} stores{share}", row.live_bytes, count(row.n_live)), Role::Title);
    say("peak", row.peak_bytes.to_string(), Role::Neutral);
    say(
        "allocated",
        format!("{} in {} stores", row.created_bytes, count(row.n_created)),
        Role::Neutral,
    );
    say(
        "rate",
        format!("{}/s, {} stores", Bytes(row.created_bytes_per_s), per_second(row.n_created_per_s)),
        Role::Neutral,
    );
    say("survive 2 majors", survival(row), Role::Neutral);
    say("lifetime p50 / p99", lifetimes(row), Role::Neutral);
    page.push(Line::new());
    page.extend(histograms(row, n_columns));
    page.push(Line::new());
    page.extend(stack(&row.frames, row.is_cut, n_columns));
    page
}

pub fn missing_page(n_columns: usize) -> Page {
    vec![
        heading("Site", n_columns),
        vec![span(Role::Unknown, "  this site is not among those with most live bytes any more")],
    ]
}

/// Lifetimes of the freed stores in time and in major GCs; rows without any at the ends are left out.
fn histograms(row: &SiteRow, n_columns: usize) -> Page {
    let n_freed: u64 = row.lifetimes.iter().sum();
    if n_freed == 0 {
        return vec![
            heading("Lifetime of freed stores", n_columns),
            vec![span(Role::Unknown, "  none was freed yet")],
        ];
    }
    let mut page =
        vec![heading(&format!("Lifetime of {} freed stores", count(n_freed)), n_columns)];
    let label = |n: usize| match lifetime_bucket_end(n) {
        Some(end) => format!("≤ {end}"),
        None => "longer".to_owned(),
    };
    page.extend(bars(&row.lifetimes, label, n_columns));
    page.push(Line::new());
    page.push(heading("Major GCs that they survived", n_columns));
    let label = |n: usize| {
        if n + 1 < N_GC_BUCKETS { format!("{n}") } else { format!("{n} or more") }
    };
    page.extend(bars(&row.majors_survived, label, n_columns));
    page
}

fn bars(counts: &[u64], label: impl Fn(usize) -> String, n_columns: usize) -> Page {
    let total = counts.iter().sum::<u64>().max(1) as f64;
    let largest = counts.iter().max().copied().unwrap_or(0).max(1) as f64;
    let first = counts.iter().position(|n| *n > 0).unwrap_or(0);
    let last = counts.iter().rposition(|n| *n > 0).unwrap_or(0);
    let room = n_columns.saturating_sub(35).min(60);
    counts
        .iter()
        .enumerate()
        .skip(first)
        .take(last + 1 - first)
        .map(|(n, value)| {
            let share = *value as f64;
            vec![
                span(Role::Muted, pad_left(&label(n), 14)),
                span(Role::Neutral, pad_left(&count(*value), 11)),
                span(Role::Muted, pad_left(&percent(share / total), 7)),
                span(Role::Stores, format!("  {}", bar(share / largest, room))),
            ]
        })
        .collect()
}

/// Every frame on a line; what is not resolved looks so and says so.
pub fn stack(frames: &[Frame], is_cut: bool, n_columns: usize) -> Page {
    let mut page = vec![heading("Stack, innermost first", n_columns)];
    if frames.is_empty() {
        page.push(vec![span(Role::Unknown, "  no stack was captured")]);
    }
    for (n, frame) in frames.iter().enumerate() {
        let role = match frame.kind {
            _ if !frame.is_resolved => Role::Unknown,
            FrameKind::Js => Role::Title,
            FrameKind::Node => Role::Neutral,
            FrameKind::Builtin | FrameKind::Native => Role::Muted,
        };
        page.push(vec![
            span(
                Role::Muted,
                format!("{} {} ", pad_left(&n.to_string(), 4), pad(frame.kind.name(), 8)),
            ),
            span(role, frame_text(frame)),
        ]);
    }
    if is_cut {
        page.push(vec![span(Role::Unknown, "  … the frames further out were cut off")]);
    }
    page
}
