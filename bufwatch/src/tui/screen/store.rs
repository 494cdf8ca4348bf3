//! One store in full: every fact and its stack. Builds a page; the frame draws it.

use crate::analysis::describe::site_text;
use crate::analysis::snapshot::{
    FirstWrite, Placement, Snapshot, StoreDetail, StorePages, StoreRow,
};
use crate::base::text::{count, known};
use crate::base::{Bytes, StoreKey, sanitize};
use crate::tui::keymap::Mode;
use crate::tui::screen::{pages, stack};
use crate::tui::text::{Line, Page, Role, fact, heading, span, thread};

/// The detail comes with the snapshot after it was asked for; until then, and while paused, the row of the
/// table and the stack of its site tell the same.
pub fn page(
    key: StoreKey,
    snapshot: &Snapshot,
    latest: &Snapshot,
    mode: Mode,
    n_columns: usize,
) -> Page {
    let has_key = |detail: &&StoreDetail| detail.row.key == key;
    let detail =
        snapshot.detail.as_ref().filter(has_key).or_else(|| latest.detail.as_ref().filter(has_key));
    if let Some(detail) = detail {
        let mut page = facts(&detail.row, detail.is_live, n_columns);
        page.extend(pages::lines(detail.map.as_ref(), mode, n_columns));
        let is_marked = |n| [detail.user_frame, detail.app_frame].contains(&Some(n));
        page.extend(stack::lines(&detail.frames, detail.is_cut, is_marked, n_columns));
        let async_stack = detail.async_stack.iter();
        page.extend(async_stack.flat_map(|it| stack::async_lines(it, n_columns)));
        return page;
    }
    let Some(row) = snapshot.table.rows.iter().find(|row| row.key == key) else {
        return vec![
            heading("Store", n_columns),
            vec![span(
                Role::Unknown,
                match mode {
                    Mode::Live => "  this store is not known any more",
                    Mode::Replay => "  this store does not live at this moment of the recording",
                },
            )],
        ];
    };
    let found = snapshot.sites.iter().find(|site| site.stack == row.stack);
    let mut page = facts(row, true, n_columns);
    match found {
        Some(found) => {
            let is_marked = |n| [found.user_frame, found.app_frame].contains(&Some(n));
            page.extend(stack::lines(&found.frames, found.is_cut, is_marked, n_columns));
            let async_stack = found.async_stack.iter();
            page.extend(async_stack.flat_map(|it| stack::async_lines(it, n_columns)));
        }
        None => page.push(vec![span(Role::Unknown, "  its stack comes with the next snapshot")]),
    }
    page
}

fn facts(row: &StoreRow, is_live: bool, n_columns: usize) -> Page {
    let mut page = vec![heading(&format!("Store #{}", row.number), n_columns)];
    let mut say = |label: &str, value: String, role| {
        page.extend(fact(label, &value, role, n_columns));
    };
    if is_live {
        say("state", "live".to_owned(), Role::Healthy);
    } else {
        say("state", "freed; these are its last facts".to_owned(), Role::Accused);
    }
    let max_size = if row.max_size > row.size {
        format!(", grows up to {}", row.max_size)
    } else {
        String::new()
    };
    say("size", format!("{} ({} bytes){max_size}", row.size, count(row.size.0)), Role::Title);
    say("in RAM", known(row.residency.as_ref().map(in_ram)), Role::Neutral);
    if let Some(text) = row.residency.as_ref().and_then(first_write) {
        say("first write", text, Role::Neutral);
    }
    say("kind", row.kind.name().to_owned(), Role::Neutral);
    say("age", row.age.to_string(), Role::Neutral);
    let survived = row.survived.map(|it| {
        format!("{} minor, {} major", count(it.n_minor.into()), count(it.n_major.into()))
    });
    say("GCs survived", known(survived), Role::Neutral);
    say("allocated by", format!("thread {}", thread(row)), Role::Neutral);
    say("site", sanitize(&site_text(&row.site, row.via.as_deref())), Role::Title);
    say("data at", format!("{:#x}", row.data), Role::Neutral);
    say("lies in", placement(row.placement), Role::Neutral);
    say("BackingStore at", format!("{:#x}", row.key.address), Role::Neutral);
    page.push(Line::new());
    page
}

/// `30.0 MiB, 2.00 MiB swapped out; first seen 5.0 s ago, last grew 2.0 s ago`
fn in_ram(known: &StorePages) -> String {
    let pages = &known.pages;
    let parts = [(pages.swapped, "swapped out"), (pages.zero, "only read")];
    let parts = parts.into_iter().filter(|(bytes, _)| *bytes > Bytes(0));
    let parts: String =
        parts.map(|(bytes, what)| [", ", &bytes.to_string(), " ", what].concat()).collect();
    let since = match (known.touched, known.grew) {
        _ if known.is_recycled => "memory that malloc gave out again".to_owned(),
        (Some(touched), Some(grew)) => format!("first seen {touched} ago, last grew {grew} ago"),
        _ => "never written to".to_owned(),
    };
    format!("{}{parts}; {since}", pages.resident)
}

/// By page faults, with `--faults`.
fn first_write(known: &StorePages) -> Option<String> {
    match known.first_write {
        FirstWrite::Unknown => None,
        FirstWrite::Unseen => Some(
            "no page fault told of it: its memory was there before, or came by populate or O_DIRECT"
                .to_owned(),
        ),
        FirstWrite::ByProgram(ago) => Some(format!("{ago} ago, by the program")),
        FirstWrite::ByKernel(ago) => Some(format!("{ago} ago, by the kernel, as in read(2)")),
    }
}

fn placement(placement: Placement) -> String {
    match placement {
        Placement::Unknown => placement.name().to_owned(),
        Placement::OwnMapping { start, len } => {
            format!(
                "a mapping of its own: {len} at {start:#x}, given back to the kernel when freed"
            )
        }
        Placement::MainHeap => {
            "the malloc heap (brk): freed memory there may stay resident".to_owned()
        }
        Placement::SharedMapping { start, len } => {
            format!("a mapping shared with others: {len} at {start:#x}, such as a thread's arena")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use crate::event::residency::PageBytes;

    #[test]
    fn what_is_in_memory_is_told_with_its_times() {
        let mut known = StorePages::default();
        assert_eq!(in_ram(&known), "0 B; never written to");
        let pages = PageBytes {
            resident: Bytes(30 << 20),
            swapped: Bytes(2 << 20),
            ..PageBytes::default()
        };
        known.pages = pages;
        known.touched = Some(Nanos::from_secs(5));
        known.grew = Some(Nanos::from_secs(2));
        let text = in_ram(&known);
        assert!(text.starts_with("30.0 MiB, 2.00 MiB swapped out; first seen 5"), "{text}");
        known.is_recycled = true;
        assert!(in_ram(&known).ends_with("malloc gave out again"));
        assert_eq!(first_write(&known), None);
        known.first_write = FirstWrite::ByKernel(Nanos::from_secs(5));
        assert!(first_write(&known).unwrap().starts_with('5'));
    }
}
