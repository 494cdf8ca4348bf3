//! `bufwatch check`: fails a job of continuous integration when a recording, or a command that is run for it, breaches a limit.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::analysis::finding::{Confidence, FindingKind};
use crate::analysis::limits::{Judged, Limits, Verdict, judge, not_covered};
use crate::analysis::query::parse_bytes;
use crate::analysis::{Interest, TargetState};
use crate::base::{Bytes, Nanos, sanitize};
use crate::cli::args::{parse_min_size, parse_seconds, parse_size};
use crate::cli::backend::BackendArgs;
use crate::cli::exit::Exit;
use crate::cli::message::{print_error, print_line};
use crate::cli::output::write_file;
use crate::cli::run::{self, Started};
use crate::cli::watch::{FIRST_CENSUS, Signals, fail, print_each, run_on};
use crate::cli::{Environment, finish};
use crate::event::Backend;
use crate::export::junit::{to_value, to_xml};
use crate::session::replay::Replay;
use crate::session::{CensusInterval, Pace, RecordTo, Session, SessionConfig};
use crate::symbolize::SharedSymbols;
use crate::sys::launch::{Launched, Outcome, Streams};

/// Share of time that a checked command may stand still for censuses: it is a test, not a service.
const PAUSE_BUDGET: f64 = 0.1;

/// Fail when a recording, or a command that is run for it, breaches a limit: for continuous integration
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  sudo bufwatch check --max-pinned 50MB --max-growth 1MB/min --fail-on PINNED_PARENT -- node test/load.mjs

Exit codes:
  0  all limits are kept
  1  a limit is breached; stdout has one line for each
  2  wrong usage, or a limit could not be judged
  3  the process ended while bufwatch attached
  4  the limits are kept, but the command failed")]
pub struct CheckArgs {
    /// A file made by `bufwatch record` or --record; without it, a command behind `--`
    #[arg(value_name = "FILE", required_unless_present = "command", conflicts_with = "command")]
    pub file: Option<PathBuf>,
    #[command(flatten)]
    pub backend: BackendArgs,
    /// Most bytes that views may keep alive without showing them, at any census
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_pinned: Option<Bytes>,
    /// Most that arrayBuffers may grow, such as 1MB/min; the first third of the time does not count
    #[arg(long, value_name = "SIZE/TIME", value_parser = parse_growth)]
    pub max_growth: Option<Bytes>,
    /// Most RSS at any time
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_rss: Option<Bytes>,
    /// Most arrayBuffers at any time, as Node counts them
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub max_array_buffers: Option<Bytes>,
    /// Findings that must not be told at any time, such as `PINNED_PARENT,STEADY_GROWTH`, or `any`
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = parse_kind)]
    pub fail_on: Vec<Kinds>,
    /// Findings that are less sure than this do not count: low, medium or high
    #[arg(long, value_name = "CONFIDENCE", default_value = "medium", value_parser = parse_confidence)]
    pub min_confidence: Confidence,
    /// Write the outcome for a CI system as `JUnit` XML; an older file is replaced
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print one JSON object (schema bufwatch.check/1)
    #[arg(long)]
    pub json: bool,
    /// Keep the recording of the command
    #[arg(long, value_name = "FILE", requires = "command")]
    pub record: Option<PathBuf>,
    /// Overwrite the file of --record if it exists
    #[arg(long, requires = "record")]
    pub force: bool,
    /// Between two looks at who holds what, each of which stops the command for milliseconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds)]
    pub census_every: f64,
    /// Smallest store tracked one by one
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_min_size)]
    pub min_size: Bytes,
    /// A Node program with its arguments, traced from its first allocation on. Its output goes to stderr, where it does not mix with the outcome
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What one word of --fail-on stands for.
#[derive(Clone, Debug)]
pub struct Kinds(Vec<FindingKind>);

fn parse_kind(text: &str) -> Result<Kinds, String> {
    if text.eq_ignore_ascii_case("any") {
        return Ok(Kinds(FindingKind::ALL.to_vec()));
    }
    let found = FindingKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(text));
    found.map(|kind| Kinds(vec![kind])).ok_or_else(|| {
        let names: Vec<&str> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("no such finding; there are any, {}", names.join(", "))
    })
}

