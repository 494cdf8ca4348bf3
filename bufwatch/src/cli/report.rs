//! `bufwatch report`: what happened in a recorded session, for people.

use std::io::Write;
use std::path::PathBuf;

use crate::analysis::Interest;
use crate::base::Nanos;
use crate::cli::moment::parse_moment;
use crate::export::report;
use crate::session::replay::Replay;

/// Collections that the timeline of the text shows.
const GCS_IN_TEXT: usize = 10_000;

/// Tell what happened in a recorded session: findings, timeline, lines, who holds what, what RSS is for
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// A file made by `bufwatch record` or --record
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The moment that is told, counted from the start: 90, 1m30s, 2h05m; without it the end
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub at: Option<Nanos>,
}

/// Errors carry a [`crate::recording::RecordingError`].
pub fn run(args: &ReportArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let replay = Replay::open(&args.file)?;
    let at = args.at.unwrap_or(replay.length());
    let told = replay.post_mortem(at, &Interest::default(), GCS_IN_TEXT)?;
    write!(out, "{}", report::to_text(&told, &args.file.to_string_lossy()))?;
    Ok(())
}
