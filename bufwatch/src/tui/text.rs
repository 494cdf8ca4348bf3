//! Screen text as plain data: lines of words with a role each, and the bars and rows made of them. Knows
//! neither colours nor the terminal.

use crate::analysis::describe::{lifetime_quantile, site_text};
use crate::analysis::snapshot::{SiteRow, StoreRow};
use crate::base::text::{UNKNOWN, count, known, pad, percent, width, wrap};

/// What a piece of text means; the theme gives it a look. No meaning hangs on the look alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Neutral,
    /// Labels, units, rules: what is read once.
    Muted,
    Title,
    /// Something is wrong or was lost.
    Accused,
    Healthy,
    Unknown,
    /// A key to press.
    Key,
    /// The curves and bars of each part of the memory.
    Rss,
    ArrayBuffers,
    Stores,
    Heap,
    Rest,
    Freed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub role: Role,
    pub text: String,
}

pub type Line = Vec<Span>;

/// Text that scrolls.
pub type Page = Vec<Line>;

pub fn span(role: Role, text: impl Into<String>) -> Span {
    Span { role, text: text.into() }
}

/// Columns of the label in [`fact`].
const LABEL_COLUMNS: usize = 19;

/// A label and its value; longer values go on below themselves.
pub fn fact(label: &str, value: &str, role: Role, n_columns: usize) -> Page {
    let role = if value == UNKNOWN { Role::Unknown } else { role };
    let room = n_columns.saturating_sub(LABEL_COLUMNS + 2).max(10);
    let mut lines = wrap(value, room).into_iter();
    let first = lines.next().unwrap_or_default();
    let mut page = vec![vec![
        span(Role::Muted, format!("  {}", pad(label, LABEL_COLUMNS))),
        span(role, first),
    ]];
    page.extend(
        lines.map(|line| vec![span(Role::Muted, " ".repeat(LABEL_COLUMNS + 2)), span(role, line)]),
    );
    page
}

/// A heading with a rule up to the edge.
pub fn heading(title: &str, n_columns: usize) -> Line {
    let used = width(title) + 3;
    vec![
        span(Role::Muted, "─ "),
        span(Role::Title, title),
        span(Role::Muted, format!(" {}", "─".repeat(n_columns.saturating_sub(used)))),
    ]
}

/// The page without roles, for the clipboard.
pub fn plain(page: &[Line]) -> String {
    let mut out = String::new();
    for line in page {
        let text: String = line.iter().map(|span| span.text.as_str()).collect();
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// `share` (0..=1) of `n_columns` in eighths of a column; anything above zero is visible.
pub fn bar(share: f64, n_columns: usize) -> String {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if share.is_nan() || share <= 0.0 {
        return String::new();
    }
    let n_eighths = ((share.min(1.0) * n_columns as f64 * 8.0).round() as usize).max(1);
    let mut out = "█".repeat(n_eighths / 8);
    out.extend((n_eighths % 8).checked_sub(1).and_then(|at| EIGHTHS.get(at)));
    out
}

/// `≤ 0.4 s / ≤ 1.9 s`: the lifetimes that half and 99 % of the freed stores did not outlive.
pub fn lifetimes(site: &SiteRow) -> String {
    let quantile = |q| lifetime_quantile(&site.lifetimes, q);
    match (quantile(0.5), quantile(0.99)) {
        (Some(p50), Some(p99)) => format!("{p50} / {p99}"),
        _ if site.n_live > 0 => "none freed".to_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

pub fn survival(site: &SiteRow) -> String {
    known(site.survival.map(percent))
}

/// One line of text for the clipboard.
pub fn site_row(site: &SiteRow) -> String {
    format!(
        "{}: {} live in {} stores, {} allocated in {}, lifetime p50 / p99 {}, {} survived 2 major GCs",
        site_text(site),
        site.live_bytes,
        count(site.n_live),
        site.created_bytes,
        count(site.n_created),
        lifetimes(site),
        survival(site),
    )
}

pub fn thread(row: &StoreRow) -> String {
    match &row.thread {
        Some(name) => format!("{name} {}", row.tid.0),
        None => row.tid.0.to_string(),
    }
}

/// One line of text for the clipboard.
pub fn store_row(row: &StoreRow) -> String {
    format!(
        "store #{}: {} {} at {:#x}, age {}, survived {} minor and {} major GCs, thread {}, {}, site {}",
        row.number,
        row.size,
        row.kind.name(),
        row.data,
        row.age,
        row.n_minor_survived,
        row.n_major_survived,
        thread(row),
        row.placement.name(),
        row.site,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_in_eighths_and_never_vanishes() {
        assert_eq!(bar(0.0, 10), "");
        assert_eq!(bar(f64::NAN, 10), "");
        assert_eq!(bar(0.001, 10), "▏");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(bar(7.0, 3), "███");
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let page = fact("consequence", "one two three four", Role::Neutral, 31);
        assert_eq!(plain(&page), "  consequence        one two\n                     three four\n");
    }
}
