//! "Which views keep which memory, and who holds them?": what the last census found. The list of it; pages have files of their own.

mod intro;
mod summary;

use crate::analysis::snapshot::Snapshot;
use crate::base::text::{count, pad_left};
use crate::tui::text::{Page, Role, heading, span};

/// Holders listed.
const HOLDERS_LISTED: usize = 100;

pub fn page(snapshot: &Snapshot, n_columns: usize) -> Page {
    let Some(last) = &snapshot.census.last else { return intro::page(snapshot, n_columns) };
    let mut page = vec![summary::cost(last, snapshot), summary::found(last)];
    page.push(heading("Holders", n_columns));
    for group in last.census.holders.iter().take(HOLDERS_LISTED) {
        let numbers = format!(
            " {}{}{}  ",
            pad_left(&group.bytes.to_string(), 9),
            pad_left(&summary::share(group.covered, group.bytes), 8),
            pad_left(&count(group.n_parents), 9),
        );
        page.push(vec![span(Role::Title, numbers), span(Role::Neutral, group.path.join(" "))]);
    }
    page
}