fn parse_confidence(text: &str) -> Result<Confidence, String> {
    let all = [Confidence::Low, Confidence::Medium, Confidence::High];
    all.into_iter().find(|it| it.name() == text).ok_or_else(|| "use low, medium or high".to_owned())
}

/// `1MB/min`, `10k/s`, `2GiB/h`; without a time a minute is meant.
fn parse_growth(text: &str) -> Result<Bytes, String> {
    let wrong = || "not a growth; use 1MB/min, 10KiB/s, 1GB/h".to_owned();
    let (size, time) = text.split_once('/').unwrap_or((text, "min"));
    let per_min = match time.trim() {
        "s" => 60.0,
        "m" | "min" => 1.0,
        "h" => 1.0 / 60.0,
        _ => return Err(wrong()),
    };
    let bytes = parse_bytes(size.trim()).ok_or_else(wrong)?;
    Ok(Bytes((bytes.0 as f64 * per_min) as u64))
}

pub fn run(args: &CheckArgs, environment: &Environment, out: &mut dyn Write) -> Exit {
    let limits = limits(args);
    if judge_nothing(&limits) {
        print_line("error: no limit was given");
        print_line(
            "hint: --max-pinned, --max-growth, --max-rss, --max-array-buffers and --fail-on are limits",
        );
        return Exit::Unable;
    }
    if let Some(file) = &args.file {
        return tell(args, &limits, file, None, out);
    }
    let name = format!("bufwatch-check-{}.bufwatch", std::process::id());
    let file = args.record.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
    let outcome = match record(args, environment, &file) {
        Ok(outcome) => outcome,
        Err(exit) => {
            remove(args, &file);
            return exit;
        }
    };
    let exit = tell(args, &limits, &file, Some(outcome), out);
    remove(args, &file);
    exit
}

fn limits(args: &CheckArgs) -> Limits {
    let mut kinds: Vec<FindingKind> = args.fail_on.iter().flat_map(|it| it.0.clone()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    Limits {
        pinned: args.max_pinned,
        growth_per_min: args.max_growth,
        rss: args.max_rss,
        array_buffers: args.max_array_buffers,
        kinds,
        confidence: Some(args.min_confidence),
    }
}

const fn judge_nothing(limits: &Limits) -> bool {
    limits.pinned.is_none()
        && limits.growth_per_min.is_none()
        && limits.rss.is_none()
        && limits.array_buffers.is_none()
        && limits.kinds.is_empty()
}

/// A recording that nobody asked for.
fn remove(args: &CheckArgs, file: &Path) {
    if args.record.is_none()
        && let Err(error) = std::fs::remove_file(file)
    {
        tracing::debug!(%error, "the recording was not there");
    }
}

/// Runs the command to its end.
fn record(args: &CheckArgs, environment: &Environment, file: &Path) -> Result<Outcome, Exit> {
    let unable = |error: std::io::Error| {
        print_error(&error, None);
        Exit::Unable
    };
    let to_stderr = || Stdio::from(std::io::stderr());
    let streams =
        Streams { stdin: Stdio::inherit(), stdout: to_stderr(), stderr: Stdio::inherit() };
    let backend = args.backend.choose_for_command();
    let mut launched = match run::start(&args.command, streams, backend)? {
        Started::Node(launched) => launched,
        Started::Ended(_) => return Err(Exit::Unable),
    };
    let config = config(args, environment, &launched, backend, file);
    let outcome = watch(config, &mut launched);
    if launched.is_held() {
        run::end(&mut launched);
        return Err(outcome.err().unwrap_or(Exit::Unable));
    }
    let ended = launched.wait().map_err(unable)?;
    outcome.map(|()| ended)
}

/// Until the command ends.
fn watch(config: SessionConfig, launched: &mut Launched) -> Result<(), Exit> {
    let session = Session::start(config).map_err(|error| fail(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let mut signals = Signals::new()?;
            let ended = print_each(session.snapshots(), None, Duration::from_mins(1), |_| Ok(()));
            tokio::select! {
                ended = ended => ended.map(|_| ()),
                () = run_on(&session, launched, &mut signals) => Ok(()),
            }
        })
    });
    let last = session.stop();
    session.finish().map_err(|error| fail(&error))?;
    if let Err(error) = outcome {
        print_error(&error, None);
        return Err(Exit::Unable);
    }
    if last.is_some_and(|last| last.target.state == TargetState::Execed) {
        print_line("notice: the command executed another program; what came after is not covered");
    }
    Ok(())
}

