//! How the dashboard answers to the keys of the census: whether one can be asked for, and how its rows are moved through.

use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::tui::app::App;
use crate::tui::command::Command;

/// Asks for a census, unless one is being taken or nobody is left to ask.
pub(super) fn take(app: &mut App, latest: &Snapshot) -> Option<Command> {
    let obstacle = match latest.target.state {
        _ if app.is_session_ended => Some("the session has ended"),
        TargetState::Exited { .. } | TargetState::Execed => Some("the process is gone"),
        TargetState::Attaching => Some("not attached yet"),
        TargetState::Live if latest.census.is_underway => Some("one is being taken"),
        TargetState::Live => None,
    };
    if let Some(obstacle) = obstacle {
        app.answer = Some(obstacle.to_owned());
        return None;
    }
    let answer = if app.is_paused() { "census: p shows it" } else { "taking a census…" };
    app.answer = Some(answer.to_owned());
    Some(Command::TakeCensus)
}
