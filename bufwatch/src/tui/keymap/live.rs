//! Keys that move through lists and pages of a live process; over a recording they move through time. Part of the table of keys.

use crate::tui::keymap::Context::{FindingPage, HolderPage, ParentPage, StepPage, Tree};
use crate::tui::keymap::bindings::{EVERYWHERE, LISTS, PAGES};
use crate::tui::keymap::{Action, Binding, Key};

pub(super) const LIVE: &[Binding] = &[
    Binding {
        keys: &[Key::Left],
        name: "←",
        action: Action::Close,
        short: "",
        long: "out of what is open",
        contexts: PAGES,
    },
    Binding {
        keys: &[Key::Right],
        name: "→",
        action: Action::Open,
        short: "",
        long: "open the selected row",
        contexts: LISTS,
    },
    Binding {
        keys: &[Key::Right],
        name: "→",
        action: Action::Open,
        short: "",
        long: "on a page of a census, a finding or a step: as enter",
        contexts: &[HolderPage, ParentPage, FindingPage, StepPage],
    },
    Binding {
        keys: &[Key::Right],
        name: "→",
        action: Action::Expand,
        short: "",
        long: "in the tree: open, or go in",
        contexts: &[Tree],
    },
    Binding {
        keys: &[Key::Left],
        name: "←",
        action: Action::Collapse,
        short: "",
        long: "in the tree: close, or go out",
        contexts: &[Tree],
    },
    Binding {
        keys: &[Key::PageUp],
        name: "PgUp",
        action: Action::PageUp,
        short: "",
        long: "one page up",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::PageDown],
        name: "PgDn",
        action: Action::PageDown,
        short: "",
        long: "one page down",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Home],
        name: "Home",
        action: Action::First,
        short: "",
        long: "first row",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::End],
        name: "End",
        action: Action::Last,
        short: "",
        long: "last row",
        contexts: EVERYWHERE,
    },
];
