//! The life of a daemon: start, settings that are read again, signals, end.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::daemon::archive::{Archive, ArchiveError};
use crate::daemon::board::Board;
use crate::daemon::config::{Config, SettingError};
use crate::daemon::config_file::{ConfigError, read_config, read_token};
use crate::daemon::events::Events;
use crate::daemon::execs::{Begun, Execs};
use crate::daemon::fleet::{Done, Fleet};
use crate::daemon::http::{Access, ListenError, Listener, Secret, Sources, serve};
use crate::daemon::listen::Listen;
use crate::daemon::notify::Notify;
use crate::daemon::outgoing::webhook::Webhook;
use crate::daemon::outgoing::{Outgoing, otlp};
use crate::daemon::privileges::drop_privileges;
use crate::event::Backend;
use crate::node::plan::PlanCache;
use crate::session::Chosen;
use crate::sys::privileges::GiveUpError;
use crate::sys::{clock, heap};

/// The fleet wants to be asked sooner.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Descriptors that are wanted: a session has about 70.
const FILES_WANTED: u64 = 65_536;
/// Orders that may wait.
const ORDERS: usize = 64;
/// Threads for what blocks: attaching, and removing probes.
const BLOCKING_THREADS: usize = 64;
/// From the signal to the end: removing its probes takes the kernel 1.5 s a process, one after the other.
const STOP_LIMIT: Duration = Duration::from_mins(2);

/// What the command line and the environment say.
#[derive(Clone, Debug)]
pub struct Options {
    pub config_file: Option<PathBuf>,
    /// These count more than the file.
    pub listen: Option<Listen>,
    pub token_file: Option<PathBuf>,
    pub plan_cache: Option<PlanCache>,
    /// `NOTIFY_SOCKET`.
    pub notify_socket: Option<OsString>,
}

/// Why a daemon could not begin.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("recordings cannot be kept: {0}")]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Privileges(#[from] GiveUpError),
    #[error("the system refuses what the daemon needs: {0}")]
    System(#[from] io::Error),
}

impl DaemonError {
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Config(error) => error.hint(),
            Self::Archive(error) => error.hint(),
            Self::Listen(error) => error.hint(),
            Self::Privileges(_) => "does a seccomp profile refuse capset(2) or prctl(2)?",
            Self::System(_) => "is a limit on threads, files or memory reached?",
        }
    }
}

impl Options {
    /// The file, with what counts more over it, checked.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config_file {
            Some(path) => read_config(path)?,
            None => Config::default(),
        };
        config.listen = self.listen.clone().unwrap_or(config.listen);
        config.token_file = self.token_file.clone().or(config.token_file);
        config.check()?;
        Ok(config)
    }
}

/// Watches until it is told to end by a signal.
pub fn run(options: &Options) -> Result<(), DaemonError> {
    let config = options.config()?;
    let access = access(&config)?;
    raise_file_limit();
    heap::share_arenas();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("bw-blocking")
        // Looks at /proc come each second, and would keep as many threads as fit into this.
        .thread_keep_alive(Duration::from_secs(2))
        .build()?;
    let outcome = runtime.block_on(watch_host(options, config, access));
    // A session that does not end is not waited for any longer.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Who may ask, by the settings.
fn access(config: &Config) -> Result<Access, ConfigError> {
    Ok(match (&config.listen, &config.token_file) {
        (Listen::Unix(_), _) => Access::Anybody,
        (Listen::Tcp(_), Some(path)) => Access::Token(Secret::new(&read_token(path)?)),
        (Listen::Tcp(_), None) => Access::Local,
    })
}

async fn watch_host(options: &Options, config: Config, access: Access) -> Result<(), DaemonError> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = Listener::bind(&config.listen).await?;
    let archive = config.recordings.directory.as_deref().map(Archive::open).transpose()?;
    let chosen = config.tracing.backend.choose();
    // No other thread runs yet, but for one that closes a probe.
    let capabilities = drop_privileges(&chosen, config.tracing.max_overhead.is_some())?;
    let notify = Notify::new(options.notify_socket.as_ref());
    let outgoing = Arc::new(Outgoing::default());
    let events = Events::start(Webhook::start(&config.events, Arc::clone(&outgoing)))?;
    let (board, boards) = watch::channel(Arc::new(Board::default()));
    let (give_orders, mut orders) = mpsc::channel(ORDERS);
    let (admit, accesses) = watch::channel(Arc::new(access));
    let mut execs = execs(chosen.backend);
    let mut started = beginning(&chosen, &capabilities, execs.is_some());
    started["listen"] = json!(listener.address());
    started["config"] = json!(options.config_file);
    events.tell("daemon_started", started);
    let (push_to, pushed_to) = watch::channel(config.otlp.clone());
    let pushing = otlp::push(pushed_to, boards.clone(), Arc::clone(&outgoing));
    let pushing = tokio::spawn(pushing);
    let sources = Sources { board: boards, orders: give_orders, access: accesses };
    let server = tokio::spawn(serve(listener, sources));
    let mut config = Arc::new(config);
    let cache = options.plan_cache.clone();
    let backend = chosen.backend;
    let mut fleet =
        Fleet::new(Arc::clone(&config), cache, events, board, archive, outgoing, backend);
    if let Some(execs) = &execs {
        fleet.follow(Arc::clone(&execs.counts));
    }
    let mut tasks: JoinSet<Done> = JoinSet::new();
    let timer = sleep(Duration::ZERO);
    tokio::pin!(timer);
    let mut told = None;
    notify.ready();
    let by = loop {
        tokio::select! {
            () = &mut timer => {
                fleet.tick(&mut tasks);
                timer.as_mut().reset(Instant::now() + LONGEST_PAUSE);
                notify.watchdog();
                let n = fleet.n_watched();
                if told != Some(n) {
                    told = Some(n);
                    notify.status(&format!("{n} Node processes are watched"));
                }
            }
            Some(done) = tasks.join_next() => take(done, &mut fleet, &mut tasks),
            Some(order) = orders.recv() => fleet.take_order(order),
            _ = hang_up.recv() => {
                notify.reloading();
                if let Some(new) = reload(options, &config, fleet.events(), &admit) {
                    config = Arc::new(new);
                    push_to.send_replace(config.otlp.clone());
                    fleet.reload(Arc::clone(&config), &mut tasks);
                }
                notify.ready();
            }
            begun = next_begun(&mut execs) => fleet.begun(begun),
            _ = terminate.recv() => break "SIGTERM",
            _ = interrupt.recv() => break "SIGINT",
        }
        let due = Instant::now() + Duration::from_nanos(fleet.pause(clock::now()).0);
        if due < timer.deadline() {
            timer.as_mut().reset(due);
        }
    };
    notify.stopping();
    fleet.events().tell("daemon_stopping", json!({ "by": by }));
    fleet.stop(&mut tasks);
    end(fleet, tasks).await;
    pushing.abort();
    server.abort();
    // The socket goes with it.
    drop(server.await);
    Ok(())
}

