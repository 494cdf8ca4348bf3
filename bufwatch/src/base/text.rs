//! Texts in a fixed number of terminal columns, and numbers as people read them. Knows no units; those
//! print themselves.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// What stands where a value is not known.
pub const UNKNOWN: &str = "–";

/// Terminal columns that `text` takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// `text` in at most `n_columns`, its end replaced by `…` if it is longer.
pub fn fit(text: &str, n_columns: usize) -> String {
    if width(text) <= n_columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        // One column is for the ellipsis.
        if used + w + 1 > n_columns {
            break;
        }
        used += w;
        out.push(c);
    }
    if n_columns > 0 {
        out.push('…');
    }
    out
}

/// `text` in exactly `n_columns`, filled with blanks at the right.
pub fn pad(text: &str, n_columns: usize) -> String {
    let mut out = fit(text, n_columns);
    out.extend(std::iter::repeat_n(' ', n_columns.saturating_sub(width(&out))));
    out
}

/// `text` in exactly `n_columns`, filled with blanks at the left.
pub fn pad_left(text: &str, n_columns: usize) -> String {
    let fitted = fit(text, n_columns);
    let mut out = " ".repeat(n_columns.saturating_sub(width(&fitted)));
    out.push_str(&fitted);
    out
}

/// Words of `text` in lines of at most `n_columns`; a longer word, such as a path, goes on in the next line.
pub fn wrap(text: &str, n_columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > n_columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            let n_needed = c.width().unwrap_or(0);
            if n_needed <= n_columns && width(&line) + n_needed > n_columns {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `1,234,567`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share of one: `98 %`, below ten with a digit: `0.4 %`, `<0.1 %`.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value > 0.0 && value < 0.05 {
        // More than nothing must not read as nothing.
        "<0.1 %".to_owned()
    } else if value == 0.0 || value >= 9.95 {
        format!("{value:.0} %")
    } else {
        format!("{value:.1} %")
    }
}

/// Happenings per second, without the unit: `61`, below ten with a digit: `4.4`; `0` when nothing happens.
pub fn rate(per_second: f64) -> String {
    if per_second <= 0.0 {
        "0".to_owned()
    } else if per_second < 0.1 {
        "<0.1".to_owned()
    } else if per_second < 9.95 {
        format!("{per_second:.1}")
    } else {
        count(per_second.round() as u64)
    }
}

/// The value, or [`UNKNOWN`].
pub fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_by_columns_not_by_characters() {
        assert_eq!(fit("ingest", 6), "ingest");
        assert_eq!(fit("ingest.js", 6), "inges…");
        assert_eq!(fit("日本語テキスト", 6), "日本…");
        assert_eq!(fit("x", 0), "");
        assert_eq!(pad("日本", 6), "日本  ");
        assert_eq!(pad_left("7", 3), "  7");
    }

    #[test]
    fn words_wrap() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("an incomprehensible", 8), ["an", "incompre", "hensible"]);
        assert_eq!(wrap("日本", 1), ["日本"], "what never fits is left to the caller");
        assert!(wrap("", 5).is_empty());
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(percent(0.004), "0.4 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.98), "98 %");
        assert_eq!(rate(4.44), "4.4");
        assert_eq!(rate(1_234.0), "1,234");
        assert_eq!(rate(0.01), "<0.1");
        assert_eq!(rate(0.0), "0");
    }
}
