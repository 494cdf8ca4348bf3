//! `bufwatch --pid`: one session, shown as dashboard or as lines, until somebody ends it.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::analysis::{Snapshot, TargetState};
use crate::base::{Nanos, sanitize};
use crate::cli::Environment;
use crate::cli::args::WatchArgs;
use crate::cli::backend::census_interval;
use crate::cli::exit::Exit;
use crate::cli::message::{print_error, print_line};
use crate::event::Backend;
use crate::export::{sample_json, sample_text};
use crate::node::processes;
use crate::recording::THINNED_PREFIX;
use crate::session::{Pace, RecordTo, Request, Session, SessionConfig, SessionError};
use crate::symbolize::SharedSymbols;
use crate::sys::launch::Launched;
use crate::tui;
use crate::tui::picker::ProcessChoice;

/// From the start of a process to its first census: Node's own start takes less.
pub(super) const FIRST_CENSUS: Nanos = Nanos::from_millis(500);

/// What `--faults` costs, said before it does (measured: docs/residency.md).
const FAULTS_COST: &str = "--faults: until bufwatch ends, the first write to each page takes this process 0.2 to 0.5 µs longer (it takes 2 to 3 µs), each page fault \
     of other processes on this machine up to 0.1 µs, and the kernel keeps 26 MB for it";

type Snapshots = watch::Receiver<Option<Arc<Snapshot>>>;

/// Who ended it.
pub(super) enum Ended {
    User,
    /// The session ended first.
    Session,
    Signal,
}

pub fn run(args: &WatchArgs, environment: &Environment) -> Exit {
    let pid = match choose_pid(args, environment) {
        Ok(Some(pid)) => pid,
        Ok(None) => return Exit::Done,
        Err(exit) => return exit,
    };
    watch(args, environment, pid, args.backend.choose(), None)
}

/// `launched`: the process, if it was started to be watched; it begins to run when the probes are in place, and is told signals.
pub(super) fn watch(
    args: &WatchArgs,
    environment: &Environment,
    pid: u32,
    backend: Backend,
    launched: Option<&mut Launched>,
) -> Exit {
    let config = config(args, environment, pid, backend, launched.as_deref());
    say_what_faults_cost(&config);
    let session = match Session::start(config) {
        Ok(session) => session,
        Err(error) => return fail(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .and_then(|runtime| runtime.block_on(watch_session(&session, args, environment, launched)));
    let last = session.stop();
    // Before the probes are removed, which takes a second.
    let outcome = match last.as_deref().filter(|last| last.target.state != TargetState::Attaching) {
        Some(last) => outcome.and_then(|ended| print_end(args, last).map(|()| ended)),
        None => outcome,
    };
    if let Err(error) = session.finish() {
        return fail(&error);
    }
    let limits = last.iter().flat_map(|last| &last.health.limits);
    for limit in limits.filter(|limit| limit.starts_with(THINNED_PREFIX)) {
        print_line(&format!("limit: the recording is {limit}"));
    }
    match outcome {
        Ok(Ended::User) => Exit::Done,
        Ok(Ended::Session) => {
            print_line(&why_it_ended(last.as_deref(), pid));
            Exit::Done
        }
        Ok(Ended::Signal) => Exit::Interrupted,
        // Who reads the output has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            print_error(&error, None);
            Exit::Unable
        }
    }
}

/// Before they are followed; where they cannot be, the session says so.
pub(super) fn say_what_faults_cost(config: &SessionConfig) {
    if config.has_faults && config.backend == Backend::Ebpf {
        print_line(FAULTS_COST);
    }
}

fn why_it_ended(last: Option<&Snapshot>, pid: u32) -> String {
    match last.map(|last| &last.target.state) {
        Some(TargetState::Execed) => {
            format!("process {pid} executed another program; this was its last state before")
        }
        _ => format!("process {pid} ended; this was its last state"),
    }
}

pub(super) fn fail(error: &SessionError) -> Exit {
    print_error(error, Some(error.hint()));
    if error.is_target_lost() { Exit::TargetLost } else { Exit::Unable }
}

fn config(
    args: &WatchArgs,
    environment: &Environment,
    pid: u32,
    backend: Backend,
    launched: Option<&Launched>,
) -> SessionConfig {
    SessionConfig {
        pid,
        backend,
        tracer: launched.and_then(Launched::tracer),
        anchor_tid: args.anchor_tid,
        has_empty_probes: args.empty_probes,
        has_source_maps: !args.no_source_maps,
        has_async_origin: args.async_origin,
        has_faults: args.faults,
        max_overhead: args.max_overhead.map(|percent| percent / 100.0),
        min_size: args.min_size,
        ring_bytes: u32::try_from(args.ring_size.0).unwrap_or(u32::MAX),
        plan_cache: environment.plan_cache.clone(),
        record_reads: args.record_reads.clone(),
        census_interval: census_interval(
            backend,
            args.census_every,
            args.pause_budget,
            if launched.is_some() { FIRST_CENSUS } else { Nanos(0) },
        ),
        record: args.record.as_ref().map(|path| RecordTo {
            path: path.clone(),
            is_overwriting: args.force,
            is_purpose: false,
            max_size: args.max_size,
        }),
        pace: if args.headless {
            let snapshot = Nanos((args.interval * 5e8) as u64).min(Nanos::from_millis(500));
            Pace { snapshot, ..Pace::CLOSE }
        } else {
            Pace::CLOSE
        },
        stores_max: None,
        symbols: SharedSymbols::default(),
    }
}

/// The process named, or chosen on the terminal; `None` if the user chose none.
fn choose_pid(args: &WatchArgs, environment: &Environment) -> Result<Option<u32>, Exit> {
    if args.pid.is_some() {
        return Ok(args.pid);
    }
    if args.headless || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        print_line("error: no process was named");
        print_line("hint: bufwatch --pid PID; `bufwatch ps` lists the Node processes of this host");
        return Err(Exit::Unable);
    }
    let choices = process_choices(environment);
    if choices.is_empty() {
        print_line("error: no Node process is running here that bufwatch may look at");
        print_line("hint: run as root to see the processes of others");
        return Err(Exit::Unable);
    }
    tui::picker::pick(choices, environment.is_color).map_err(|error| {
        print_error(&error, None);
        Exit::Unable
    })
}

