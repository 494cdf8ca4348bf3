//! What a recording tells as a whole, as a text for a terminal and as one HTML file. What both say the same is here; which recording and which
//! moment is the caller's business.

mod data;
mod html;
mod parts;
mod text;
mod timeline;

use crate::analysis::finding::Finding;
use crate::analysis::post_mortem::PostMortem;
use crate::analysis::snapshot::{GroupRow, Snapshot};
use crate::base::civil::utc;
use crate::base::{Nanos, sanitize};
use crate::event::place::full_frame;

pub use html::to_html;
pub use text::to_text;

/// The line that a finding is about, with its whole path, if the session knew it.
fn place_of(snapshot: &Snapshot, finding: &Finding) -> Option<String> {
    let site = finding.site.as_deref()?;
    let is_line = |group: &&GroupRow| *group.label == *site;
    let mut groups = snapshot.groups.iter().filter(is_line);
    let first = groups.clone().next();
    group_place(groups.find(|group| group.via == finding.via).or(first)?)
}

/// The user frame of a group with its whole path; `None` for what the event loop made.
fn group_place(group: &GroupRow) -> Option<String> {
    let at = group.heaviest.user_frame?;
    group.heaviest.frames.get(at).map(full_frame)
}

/// What was recorded, when and by whom, and how it ended: a line each.
fn subject(told: &PostMortem) -> Vec<String> {
    let target = &told.snapshot.target;
    let mut lines = Vec::new();
    let mut process = Vec::new();
    if target.pid != 0 {
        process.push(format!("pid {}", target.pid));
    }
    if let Some(version) = &target.node_version {
        process.push(format!("Node {}", sanitize(version).trim_start_matches('v')));
    }
    if let Some(version) = &target.v8_version {
        process.push(format!("V8 {}", sanitize(version)));
    }
    if !process.is_empty() {
        lines.push(process.join(", "));
    }
    let by = told.bufwatch_version.as_ref();
    let by = by.map_or_else(String::new, |version| format!(" by bufwatch {}", sanitize(version)));
    let from = told.started_unix.map_or_else(String::new, |at| format!(" from {}", utc(at)));
    lines.push(format!("recorded{from} for {}{by}; {}", told.length, told.ending.text()));
    if told.is_of_a_moment() {
        lines.push(format!("told as of {} after the start", told.snapshot.elapsed));
    }
    lines
}

/// One sentence: how much memory is wrong, or that nothing was found, and how far that can be trusted.
fn in_short(told: &PostMortem) -> String {
    let snapshot = &told.snapshot;
    let rss = snapshot.memory.rss.map_or_else(String::new, |rss| format!(", RSS was {rss}"));
    let when = if told.is_of_a_moment() { "at that moment" } else { "at the end" };
    let n = snapshot.findings.len();
    match snapshot.findings.first() {
        Some(first) => {
            let more = match n {
                1 => String::new(),
                2 => "; 1 more finding".to_owned(),
                n => format!("; {} more findings", n - 1),
            };
            format!("{}{more} ({when}{rss})", sanitize(&first.summary))
        }
        None if snapshot.census.n_taken == 0 => format!(
            "nothing was found, but nobody looked at who holds what: there was no census ({when}{rss})"
        ),
        None if told.told.is_empty() => format!("nothing was found ({when}{rss})"),
        None => format!("nothing was wrong any more ({when}{rss}); see what was told earlier"),
    }
}

/// `4.2 s – 9.0 s`.
fn span(from: Nanos, to: Option<Nanos>) -> String {
    match to {
        Some(to) => format!("{from} – {to}"),
        None => format!("since {from}"),
    }
}