fn config(
    args: &CheckArgs,
    environment: &Environment,
    launched: &Launched,
    backend: Backend,
    file: &Path,
) -> SessionConfig {
    let every = Nanos((args.census_every * 1e9) as u64);
    SessionConfig {
        pid: launched.pid(),
        backend,
        tracer: launched.tracer(),
        anchor_tid: None,
        has_empty_probes: false,
        has_source_maps: true,
        has_async_origin: false,
        has_faults: false,
        max_overhead: None,
        min_size: args.min_size,
        ring_bytes: 8 << 20,
        plan_cache: environment.plan_cache.clone(),
        record_reads: None,
        census_interval: Some(CensusInterval {
            every,
            first_after: FIRST_CENSUS.min(every),
            pause_budget: PAUSE_BUDGET,
        }),
        record: Some(RecordTo {
            path: file.to_owned(),
            is_overwriting: args.force,
            is_purpose: true,
            max_size: None,
        }),
        pace: Pace::CLOSE,
        stores_max: None,
        symbols: SharedSymbols::default(),
    }
}

/// Judges a recording and says what came of it.
fn tell(
    args: &CheckArgs,
    limits: &Limits,
    file: &Path,
    command: Option<Outcome>,
    out: &mut dyn Write,
) -> Exit {
    let mut judged = Vec::new();
    let outcome = try_tell(args, limits, file, command, &mut judged, out);
    if outcome.is_err() {
        return finish(outcome);
    }
    let has = |verdict| judged.iter().any(|it: &Judged| it.verdict == verdict);
    if has(Verdict::Breached) {
        Exit::Breach
    } else if has(Verdict::Unknown) {
        Exit::Unable
    } else if let Some(code) = command.map(Outcome::code).filter(|code| *code != 0) {
        print_line(&format!("the limits are kept, but the command failed with code {code}"));
        Exit::CommandFailed
    } else {
        Exit::Done
    }
}

fn try_tell(
    args: &CheckArgs,
    limits: &Limits,
    file: &Path,
    command: Option<Outcome>,
    judged: &mut Vec<Judged>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let replay = Replay::open(file)?;
    let told = replay.post_mortem(replay.length(), &Interest::default(), 0)?;
    *judged = judge(&told, limits);
    let gap = not_covered(&told);
    if args.json {
        let code = command.map(Outcome::code);
        writeln!(out, "{}", to_value(judged, gap.as_deref(), code))?;
    } else {
        for it in judged.iter().filter(|it| it.verdict == Verdict::Breached) {
            writeln!(out, "{}: {}", it.name, sanitize(&it.text))?;
        }
        let others = judged.iter().filter(|it| it.verdict != Verdict::Breached);
        for it in others {
            print_line(&format!("{} {}: {}", it.verdict.name(), it.name, sanitize(&it.text)));
        }
        if judged.iter().any(|it| it.verdict == Verdict::Unknown) {
            print_line(
                "hint: let the command live longer, or look more often with --census-every SECONDS; of a recording, record it with --census-every",
            );
        }
        if let Some(gap) = gap {
            print_line(&format!("notice: {gap}"));
        }
    }
    if let Some(path) = &args.junit {
        write_file(path, &to_xml(judged, &told.snapshot.target.command, told.length), true)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_read_as_people_write_it() {
        assert_eq!(parse_growth("1MB/min"), Ok(Bytes(1 << 20)));
        assert_eq!(parse_growth("1k/s"), Ok(Bytes(60 << 10)));
        assert_eq!(parse_growth("60MiB/h"), Ok(Bytes(1 << 20)));
        assert_eq!(parse_growth("3mb"), Ok(Bytes(3 << 20)));
        for text in ["", "/", "1MB/day", "fast", "-1/s"] {
            assert!(parse_growth(text).is_err(), "{text}");
        }
    }

    #[test]
    fn kinds_are_read_in_any_case() {
        assert_eq!(parse_kind("pinned_parent").unwrap().0, [FindingKind::PinnedParent]);
        assert_eq!(parse_kind("any").unwrap().0.len(), FindingKind::ALL.len());
        assert!(parse_kind("LEAK").unwrap_err().contains("STEADY_GROWTH"));
    }
}