/// What is told of it at the start.
fn beginning(chosen: &Chosen, capabilities: &[&str], sees_execs: bool) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "backend": chosen.backend.name(),
        "backend_notice": chosen.notice(),
        "capabilities": capabilities,
        "sees_execs": sees_execs,
    })
}

/// Programs as they begin, where the kernel tells of them; else they are found by looks at /proc alone.
fn execs(backend: Backend) -> Option<Execs> {
    if backend != Backend::Ebpf {
        return None;
    }
    match Execs::start() {
        Ok(execs) => Some(execs),
        Err(error) => {
            tracing::warn!(%error, "programs are not seen as they begin, only by looks at /proc");
            None
        }
    }
}

async fn next_begun(execs: &mut Option<Execs>) -> Begun {
    match execs {
        Some(execs) => execs.next().await,
        None => std::future::pending().await,
    }
}

fn take(done: Result<Done, tokio::task::JoinError>, fleet: &mut Fleet, tasks: &mut JoinSet<Done>) {
    match done {
        Ok(done) => fleet.done(done, tasks),
        Err(error) => tracing::error!(%error, "a task of the daemon ended by a bug"),
    }
}

/// Waits until all probes are removed, as far as that goes in time.
async fn end(mut fleet: Fleet, mut tasks: JoinSet<Done>) {
    let stop = async {
        while !fleet.is_over() {
            let Some(done) = tasks.join_next().await else { break };
            take(done, &mut fleet, &mut tasks);
        }
    };
    let is_whole = tokio::time::timeout(STOP_LIMIT, stop).await.is_ok();
    fleet.events().tell("daemon_stopped", json!({ "all_probes_removed": is_whole }));
    fleet.into_events().finish().await;
}

/// New settings, if they can be had; else the old ones hold on.
fn reload(
    options: &Options,
    old: &Config,
    events: &Events,
    admit: &watch::Sender<Arc<Access>>,
) -> Option<Config> {
    let read = || -> Result<(Config, Access), ConfigError> {
        let config = options.config()?;
        if config.listen != old.listen {
            let what = "cannot change while the daemon runs; restart it".to_owned();
            return Err(SettingError { key: "listen", what }.into());
        }
        if config.recordings.directory != old.recordings.directory {
            let what = "cannot change while the daemon runs; restart it".to_owned();
            return Err(SettingError { key: "recordings.directory", what }.into());
        }
        if config.tracing.backend != old.tracing.backend {
            let what = "cannot change while the daemon runs; restart it".to_owned();
            return Err(SettingError { key: "tracing.backend", what }.into());
        }
        let access = access(&config)?;
        Ok((config, access))
    };
    match read() {
        Ok((config, access)) => {
            admit.send_replace(Arc::new(access));
            // Told by the new settings, as everything after it.
            if let Some(webhook) = events.webhook() {
                webhook.reload(&config.events);
            }
            events.tell("config_reloaded", json!({ "config": options.config_file }));
            Some(config)
        }
        Err(error) => {
            let told = json!({ "error": error.to_string(), "hint": error.hint() });
            events.tell("config_refused", told);
            None
        }
    }
}

/// As far as it may be raised; who has fewer watches fewer processes.
fn raise_file_limit() {
    let raise = || -> nix::Result<()> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, FILES_WANTED.min(hard).max(soft), hard)
    };
    if let Err(error) = raise() {
        tracing::warn!(%error, "the limit on open files is not raised");
    }
}
