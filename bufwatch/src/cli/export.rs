//! `bufwatch export`: a recording in the formats of other tools.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};

use crate::analysis::query::StoreQuery;
use crate::analysis::tree::FrameLevel;
use crate::analysis::{Interest, Snapshot};
use crate::base::{Nanos, sanitize};
use crate::cli::moment::parse_moment;
use crate::export::profile::{Measure, NotMeasured, Profile};
use crate::export::{
    collapsed, csv, flamegraph, json_lines, openmetrics, perfetto, pprof, speedscope,
};
use crate::recording::stream::StreamError;
use crate::recording::{Reader, RecordingError};
use crate::session::replay::Replay;

/// Stores of a moment that are told by kind and thread, the largest; of the rest only the sums by site.
const STORES_MAX: usize = 200_000;

/// Write a recording in the format of another tool: docs/exports.md says which tool opens what, and how
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A file made by `bufwatch record` or --record
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What to write
    #[arg(long, short, value_name = "FORMAT", value_enum)]
    pub format: Format,
    /// File to write, readable only by you; without it, or with -, standard output
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite the file if it exists
    #[arg(long, requires = "output")]
    pub force: bool,
    /// The moment, counted from the start: 90, 1m30s, 2h05m; without it the end. For formats that show one moment
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub at: Option<Nanos>,
    /// Views to write, as docs/recording.md has them: sites, stores, timeline, … One for csv; of jsonl some, instead of all
    #[arg(long, value_name = "NAME", value_delimiter = ',', required_if_eq("format", "csv"))]
    pub view: Vec<String>,
    /// What stacks are weighed by in collapsed and flamegraph, which have one weight; without it `inuse_space`
    #[arg(long, value_name = "MEASURE", value_parser = measures())]
    pub measure: Option<Measure>,
    /// Which frames of stacks: of the application with its packages, all JavaScript, or also V8's and native code. A stack without
    /// such a frame goes by what made it. Without it `javascript`
    #[arg(long, value_name = "WHICH", value_enum)]
    pub frames: Option<Frames>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Frames {
    Application,
    Javascript,
    All,
}

