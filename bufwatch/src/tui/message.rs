//! What can happen to the dashboard: input, news from the session. Events of the target never come here.

use crate::tui::keymap::Key;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    KeyPressed(Key),
    /// Left button, in columns and rows of the terminal.
    Clicked {
        column: u16,
        row: u16,
    },
    /// Wheel: rows down, negative is up.
    Scrolled(isize),
    Resized {
        width: u16,
        height: u16,
    },
    SnapshotArrived,
    /// No more snapshots will come; the last one stays on screen.
    SessionEnded,
}
