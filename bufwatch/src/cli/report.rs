//! `bufwatch report`: what happened in a recorded session, for people.

use std::io::Write;
use std::path::PathBuf;

use crate::analysis::Interest;
use crate::analysis::query::StoreQuery;
use crate::base::Nanos;
use crate::cli::moment::parse_moment;
use crate::cli::output::write_file;
use crate::export::report;
use crate::session::replay::Replay;

/// Collections that the timeline of the text shows.
const GCS_IN_TEXT: usize = 10_000;

/// Collections and stores that the HTML file has; more are told as a number.
const GCS_IN_HTML: usize = 20_000;
const STORES_IN_HTML: usize = 20_000;

/// Tell what happened in a recorded session: findings, timeline, lines, who holds what, what RSS is for
#[derive(Debug, clap::Args)]
pub struct ReportArgs {
    /// A file made by `bufwatch record` or --record
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The moment that is told, counted from the start: 90, 1m30s, 2h05m; without it the end
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub at: Option<Nanos>,
    /// Write one HTML file instead, which needs nothing else and asks nothing of the network; - for stdout
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Overwrite the file of --html if it exists
    #[arg(long, requires = "html")]
    pub force: bool,
}

/// Errors carry a [`crate::recording::RecordingError`] or an [`crate::cli::output::OutputError`].
pub fn run(args: &ReportArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let replay = Replay::open(&args.file)?;
    let at = args.at.unwrap_or(replay.length());
    let name = args.file.to_string_lossy();
    let Some(html) = &args.html else {
        let told = replay.post_mortem(at, &Interest::default(), GCS_IN_TEXT)?;
        out.write_all(report::to_text(&told, &name).as_bytes())?;
        return Ok(());
    };
    let query = StoreQuery { limit: STORES_IN_HTML, ..StoreQuery::default() };
    let interest = Interest { query, ..Interest::default() };
    let told = replay.post_mortem(at, &interest, GCS_IN_HTML)?;
    let page = report::to_html(&told, &name);
    if html.as_os_str() == "-" {
        out.write_all(page.as_bytes())?;
        return Ok(());
    }
    write_file(html, &page, args.force)?;
    Ok(())
}
