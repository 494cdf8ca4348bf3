//! The one table of keys: dispatch, footer and help are read from it. Knows no terminal library and does
//! not act.

use crate::tui::app::Screen;

/// A key press, as far as the dashboard tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Ctrl(char),
    Enter,
    Esc,
    Tab,
    BackTab,
    Backspace,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Show(Screen),
    NextScreen,
    PreviousScreen,
    Up,
    Down,
    PageUp,
    PageDown,
    NextStack,
    PreviousStack,
    First,
    Last,
    Open,
    Close,
    Sort,
    Reverse,
    Filter,
    Pause,
    Copy,
    Help,
    Quit,
}

/// What has the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The sites of the overview: a list in a fixed order.
    Overview,
    Sites,
    Stores,
    /// Text that only scrolls: health.
    Text,
    /// A store in full.
    Detail,
    /// A site in full, with a selected stack.
    SitePage,
    Help,
}

/// One line of the table.
#[derive(Debug)]
pub struct Binding {
    pub keys: &'static [Key],
    /// The keys as help and footer print them.
    pub name: &'static str,
    pub action: Action,
    /// One word for the footer; empty: not shown there.
    pub short: &'static str,
    pub long: &'static str,
    pub contexts: &'static [Context],
}

use Context::{Detail, Help, Overview, SitePage, Sites, Stores, Text};

const EVERYWHERE: &[Context] = &[Overview, Sites, Stores, Text, Detail, SitePage, Help];
const UNCOVERED: &[Context] = &[Overview, Sites, Stores, Text, Detail, SitePage];
const LISTS: &[Context] = &[Overview, Sites, Stores];
const TABLES: &[Context] = &[Sites, Stores];

/// In the order of help; the footer shows the short ones in this order, as many as fit.
pub const BINDINGS: &[Binding] = &[
    Binding {
        keys: &[Key::Char('q'), Key::Ctrl('c')],
        name: "q",
        action: Action::Quit,
        short: "quit",
        long: "quit; a summary stays in the scrollback (also ctrl-c)",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Char('?')],
        name: "?",
        action: Action::Help,
        short: "help",
        long: "this help, in and out",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Esc, Key::Left, Key::Char('h'), Key::Backspace],
        name: "esc",
        action: Action::Close,
        short: "back",
        long: "out of what is open (also ← h)",
        contexts: &[Detail, SitePage, Help],
    },
    Binding {
        keys: &[Key::Esc],
        name: "esc",
        action: Action::Close,
        short: "",
        long: "in the store list: drop the filter",
        contexts: &[Stores],
    },
    Binding {
        keys: &[Key::Char('/')],
        name: "/",
        action: Action::Filter,
        short: "filter",
        long: "filter stores, such as size>1mb age>60s gc>2 tid=7 kind=wasm site~ingest",
        contexts: &[Overview, Sites, Stores, Text],
    },
    Binding {
        keys: &[Key::Char('s')],
        name: "s",
        action: Action::Sort,
        short: "sort",
        long: "sort by the next column",
        contexts: TABLES,
    },
    Binding {
        keys: &[Key::Char('r')],
        name: "r",
        action: Action::Reverse,
        short: "",
        long: "reverse the order",
        contexts: TABLES,
    },
    Binding {
        keys: &[Key::Enter, Key::Right, Key::Char('l')],
        name: "enter",
        action: Action::Open,
        short: "open",
        long: "open the selected row: all of it, with its stack (also → l, or click)",
        contexts: LISTS,
    },
    Binding {
        keys: &[Key::Char('n'), Key::Char(']')],
        name: "n",
        action: Action::NextStack,
        short: "stack",
        long: "on the page of a site: its next stack",
        contexts: &[SitePage],
    },
    Binding {
        keys: &[Key::Char('N'), Key::Char('[')],
        name: "N",
        action: Action::PreviousStack,
        short: "",
        long: "on the page of a site: the stack before",
        contexts: &[SitePage],
    },
    Binding {
        keys: &[Key::Char('y')],
        name: "y",
        action: Action::Copy,
        short: "copy",
        long: "copy the selected row or the open page as text (terminal clipboard, OSC 52)",
        contexts: UNCOVERED,
    },
    Binding {
        keys: &[Key::Char('p'), Key::Char(' ')],
        name: "p",
        action: Action::Pause,
        short: "pause",
        long: "freeze what is shown, and go on; tracing continues (also space)",
        contexts: UNCOVERED,
    },
    Binding {
        keys: &[Key::Char('1')],
        name: "1",
        action: Action::Show(Screen::Overview),
        short: "",
        long: "overview: what the process holds",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Char('2')],
        name: "2",
        action: Action::Show(Screen::Sites),
        short: "",
        long: "sites: which code allocates, and how much of it stays",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Char('3')],
        name: "3",
        action: Action::Show(Screen::Stores),
        short: "",
        long: "stores: every live backing store",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Char('4')],
        name: "4",
        action: Action::Show(Screen::Health),
        short: "",
        long: "health: what was lost, which limits were reached, own cost",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Tab],
        name: "tab",
        action: Action::NextScreen,
        short: "",
        long: "next screen",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::BackTab],
        name: "shift-tab",
        action: Action::PreviousScreen,
        short: "",
        long: "previous screen",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Up, Key::Char('k')],
        name: "↑ k",
        action: Action::Up,
        short: "",
        long: "one row up (also the wheel)",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Down, Key::Char('j')],
        name: "↓ j",
        action: Action::Down,
        short: "",
        long: "one row down",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::PageUp, Key::Ctrl('b'), Key::Ctrl('u')],
        name: "PgUp",
        action: Action::PageUp,
        short: "",
        long: "one page up",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::PageDown, Key::Ctrl('f'), Key::Ctrl('d')],
        name: "PgDn",
        action: Action::PageDown,
        short: "",
        long: "one page down",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::Home, Key::Char('g')],
        name: "Home g",
        action: Action::First,
        short: "",
        long: "first row; the selection stays at the top from then on",
        contexts: EVERYWHERE,
    },
    Binding {
        keys: &[Key::End, Key::Char('G')],
        name: "End G",
        action: Action::Last,
        short: "",
        long: "last row",
        contexts: EVERYWHERE,
    },
];

impl Binding {
    pub fn is_for(&self, context: Context) -> bool {
        self.contexts.contains(&context)
    }
}

/// What `key` means in `context`.
pub fn find_action(key: Key, context: Context) -> Option<Action> {
    BINDINGS
        .iter()
        .find(|binding| binding.is_for(context) && binding.keys.contains(&key))
        .map(|binding| binding.action)
}

/// Bindings that the footer shows in `context`, the most important first.
pub fn footer(context: Context) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| binding.is_for(context) && !binding.short.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_context() {
        for context in EVERYWHERE {
            let mut seen = Vec::new();
            for key in BINDINGS.iter().filter(|b| b.is_for(*context)).flat_map(|b| b.keys) {
                assert!(!seen.contains(key), "{key:?} twice in {context:?}");
                seen.push(*key);
            }
        }
    }

    #[test]
    fn every_binding_can_be_reached_and_is_explained() {
        for binding in BINDINGS {
            assert!(!binding.long.is_empty() && !binding.name.is_empty());
            for (context, key) in
                binding.contexts.iter().flat_map(|c| binding.keys.iter().map(move |k| (c, k)))
            {
                assert_eq!(find_action(*key, *context), Some(binding.action));
            }
        }
    }
}
