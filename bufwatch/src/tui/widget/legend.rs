//! What the characters of a drawing mean, in as many lines as that takes.

use crate::base::text::width;
use crate::tui::text::{Page, Role, span};

/// Characters and their meaning, from column `indent` on.
pub fn lines(items: &[(Role, String, String)], indent: usize, n_columns: usize) -> Page {
    let blanks = " ".repeat(indent);
    let mut page = vec![vec![span(Role::Muted, blanks.as_str())]];
    let mut used = indent;
    for (role, symbols, meaning) in items {
        let gap = if symbols.is_empty() { "" } else { " " };
        let n = width(symbols) + gap.len() + width(meaning);
        if used + n > n_columns && used > indent {
            page.push(vec![span(Role::Muted, blanks.as_str())]);
            used = indent;
        }
        used += n + 2;
        if let Some(line) = page.last_mut() {
            line.push(span(*role, symbols.as_str()));
            line.push(span(Role::Muted, format!("{gap}{meaning}  ")));
        }
    }
    page
}
