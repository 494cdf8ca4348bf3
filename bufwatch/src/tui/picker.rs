//! A full-screen list to choose the Node process to watch. Does not find processes.

use std::io;

use crossterm::event::read;

use crate::base::Bytes;
use crate::tui::app::List;
use crate::tui::keymap::{Action, Context, Key, Mode, find_action};
use crate::tui::message::Message;
use crate::tui::screen::picker::{N_OTHER_ROWS, draw};
use crate::tui::terminal::{Terminal, to_message};
use crate::tui::theme::Theme;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessChoice {
    pub pid: u32,
    /// Of Node, without the `v`.
    pub version: String,
    pub rss: Bytes,
    pub command: String,
}

/// Asks which process to watch; `None` if the user wants none. Blocks until then.
pub fn pick(rows: Vec<ProcessChoice>, is_color: bool) -> io::Result<Option<u32>> {
    let theme = Theme::new(is_color);
    let mut terminal = Terminal::take()?;
    let mut picker = Picker::new(rows, terminal.size()?.1);
    loop {
        terminal.draw(|frame| {
            let area = frame.area();
            draw(&picker, frame.buffer_mut(), area, theme);
        })?;
        let Some(message) = to_message(&read()?) else { continue };
        if let Some(choice) = picker.update(&message) {
            return Ok(choice);
        }
    }
}

/// The state of [`pick`], apart from the terminal.
pub struct Picker {
    pub rows: Vec<ProcessChoice>,
    pub list: List<u32>,
    height: u16,
}

impl Picker {
    pub fn new(rows: Vec<ProcessChoice>, height: u16) -> Self {
        Self { rows, list: List::default(), height }
    }

    /// `Some` when the user has decided: for a process or for none.
    pub fn update(&mut self, message: &Message) -> Option<Option<u32>> {
        match *message {
            Message::KeyPressed(Key::Esc) => return Some(None),
            Message::KeyPressed(key) => {
                let page = isize::from(i16::try_from(self.n_visible()).unwrap_or(1));
                match find_action(key, Context::Overview, Mode::Live)? {
                    Action::Quit => return Some(None),
                    Action::Open => return self.chosen().map(Some),
                    Action::Up => self.move_by(-1),
                    Action::Down => self.move_by(1),
                    Action::PageUp => self.move_by(-page),
                    Action::PageDown => self.move_by(page),
                    Action::First => self.move_by(isize::MIN),
                    Action::Last => self.move_by(isize::MAX),
                    _ => {}
                }
            }
            Message::Scrolled(delta) => self.move_by(delta),
            Message::Clicked { row, .. } => {
                let clicked = usize::from(row.checked_sub(2)?) + self.list.offset;
                if clicked == self.list.selected {
                    return self.chosen().map(Some);
                }
                if clicked < self.rows.len() {
                    self.move_by(clicked as isize - self.list.selected as isize);
                }
            }
            Message::Resized { height, .. } => {
                self.height = height;
                self.move_by(0);
            }
            Message::SnapshotArrived
            | Message::MarksArrived(_)
            | Message::Ticked(_)
            | Message::SessionEnded => {}
        }
        None
    }

    fn n_visible(&self) -> usize {
        usize::from(self.height.saturating_sub(N_OTHER_ROWS))
    }

    fn chosen(&self) -> Option<u32> {
        self.rows.get(self.list.selected).map(|row| row.pid)
    }

    fn move_by(&mut self, delta: isize) {
        let keys: Vec<u32> = self.rows.iter().map(|row| row.pid).collect();
        self.list.move_by(delta, &keys, self.n_visible());
    }
}
