//! The one table of keys: dispatch, footer and help are read from it. Knows no terminal library and does
//! not act.

mod bindings;
mod live;
mod navigation;
mod replay;

use bindings::BINDINGS;
use live::LIVE;
use navigation::NAVIGATION;
use replay::REPLAY;

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
    /// Opens what is closed and closes what is open.
    Toggle,
    Expand,
    Collapse,
    ExpandAll,
    CollapseAll,
    Invert,
    NextMeasure,
    NextLevel,
    Search,
    NextMatch,
    PreviousMatch,
    Sort,
    Reverse,
    Filter,
    TakeCensus,
    /// Holders or parents; steps or freed memory.
    SwitchListing,
    /// Another parent on the page of a holder.
    NextParent,
    PreviousParent,
    Pause,
    Copy,
    Help,
    Quit,
    /// Through the time of a recording.
    Time(TimeAction),
}

/// Where to in a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeAction {
    /// Plays, or pauses.
    Play,
    Back,
    Forward,
    PageBack,
    PageForward,
    Start,
    End,
    TypeTime,
    Faster,
    Slower,
    NextFinding,
    PreviousFinding,
    NextStep,
    PreviousStep,
    NextCensus,
    PreviousCensus,
}

/// What is looked at: some keys mean something else over a recording, and some nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Live,
    Replay,
}

/// What has the keyboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The sites of the overview: a list in a fixed order.
    Overview,
    Sites,
    /// The call tree.
    Tree,
    Stores,
    /// What a census found.
    Census,
    Findings,
    /// Steps of RSS, or memory of dead stores.
    Memory,
    /// Text that only scrolls: health.
    Text,
    /// A store in full.
    Detail,
    /// A site in full, with a selected stack.
    SitePage,
    /// A holder in full, with a selected parent.
    HolderPage,
    /// A parent in full.
    ParentPage,
    /// A finding in full.
    FindingPage,
    /// A step of RSS in full.
    StepPage,
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

impl Binding {
    pub fn is_for(&self, context: Context) -> bool {
        self.contexts.contains(&context)
    }
}

/// The whole table, in the order of help.
pub fn all(mode: Mode) -> impl Iterator<Item = &'static Binding> {
    let (before, after): (&[Binding], &[Binding]) = match mode {
        Mode::Live => (&[], LIVE),
        Mode::Replay => (REPLAY, &[]),
    };
    let is_for_mode = move |binding: &&Binding| {
        let is_live_only = matches!(binding.action, Action::TakeCensus | Action::Pause);
        mode == Mode::Live || !is_live_only
    };
    before.iter().chain(BINDINGS.iter().filter(is_for_mode)).chain(NAVIGATION).chain(after)
}

/// What `key` means in `context`.
pub fn find_action(key: Key, context: Context, mode: Mode) -> Option<Action> {
    all(mode)
        .find(|binding| binding.is_for(context) && binding.keys.contains(&key))
        .map(|binding| binding.action)
}

/// Bindings that the footer shows in `context`, the most important first.
pub fn footer(context: Context, mode: Mode) -> Vec<&'static Binding> {
    let is_shown = |binding: &&Binding| binding.is_for(context) && !binding.short.is_empty();
    let mut shown: Vec<&Binding> = all(mode).filter(is_shown).collect();
    let is_first =
        |binding: &Binding| matches!(binding.action, Action::Close | Action::Quit | Action::Help);
    // Otherwise in their order.
    shown.sort_by_key(|binding| !is_first(binding));
    shown
}

#[cfg(test)]
mod tests {
    use super::bindings::EVERYWHERE;
    use super::*;

    const MODES: [Mode; 2] = [Mode::Live, Mode::Replay];

    #[test]
    fn no_key_means_two_things_in_one_context() {
        for (context, mode) in EVERYWHERE.iter().flat_map(|c| MODES.map(|mode| (c, mode))) {
            let mut seen = Vec::new();
            for key in all(mode).filter(|b| b.is_for(*context)).flat_map(|b| b.keys) {
                assert!(!seen.contains(key), "{key:?} twice in {context:?} {mode:?}");
                seen.push(*key);
            }
        }
    }

    #[test]
    fn every_binding_can_be_reached_and_is_explained() {
        for (binding, mode) in MODES.into_iter().flat_map(|m| all(m).map(move |b| (b, m))) {
            assert!(!binding.long.is_empty() && !binding.name.is_empty());
            for (context, key) in
                binding.contexts.iter().flat_map(|c| binding.keys.iter().map(move |k| (c, k)))
            {
                assert_eq!(find_action(*key, *context, mode), Some(binding.action));
            }
        }
    }
}
