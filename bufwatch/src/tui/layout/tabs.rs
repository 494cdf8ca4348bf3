//! Where the names of the screens stand in the footer.

use crate::base::text::width;
use crate::tui::app::Screen;

/// From here on tabs have names, from here on blanks after their numbers, and from here on around them.
const WIDTH_NAMED_TABS: u16 = 72;
const WIDTH_LOOSE_TABS: u16 = 90;
const WIDTH_WIDE_TABS: u16 = 112;

/// A tab in the footer.
#[derive(Debug, PartialEq, Eq)]
pub struct Tab {
    pub screen: Screen,
    pub x: u16,
    pub width: u16,
    pub label: String,
}

/// ` 1 Overview  2 Sites  3 Tree  4 Stores  5 Census  6 Findings  7 Memory  8 Health `; closer to each other where keys
/// would have no room beside them, and only the numbers where that is too wide.
pub fn tabs(n_columns: u16) -> Vec<Tab> {
    let (mut x, gap) = match n_columns {
        WIDTH_NAMED_TABS..WIDTH_LOOSE_TABS => (0, 1),
        WIDTH_LOOSE_TABS..WIDTH_WIDE_TABS => (1, 1),
        _ => (0, 0),
    };
    let mut tabs = Vec::new();
    for (n, screen) in Screen::ALL.into_iter().enumerate() {
        let label = match n_columns {
            0..WIDTH_NAMED_TABS => format!(" {} ", n + 1),
            WIDTH_NAMED_TABS..WIDTH_LOOSE_TABS => format!("{}{}", n + 1, screen.name()),
            WIDTH_LOOSE_TABS..WIDTH_WIDE_TABS => format!("{} {}", n + 1, screen.name()),
            _ => format!(" {} {} ", n + 1, screen.name()),
        };
        let tab_width = width(&label) as u16;
        if x + tab_width > n_columns {
            break;
        }
        tabs.push(Tab { screen, x, width: tab_width, label });
        x += tab_width + gap;
    }
    tabs
}