/// The processes that can be watched, for the picker.
fn process_choices(environment: &Environment) -> Vec<ProcessChoice> {
    let processes = processes::list(environment.plan_cache.as_ref()).unwrap_or_default();
    let watchable = processes.into_iter().filter(|process| process.obstacle.is_none());
    watchable
        .map(|process| ProcessChoice {
            pid: process.pid,
            version: process.node_version.map_or_else(String::new, |version| version.to_string()),
            rss: process.rss.unwrap_or_default(),
            command: sanitize(&process.command),
        })
        .collect()
}

async fn watch_session(
    session: &Session,
    args: &WatchArgs,
    environment: &Environment,
    launched: Option<&mut Launched>,
) -> io::Result<Ended> {
    let mut signals = Signals::new()?;
    let is_recording_only = launched.is_some() && args.record.is_some();
    let ending = async {
        match launched {
            Some(launched) => run_on(session, launched, &mut signals).await,
            None => signals.any().await,
        }
    };
    if args.headless {
        return tokio::select! {
            ended = print_samples(session.snapshots(), args) => ended,
            () = ending => Ok(Ended::Signal),
        };
    }
    if !io::stdout().is_terminal() && is_recording_only {
        return tokio::select! {
            ended = print_each(session.snapshots(), None, Duration::from_mins(1), |_| Ok(())) => ended,
            () = ending => Ok(Ended::Signal),
        };
    }
    if !io::stdout().is_terminal() {
        return Err(io::Error::other("stdout is no terminal; --headless prints lines instead"));
    }
    let requests = session.requests();
    let send = |request| requests.send(request).is_ok();
    tokio::select! {
        ended = show(session.snapshots(), send, environment) => ended,
        () = failed_to_attach(session.snapshots()) => Ok(Ended::Session),
        () = ending => Ok(Ended::Signal),
    }
}

