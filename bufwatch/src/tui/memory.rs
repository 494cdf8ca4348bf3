//! What the memory screen lists and how its rows are told apart: parts of RSS, steps of RSS, memory of dead stores. Pure; draws nothing.

use crate::analysis::residency::kept_by_malloc;
use crate::analysis::snapshot::{FreedRow, GroupId, RssStepRow, Snapshot};
use crate::base::{Bytes, Nanos};
use crate::event::residency::{Obstacle, RssPart, RssSplit};
use crate::tui::app::List;
use crate::tui::text::{Role, fit_site};

/// What the list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// Steps of RSS, the newest first.
    #[default]
    Steps,
    /// Lines whose dead stores' memory is still in RAM.
    Freed,
}

/// When a step began, by `CLOCK_MONOTONIC`: what tells it apart, also while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepKey(pub u64);

impl StepKey {
    pub fn of(step: &RssStepRow, snapshot: &Snapshot) -> Self {
        Self(snapshot.taken_at.since(step.ago).since(step.took).0)
    }
}

#[derive(Clone, Debug, Default)]
pub struct MemoryView {
    pub listing: Listing,
    pub steps: List<StepKey>,
    pub freed: List<GroupId>,
}

impl MemoryView {
    /// Selected row and first row on screen.
    pub fn selection(&self) -> (usize, usize) {
        match self.listing {
            Listing::Steps => (self.steps.selected, self.steps.offset),
            Listing::Freed => (self.freed.selected, self.freed.offset),
        }
    }

    pub fn move_by(&mut self, delta: isize, snapshot: &Snapshot, n_visible: usize) {
        match self.listing {
            Listing::Steps => self.steps.move_by(delta, &step_keys(snapshot), n_visible),
            Listing::Freed => self.freed.move_by(delta, &freed_keys(snapshot), n_visible),
        }
    }

    pub fn settle(&mut self, snapshot: &Snapshot, n_visible: usize) {
        self.steps.settle(&step_keys(snapshot), n_visible);
        self.freed.settle(&freed_keys(snapshot), n_visible);
    }
}

/// The newest first.
pub fn steps(snapshot: &Snapshot) -> impl Iterator<Item = &RssStepRow> {
    snapshot.rss_steps.iter().rev()
}

fn step_keys(snapshot: &Snapshot) -> Vec<StepKey> {
    steps(snapshot).map(|step| StepKey::of(step, snapshot)).collect()
}

fn freed_keys(snapshot: &Snapshot) -> Vec<GroupId> {
    snapshot.freed.iter().map(|row| row.group).collect()
}

/// The line of the application behind the largest cause that has one.
pub fn line_of(key: StepKey, snapshot: &Snapshot) -> Option<GroupId> {
    let step = steps(snapshot).find(|step| StepKey::of(step, snapshot) == key)?;
    let label = step.causes.iter().find_map(|cause| cause.site.as_ref())?;
    // Of several APIs that it called, the one with the most live bytes.
    snapshot.groups.iter().find(|group| group.label == *label).map(|group| group.id)
}

/// One line of text for the clipboard.
pub fn step_row(step: &RssStepRow) -> String {
    format!("{} ago, RSS {}: {}", step.ago, step.rss, step.text)
}

/// One line of text for the clipboard.
pub fn freed_row(row: &FreedRow) -> String {
    let site = fit_site(&row.site, row.via.as_deref(), usize::MAX);
    format!("{site}: {} of its freed stores still in RAM", row.resident)
}

/// What happened, without the change that stands before it.
pub fn why(step: &RssStepRow) -> &str {
    step.text.split_once(": ").map_or(step.text.as_str(), |(_, why)| why)
}

/// `+48.0 MiB`, `−100 MiB`.
pub fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "\u{2212}" } else { "+" };
    format!("{sign}{}", Bytes(bytes.unsigned_abs()))
}

/// A part of RSS, or several in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartRow {
    pub label: String,
    pub role: Role,
    /// `None`: not known, and why in `note`.
    pub bytes: Option<Bytes>,
    /// `≥` if only that is known.
    pub is_at_least: bool,
    pub note: &'static str,
}

