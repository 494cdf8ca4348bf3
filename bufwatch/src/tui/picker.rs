//! A full-screen list to choose the Node process to watch. Does not find processes.

use std::io;

use crossterm::event::read;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::base::text::pad_left;
use crate::base::{Bytes, sanitize};
use crate::tui::app::List;
use crate::tui::keymap::{Action, Context, Key, find_action};
use crate::tui::layout::{Align, Column, ListAreas};
use crate::tui::message::Message;
use crate::tui::terminal::{Terminal, to_message};
use crate::tui::text::{Role, span};
use crate::tui::theme::Theme;
use crate::tui::widget::page::draw_line;
use crate::tui::widget::table::Table;

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
            picker.draw(frame.buffer_mut(), area, theme);
        })?;
        let Some(message) = to_message(&read()?) else { continue };
        if let Some(choice) = picker.update(message) {
            return Ok(choice);
        }
    }
}

/// The state of [`pick`], apart from the terminal.
pub struct Picker {
    rows: Vec<ProcessChoice>,
    list: List<u32>,
    height: u16,
}

/// Question, titles, and keys.
const N_OTHER_ROWS: u16 = 3;

impl Picker {
    pub fn new(rows: Vec<ProcessChoice>, height: u16) -> Self {
        Self { rows, list: List::default(), height }
    }

    /// `Some` when the user has decided: for a process or for none.
    pub fn update(&mut self, message: Message) -> Option<Option<u32>> {
        match message {
            Message::KeyPressed(Key::Esc) => return Some(None),
            Message::KeyPressed(key) => {
                let page = isize::from(i16::try_from(self.n_visible()).unwrap_or(1));
                match find_action(key, Context::Overview)? {
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
            Message::SnapshotArrived | Message::SessionEnded => {}
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

    pub fn draw(&self, buf: &mut Buffer, area: Rect, theme: Theme) {
        if area.height <= N_OTHER_ROWS {
            let line = vec![span(Role::Title, "this terminal is too small to choose from")];
            draw_line(buf, area.x, area.y, area.right(), &line, theme);
            return;
        }
        let question = vec![span(Role::Title, " Which Node process shall be watched?")];
        draw_line(buf, area.x, area.y, area.right(), &question, theme);
        let areas = ListAreas {
            top: Rect::default(),
            titles: Rect::new(area.x, area.y + 1, area.width, 1),
            rows: Rect::new(area.x, area.y + 2, area.width, area.height - N_OTHER_ROWS),
            preview: Rect::default(),
        };
        let column = |title, align, width_min, width_max, rank| Column {
            title,
            align,
            width_min,
            width_max,
            rank,
        };
        let columns = [
            column("pid", Align::Right, 8, 8, 0),
            column("node", Align::Left, 9, 12, 2),
            column("RSS", Align::Right, 8, 8, 1),
            column("command", Align::Left, 12, 400, 0),
        ];
        let table = Table {
            columns: &columns,
            sorted: None,
            n_rows: self.rows.len(),
            offset: self.list.offset,
            selected: self.list.selected,
            empty: "no Node process is running",
        };
        table.draw(buf, &areas, theme, |row, column, _| {
            let Some(row) = self.rows.get(row) else { return span(Role::Unknown, "") };
            match column {
                0 => span(Role::Title, row.pid.to_string()),
                1 => span(Role::Neutral, sanitize(&row.version)),
                2 => span(Role::Neutral, pad_left(&row.rss.to_string(), 8)),
                _ => span(Role::Neutral, sanitize(&row.command)),
            }
        });
        let keys = vec![
            span(Role::Key, " enter"),
            span(Role::Muted, " watch  "),
            span(Role::Key, "↑ ↓"),
            span(Role::Muted, " choose  "),
            span(Role::Key, "q"),
            span(Role::Muted, " none of them"),
        ];
        draw_line(buf, area.x, area.bottom() - 1, area.right(), &keys, theme);
    }
}
