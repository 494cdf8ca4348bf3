//! Layer 7: the command line. Dispatches, and is the only place that reads the environment.

pub mod args;
pub mod backend;
pub mod census;
pub mod check;
pub mod connect;
pub mod daemon;
pub mod diff;
pub mod doctor;
pub mod exit;
pub mod export;
pub mod message;
mod moment;
pub mod output;
pub mod plan;
pub mod ps;
pub mod record;
pub mod replay;
pub mod report;
pub mod run;
pub mod sql;
pub mod watch;

use std::ffi::OsString;
use std::io::{self, ErrorKind, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser as _;
use tracing_subscriber::EnvFilter;

use crate::cli::args::{Cli, Command};
use crate::cli::daemon::DaemonEnvironment;
use crate::cli::exit::Exit;
use crate::cli::export::ExportError;
use crate::cli::message::print_error;
use crate::cli::output::OutputError;
use crate::node::identity::IdentityError;
use crate::node::plan::PlanCache;
use crate::recording::{QueryError, RecordingError};
use crate::source::census::CensusError;

/// What comes from outside the command line.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Where plans are kept between runs: below `XDG_CACHE_HOME` or `HOME`.
    pub plan_cache: Option<PlanCache>,
    pub daemon: DaemonEnvironment,
    /// `NO_COLOR` is not set (no-color.org).
    pub is_color: bool,
}

impl Environment {
    fn read() -> Self {
        let path = |name| std::env::var_os(name).map(PathBuf::from);
        Self {
            plan_cache: PlanCache::in_home(
                path("XDG_CACHE_HOME").as_deref(),
                path("HOME").as_deref(),
            ),
            daemon: DaemonEnvironment {
                config: path("BUFWATCH_CONFIG"),
                listen: std::env::var("BUFWATCH_LISTEN").ok(),
                token_file: path("BUFWATCH_TOKEN_FILE"),
                notify_socket: std::env::var_os("NOTIFY_SOCKET"),
            },
            is_color: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        }
    }
}

/// Parses the command line and runs it.
pub fn main() -> ExitCode {
    // clap prints usage errors itself and exits with 2, as documented.
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Unable } else { Exit::Done };
            if error.print().is_err() {
                return Exit::Unable.into();
            }
            return exit.into();
        }
    };
    let is_dashboard = match &cli.command {
        None => !cli.watch.headless,
        Some(Command::Run(args)) => !args.watch.headless,
        Some(Command::Replay(args)) => !args.headless,
        Some(_) => false,
    };
    start_log(std::env::var_os("BUFWATCH_LOG"), is_dashboard);
    let environment = Environment::read();
    let exit = match &cli.command {
        None => match &cli.connect.connect {
            Some(to) => connect::run(to, &cli.connect, &cli.watch, &environment),
            None => watch::run(&cli.watch, &environment),
        },
        Some(Command::Census(args)) => {
            finish(census::run(args, environment.plan_cache.as_ref(), &mut io::stdout().lock()))
        }
        Some(Command::Record(args)) => record::run(args, &environment),
        Some(Command::Replay(args)) if args.headless => {
            finish(replay::print(args, &mut io::stdout().lock()))
        }
        Some(Command::Replay(args)) => replay::show(args, &environment),
        Some(Command::Sql(args)) => finish(sql::run(args, &mut io::stdout().lock())),
        Some(Command::Diff(args)) => finish(diff::run(args, &mut io::stdout().lock())),
        Some(Command::Run(args)) => run::run(args, &environment),
        Some(Command::Gate(args)) => run::gate(args),
        Some(Command::Check(args)) => check::run(args, &environment, &mut io::stdout().lock()),
        Some(Command::Report(args)) => finish(report::run(args, &mut io::stdout().lock())),
        Some(Command::Export(args)) => finish(export::run(args)),
        Some(Command::Daemon(args)) => daemon::run(args, &environment),
        Some(Command::Plan(args)) => {
            finish(plan::run(args, environment.plan_cache.as_ref(), &mut io::stdout().lock()))
        }
        Some(Command::Doctor(args)) => {
            match doctor::run(args, environment.plan_cache.as_ref(), &mut io::stdout().lock()) {
                Ok(true) => Exit::Done,
                Ok(false) => Exit::Unable,
                Err(error) => finish(Err(error)),
            }
        }
        Some(Command::Ps(args)) => {
            finish(ps::run(args, environment.plan_cache.as_ref(), &mut io::stdout().lock()))
        }
    };
    exit.into()
}

/// Exit code of a command that prints and is done.
fn finish(outcome: anyhow::Result<()>) -> Exit {
    let Err(error) = outcome else { return Exit::Done };
    // Who reads the output has seen enough.
    if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) {
        return Exit::Done;
    }
    let identity = error.chain().find_map(|cause| cause.downcast_ref::<IdentityError>());
    let census = error.chain().find_map(|cause| cause.downcast_ref::<CensusError>());
    let hint = identity.map(IdentityError::hint).or_else(|| census.map(CensusError::hint));
    let recording = error.chain().find_map(|cause| cause.downcast_ref::<RecordingError>());
    let hint = hint.or_else(|| recording.map(RecordingError::hint));
    let output = error.chain().find_map(|cause| cause.downcast_ref::<OutputError>());
    let hint = hint.or_else(|| output.map(OutputError::hint));
    let query = error.chain().find_map(|cause| cause.downcast_ref::<QueryError>());
    let hint = hint.or_else(|| query.map(QueryError::hint));
    let export = error.chain().find_map(|cause| cause.downcast_ref::<ExportError>());
    let hint = hint.or_else(|| export.map(ExportError::hint));
    print_error(error.as_ref(), hint);
    let is_lost = identity.is_some_and(IdentityError::is_no_such_process)
        || census.is_some_and(CensusError::is_no_such_process);
    if is_lost { Exit::TargetLost } else { Exit::Unable }
}

/// `BUFWATCH_LOG=bufwatch=debug` writes to stderr; not under the dashboard, whose screen it would spoil.
fn start_log(filter: Option<OsString>, is_dashboard: bool) {
    if is_dashboard && io::stderr().is_terminal() {
        return;
    }
    let filter =
        filter.and_then(|filter| filter.into_string().ok()).unwrap_or_else(|| "warn".into());
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(false)
        .init();
}
