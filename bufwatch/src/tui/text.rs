//! Screen text as plain data: lines of words with a role each, and the bars and rows made of them. Knows
//! neither colours nor the terminal.

use crate::analysis::describe::{LifetimeBound, lifetime_quantile, site_text};
use crate::analysis::snapshot::{GroupRow, StoreRow, TallyRow};
use crate::analysis::tree::{Measure, Values};
use crate::base::text::{UNKNOWN, count, fit, known, pad, percent, width, wrap};
use crate::base::{Bytes, Nanos, sanitize};

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
    /// What a search found.
    Found,
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

/// Fewer columns of a function's name say nothing.
const FUNCTION_COLUMNS_MIN: usize = 4;

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

/// The name of a site in at most `n_columns`: where it is says more than how its function is called, and
/// the end of a path more than its beginning.
pub fn fit_site(label: &str, via: Option<&str>, n_columns: usize) -> String {
    let whole = sanitize(&site_text(label, via));
    if width(&whole) <= n_columns {
        return whole;
    }
    let label = sanitize(label);
    if width(&label) <= n_columns {
        return label;
    }
    // What a bundle made of it can be read on its page.
    let short = label.split_once(" (").filter(|_| label.ends_with(')')).map_or(&*label, |it| it.0);
    let is_place = |place: &str| {
        // In Node's own scripts the function says more.
        place.ends_with(|c: char| c.is_ascii_digit())
            && place.contains(':')
            && !place.starts_with("node:")
    };
    let Some((function, place)) = short.rsplit_once(' ').filter(|(_, place)| is_place(place))
    else {
        return fit(&label, n_columns);
    };
    let n_left = n_columns.saturating_sub(width(place) + 1);
    if n_left >= FUNCTION_COLUMNS_MIN {
        return format!("{} {place}", fit(function, n_left));
    }
    let mut end = place;
    while width(end) + 1 > n_columns {
        let mut chars = end.chars();
        if chars.next().is_none() {
            break;
        }
        end = chars.as_str();
    }
    if end.len() < place.len() { format!("…{end}") } else { end.to_owned() }
}

/// `≤ 262 ms / 4 s`: the lifetimes that half and 99 % of the freed stores did not outlive.
pub fn lifetimes(tally: &TallyRow) -> String {
    let quantile = |q| lifetime_quantile(&tally.lifetimes, q);
    match (quantile(0.5), quantile(0.99)) {
        (Some(LifetimeBound::AtMost(p50)), Some(LifetimeBound::AtMost(p99))) => {
            format!("≤ {} / {}", rounded(p50), rounded(p99))
        }
        (Some(LifetimeBound::AtMost(p50)), Some(LifetimeBound::MoreThan(p99))) => {
            format!("≤ {} / > {}", rounded(p50), rounded(p99))
        }
        (Some(LifetimeBound::MoreThan(p50)), Some(_)) => format!("> {}", rounded(p50)),
        _ if tally.n_live > 0 => "none freed".to_owned(),
        _ => UNKNOWN.to_owned(),
    }
}

/// A bound in as few columns as it needs: the end of a bucket is no measurement, digits would only pretend.
pub fn rounded(time: Nanos) -> String {
    let secs = time.as_secs_f64();
    match secs {
        ..0.001 => format!("{:.0} µs", secs * 1e6),
        ..1.0 => format!("{:.0} ms", secs * 1e3),
        ..100.0 => format!("{secs:.0} s"),
        ..6_000.0 => format!("{:.0} min", secs / 60.0),
        _ => format!("{:.0} h", secs / 3_600.0),
    }
}

/// `-3m41s`: so long ago; in lists nobody needs parts of a second.
pub fn ago(time: Nanos) -> String {
    if time < Nanos::SECOND { "-<1 s".to_owned() } else { format!("-{time}") }
}

pub fn survival(tally: &TallyRow) -> String {
    known(tally.survival.map(percent))
}

/// A node of the call tree, by what it is weighed.
pub fn tree_value(measure: Measure, values: &Values) -> String {
    let value = values.of(measure);
    match measure {
        Measure::Live | Measure::Allocated => Bytes(value).to_string(),
        Measure::Count => count(value),
    }
}

/// One line of text for the clipboard.
pub fn group_row(group: &GroupRow) -> String {
    let tally = &group.tally;
    format!(
        "{}: {} live in {} stores, {} allocated in {}, lifetime p50 / p99 {}, {} survived 2 major GCs",
        sanitize(&group.text()),
        tally.live_bytes,
        count(tally.n_live),
        tally.created_bytes,
        count(tally.n_created),
        lifetimes(tally),
        survival(tally),
    )
}

pub fn thread(row: &StoreRow) -> String {
    match &row.thread {
        Some(name) => format!("{name} {}", row.tid.0),
        None => row.tid.0.to_string(),
    }
}

/// `3 minor, 1 major GCs`
pub fn survived(row: &StoreRow) -> String {
    known(row.survived.map(|it| {
        format!("{} minor, {} major GCs", count(it.n_minor.into()), count(it.n_major.into()))
    }))
}

/// One line of text for the clipboard.
pub fn store_row(row: &StoreRow) -> String {
    format!(
        "store #{}: {} {} at {:#x}, age {}, survived {}, thread {}, {}, site {}",
        row.number,
        row.size,
        row.kind.name(),
        row.data,
        row.age,
        survived(row),
        thread(row),
        row.placement.name(),
        sanitize(&site_text(&row.site, row.via.as_deref())),
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
    fn a_site_keeps_its_line_as_long_as_possible() {
        let label = "openTile lib/tiles.ts:204 (bundle.js:1)";
        let cases = [
            (80, "openTile lib/tiles.ts:204 (bundle.js:1) via x"),
            (40, label),
            (30, "openTile lib/tiles.ts:204"),
            (21, "ope… lib/tiles.ts:204"),
            (17, "lib/tiles.ts:204"),
            (12, "…iles.ts:204"),
            (1, "…"),
            (0, "…"),
        ];
        for (n, text) in cases {
            assert_eq!(fit_site(label, Some("x"), n), text, "{n}");
        }
        assert_eq!(fit_site("socket data (or pipe)", None, 15), "socket data (o…");
    }

    #[test]
    fn a_long_value_goes_on_below_itself() {
        let page = fact("consequence", "one two three four", Role::Neutral, 31);
        assert_eq!(plain(&page), "  consequence        one two\n                     three four\n");
    }
}
