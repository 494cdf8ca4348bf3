//! How the dashboard answers to the keys of the memory screen.

use std::sync::Arc;

use crate::analysis::snapshot::Snapshot;
use crate::tui::app::{App, Detail, Screen};
use crate::tui::layout;
use crate::tui::memory::{self, Listing, StepKey};

pub(super) fn switch(app: &mut App, latest: &Snapshot) {
    app.memory.listing = match app.memory.listing {
        Listing::Steps => Listing::Freed,
        Listing::Freed => Listing::Steps,
    };
    settle(app, latest);
}

/// What enter opens.
pub(super) fn selected(app: &App, snapshot: &Snapshot) -> Option<Detail> {
    match app.memory.listing {
        Listing::Steps => {
            let step = memory::steps(snapshot).nth(app.memory.steps.selected)?;
            Some(Detail::Step(StepKey::of(step, snapshot)))
        }
        Listing::Freed => {
            let row = snapshot.freed.get(app.memory.freed.selected)?;
            Some(Detail::Site(row.group))
        }
    }
}

pub(super) fn move_by(app: &mut App, delta: isize, latest: &Arc<Snapshot>, n_visible: usize) {
    let shown = app.frozen.clone().unwrap_or_else(|| Arc::clone(latest));
    app.memory.move_by(delta, &shown, n_visible);
}

pub(super) fn settle(app: &mut App, latest: &Snapshot) {
    let n_visible = layout::n_visible(app.size, Screen::Memory);
    let frozen = app.frozen.clone();
    app.memory.settle(frozen.as_deref().unwrap_or(latest), n_visible);
}

/// One line of text for the clipboard.
pub(super) fn copied_row(app: &App, snapshot: &Snapshot) -> Option<String> {
    match app.memory.listing {
        Listing::Steps => {
            memory::steps(snapshot).nth(app.memory.steps.selected).map(memory::step_row)
        }
        Listing::Freed => snapshot.freed.get(app.memory.freed.selected).map(memory::freed_row),
    }
}
