//! How the call tree answers to its keys: the part of `update` that changes [`TreeView`].
//!
//! [`TreeView`]: crate::tui::tree::TreeView

use crate::analysis::snapshot::Snapshot;
use crate::analysis::tree::Shape;
use crate::base::text::percent;
use crate::tui::app::{App, Screen};
use crate::tui::keymap::{Action, Key};
use crate::tui::layout;
use crate::tui::text::tree_value;

/// A search is a word; longer than any that makes sense.
const SEARCH_CHARS_MAX: usize = 100;

pub(super) fn act(app: &mut App, action: Action, latest: &Snapshot) {
    let n_visible = n_visible(app);
    let shape = app.tree.shape;
    let tree = &mut app.tree;
    match action {
        Action::Toggle => tree.toggle(n_visible),
        Action::Expand => tree.expand(n_visible),
        Action::Collapse => tree.collapse(n_visible),
        Action::ExpandAll => tree.expand_all(n_visible),
        Action::CollapseAll => tree.collapse_all(n_visible),
        Action::Invert => {
            reshape(app, Shape { is_inverted: !shape.is_inverted, ..shape }, latest);
        }
        Action::NextMeasure => {
            reshape(app, Shape { measure: shape.measure.next(), ..shape }, latest);
        }
        Action::NextLevel => reshape(app, Shape { level: shape.level.next(), ..shape }, latest),
        Action::Search => tree.search.before = Some(tree.search.text.clone()),
        Action::NextMatch | Action::PreviousMatch => {
            let is_found = tree.find_next(action == Action::NextMatch, n_visible);
            app.answer = (!is_found).then(|| "nothing found".to_owned());
        }
        _ => {}
    }
}

fn reshape(app: &mut App, shape: Shape, latest: &Snapshot) {
    let n_visible = n_visible(app);
    let frozen = app.frozen.clone();
    app.tree.set_shape(shape, frozen.as_deref().unwrap_or(latest), n_visible);
}

/// From the snapshot on screen.
pub(super) fn rebuild(app: &mut App, latest: &Snapshot) {
    let shape = app.tree.shape;
    reshape(app, shape, latest);
}

/// The tree follows while the text is typed.
pub(super) fn type_search(app: &mut App, key: Key) {
    let n_visible = n_visible(app);
    let tree = &mut app.tree;
    let mut text = tree.search.text.clone();
    match key {
        Key::Char(c) if text.chars().count() < SEARCH_CHARS_MAX => text.push(c),
        Key::Backspace => {
            text.pop();
        }
        Key::Ctrl('u' | 'w') => text.clear(),
        Key::Enter => {
            tree.search.before = None;
            return;
        }
        Key::Esc => text = tree.search.before.take().unwrap_or_default(),
        Key::Down | Key::Up => {
            tree.find_next(key == Key::Down, n_visible);
            return;
        }
        _ => return,
    }
    tree.set_search(text, n_visible);
}

pub(super) fn end_search(app: &mut App) {
    let n_visible = n_visible(app);
    app.tree.set_search(String::new(), n_visible);
}

/// One line of text for the clipboard.
pub(super) fn copied_row(app: &App) -> Option<String> {
    let view = &app.tree;
    let node = view.tree.nodes.get(view.selected()?.node)?;
    let value = tree_value(view.shape.measure, &node.values);
    let share = percent(view.tree.share(&node.values));
    Some(format!("{}: {value} {}, {share} of all", node.full(), view.shape.measure.name()))
}

fn n_visible(app: &App) -> usize {
    layout::n_visible(app.size, Screen::Tree)
}
