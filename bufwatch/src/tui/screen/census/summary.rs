//! What is said of a census as a whole: how old it is, what it cost the process, what is alive, what it does not cover.

use crate::analysis::snapshot::{JoinedCensus, Snapshot};
use crate::base::Bytes;
use crate::base::text::{UNKNOWN, count, percent};
use crate::tui::text::{Line, Role, span};

/// `taken 12.3 s ago   stopped 4.1 ms, longest 5.0 ms, 9.1 ms in all of 2`.
pub(super) fn cost(joined: &JoinedCensus, snapshot: &Snapshot) -> Line {
    let log = &snapshot.census;
    let ago = snapshot.taken_at.since(joined.taken_at);
    let all = match log.n_taken {
        0 | 1 => String::new(),
        n => format!(", longest {}, {} in all {}", log.longest_stop, log.total_stop, count(n)),
    };
    vec![
        span(Role::Muted, " taken "),
        span(Role::Title, format!("{ago} ago")),
        span(Role::Muted, "  process stopped for "),
        span(Role::Title, joined.census.timing.stopped.to_string()),
        span(Role::Muted, all),
    ]
}

/// `1,021 array buffers, 9.60 GiB alive, 0.2 % of it viewed  V8 heap 310 MiB  ▲ 2 gaps`.
pub(super) fn found(joined: &JoinedCensus) -> Line {
    let census = &joined.census;
    let live: Bytes = census.parents.iter().map(|parent| parent.size).sum();
    let covered: Bytes = census.parents.iter().map(|parent| parent.covered).sum();
    let mut line = vec![
        span(Role::Title, format!(" {}", count(census.parents.len() as u64))),
        span(Role::Muted, " array buffers, "),
        span(Role::Title, live.to_string()),
        span(Role::Muted, format!(" alive, {} of it viewed", share(covered, live))),
        span(Role::Muted, format!("  V8 heap {}", census.counts.heap_bytes)),
    ];
    match census.gaps.len() {
        0 => {}
        1 => line.push(span(Role::Accused, "  ▲ 1 gap")),
        n => line.push(span(Role::Accused, format!("  ▲ {} gaps", count(n as u64)))),
    }
    line
}

/// `part` of `whole` in percent.
pub(super) fn share(part: Bytes, whole: Bytes) -> String {
    if whole.0 == 0 { UNKNOWN.to_owned() } else { percent(part.0 as f64 / whole.0 as f64) }
}