impl From<Frames> for FrameLevel {
    fn from(frames: Frames) -> Self {
        match frames {
            Frames::Application => Self::Application,
            Frames::Javascript => Self::JavaScript,
            Frames::All => Self::All,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A moment, for `go tool pprof` and Pyroscope: stacks with allocated, live, resident and pinned bytes (binary)
    Pprof,
    /// A moment, for speedscope: the same stacks
    Speedscope,
    /// A moment, for flamegraph.pl and others: a line a stack, with --measure
    Collapsed,
    /// A moment, for a browser: a flame graph as SVG, with --measure
    Flamegraph,
    /// A moment, for Prometheus: text in the format of that name, without sites
    Openmetrics,
    /// All the time, for ui.perfetto.dev: memory, collections, lives of stores, censuses and findings (binary)
    Perfetto,
    /// All the time, for jq and pandas: one object a row of the views in docs/recording.md, or of those named with --view
    Jsonl,
    /// All the time, for spreadsheets and R: one of these views, named with --view
    Csv,
}

impl Format {
    const fn is_binary(self) -> bool {
        matches!(self, Self::Pprof | Self::Perfetto)
    }

    fn name(self) -> String {
        self.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
    }
}

fn measures() -> impl clap::builder::TypedValueParser<Value = Measure> {
    PossibleValuesParser::new(Measure::ALL.map(Measure::name)).map(|name| {
        Measure::ALL.into_iter().find(|measure| measure.name() == name).unwrap_or_default()
    })
}

/// Why nothing could be exported; what is wrong with the recording is said by its own error.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error("{0} is binary, and standard output is a terminal")]
    Terminal(String),
    #[error("`{}` exists", .0.display())]
    Exists(PathBuf),
    #[error("`{}` cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("{0}")]
    NotMeasured(NotMeasured),
    #[error("`{name}` is no view of this recording")]
    NoView { name: String, hint: String },
    #[error("csv has one view, and {0} are asked for")]
    ManyViews(usize),
    #[error("{format} has no use for {option}")]
    Unused { format: String, option: &'static str },
}

impl ExportError {
    pub fn hint(&self) -> &str {
        match self {
            Self::Terminal(_) => "write it to a file with -o FILE, or into a pipe",
            Self::Exists(_) => "name another file, or overwrite it with --force",
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "the folder must exist",
                io::ErrorKind::StorageFull => "make room on the disk",
                _ => "may bufwatch create files in this folder?",
            },
            Self::NotMeasured(what) => what.hint(),
            Self::NoView { hint, .. } => hint,
            Self::ManyViews(_) => "run it once for each, or use --format jsonl",
            Self::Unused { .. } => "leave it out; bufwatch export --help says what it is for",
        }
    }
}

/// Errors carry a [`crate::recording::RecordingError`], an [`ExportError`], or are of standard output.
pub fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let path = args.output.as_deref().filter(|path| *path != Path::new("-"));
    if path.is_none() && args.format.is_binary() && io::stdout().is_terminal() {
        return Err(ExportError::Terminal(args.format.name()).into());
    }
    // Before anything is created: a recording that cannot be read leaves no file.
    let export = Export::prepare(args)?;
    let Some(path) = path else { return export.write(&mut BufWriter::new(io::stdout().lock())) };
    let failed = |source| ExportError::Write { path: path.to_owned(), source };
    let mut file = BufWriter::new(create(path, args.force)?);
    let outcome = export.write(&mut file);
    if outcome.is_err() && path.symlink_metadata().is_ok_and(|found| found.is_file()) {
        // Half a file would be taken for a whole one.
        fs::remove_file(path).map_err(failed)?;
    }
    // What fails here failed in this file.
    outcome.map_err(|error| match error.downcast::<io::Error>() {
        Ok(source) => failed(source).into(),
        Err(other) => other,
    })
}

/// What stands in `--output` may also be a pipe or a device; only a file is in the way.
fn create(path: &Path, is_overwriting: bool) -> Result<File, ExportError> {
    let is_file = path.metadata().is_ok_and(|found| found.is_file());
    if is_file && !is_overwriting {
        return Err(ExportError::Exists(path.to_owned()));
    }
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| ExportError::Write { path: path.to_owned(), source })
}

/// What is to be written, with the recording opened and read as far as an error may be in it.
enum Export {
    Pprof(Profile),
    Speedscope(Profile),
    Collapsed(Profile, Measure),
    Flamegraph(Profile, Measure),
    Openmetrics(String),
    Perfetto(Reader),
    Jsonl(Reader, Vec<String>),
    Csv(Reader, String),
}

impl Export {
    fn prepare(args: &ExportArgs) -> anyhow::Result<Self> {
        if let Some(option) = unused(args) {
            return Err(ExportError::Unused { format: args.format.name(), option }.into());
        }
        Ok(match args.format {
            Format::Pprof => Self::Pprof(profile(args)?),
            Format::Speedscope => Self::Speedscope(profile(args)?),
            Format::Collapsed => {
                let (profile, measure) = weighed(args)?;
                Self::Collapsed(profile, measure)
            }
            Format::Flamegraph => {
                let (profile, measure) = weighed(args)?;
                Self::Flamegraph(profile, measure)
            }
            Format::Openmetrics => {
                let (snapshot, wall) = moment(args)?;
                Self::Openmetrics(openmetrics::text(&snapshot, wall))
            }
            Format::Perfetto => Self::Perfetto(rows(args)?),
            Format::Jsonl => {
                let reader = rows(args)?;
                let views = views(&reader, &args.view)?;
                Self::Jsonl(reader, views)
            }
            Format::Csv => {
                let reader = rows(args)?;
                let mut views = views(&reader, &args.view)?;
                match (views.pop(), views.len()) {
                    (Some(view), 0) => Self::Csv(reader, view),
                    (_, n) => return Err(ExportError::ManyViews(n + 1).into()),
                }
            }
        })
    }

