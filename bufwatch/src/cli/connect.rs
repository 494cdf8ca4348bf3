//! `bufwatch --connect`: the processes that a daemon watches, each in the dashboard as if it were watched from here. What goes over HTTP is
//! `daemon::client`'s part.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use tokio::sync::{mpsc, watch};

use crate::base::{Bytes, sanitize};
use crate::cli::Environment;
use crate::cli::args::WatchArgs;
use crate::cli::exit::Exit;
use crate::cli::message::{print_error, print_line};
use crate::cli::watch::{Ended, Signals, print_samples};
use crate::daemon::client::remote::{Wish, follow};
use crate::daemon::client::{Client, ClientError, Listed};
use crate::daemon::{Listen, read_token};
use crate::tui;
use crate::tui::picker::ProcessChoice;

/// Where the daemon is.
#[derive(Clone, Debug, clap::Args)]
pub struct ConnectArgs {
    /// Show what a daemon watches, from where it listens: ADDRESS:PORT or `unix:/PATH`. Without --pid, choose among its processes
    #[arg(
        long,
        value_name = "WHERE",
        conflicts_with_all = ["backend", "census_every", "pause_budget", "max_overhead", "record", "min_size", "no_source_maps", "async_origin", "faults"]
    )]
    pub connect: Option<Listen>,
    /// File with the token that the daemon asks for
    #[arg(long, value_name = "FILE", requires = "connect")]
    pub token_file: Option<PathBuf>,
}

/// How looking at one process came to its end.
enum Looked {
    Ended(Ended),
    Failed(ClientError),
}

pub fn run(to: &Listen, args: &ConnectArgs, watch: &WatchArgs, environment: &Environment) -> Exit {
    let is_screen = io::stdout().is_terminal() && io::stdin().is_terminal();
    if !watch.headless && !is_screen {
        print_line("error: stdout is no terminal");
        print_line("hint: --headless prints lines instead");
        return Exit::Unable;
    }
    let token = match args.token_file.as_deref().map(read_token).transpose() {
        Ok(token) => token,
        Err(error) => {
            print_error(&error, Some(error.hint()));
            return Exit::Unable;
        }
    };
    let client = Client { to: to.clone(), token };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            print_error(&error, None);
            return Exit::Unable;
        }
    };
    loop {
        let pid = match watch.pid {
            Some(pid) => pid,
            None => match choose(&runtime, &client, watch, environment) {
                Ok(Some(pid)) => pid,
                Ok(None) => return Exit::Done,
                Err(exit) => return exit,
            },
        };
        match runtime.block_on(look(&client, pid, watch, environment)) {
            // Back to the list, if there is one.
            Ok(Looked::Ended(Ended::User)) if watch.pid.is_none() => {}
            Ok(Looked::Ended(Ended::User)) => return Exit::Done,
            Ok(Looked::Ended(Ended::Session)) => {
                print_line(&format!("the daemon does not watch process {pid} any more"));
                return Exit::Done;
            }
            Ok(Looked::Ended(Ended::Signal)) => return Exit::Interrupted,
            Ok(Looked::Failed(error)) => return fail(&error),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Exit::Done,
            Err(error) => {
                print_error(&error, None);
                return Exit::Unable;
            }
        }
    }
}

fn fail(error: &ClientError) -> Exit {
    print_error(error, Some(error.hint()));
    if matches!(error, ClientError::NotWatched) { Exit::TargetLost } else { Exit::Unable }
}

/// `None` if the user chose none.
fn choose(
    runtime: &tokio::runtime::Runtime,
    client: &Client,
    watch: &WatchArgs,
    environment: &Environment,
) -> Result<Option<u32>, Exit> {
    let listed = runtime.block_on(client.processes()).map_err(|error| fail(&error))?;
    if watch.headless {
        print_line("error: no process was named");
        print_line("hint: bufwatch --connect WHERE --pid PID; without --headless one is chosen");
        return Err(Exit::Unable);
    }
    let watched: Vec<ProcessChoice> =
        listed.iter().filter(|it| it.state == "watched").map(choice).collect();
    if watched.is_empty() {
        print_line("error: the daemon watches no process");
        print_line("hint: its events say which it has found and why it leaves them alone");
        return Err(Exit::Unable);
    }
    tui::picker::pick(watched, environment.is_color).map_err(|error| {
        print_error(&error, None);
        Exit::Unable
    })
}

fn choice(listed: &Listed) -> ProcessChoice {
    let findings = match listed.n_findings {
        0 => String::new(),
        1 => "▲ 1 finding  ".to_owned(),
        n => format!("▲ {n} findings  "),
    };
    ProcessChoice {
        pid: listed.pid,
        version: listed.node_version.clone().unwrap_or_default(),
        rss: Bytes(listed.rss_bytes.unwrap_or_default()),
        command: format!(
            "{findings}{}#{}  {}",
            sanitize(&listed.service),
            listed.slot,
            sanitize(&listed.command)
        ),
    }
}

async fn look(
    client: &Client,
    pid: u32,
    args: &WatchArgs,
    environment: &Environment,
) -> io::Result<Looked> {
    let mut signals = Signals::new()?;
    let (wish, wishes) = mpsc::unbounded_channel();
    let (publish, snapshots) = watch::channel(None);
    // What fails before anything was seen is why nothing is shown; what ends later leaves its last state on the screen.
    let (has_begun, mut begun) = (snapshots.clone(), snapshots.clone());
    let following = async {
        let outcome = follow(client, pid, wishes, publish).await;
        match outcome {
            Ok(()) => std::future::pending().await,
            Err(error) if has_begun.borrow().is_none() => error,
            Err(error) => {
                tracing::warn!(%error, "the daemon is not asked any more");
                std::future::pending().await
            }
        }
    };
    let shown = async {
        // A screen without anything on it is none.
        if begun.wait_for(Option::is_some).await.is_err() {
            return std::future::pending().await;
        }
        if args.headless {
            return print_samples(snapshots.clone(), args).await;
        }
        let (commands, mut inbox) = mpsc::unbounded_channel();
        let forward = async {
            while let Some(command) = inbox.recv().await {
                let wanted = match command {
                    tui::Command::SetStoreQuery(query) => Wish::Query(query),
                    tui::Command::SetDetail(key) => Wish::Detail(key),
                    tui::Command::TakeCensus => Wish::Census,
                    // There is no time axis.
                    tui::Command::Seek(_) => continue,
                    tui::Command::Quit => return,
                };
                if wish.send(wanted).is_err() {
                    tracing::debug!("nobody follows the process any more");
                }
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            shown = tui::run(snapshots.clone(), commands, environment.is_color) => shown.map(|()| Ended::User),
            () = forward => Ok(Ended::User),
        }
    };
    tokio::select! {
        ended = shown => ended.map(Looked::Ended),
        error = following => Ok(Looked::Failed(error)),
        () = signals.any() => Ok(Looked::Ended(Ended::Signal)),
    }
}