/// The colour and the character of a part, the same in bars and in the history.
pub const fn role(part: RssPart) -> Role {
    match part {
        RssPart::StoresMapped | RssPart::StoresInAllocator | RssPart::Growable => Role::Stores,
        RssPart::AllocatorFree => Role::Freed,
        RssPart::V8Young
        | RssPart::V8Old
        | RssPart::V8Code
        | RssPart::V8Large
        | RssPart::V8Other => Role::Heap,
        RssPart::AllocatorOther => Role::ArrayBuffers,
        RssPart::Stacks | RssPart::Binaries | RssPart::Files | RssPart::Shared | RssPart::Other => {
            Role::Rest
        }
    }
}

/// RSS by what it is for in at most `n_max` rows, in an order that never changes: what would be too much is put together, V8's parts
/// first, then the smallest ones. Parts that are nothing are left out.
pub fn part_rows(split: &RssSplit, n_max: usize) -> Vec<PartRow> {
    let mut rows = all_parts(split, false);
    if rows.len() > n_max {
        rows = all_parts(split, true);
    }
    if rows.len() <= n_max {
        return rows;
    }
    let mut by_size: Vec<usize> = (0..rows.len()).collect();
    // What is not known must be seen.
    by_size.sort_by_key(|at| {
        let bytes = rows.get(*at).map(|row| row.bytes.unwrap_or(Bytes(u64::MAX)));
        std::cmp::Reverse(bytes)
    });
    let small: Vec<usize> = by_size.split_off(n_max.saturating_sub(1));
    let bytes = small.iter().filter_map(|at| rows.get(*at)?.bytes).sum();
    let n_small = small.len();
    let mut at = 0;
    rows.retain(|_| {
        at += 1;
        !small.contains(&(at - 1))
    });
    rows.push(PartRow {
        label: format!("{n_small} smaller parts"),
        role: Role::Rest,
        bytes: Some(bytes),
        is_at_least: false,
        note: "",
    });
    rows
}

fn all_parts(split: &RssSplit, is_v8_one: bool) -> Vec<PartRow> {
    let mut rows: Vec<PartRow> = Vec::new();
    for part in RssPart::ALL {
        let bytes = split.get(part);
        if part.is_v8() && is_v8_one {
            if part == RssPart::V8Young && split.v8() > Bytes(0) {
                rows.push(row("V8 heap".to_owned(), part, split.v8()));
            }
        } else if part == RssPart::AllocatorFree {
            rows.extend(kept_row(split));
        } else if bytes > Bytes(0) {
            rows.push(row(part.title().to_owned(), part, bytes));
        }
    }
    rows
}

fn row(label: String, part: RssPart, bytes: Bytes) -> PartRow {
    PartRow { label, role: role(part), bytes: Some(bytes), is_at_least: false, note: "" }
}

fn kept_row(split: &RssSplit) -> Option<PartRow> {
    let part = RssPart::AllocatorFree;
    let Some(bytes) = kept_by_malloc(split) else {
        let note = obstacle_text(split.survey.obstacle);
        let label = part.title().to_owned();
        return Some(PartRow { label, role: role(part), bytes: None, is_at_least: false, note });
    };
    let is_at_least = !split.is_allocator_known;
    let kept = PartRow { is_at_least, ..row(part.title().to_owned(), part, bytes) };
    (bytes > Bytes(0) || is_at_least).then_some(kept)
}

/// Why what malloc keeps is not known, in few columns.
pub const fn obstacle_text(obstacle: Option<Obstacle>) -> &'static str {
    match obstacle {
        Some(Obstacle::OtherAllocator) => "not glibc",
        Some(Obstacle::Changing) => "changing",
        Some(Obstacle::TooLarge) => "too large",
        Some(Obstacle::Swapped) => "swapped out",
        Some(Obstacle::UnknownForm) => "unknown form",
        None => "not read",
    }
}

/// The parts that the history tells apart, from the bottom up.
pub const LAYERS: [(Role, char, &str); 5] = [
    (Role::Stores, '█', "stores"),
    (Role::Freed, '▒', "freed, kept"),
    (Role::ArrayBuffers, '░', "malloc, other"),
    (Role::Heap, '▓', "V8 heap"),
    (Role::Rest, '·', "rest"),
];