/// The dashboard, until its user ends it. `send` is told what it asks of the session, and says whether there still is one.
pub(super) async fn show(
    snapshots: Snapshots,
    send: impl Fn(Request) -> bool,
    environment: &Environment,
) -> io::Result<Ended> {
    let (commands, mut inbox) = mpsc::unbounded_channel();
    let forward = async {
        while let Some(command) = inbox.recv().await {
            let request = match command {
                tui::Command::SetStoreQuery(query) => Request::SetStoreQuery(query),
                tui::Command::SetDetail(key) => Request::SetDetail(key),
                tui::Command::TakeCensus => Request::TakeCensus,
                // There is no time axis.
                tui::Command::Seek(_) => continue,
                tui::Command::Quit => return,
            };
            if !send(request) {
                // What was shown last stays on the screen.
                tracing::debug!("request after the end of the session");
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        shown = tui::run(snapshots, commands, environment.is_color) => shown.map(|()| Ended::User),
        () = forward => Ok(Ended::User),
    }
}

/// Lets a command run as soon as the probes are in place, and hands on to it what bufwatch is asked to end by. Never ready.
pub(super) async fn run_on(session: &Session, launched: &mut Launched, signals: &mut Signals) {
    let mut snapshots = session.snapshots();
    while !has_been_live(&snapshots) {
        if snapshots.changed().await.is_err() {
            // Probes could not be attached: whoever started the command decides.
            return std::future::pending().await;
        }
    }
    launched.release();
    loop {
        hand_on(launched, signals.next().await);
    }
}

/// Tells a command what bufwatch is asked to end by.
pub(super) fn hand_on(launched: &Launched, signal: nix::sys::signal::Signal) {
    // A terminal has sent it to both.
    if signal != nix::sys::signal::Signal::SIGINT || !io::stdin().is_terminal() {
        launched.signal(signal);
    }
}

/// Ready when the session ended before it ever was live: there is nothing to look at.
async fn failed_to_attach(mut snapshots: Snapshots) {
    while snapshots.changed().await.is_ok() {}
    if has_been_live(&snapshots) {
        std::future::pending::<()>().await;
    }
}

fn has_been_live(snapshots: &Snapshots) -> bool {
    snapshots.borrow().as_ref().is_some_and(|s| s.target.state != TargetState::Attaching)
}

pub(super) async fn print_samples(snapshots: Snapshots, args: &WatchArgs) -> io::Result<Ended> {
    let every = Duration::from_secs_f64(args.interval);
    print_each(snapshots, args.duration, every, |snapshot| print_sample(snapshot, args)).await
}

/// Prints at once when probes are in place, and then each time `every` is over, for at most `duration` seconds.
pub(super) async fn print_each(
    mut snapshots: Snapshots,
    duration: Option<f64>,
    every: Duration,
    mut print: impl FnMut(Option<&Snapshot>) -> io::Result<()>,
) -> io::Result<Ended> {
    while !has_been_live(&snapshots) {
        if snapshots.changed().await.is_err() {
            return Ok(Ended::Session);
        }
    }
    let end = duration.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut closing = snapshots.clone();
    let closed = async { while closing.changed().await.is_ok() {} };
    tokio::pin!(closed);
    loop {
        tokio::select! {
            biased;
            () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => return Ok(Ended::User),
            () = &mut closed => return Ok(Ended::Session),
            _ = ticks.tick() => print(snapshots.borrow().as_deref())?,
        }
    }
}

fn print_sample(snapshot: Option<&Snapshot>, args: &WatchArgs) -> io::Result<()> {
    let Some(snapshot) = snapshot else { return Ok(()) };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", sample_json::sample(snapshot))?;
    } else {
        writeln!(out, "{}", sample_text::line(snapshot))?;
    }
    out.flush()
}

/// The last object, or the summary: after the dashboard, it stays in the scrollback.
fn print_end(args: &WatchArgs, last: &Snapshot) -> io::Result<()> {
    if args.json {
        return print_sample(Some(last), args);
    }
    let mut out = io::stdout().lock();
    write!(out, "{}", sample_text::summary(last))?;
    out.flush()
}

/// The signals that ask bufwatch to end.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    pub(super) async fn any(&mut self) {
        self.next().await;
    }

    /// Which one it is.
    pub(super) async fn next(&mut self) -> nix::sys::signal::Signal {
        use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM};
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
            _ = self.hang_up.recv() => SIGHUP,
        }
    }
}
