//! What was typed. No logic beyond reading numbers.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::analysis::query::parse_bytes;
use crate::base::Bytes;
use crate::cli::backend::BackendArgs;
use crate::cli::census::CensusArgs;
use crate::cli::check::CheckArgs;
use crate::cli::connect::ConnectArgs;
use crate::cli::daemon::DaemonArgs;
use crate::cli::diff::DiffArgs;
use crate::cli::doctor::DoctorArgs;
use crate::cli::export::ExportArgs;
use crate::cli::plan::PlanArgs;
use crate::cli::ps::PsArgs;
use crate::cli::record::RecordArgs;
use crate::cli::replay::ReplayArgs;
use crate::cli::report::ReportArgs;
use crate::cli::run::{GateArgs, RunArgs};
use crate::cli::sql::SqlArgs;

/// Shows the off-heap memory of a running Node.js process: which stack allocated it, how long it lives,
/// where it lies. From outside: no restart, no flag, no agent in the process.
#[derive(Debug, Parser)]
#[command(name = "bufwatch", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(flatten)]
    pub watch: WatchArgs,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    done; check: all limits are kept
  1    check: a limit is breached
  2    wrong usage, or something here keeps bufwatch from working (it says what)
  3    there is no such process, or it ended while bufwatch attached
  4    check: the limits are kept, but the command failed
  130  interrupted by a signal
run passes on the exit code of its command; 128 and the number of the signal if one ended it";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say which views pin which array buffers, and who holds them; stops the process for milliseconds
    Census(CensusArgs),
    Record(RecordArgs),
    Replay(ReplayArgs),
    Run(RunArgs),
    Check(CheckArgs),
    Report(ReportArgs),
    Diff(DiffArgs),
    Sql(SqlArgs),
    Export(ExportArgs),
    Daemon(DaemonArgs),
    /// Show which probes are found in a Node binary, and what is lost with those that are not
    Plan(PlanArgs),
    /// Check what this machine lets bufwatch do, and what to change if it does not
    Doctor(DoctorArgs),
    /// List the Node processes of this host
    Ps(PsArgs),
    /// Becomes a command that this process's parent traces
    #[command(hide = true)]
    Gate(GateArgs),
}

#[expect(clippy::struct_excessive_bools, reason = "flags are independent of each other")]
#[derive(Clone, Debug, Args)]
pub struct WatchArgs {
    /// Process to watch; without it, choose among the running Node processes
    #[arg(long, short, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub pid: Option<u32>,

    #[command(flatten)]
    pub backend: BackendArgs,

    /// Print lines instead of showing the dashboard
    #[arg(long)]
    pub headless: bool,

    /// Seconds between two lines
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = parse_seconds, requires = "headless")]
    pub interval: f64,

    /// End after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds, requires = "headless")]
    pub duration: Option<f64>,

    /// One JSON object a line (schema bufwatch.sample/1)
    #[arg(long, requires = "headless")]
    pub json: bool,

    /// Look at the V8 heap this often, to tell which views pin which stores and who holds them. Each look stops the process for about
    /// 5 ms and 0.25 s per GB of V8 heap; without this only when asked for, and each second where nothing else tells of stores (--backend ptrace --pid)
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub census_every: Option<f64>,

    /// Share of time, in percent, that the process may be stopped by looks at its heap; longer stops make it look less often
    #[arg(long, value_name = "PERCENT", default_value = "0.5", value_parser = parse_percent)]
    pub pause_budget: f64,

    /// What probes may cost the process, in percent of one core: above it they are in place for part of the time, and what is shown is
    /// sampled; censuses (each 10 s then, or as --census-every says) find what came meanwhile
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub max_overhead: Option<f64>,

    /// Record what is seen into a file as well: see `bufwatch record --help`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Overwrite the file of --record if it exists
    #[arg(long, requires = "record")]
    pub force: bool,

    /// Keep the file of --record below this size: of older times fewer states are kept, and it says so
    #[arg(long, value_name = "SIZE", value_parser = parse_max_size, requires = "record")]
    pub max_size: Option<Bytes>,

    /// Smallest store tracked one by one; smaller ones are counted by size. 1 tracks all
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_min_size)]
    pub min_size: Bytes,

    /// Do not read source maps: show lines of the code that runs only
    #[arg(long)]
    pub no_source_maps: bool,

    /// Say also where the async resource was created whose callback allocated: the line that called fs.readFile,
    /// net.connect, server.listen or zlib.gzip. Costs the target about 4 µs for each request, socket or other resource of Node and its
    /// callback, whether it allocates or not
    #[arg(long)]
    pub async_origin: bool,

    /// Say also when exactly each store was first written to, by page faults, those included that the kernel takes for the process, as in
    /// read(2). Costs 0.2 to 0.5 µs for each page that the process writes to for the first time (which takes 2 to 3 µs), up to 0.1 µs
    /// for page faults of all other processes of this machine, and 26 MB in the kernel. No fault tells of memory that was there before (freed and given out again, filled by native code, in a neighbour's huge page)
    /// or comes by populated mappings or direct I/O: that is said of the store
    #[arg(long)]
    pub faults: bool,

    /// Attach programs that do nothing: what the probes by themselves cost the target; for the benchmark
    #[arg(long, hide = true)]
    pub empty_probes: bool,

    /// Thread of the process that carries the perf events; for tests
    #[arg(long, value_name = "TID", hide = true)]
    pub anchor_tid: Option<u32>,

    /// File for all that is read to name JavaScript frames; for tests
    #[arg(long, value_name = "FILE", hide = true)]
    pub record_reads: Option<PathBuf>,

    /// Size of the buffer between kernel and bufwatch; rounded up to a power of two
    #[arg(long, value_name = "SIZE", default_value = "8MiB", value_parser = parse_ring_size)]
    pub ring_size: Bytes,
}

pub(super) fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    // A day: longer sessions have no end at all.
    if (0.05..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must be between 0.05 and 86400 seconds".to_owned())
    }
}

pub(super) fn parse_percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.001..=50.0).contains(&percent) {
        Ok(percent)
    } else {
        Err("must be between 0.001 and 50 percent".to_owned())
    }
}

pub(super) fn parse_size(text: &str) -> Result<Bytes, String> {
    parse_bytes(text).ok_or_else(|| "not a size; use 65536, 64KiB, 1.5MB".to_owned())
}

pub(super) fn parse_min_size(text: &str) -> Result<Bytes, String> {
    let size = parse_size(text)?;
    if size.0 == 0 { Err("must be at least 1 byte".to_owned()) } else { Ok(size) }
}

pub(super) fn parse_max_size(text: &str) -> Result<Bytes, String> {
    let size = parse_size(text)?;
    // The lines of a program and some states of it need as much.
    if size.0 >= 4 << 20 { Ok(size) } else { Err("must be at least 4MiB".to_owned()) }
}

pub(super) fn parse_ring_size(text: &str) -> Result<Bytes, String> {
    let size = parse_size(text)?;
    if (4_096..=1 << 30).contains(&size.0) {
        Ok(size)
    } else {
        Err("must be between 4KiB and 1GiB".to_owned())
    }
}