    fn write(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Pprof(profile) => pprof::write(profile, out)?,
            Self::Speedscope(profile) => speedscope::write(profile, out)?,
            Self::Collapsed(profile, measure) => collapsed::write(profile, *measure, out)?,
            Self::Flamegraph(profile, measure) => flamegraph::write(profile, *measure, out)?,
            Self::Openmetrics(text) => out.write_all(text.as_bytes())?,
            Self::Perfetto(reader) => perfetto::write(reader, out).map_err(streamed)?,
            Self::Jsonl(reader, views) => {
                json_lines::write(reader, views, out).map_err(streamed)?;
            }
            Self::Csv(reader, view) => csv::write(reader, view, out).map_err(streamed)?,
        }
        Ok(out.flush()?)
    }
}

/// What is asked for and would change nothing.
fn unused(args: &ExportArgs) -> Option<&'static str> {
    let format = args.format;
    let is_weighed = matches!(format, Format::Collapsed | Format::Flamegraph);
    let has_stacks = is_weighed || matches!(format, Format::Pprof | Format::Speedscope);
    let has_rows = matches!(format, Format::Jsonl | Format::Csv);
    let asked = [
        ("--at", args.at.is_some(), has_stacks || format == Format::Openmetrics),
        ("--view", !args.view.is_empty(), has_rows),
        ("--measure", args.measure.is_some(), is_weighed),
        ("--frames", args.frames.is_some(), has_stacks),
    ];
    asked.into_iter().find_map(|(name, is_asked, is_used)| (is_asked && !is_used).then_some(name))
}

fn streamed(error: StreamError) -> anyhow::Error {
    match error {
        StreamError::Read(error) => error.into(),
        StreamError::Write(error) => error.into(),
    }
}

/// For formats that show all the time.
fn rows(args: &ExportArgs) -> Result<Reader, RecordingError> {
    Reader::open(&args.file)
}

/// Those that are asked for, if the file has them; all of them if nothing is asked for.
fn views(reader: &Reader, asked: &[String]) -> anyhow::Result<Vec<String>> {
    let all = reader.views()?;
    if let Some(name) = asked.iter().find(|name| !all.contains(name)) {
        let (name, hint) = (name.clone(), format!("it has {}", sanitize(&all.join(", "))));
        return Err(ExportError::NoView { name, hint }.into());
    }
    Ok(if asked.is_empty() { all } else { asked.to_vec() })
}

fn profile(args: &ExportArgs) -> anyhow::Result<Profile> {
    let (snapshot, wall) = moment(args)?;
    Ok(Profile::of(&snapshot, args.frames.map(FrameLevel::from).unwrap_or_default(), wall))
}

fn weighed(args: &ExportArgs) -> anyhow::Result<(Profile, Measure)> {
    let (profile, measure) = (profile(args)?, args.measure.unwrap_or_default());
    profile.check(measure).map_err(ExportError::NotMeasured)?;
    Ok((profile, measure))
}

/// The snapshot of a moment, and when that was by the wall clock.
fn moment(args: &ExportArgs) -> anyhow::Result<(Snapshot, Option<Nanos>)> {
    let replay = Replay::open(&args.file)?;
    let query = StoreQuery { limit: STORES_MAX, ..StoreQuery::default() };
    let interest = Interest { query, ..Interest::default() };
    let snapshot = replay.snapshot_at(args.at.unwrap_or(replay.length()), &interest)?;
    let started = replay.about().started_unix;
    let wall = started.map(|started| Nanos(started.0.saturating_add(snapshot.elapsed.0)));
    Ok((snapshot, wall))
}
