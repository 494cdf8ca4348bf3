//! The census screen as long as there is no census: what one does, what it costs, and what came of the try. Builds a page.

use crate::analysis::snapshot::{CensusFailure, Snapshot, TargetState};
use crate::base::text::wrap;
use crate::base::{Bytes, Nanos, sanitize};
use crate::tui::keymap::Mode;
use crate::tui::text::{Line, Page, Role, heading, rounded, span};

/// What a stop may take: issue 4, "bars".
const STOP_MIN: Nanos = Nanos::from_millis(5);
const STOP_NS_PER_KB: u64 = 250;

/// For about how long a census stops a process with this much V8 heap.
fn stop_estimate(heap: Bytes) -> Nanos {
    Nanos(STOP_MIN.0.saturating_add((heap.0 / 1_000).saturating_mul(STOP_NS_PER_KB)))
}

/// `for about 80 ms`, from what is known of the heap, and as long as the last time at least.
pub fn stop_text(snapshot: &Snapshot) -> String {
    let estimate = snapshot.memory.v8_heap.map(stop_estimate);
    let last = snapshot.census.last.as_ref().map(|last| last.census.timing.stopped);
    match estimate.max(last) {
        Some(time) => format!("for about {}", rounded(time)),
        None => "for a moment".to_owned(),
    }
}

/// What a census finds out, for those who never took one.
const WHAT: &str = "A census reads the V8 heap of the process and names every live array buffer, the views that keep \
     it alive, how much of it they show, and who holds them, by property, variable and class.";

pub fn page(snapshot: &Snapshot, mode: Mode, n_columns: usize) -> Page {
    let mut page = vec![heading("Census", n_columns)];
    let mut say = |role, text: &str| {
        let lines = wrap(text, n_columns.saturating_sub(4));
        page.extend(lines.into_iter().map(|line| vec![span(role, format!("  {line}"))]));
    };
    say(Role::Neutral, WHAT);
    if mode == Mode::Replay {
        say(Role::Neutral, "");
        say(Role::Unknown, "None had been taken up to this moment of the recording.");
        return page;
    }
    say(Role::Neutral, "");
    let heap = snapshot.memory.v8_heap;
    let of_heap = heap.map_or_else(String::new, |heap| format!(" (its V8 heap has {heap})"));
    say(
        Role::Neutral,
        &format!(
            "It stops the process {}{of_heap}, which then goes on by itself, also if bufwatch is killed. Nothing is written to it.",
            stop_text(snapshot)
        ),
    );
    page.push(Line::new());
    page.extend(state(snapshot, n_columns));
    page
}

/// `✗ failed 12.3 s ago: a garbage collection was under way`.
pub fn failure_text(failure: &CensusFailure, snapshot: &Snapshot) -> String {
    let ago = snapshot.taken_at.since(failure.at);
    format!("✗ the last try, {ago} ago, failed: {}", sanitize(&failure.message))
}

fn state(snapshot: &Snapshot, n_columns: usize) -> Page {
    let log = &snapshot.census;
    if log.is_underway {
        return vec![vec![span(Role::Key, "  taking a census…")]];
    }
    let mut page = Page::new();
    if let Some(failure) = &log.failure {
        let room = n_columns.saturating_sub(4);
        for (role, text) in [
            (Role::Accused, failure_text(failure, snapshot)),
            (Role::Neutral, format!("hint: {}", sanitize(&failure.hint))),
        ] {
            let lines = wrap(&text, room);
            page.extend(lines.into_iter().map(|line| vec![span(role, format!("  {line}"))]));
        }
        page.push(Line::new());
    }
    match snapshot.target.state {
        TargetState::Live => page.push(vec![
            span(Role::Muted, "  press "),
            span(Role::Key, "c"),
            span(Role::Muted, " to take one"),
        ]),
        TargetState::Attaching => page.push(vec![span(Role::Unknown, "  attaching…")]),
        TargetState::Execed | TargetState::Exited { .. } => {
            page.push(vec![span(Role::Unknown, "  the process is gone, and none was taken")]);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_the_bar() {
        assert_eq!(stop_estimate(Bytes(0)), Nanos::from_millis(5));
        assert_eq!(stop_estimate(Bytes(1_000_000_000)), Nanos::from_millis(255));
        assert!(stop_estimate(Bytes(u64::MAX)) > Nanos::from_secs(1));
    }
}
