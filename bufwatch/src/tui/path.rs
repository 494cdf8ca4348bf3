//! The retaining path of a holder in so many columns: of one that is too long, the root and what is next to the view are told.

use crate::base::text::{fit, width};

const LEFT_OUT: &str = "…";

/// Steps at the end that say enough to leave out whole ones before: what holds the view, and in which of its places.
const STEPS_MIN: usize = 2;

/// `global H .registry (Registry) .cache (Map) […]`, in short `global H … .cache (Map) […]`.
pub fn fit_path(path: &[String], n_columns: usize) -> String {
    let whole = path.join(" ");
    if width(&whole) <= n_columns {
        return whole;
    }
    let Some((root, rest)) = path.split_first() else { return whole };
    let with_root = format!("{root} {LEFT_OUT}");
    for start in [with_root.as_str(), LEFT_OUT] {
        let (end, n_steps) = tail(rest, n_columns.saturating_sub(width(start)));
        if n_steps >= STEPS_MIN {
            return format!("{start}{end}");
        }
    }
    fit_end(&whole, n_columns)
}

/// As many of the last steps as fit, each with a blank before it.
fn tail(steps: &[String], n_columns: usize) -> (String, usize) {
    let mut out = String::new();
    for (n, step) in steps.iter().rev().enumerate() {
        let longer = format!(" {step}{out}");
        if width(&longer) > n_columns {
            return (out, n);
        }
        out = longer;
    }
    (out, steps.len())
}

/// The end of `text`, its beginning replaced by `…` if it is longer.
fn fit_end(text: &str, n_columns: usize) -> String {
    if width(text) <= n_columns {
        return text.to_owned();
    }
    let room = n_columns.saturating_sub(width(LEFT_OUT));
    let mut end = text;
    while width(end) > room {
        let mut chars = end.chars();
        if chars.next().is_none() {
            break;
        }
        end = chars.as_str();
    }
    fit(&format!("{LEFT_OUT}{end}"), n_columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_kept_as_long_as_possible() {
        let path = ["global H", ".registry (Registry)", ".cache (Map)", "[…]"].map(String::from);
        for (n_columns, expect) in [
            (50, "global H .registry (Registry) .cache (Map) […]"),
            (45, "global H … .cache (Map) […]"),
            (26, "… .cache (Map) […]"),
            (17, "….cache (Map) […]"),
            (8, "…ap) […]"),
            (4, "…[…]"),
            (1, "…"),
            (0, ""),
        ] {
            assert_eq!(fit_path(&path, n_columns), expect, "{n_columns}");
        }
    }

    #[test]
    fn wide_characters_count_as_two() {
        let path = ["グローバル".to_owned(), ".変数".to_owned()];
        for n_columns in 0..20 {
            assert!(width(&fit_path(&path, n_columns)) <= n_columns, "{n_columns}");
        }
        assert_eq!(fit_path(&path, 16), "グローバル .変数");
        assert_eq!(fit_path(&path, 9), "…ル .変数");
        assert_eq!(fit_path(&[], 5), "");
    }
}
