//! `bufwatch record`: a session without a looker, into a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::analysis::{Snapshot, TargetState};
use crate::base::text::count;
use crate::base::{Bytes, Nanos};
use crate::cli::Environment;
use crate::cli::args::{
    parse_max_size, parse_min_size, parse_percent, parse_ring_size, parse_seconds,
};
use crate::cli::backend::{BackendArgs, census_interval};
use crate::cli::exit::Exit;
use crate::cli::message::{print_error, print_line};
use crate::cli::watch::{Signals, fail, print_each, say_what_faults_cost};
use crate::recording::THINNED_PREFIX;
use crate::session::{Pace, RecordTo, Session, SessionConfig};
use crate::symbolize::SharedSymbols;

/// Between two lines of progress.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Record a running process into a file, for replay and SQL; ends with the process, with --duration, or by Ctrl-C
#[expect(clippy::struct_excessive_bools, reason = "flags are independent of each other")]
#[derive(Debug, clap::Args)]
pub struct RecordArgs {
    /// Process to record
    #[arg(long, short, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub pid: u32,
    #[command(flatten)]
    pub backend: BackendArgs,
    /// File to write: a database (format: sqlite3), readable only by you. While it is written there are two more files beside it
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite the file if it exists
    #[arg(long)]
    pub force: bool,
    /// Keep the file below this size: of older times fewer states are kept, and it says so
    #[arg(long, value_name = "SIZE", value_parser = parse_max_size)]
    pub max_size: Option<Bytes>,
    /// End after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub duration: Option<f64>,
    /// Look at the V8 heap this often, to tell which views pin which stores and who holds them. Each look stops the process for about
    /// 5 ms and 0.25 s per GB of V8 heap
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub census_every: Option<f64>,
    /// Share of time, in percent, that the process may be stopped by looks at its heap; longer stops make it look less often
    #[arg(long, value_name = "PERCENT", default_value = "0.5", value_parser = parse_percent)]
    pub pause_budget: f64,
    /// What probes may cost the process, in percent of one core (see `bufwatch --help`)
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub max_overhead: Option<f64>,
    /// Smallest store tracked one by one; smaller ones are counted by size. 1 tracks all
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_min_size)]
    pub min_size: Bytes,
    /// Do not read source maps: show lines of the code that runs only
    #[arg(long)]
    pub no_source_maps: bool,
    /// Say also where the async resource was created whose callback allocated (see `bufwatch --help`)
    #[arg(long)]
    pub async_origin: bool,
    /// Record also when exactly each store was first written to, by page faults: slows down each page fault of this machine (see
    /// `bufwatch --help`)
    #[arg(long)]
    pub faults: bool,
    /// Size of the buffer between kernel and bufwatch; rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = parse_ring_size)]
    pub ring_size: Bytes,
    /// Say nothing while recording
    #[arg(long, short)]
    pub quiet: bool,
}

pub fn run(args: &RecordArgs, environment: &Environment) -> Exit {
    let config = config(args, environment);
    say_what_faults_cost(&config);
    let session = match Session::start(config) {
        Ok(session) => session,
        Err(error) => return fail(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime.and_then(|runtime| runtime.block_on(watch(&session, args)));
    let last = session.stop();
    if let Err(error) = session.finish() {
        return fail(&error);
    }
    if let Err(error) = outcome {
        print_error(&error, None);
        return Exit::Unable;
    }
    if !args.quiet {
        print_line(&ended(args, last.as_deref()));
        for limit in last.iter().flat_map(|last| &last.health.limits) {
            let what = if limit.starts_with(THINNED_PREFIX) { "the recording is " } else { "" };
            print_line(&format!("limit: {what}{limit}"));
        }
    }
    Exit::Done
}

fn config(args: &RecordArgs, environment: &Environment) -> SessionConfig {
    let backend = args.backend.choose();
    SessionConfig {
        pid: args.pid,
        backend,
        tracer: None,
        anchor_tid: None,
        has_empty_probes: false,
        has_source_maps: !args.no_source_maps,
        has_async_origin: args.async_origin,
        has_faults: args.faults,
        max_overhead: args.max_overhead.map(|percent| percent / 100.0),
        min_size: args.min_size,
        ring_bytes: u32::try_from(args.ring_size.0).unwrap_or(u32::MAX),
        plan_cache: environment.plan_cache.clone(),
        record_reads: None,
        census_interval: census_interval(backend, args.census_every, args.pause_budget, Nanos(0)),
        record: Some(RecordTo {
            path: args.output.clone(),
            is_overwriting: args.force,
            is_purpose: true,
            max_size: args.max_size,
        }),
        // Nobody looks; detectors and progress need one now and then.
        pace: Pace { snapshot: Nanos::SECOND, ..Pace::CLOSE },
        stores_max: None,
        symbols: SharedSymbols::default(),
    }
}

/// Until the process ends, somebody ends it, or its time is over.
async fn watch(session: &Session, args: &RecordArgs) -> io::Result<()> {
    let mut signals = Signals::new()?;
    let print = |snapshot: Option<&Snapshot>| {
        if let Some(snapshot) = snapshot.filter(|_| !args.quiet) {
            print_line(&progress(args, snapshot));
        }
        Ok(())
    };
    tokio::select! {
        ended = print_each(session.snapshots(), args.duration, SAY_EVERY, print) => ended.map(|_| ()),
        () = signals.any() => Ok(()),
    }
}

fn progress(args: &RecordArgs, snapshot: &Snapshot) -> String {
    format!(
        "recording for {}: {} stores of {} are alive, {} were created; {} records lost; file {}",
        snapshot.elapsed,
        count(snapshot.stores.n_live),
        snapshot.stores.live_bytes,
        count(snapshot.stores.n_created),
        count(snapshot.health.n_lost),
        file_size(args)
    )
}

fn ended(args: &RecordArgs, last: Option<&Snapshot>) -> String {
    let why = match last.map(|last| &last.target.state) {
        Some(TargetState::Exited { .. }) => format!("process {} ended; ", args.pid),
        Some(TargetState::Execed) => format!("process {} executed another program; ", args.pid),
        _ => String::new(),
    };
    let elapsed = last.map_or(Nanos(0), |last| last.elapsed);
    format!(
        "{why}recorded {elapsed} in {} ({}): bufwatch report {0}",
        args.output.display(),
        file_size(args)
    )
}

/// With the log beside it, where what was written last stands while it is recorded.
fn file_size(args: &RecordArgs) -> Bytes {
    let mut log = args.output.clone().into_os_string();
    log.push("-wal");
    let length = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    Bytes(length(&args.output)) + Bytes(length(Path::new(&log)))
}
