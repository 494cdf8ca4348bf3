//! The dashboard over a made-up target, for work on screens without root, probes or Node:
//! `cargo run -p bufwatch --example dashboard [SECONDS]`, where SECONDS is how old the target is at first.
//! After two minutes the target exits. `NO_COLOR` is honoured.

use std::sync::Arc;
use std::time::Duration;

use bufwatch::analysis::query::StoreQuery;
use bufwatch::analysis::snapshot::{CensusLog, Snapshot, TargetState};
use bufwatch::base::StoreKey;
use bufwatch::tui::{Command, run};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

#[path = "../tests/tui/fixture.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod fixture;

/// A snapshot as often as the session takes one.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(500);

const N_SNAPSHOTS: u64 = 240;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let first = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(0);
    let is_color = std::env::var_os("NO_COLOR").is_none();
    let (snapshots, latest) = watch::channel(None);
    let (commands, received) = mpsc::unbounded_channel();
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = run(latest, commands, is_color) => result,
        // As a session does it: dropping the dashboard gives the terminal back.
        _ = terminate.recv() => Ok(()),
        () = make_up(first, snapshots, received) => Ok(()),
    }
}

async fn make_up(
    first: u64,
    snapshots: watch::Sender<Option<Arc<Snapshot>>>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let mut query = StoreQuery::default();
    let mut key: Option<StoreKey> = None;
    let mut census = CensusLog::default();
    tokio::time::sleep(SNAPSHOT_INTERVAL).await;
    for n in 0..N_SNAPSHOTS {
        let mut snapshot = fixture::snapshot(first + n / 2, &query, key);
        if census.is_underway {
            census = fixture::census::take(&snapshot, &census);
        }
        if census.last.is_some() {
            snapshot.findings = fixture::census::findings().into();
        }
        snapshot.census = census.clone();
        if n + 1 == N_SNAPSHOTS {
            snapshot.target.state = TargetState::Exited { code: Some(0) };
        }
        snapshots.send_replace(Some(Arc::new(snapshot)));
        let next = tokio::time::sleep(SNAPSHOT_INTERVAL);
        tokio::pin!(next);
        loop {
            tokio::select! {
                () = &mut next => break,
                command = commands.recv() => match command {
                    Some(Command::SetStoreQuery(newest)) => query = newest,
                    Some(Command::SetDetail(newest)) => key = newest,
                    Some(Command::TakeCensus) => census.is_underway = true,
                    Some(Command::Seek(_)) => {}
                    Some(Command::Quit) | None => return,
                },
            }
        }
    }
    drop(snapshots);
    std::future::pending::<()>().await;
}
