//! `bufwatch replay`: a recording in the dashboard, or what it says of one moment, as the live session would have shown it.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::analysis::{Interest, Snapshot};
use crate::base::Nanos;
use crate::cli::Environment;
use crate::cli::exit::Exit;
use crate::cli::message::{print_error, print_line};
use crate::cli::moment::parse_moment;
use crate::cli::watch::{Signals, fail};
use crate::export::{sample_json, sample_text};
use crate::session::replay::Replay;
use crate::session::replaying::{ReplayRequest, Replaying};
use crate::tui;

/// What the first moment may take before the dashboard comes up without it.
const FIRST_MOMENT: Duration = Duration::from_millis(500);

/// Show a recording in the dashboard, with a time axis: play, seek, jump to findings and steps of RSS
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// A file made by `bufwatch record` or --record
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print a summary of one moment instead
    #[arg(long)]
    pub headless: bool,
    /// Print one JSON object (schema bufwatch.sample/1)
    #[arg(long, requires = "headless")]
    pub json: bool,
    /// The moment, counted from the start: 90, 1m30s, 2h05m; without it the end
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub at: Option<Nanos>,
}

/// What a moment was like. Errors carry a [`crate::recording::RecordingError`].
pub fn print(args: &ReplayArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let replay = Replay::open(&args.file)?;
    let at = args.at.unwrap_or(replay.length());
    let snapshot = replay.snapshot_at(at, &Interest::default())?;
    if args.json {
        writeln!(out, "{}", sample_json::sample(&snapshot))?;
    } else {
        write!(out, "{}", sample_text::summary(&snapshot))?;
    }
    Ok(())
}

/// The dashboard.
pub fn show(args: &ReplayArgs, environment: &Environment) -> Exit {
    if !io::stdout().is_terminal() {
        print_line("error: stdout is no terminal");
        print_line("hint: --headless prints what the recording says of a moment");
        return Exit::Unable;
    }
    let replaying = match Replaying::start(&args.file, args.at) {
        Ok(replaying) => replaying,
        Err(error) => return fail(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome =
        runtime.and_then(|runtime| runtime.block_on(look(&replaying, args.at, environment)));
    let last = replaying.snapshots().borrow().clone();
    match outcome.and_then(|exit| say_last(last.as_deref()).map(|()| exit)) {
        Ok(exit) => exit,
        Err(error) => {
            print_error(&error, None);
            Exit::Unable
        }
    }
}

async fn look(
    replaying: &Replaying,
    at: Option<Nanos>,
    environment: &Environment,
) -> io::Result<Exit> {
    let mut signals = Signals::new()?;
    // Most recordings are read before anybody sees that there was nothing.
    let mut snapshots = replaying.snapshots();
    let first = snapshots.wait_for(Option::is_some);
    if tokio::time::timeout(FIRST_MOMENT, first).await.is_err() {
        tracing::debug!("the first moment takes longer");
    }
    let (commands, mut inbox) = mpsc::unbounded_channel();
    let requests = replaying.requests();
    let forward = async {
        while let Some(command) = inbox.recv().await {
            let request = match command {
                tui::Command::Seek(at) => ReplayRequest::Seek(at),
                tui::Command::SetStoreQuery(query) => ReplayRequest::SetStoreQuery(query),
                tui::Command::SetDetail(key) => ReplayRequest::SetDetail(key),
                // What was not looked at then cannot be looked at now.
                tui::Command::TakeCensus => continue,
                tui::Command::Quit => return,
            };
            if requests.send(request).is_err() {
                tracing::debug!("the reading of the recording has ended");
            }
        }
        std::future::pending::<()>().await;
    };
    let recorded = tui::Recorded {
        snapshots: replaying.snapshots(),
        marks: replaying.marks(),
        length: replaying.length,
        started: replaying.about.started_unix,
        at: at.unwrap_or(replaying.length),
    };
    tokio::select! {
        shown = tui::run_replay(recorded, commands, environment.is_color) => shown.map(|()| Exit::Done),
        () = forward => Ok(Exit::Done),
        () = signals.any() => Ok(Exit::Interrupted),
    }
}

/// The moment that was looked at last, so that it stays in the scrollback.
fn say_last(last: Option<&Snapshot>) -> io::Result<()> {
    let Some(last) = last else { return Ok(()) };
    let mut out = io::stdout().lock();
    write!(out, "{}", sample_text::summary(last))?;
    out.flush()
}
