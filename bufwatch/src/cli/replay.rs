//! `bufwatch replay`: what a recording says of a moment, as the live session would have shown it.

use std::io::Write;
use std::path::PathBuf;

use crate::analysis::Interest;
use crate::base::Nanos;
use crate::cli::moment::parse_moment;
use crate::export::{sample_json, sample_text};
use crate::session::replay::Replay;

/// Say what a recording tells of a moment, as the live session would have
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// A file made by `bufwatch record` or --record
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print a summary: the only way so far, the dashboard of a recording is yet to come
    #[arg(long, required = true)]
    pub headless: bool,
    /// Print one JSON object (schema bufwatch.sample/1)
    #[arg(long, requires = "headless")]
    pub json: bool,
    /// The moment, counted from the start: 90, 1m30s, 2h05m; without it the end
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub at: Option<Nanos>,
}

/// Errors carry a [`crate::recording::RecordingError`].
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
