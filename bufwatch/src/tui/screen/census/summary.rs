//! What is said of a census as a whole: how old it is, what it cost the process, what is alive, what it does not cover; or what became
//! of the next one.

use crate::analysis::snapshot::{JoinedCensus, Snapshot};
use crate::base::text::{count, fit, width};
use crate::base::{Bytes, sanitize};
use crate::tui::census::rows::Rows;
use crate::tui::census::text::{parents, share};
use crate::tui::screen::census::intro::{failure_text, stop_text};
use crate::tui::text::{Line, Role, span};

/// Two lines of at most `n_columns`.
pub fn lines(rows: &Rows, snapshot: &Snapshot, n_columns: usize) -> [Line; 2] {
    let log = &snapshot.census;
    let ago = snapshot.taken_at.since(rows.joined.taken_at);
    let below = format!("below: the census of {ago} ago");
    if log.is_underway {
        let text = format!(" taking a census… it stops the process {}", stop_text(snapshot));
        return [vec![span(Role::Key, text)], vec![span(Role::Muted, format!(" {below}"))]];
    }
    if let Some(failure) = &log.failure {
        let room = n_columns.saturating_sub(2);
        let message = fit(&failure_text(failure, snapshot), room);
        let hint = fit(&format!("hint: {}; {below}", sanitize(&failure.hint)), room);
        return [
            vec![span(Role::Accused, format!(" {message}"))],
            vec![span(Role::Neutral, format!(" {hint}"))],
        ];
    }
    [fitting(cost(rows, snapshot), n_columns), fitting(found(rows), n_columns)]
}

/// Without the last parts, as far as they do not fit.
fn fitting(mut parts: Vec<Line>, n_columns: usize) -> Line {
    let total = |parts: &[Line]| parts.iter().flatten().map(|it| width(&it.text)).sum::<usize>();
    while parts.len() > 1 && total(&parts) > n_columns {
        parts.pop();
    }
    parts.into_iter().flatten().collect()
}

/// `taken 12.3 s ago   stopped 4.1 ms   longest 5.0 ms   all 2: 9.1 ms   since the last: +12 -3 parents`.
fn cost(rows: &Rows, snapshot: &Snapshot) -> Vec<Line> {
    let log = &snapshot.census;
    let ago = snapshot.taken_at.since(rows.joined.taken_at);
    let stopped = rows.joined.census.timing.stopped;
    let mut parts = vec![
        vec![span(Role::Muted, " taken "), span(Role::Title, format!("{ago} ago"))],
        vec![span(Role::Muted, "   stopped "), span(Role::Title, stopped.to_string())],
    ];
    if log.n_taken > 1 {
        parts.push(vec![span(Role::Muted, format!("   longest {}", log.longest_stop))]);
        let n = count(log.n_taken);
        parts.push(vec![span(Role::Muted, format!("   all {n}: {}", log.total_stop))]);
    }
    if let Some(comparison) = &rows.comparison {
        let text = format!(
            "   since the last: +{} -{} parents",
            count(comparison.n_new),
            count(comparison.n_gone)
        );
        parts.push(vec![span(Role::Muted, text)]);
    }
    parts
}

/// `118 MiB in no array buffer`: what waits for a collection, or what native code holds.
pub fn orphans(joined: &JoinedCensus) -> Option<String> {
    let bytes: Bytes = joined.orphans.iter().map(|orphan| orphan.size).sum();
    (bytes > Bytes(0)).then(|| format!("{bytes} in no array buffer"))
}

/// `9.60 GiB in 1,021 parents   0.2 % viewed   V8 heap 310 MiB   ▲ 2 gaps`. Gaps come before the size of the heap.
fn found(rows: &Rows) -> Vec<Line> {
    let census = &rows.joined.census;
    let totals = &rows.totals;
    let n = parents(census.parents.len() as u64);
    let mut parts = vec![
        vec![
            span(Role::Title, format!(" {}", totals.bytes)),
            span(Role::Muted, format!(" in {n}")),
        ],
        vec![span(Role::Muted, format!("   {} viewed", share(totals.covered, totals.bytes)))],
    ];
    match census.gaps.len() {
        0 => {}
        1 => parts.push(vec![span(Role::Accused, "   ▲ 1 gap, see 8 Health")]),
        n => parts.push(vec![span(Role::Accused, format!("   ▲ {n} gaps, see 8 Health"))]),
    }
    if let Some(text) = orphans(&rows.joined) {
        parts.push(vec![span(Role::Muted, format!("   {text}"))]);
    }
    parts.push(vec![span(Role::Muted, format!("   V8 heap {}", census.counts.heap_bytes))]);
    parts
}
