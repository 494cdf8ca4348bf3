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
use crate::base::Nanos;
use crate::cli::moment::parse_moment;
use crate::export::profile::{Measure, NotMeasured, Profile};
use crate::export::{collapsed, pprof, speedscope};
use crate::session::replay::Replay;

/// Stores of a moment that are told by kind and thread, the largest; of the rest only the sums by site.
const STORES_MAX: usize = 200_000;

/// Write a recording in the format of another tool: docs/exports.md says which tool opens what, and how
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    /// A file made by `bufwatch record` or --record
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
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
    /// What stacks are weighed by, in a format that has one weight (collapsed)
    #[arg(long, value_name = "MEASURE", value_parser = measures(), default_value = Measure::default().name())]
    pub measure: Measure,
    /// Which frames of stacks: of the application with its packages, all JavaScript, or also V8's and native code. A stack without
    /// such a frame goes by what made it
    #[arg(long, value_name = "WHICH", value_enum, default_value = "javascript")]
    pub frames: Frames,
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
}

impl Format {
    const fn is_binary(self) -> bool {
        matches!(self, Self::Pprof)
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
}

impl ExportError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Terminal(_) => "write it to a file with -o FILE, or into a pipe",
            Self::Exists(_) => "name another file, or overwrite it with --force",
            Self::Write { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "the folder must exist",
                io::ErrorKind::StorageFull => "make room on the disk",
                _ => "may bufwatch create files in this folder?",
            },
            Self::NotMeasured(what) => what.hint(),
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
    Profile(Box<Profile>, Format, Measure),
}

impl Export {
    fn prepare(args: &ExportArgs) -> anyhow::Result<Self> {
        let replay = Replay::open(&args.file)?;
        let (snapshot, wall) = moment(&replay, args.at)?;
        let profile = Profile::of(&snapshot, args.frames.into(), wall);
        if args.format == Format::Collapsed {
            profile.check(args.measure).map_err(ExportError::NotMeasured)?;
        }
        Ok(Self::Profile(Box::new(profile), args.format, args.measure))
    }

    fn write(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Self::Profile(profile, Format::Pprof, _) => pprof::write(profile, out)?,
            Self::Profile(profile, Format::Speedscope, _) => speedscope::write(profile, out)?,
            Self::Profile(profile, Format::Collapsed, measure) => {
                collapsed::write(profile, *measure, out)?;
            }
        }
        Ok(out.flush()?)
    }
}

/// The snapshot of a moment, and when that was by the wall clock.
fn moment(replay: &Replay, at: Option<Nanos>) -> anyhow::Result<(Snapshot, Option<Nanos>)> {
    let query = StoreQuery { limit: STORES_MAX, ..StoreQuery::default() };
    let interest = Interest { query, ..Interest::default() };
    let snapshot = replay.snapshot_at(at.unwrap_or(replay.length()), &interest)?;
    let started = replay.about().started_unix;
    let wall = started.map(|started| Nanos(started.0.saturating_add(snapshot.elapsed.0)));
    Ok((snapshot, wall))
}
