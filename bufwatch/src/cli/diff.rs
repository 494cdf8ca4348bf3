//! `bufwatch diff`: what changed between two recordings, or between two moments of one.

use std::io::Write;
use std::path::PathBuf;

use crate::analysis::Interest;
use crate::analysis::recording_diff::diff;
use crate::base::Nanos;
use crate::cli::moment::parse_moment;
use crate::export::recording_diff::{to_text, to_value};
use crate::session::replay::Replay;

/// Say what changed between two recordings, such as before and after a fix, or between two moments of one
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// The recording before
    #[arg(value_name = "BEFORE")]
    pub before: PathBuf,
    /// The recording after; without it, two moments of the first one
    #[arg(value_name = "AFTER")]
    pub after: Option<PathBuf>,
    /// The earlier moment, counted from the start: 90, 1m30s; with two recordings the moment of the first one. Without it, of one recording
    /// the first census, otherwise the end
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub at: Option<Nanos>,
    /// The later moment; without it the end
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub to: Option<Nanos>,
    /// Print one JSON object (schema bufwatch.diff/1)
    #[arg(long)]
    pub json: bool,
}

/// Errors carry a [`crate::recording::RecordingError`].
pub fn run(args: &DiffArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let replay = Replay::open(&args.before)?;
    let interest = Interest::default();
    let (before, after) = if let Some(after) = &args.after {
        let later = Replay::open(after)?;
        let before = replay.post_mortem(args.at.unwrap_or(replay.length()), &interest, 0)?;
        (before, later.post_mortem(args.to.unwrap_or(later.length()), &interest, 0)?)
    } else {
        let after = replay.post_mortem(args.to.unwrap_or(replay.length()), &interest, 0)?;
        let at = args.at.or_else(|| after.censuses.first().map(|census| census.at));
        // A census is known a moment after it was taken.
        let known = |at: Nanos| Nanos(at.0.saturating_add(Nanos::SECOND.0));
        let at = if args.at.is_some() { at } else { at.map(known) };
        (replay.post_mortem(at.unwrap_or_default(), &interest, 0)?, after)
    };
    let diff = diff(&before, &after, args.after.is_none());
    if args.json {
        writeln!(out, "{}", to_value(&diff))?;
    } else {
        write!(out, "{}", to_text(&diff))?;
    }
    Ok(())
}
