//! The dashboard at work: waits for input and snapshots, updates, draws. The only place of the dashboard
//! that waits or knows of time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::EventStream;
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::analysis::snapshot::Snapshot;
use crate::tui::app::App;
use crate::tui::command::Command;
use crate::tui::message::Message;
use crate::tui::screen;
use crate::tui::terminal::{Terminal, to_message};
use crate::tui::theme::Theme;
use crate::tui::update::update;

/// Ten frames a second at most: faster than numbers can be read, and an idle dashboard draws none.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// Shows the dashboard on stdout until the user quits; keeps the last state on screen when `snapshots` is
/// closed. Dropping the future gives the terminal back.
pub async fn run(
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    commands: mpsc::UnboundedSender<Command>,
    is_color: bool,
) -> io::Result<()> {
    let terminal = Terminal::take()?;
    let (width, height) = terminal.size()?;
    let mut dashboard = Dashboard {
        terminal,
        app: App::new(width, height),
        latest: Arc::new(Snapshot::blank()),
        theme: Theme::new(is_color),
        commands,
    };
    let quit = dashboard.watch(snapshots).await;
    // Also when the terminal failed: nobody is looking any more. A session that is over needs no command.
    if dashboard.commands.send(Command::Quit).is_err() {
        tracing::debug!("the session ended before the dashboard");
    }
    quit
}

struct Dashboard {
    terminal: Terminal,
    app: App,
    latest: Arc<Snapshot>,
    theme: Theme,
    commands: mpsc::UnboundedSender<Command>,
}

impl Dashboard {
    async fn watch(
        &mut self,
        mut snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    ) -> io::Result<()> {
        let mut input = EventStream::new();
        let mut is_stale = true;
        let mut next_frame = Instant::now();
        snapshots.mark_changed();
        loop {
            tokio::select! {
                event = input.next() => {
                    // The terminal is gone, which is as good as quitting.
                    let Some(event) = event else { return Ok(()) };
                    let Some(message) = to_message(&event?) else { continue };
                    if self.handle(message)? {
                        return Ok(());
                    }
                    is_stale = true;
                }
                changed = snapshots.changed(), if !self.app.is_session_ended => {
                    let message = if changed.is_ok() {
                        let newest = snapshots.borrow_and_update().clone();
                        let Some(newest) = newest else { continue };
                        self.latest = newest;
                        Message::SnapshotArrived
                    } else {
                        Message::SessionEnded
                    };
                    self.handle(message)?;
                    is_stale = true;
                }
                () = sleep_until(next_frame), if is_stale => {
                    let (app, latest, theme) = (&self.app, &self.latest, &self.theme);
                    self.terminal.draw(|frame| screen::draw(app, latest, theme, frame))?;
                    is_stale = false;
                    next_frame = Instant::now() + FRAME_INTERVAL;
                }
            }
        }
    }

    /// True if the user is done.
    fn handle(&mut self, message: Message) -> io::Result<bool> {
        let command = update(&mut self.app, message, &self.latest);
        if let Some(text) = self.app.copied.take() {
            self.terminal.copy(&text)?;
        }
        match command {
            Some(Command::Quit) => return Ok(true),
            Some(command) => {
                if self.commands.send(command).is_err() {
                    tracing::debug!("the session ended before it took a command");
                }
            }
            None => {}
        }
        Ok(false)
    }
}
