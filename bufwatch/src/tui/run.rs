//! The dashboard at work: waits for input and snapshots, updates, draws. The only place of the dashboard
//! that waits or knows of time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::EventStream;
use futures::StreamExt as _;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::analysis::marks::Marks;
use crate::analysis::snapshot::Snapshot;
use crate::base::Nanos;
use crate::tui::app::App;
use crate::tui::command::Command;
use crate::tui::message::Message;
use crate::tui::replay::ReplayView;
use crate::tui::screen;
use crate::tui::terminal::{Terminal, to_message};
use crate::tui::theme::Theme;
use crate::tui::update::update;

/// Ten frames a second at most: faster than numbers can be read, and an idle dashboard draws none.
const FRAME_INTERVAL: Duration = Duration::from_millis(100);

/// Between two steps of a recording that plays; and no step is longer, whatever kept it.
const TICK: Duration = Duration::from_millis(100);
const TICK_MAX: Duration = Duration::from_millis(500);

/// Shows the dashboard on stdout until the user quits; keeps the last state on screen when `snapshots` is
/// closed. Dropping the future gives the terminal back.
pub async fn run(
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    commands: mpsc::UnboundedSender<Command>,
    is_color: bool,
) -> io::Result<()> {
    let (no_marks, marks) = watch::channel(Arc::default());
    let terminal = Terminal::take()?;
    let (width, height) = terminal.size()?;
    let app = App::new(width, height);
    let shown = show(terminal, app, snapshots, marks, commands, is_color).await;
    drop(no_marks);
    shown
}

/// A recording to be shown.
#[derive(Debug)]
pub struct Recorded {
    pub snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    pub marks: watch::Receiver<Arc<Marks>>,
    pub length: Nanos,
    /// By the wall clock, since 1970.
    pub started: Option<Nanos>,
    /// Where to begin.
    pub at: Nanos,
}

/// The same over a recording, with a time axis.
pub async fn run_replay(
    recorded: Recorded,
    commands: mpsc::UnboundedSender<Command>,
    is_color: bool,
) -> io::Result<()> {
    let terminal = Terminal::take()?;
    let (width, height) = terminal.size()?;
    let replay = ReplayView::new(recorded.length, recorded.started, recorded.at);
    let app = App::replaying(width, height, replay);
    show(terminal, app, recorded.snapshots, recorded.marks, commands, is_color).await
}

async fn show(
    terminal: Terminal,
    app: App,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    marks: watch::Receiver<Arc<Marks>>,
    commands: mpsc::UnboundedSender<Command>,
    is_color: bool,
) -> io::Result<()> {
    let latest = Arc::new(Snapshot::blank());
    let mut dashboard = Dashboard { terminal, app, latest, theme: Theme::new(is_color), commands };
    let quit = dashboard.watch(snapshots, marks).await;
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
        mut marks: watch::Receiver<Arc<Marks>>,
    ) -> io::Result<()> {
        let mut input = EventStream::new();
        let mut is_stale = true;
        let mut next_frame = Instant::now();
        let mut ticked_at = Instant::now();
        let mut has_marks = true;
        snapshots.mark_changed();
        marks.mark_changed();
        loop {
            tokio::select! {
                event = input.next() => {
                    // The terminal is gone, which is as good as quitting.
                    let Some(event) = event else { return Ok(()) };
                    let Some(message) = to_message(&event?) else { continue };
                    let was_playing = self.app.is_playing();
                    if self.handle(message)? {
                        return Ok(());
                    }
                    if !was_playing {
                        ticked_at = Instant::now();
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
                changed = marks.changed(), if has_marks => {
                    has_marks = changed.is_ok();
                    let newest = Arc::clone(&marks.borrow_and_update());
                    self.handle(Message::MarksArrived(newest))?;
                    is_stale = true;
                }
                () = sleep_until(ticked_at + TICK), if self.app.is_playing() => {
                    let passed = ticked_at.elapsed().min(TICK_MAX);
                    ticked_at = Instant::now();
                    let passed = u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
                    self.handle(Message::Ticked(Nanos(passed)))?;
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
        let Some(command) = command else { return Ok(false) };
        if command == Command::Quit {
            return Ok(true);
        }
        if self.commands.send(command).is_err() {
            tracing::debug!("the session ended before it took a command");
        }
        Ok(false)
    }
}
