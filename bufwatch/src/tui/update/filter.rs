//! How the filter line answers to what is typed.

use std::sync::Arc;

use crate::analysis::query::StoreFilter;
use crate::analysis::snapshot::Snapshot;
use crate::tui::app::{App, FilterInput, Screen};
use crate::tui::command::Command;
use crate::tui::keymap::{self, Context, Key};
use crate::tui::update::{act, census, query_changed, show};

/// A filter is one line; longer than any that makes sense.
const FILTER_CHARS_MAX: usize = 200;

pub(super) fn start(app: &mut App, latest: &Arc<Snapshot>) -> Option<Command> {
    // The lists of the census have the same language; everywhere else it is about stores.
    let command = match app.screen {
        Screen::Census => None,
        _ => show(app, Screen::Stores, latest),
    };
    let before = current(app).clone();
    app.filter_input = Some(FilterInput { text: before.text.clone(), error: None, before });
    command
}

/// The list follows while the filter is typed, as long as it can be read.
pub(super) fn type_key(app: &mut App, key: Key, latest: &Arc<Snapshot>) -> Option<Command> {
    let input = app.filter_input.as_mut()?;
    match key {
        Key::Char(c) if input.text.chars().count() < FILTER_CHARS_MAX => input.text.push(c),
        Key::Backspace => {
            input.text.pop();
        }
        Key::Ctrl('u') => input.text.clear(),
        Key::Ctrl('w') => {
            let kept = input.text.trim_end().rfind(' ').map_or(0, |at| at + 1);
            input.text.truncate(kept);
        }
        Key::Enter => return accept(app, latest),
        Key::Esc => {
            let before = app.filter_input.take()?.before;
            if before == *current(app) {
                return None;
            }
            return apply(app, before, latest);
        }
        Key::Up | Key::Down | Key::PageUp | Key::PageDown => {
            let action = keymap::find_action(key, Context::Stores, keymap::Mode::Live)?;
            return act(app, action, latest);
        }
        _ => return None,
    }
    match StoreFilter::parse(finished_words(&input.text)) {
        Ok(filter) => {
            input.error = None;
            set(app, filter, latest)
        }
        Err(error) => {
            input.error = Some(error.to_string());
            None
        }
    }
}

fn accept(app: &mut App, latest: &Arc<Snapshot>) -> Option<Command> {
    let input = app.filter_input.as_mut()?;
    match StoreFilter::parse(&input.text) {
        Ok(filter) => {
            app.filter_input = None;
            set(app, filter, latest)
        }
        Err(error) => {
            input.error = Some(error.to_string());
            None
        }
    }
}

fn set(app: &mut App, filter: StoreFilter, latest: &Arc<Snapshot>) -> Option<Command> {
    if filter.conditions == current(app).conditions {
        // Only the wording differs; the session need not know.
        return None;
    }
    apply(app, filter, latest)
}

/// Of the list on screen.
pub(super) fn current(app: &App) -> &StoreFilter {
    if app.screen == Screen::Census { &app.census.filter } else { &app.query.filter }
}

pub(super) fn apply(app: &mut App, filter: StoreFilter, latest: &Arc<Snapshot>) -> Option<Command> {
    if app.screen == Screen::Census {
        app.census.filter = filter;
        census::arrange(app);
        return None;
    }
    app.query.filter = filter;
    Some(query_changed(app, latest))
}

/// `text` without a last word that is about to become a condition: `siz` on its way to `size>1mb` would
/// search for sites of that name and empty the list for a moment.
fn finished_words(text: &str) -> &str {
    const FIELDS: [&str; 7] = ["size", "ram", "age", "gc", "tid", "kind", "site"];
    let start = text.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (before, word) = text.split_at(start);
    let is_begun =
        FIELDS.iter().any(|field| field.starts_with(word)) || word.ends_with(['<', '>', '=', '~']);
    if is_begun { before } else { text }
}