/// Bytes of each of [`LAYERS`]; what nobody explains is part of the rest.
pub fn layers(split: &RssSplit) -> [u64; LAYERS.len()] {
    let mut sums = [0_u64; LAYERS.len()];
    for part in RssPart::ALL {
        let at = LAYERS.iter().position(|layer| layer.0 == role(part));
        if let Some(sum) = at.and_then(|at| sums.get_mut(at)) {
            *sum = sum.saturating_add(split.get(part).0);
        }
    }
    if let Some(rest) = sums.last_mut() {
        *rest = rest.saturating_add(u64::try_from(split.unexplained()).unwrap_or(0));
    }
    sums
}

/// The last looks over `span` in `n_columns`, oldest first: what the look before or in each column said. `None` before the first.
pub fn history(
    splits: &[(Nanos, RssSplit)],
    now: Nanos,
    span: Nanos,
    n_columns: usize,
) -> Vec<Option<[u64; LAYERS.len()]>> {
    let start = now.since(span);
    (0..n_columns as u64)
        .map(|column| {
            let passed = u128::from(span.0) * u128::from(column + 1) / n_columns.max(1) as u128;
            let end = start.0.saturating_add(passed as u64);
            let n = splits.partition_point(|(at, _)| at.0 <= end);
            let (_, split) = splits.get(n.checked_sub(1)?)?;
            Some(layers(split))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::residency::AllocatorSurvey;

    fn split(parts: &[(RssPart, u64)]) -> RssSplit {
        let mut split = RssSplit { is_allocator_known: true, ..RssSplit::default() };
        split.survey = AllocatorSurvey { n_arenas: 1, ..AllocatorSurvey::default() };
        for (part, bytes) in parts {
            split.add(*part, Bytes(*bytes));
        }
        split
    }

    fn told(split: &RssSplit, n_max: usize) -> Vec<(String, Option<u64>)> {
        part_rows(split, n_max).into_iter().map(|it| (it.label, it.bytes.map(|b| b.0))).collect()
    }

    #[test]
    fn parts_are_put_together_until_they_fit_and_none_is_lost() {
        let parts: Vec<(RssPart, u64)> =
            RssPart::ALL.iter().enumerate().map(|(n, part)| (*part, 1 + n as u64 * 10)).collect();
        let all = split(&parts);
        assert_eq!(told(&all, 20).len(), RssPart::COUNT);
        for n_max in 2..20 {
            let rows = told(&all, n_max);
            assert!(rows.len() <= n_max, "{n_max}");
            let sum: u64 = rows.iter().filter_map(|row| row.1).sum();
            assert_eq!(sum, all.total().0, "{n_max}");
        }
        let rows = told(&all, 11);
        assert!(rows.contains(&("V8 heap".to_owned(), Some(all.v8().0))), "{rows:?}");
        assert_eq!(told(&all, 3).last().unwrap().0, "9 smaller parts");
    }

    #[test]
    fn what_malloc_keeps_is_told_as_far_as_it_is_known() {
        let mut it = split(&[(RssPart::AllocatorFree, 7), (RssPart::Stacks, 3)]);
        assert_eq!(told(&it, 9)[0], ("freed, kept by malloc".to_owned(), Some(7)));
        it.is_allocator_known = false;
        assert!(part_rows(&it, 9)[0].is_at_least);
        it.survey.n_arenas_unknown = 1;
        it.survey.obstacle = Some(Obstacle::Changing);
        let row = &part_rows(&it, 1 + 1)[0];
        assert_eq!((row.bytes, row.note), (None, "changing"));
        assert!(told(&split(&[]), 9).is_empty(), "nothing is left out");
    }

    #[test]
    fn a_column_of_the_history_has_what_was_last_known_then() {
        let at =
            |seconds, bytes| (Nanos::from_secs(seconds), split(&[(RssPart::StoresMapped, bytes)]));
        let splits = [at(103, 1), at(105, 2), at(108, 3)];
        let columns = history(&splits, Nanos::from_secs(110), Nanos::from_secs(10), 5);
        let stores: Vec<_> = columns.iter().map(|it| it.map(|it| it[0])).collect();
        assert_eq!(stores, [None, Some(1), Some(2), Some(3), Some(3)]);
    }
}
