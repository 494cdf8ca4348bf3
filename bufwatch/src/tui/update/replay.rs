//! How the dashboard answers to the keys that move through a recording, and to time that passes while it plays.

use std::sync::Arc;

use crate::analysis::marks::{self, Mark, Marks};
use crate::base::Nanos;
use crate::tui::app::App;
use crate::tui::command::Command;
use crate::tui::keymap::{Key, TimeAction};
use crate::tui::replay::{TimeInput, moment_at};

/// A time is shorter.
const TIME_CHARS_MAX: usize = 20;

/// Parts of the recording that one key moves by.
const SMALL_PART: u64 = 100;
const LARGE_PART: u64 = 10;

pub(super) fn marked(app: &mut App, marks: Arc<Marks>) {
    if let Some(replay) = &mut app.replay {
        replay.marks = marks;
    }
}

pub(super) fn play(app: &mut App, passed: Nanos) -> Option<Command> {
    let replay = app.replay.as_mut().filter(|replay| replay.is_playing)?;
    replay.play(passed);
    Some(Command::Seek(replay.at))
}

pub(super) fn act(app: &mut App, action: TimeAction) -> Option<Command> {
    let replay = app.replay.as_mut()?;
    let before = replay.at;
    let (small, large) = (replay.part(SMALL_PART), replay.part(LARGE_PART));
    let forward = |part: Nanos| Nanos(before.0.saturating_add(part.0));
    let marks = Arc::clone(&replay.marks);
    let list = match action {
        TimeAction::NextFinding | TimeAction::PreviousFinding => &marks.findings,
        TimeAction::NextStep | TimeAction::PreviousStep => &marks.steps,
        _ => &marks.censuses,
    };
    let jump = match action {
        TimeAction::Play => {
            replay.is_playing = !replay.is_playing;
            // From the end it begins again.
            if replay.is_playing && replay.at >= replay.length {
                replay.go_to(Nanos(0));
            }
            return (replay.at != before).then_some(Command::Seek(replay.at));
        }
        TimeAction::TypeTime => {
            replay.input = Some(TimeInput::default());
            return None;
        }
        TimeAction::Faster | TimeAction::Slower => {
            if action == TimeAction::Faster {
                replay.faster();
            } else {
                replay.slower();
            }
            app.answer = Some(format!("{}× as fast as it was", replay.speed()));
            return None;
        }
        TimeAction::Back => return seek(app, before.since(small)),
        TimeAction::Forward => return seek(app, forward(small)),
        TimeAction::PageBack => return seek(app, before.since(large)),
        TimeAction::PageForward => return seek(app, forward(large)),
        TimeAction::Start => return seek(app, Nanos(0)),
        TimeAction::End => return seek(app, Nanos(u64::MAX)),
        TimeAction::NextFinding => (marks::next(list, before), "no later finding"),
        TimeAction::PreviousFinding => (marks::previous(list, before), "no earlier finding"),
        TimeAction::NextStep => (marks::next(list, before), "no later step of RSS"),
        TimeAction::PreviousStep => (marks::previous(list, before), "no earlier step of RSS"),
        TimeAction::NextCensus => (marks::next(list, before), "no later census"),
        TimeAction::PreviousCensus => (marks::previous(list, before), "no earlier census"),
    };
    go_to_mark(app, list, jump)
}

/// To be read where the jump ends.
fn go_to_mark(
    app: &mut App,
    list: &[Mark],
    (mark, none): (Option<&Mark>, &str),
) -> Option<Command> {
    let Some(mark) = mark else {
        app.answer = Some(none.to_owned());
        return None;
    };
    let n_more = list.iter().filter(|other| other.at == mark.at).count().saturating_sub(1);
    let more = if n_more > 0 { format!(" (and {n_more} more)") } else { String::new() };
    app.answer = Some(format!("{}{more}", mark.text));
    if let Some(replay) = &mut app.replay {
        replay.is_playing = false;
    }
    seek(app, mark.at)
}

fn seek(app: &mut App, at: Nanos) -> Option<Command> {
    let replay = app.replay.as_mut()?;
    replay.go_to(at);
    Some(Command::Seek(replay.at))
}

/// On the time axis.
pub(super) fn click(app: &mut App, column: u16) -> Option<Command> {
    let length = app.replay.as_ref()?.length;
    let at = moment_at(column, app.size.0, length)?;
    seek(app, at)
}

pub(super) fn is_typing(app: &App) -> bool {
    app.replay.as_ref().is_some_and(|replay| replay.input.is_some())
}

pub(super) fn type_time(app: &mut App, key: Key) -> Option<Command> {
    let replay = app.replay.as_mut()?;
    let input = replay.input.as_mut()?;
    match key {
        Key::Char(c) if input.text.chars().count() < TIME_CHARS_MAX => input.text.push(c),
        Key::Backspace => drop(input.text.pop()),
        Key::Ctrl('u' | 'w') => input.text.clear(),
        Key::Esc => {
            replay.input = None;
            return None;
        }
        Key::Enter => {
            let text = input.text.clone();
            let Some(at) = replay.read_time(&text) else {
                if let Some(input) = &mut replay.input {
                    input.is_wrong = true;
                }
                return None;
            };
            replay.input = None;
            return seek(app, at);
        }
        _ => return None,
    }
    input.is_wrong = false;
    None
}
