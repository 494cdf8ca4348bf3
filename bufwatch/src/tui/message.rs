//! What can happen to the dashboard: input, news from the session. Events of the target never come here.

use std::sync::Arc;

use crate::analysis::marks::Marks;
use crate::base::Nanos;
use crate::tui::keymap::Key;

#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The marks of a recording were read.
    MarksArrived(Arc<Marks>),
    /// So much time has passed while a recording plays.
    Ticked(Nanos),
    /// No more snapshots will come; the last one stays on screen.
    SessionEnded,
}
