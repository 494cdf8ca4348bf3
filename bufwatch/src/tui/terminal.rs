//! The terminal while the dashboard has it: raw mode, alternate screen, mouse. Given back when dropped and
//! before a panic is printed. Turns terminal events into messages.

use std::io::{self, Stdout, Write as _};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::clipboard::CopyToClipboard;
use crossterm::cursor::Show;
use crossterm::event::{
    DisableMouseCapture, EnableMouseCapture, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
    MouseButton, MouseEventKind,
};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;

use crate::tui::keymap::Key;
use crate::tui::message::Message;

/// Rows per notch of the wheel.
const WHEEL_ROWS: isize = 3;

/// Set while the terminal is ours, so that it is given back exactly once: by `Drop` or by the panic hook.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

pub struct Terminal {
    inner: ratatui::Terminal<CrosstermBackend<Stdout>>,
}

impl Terminal {
    /// Takes the terminal on stdout.
    pub fn take() -> io::Result<Self> {
        restore_on_panic();
        enable_raw_mode()?;
        IS_TAKEN.store(true, Ordering::SeqCst);
        let opened = execute!(io::stdout(), EnterAlternateScreen, EnableMouseCapture)
            .and_then(|()| ratatui::Terminal::new(CrosstermBackend::new(io::stdout())));
        match opened {
            Ok(inner) => Ok(Self { inner }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    pub fn size(&self) -> io::Result<(u16, u16)> {
        self.inner.size().map(|size| (size.width, size.height))
    }

    pub fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.inner.draw(render).map(|_| ())
    }

    /// Puts `text` into the clipboard of the user's terminal, also over SSH (OSC 52).
    pub fn copy(&mut self, text: &str) -> io::Result<()> {
        execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    // The terminal may be gone (SIGHUP); each step is worth trying without the others.
    let mut out = io::stdout();
    let shown = execute!(out, DisableMouseCapture, LeaveAlternateScreen, Show);
    let cooked = disable_raw_mode();
    let flushed = out.flush();
    if let Err(error) = shown.and(cooked).and(flushed) {
        tracing::debug!(%error, "the terminal could not be given back");
    }
}

/// The hook runs before unwinding: the message of the panic must not land on the alternate screen.
fn restore_on_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            previous(info);
        }));
    });
}

/// What `event` means to the dashboard, if anything.
pub fn to_message(event: &Event) -> Option<Message> {
    match event {
        Event::Key(key) => to_key(key).map(Message::KeyPressed),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::Down(MouseButton::Left) => {
                Some(Message::Clicked { column: mouse.column, row: mouse.row })
            }
            MouseEventKind::ScrollDown => Some(Message::Scrolled(WHEEL_ROWS)),
            MouseEventKind::ScrollUp => Some(Message::Scrolled(-WHEEL_ROWS)),
            _ => None,
        },
        Event::Resize(width, height) => Some(Message::Resized { width: *width, height: *height }),
        Event::FocusGained | Event::FocusLost | Event::Paste(_) => None,
    }
}

fn to_key(event: &KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let has = |modifier| event.modifiers.contains(modifier);
    match event.code {
        KeyCode::Char(_) if has(KeyModifiers::ALT) => None,
        KeyCode::Char(c) if has(KeyModifiers::CONTROL) => Some(Key::Ctrl(c.to_ascii_lowercase())),
        KeyCode::Char(c) => Some(Key::Char(c)),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Esc),
        KeyCode::Tab => Some(Key::Tab),
        KeyCode::BackTab => Some(Key::BackTab),
        KeyCode::Backspace => Some(Key::Backspace),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::Left => Some(Key::Left),
        KeyCode::Right => Some(Key::Right),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(code: KeyCode, modifiers: KeyModifiers) -> Option<Message> {
        to_message(&Event::Key(KeyEvent::new(code, modifiers)))
    }

    #[test]
    fn keys_are_told_apart() {
        let pressed = |key| Some(Message::KeyPressed(key));
        assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), pressed(Key::Char('G')));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), pressed(Key::Ctrl('c')));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::ALT), None);
        assert_eq!(key(KeyCode::F(7), KeyModifiers::NONE), None);
    }
}
