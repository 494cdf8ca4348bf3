//! A process that a daemon watches, as a session of its own would be shown: its snapshots come, and requests go.

use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::analysis::query::StoreQuery;
use crate::analysis::{Snapshot, TargetState};
use crate::base::{Nanos, StoreKey};
use crate::daemon::client::{Client, ClientError};
use crate::daemon::live::{Look, decode};

/// Between two questions; a daemon takes snapshots less often than a session with somebody before it.
const EVERY: Duration = Duration::from_millis(500);

/// Questions in a row that may fail before it is over.
const FAILURES_MAX: u32 = 10;

/// What somebody wants to see.
#[derive(Clone, Debug)]
pub enum Wish {
    Query(StoreQuery),
    Detail(Option<StoreKey>),
    Census,
}

/// Publishes what the daemon says of `pid`, and tells it what is wished, until it watches that process no longer.
pub async fn follow(
    client: &Client,
    pid: u32,
    mut wishes: mpsc::UnboundedReceiver<Wish>,
    publish: watch::Sender<Option<Arc<Snapshot>>>,
) -> Result<(), ClientError> {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last: Option<Arc<Snapshot>> = None;
    let mut n_failed = 0;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            wish = wishes.recv() => match wish {
                Some(wish) => {
                    // Whether the process is still watched, the next look says.
                    if let Err(error) = tell(client, pid, wish).await {
                        tracing::debug!(%error, "the daemon does not do what was wished");
                    }
                }
                None => return Ok(()),
            },
        }
        match look(client, pid, last.as_deref()).await {
            Ok(snapshot) => {
                n_failed = 0;
                let snapshot = Arc::new(snapshot);
                let is_new = last.as_ref().is_none_or(|it| it.taken_at != snapshot.taken_at);
                last = Some(Arc::clone(&snapshot));
                if is_new {
                    publish.send_replace(Some(snapshot));
                }
            }
            // It ended a moment ago, or is excluded now.
            Err(ClientError::NotWatched) if last.is_some() => {
                publish
                    .send_modify(|shown| *shown = shown.as_deref().map(|it| Arc::new(ended(it))));
                return Ok(());
            }
            Err(error) if error.may_pass() && last.is_some() && n_failed < FAILURES_MAX => {
                n_failed += 1;
                tracing::debug!(%error, "the daemon did not answer");
            }
            Err(error) => return Err(error),
        }
    }
}

async fn look(client: &Client, pid: u32, last: Option<&Snapshot>) -> Result<Snapshot, ClientError> {
    let known = last.map(|last| format!("?censuses={}", last.census.n_taken)).unwrap_or_default();
    let path = format!("/v1/processes/{pid}/live{known}");
    let answer = client.ask(Method::GET, &path, Vec::new()).await?;
    Ok(decode(&answer, last)?)
}

async fn tell(client: &Client, pid: u32, wish: Wish) -> Result<(), ClientError> {
    let look = match wish {
        Wish::Query(query) => Look { query: Some(query), detail: None },
        Wish::Detail(detail) => Look { query: None, detail: Some(detail) },
        Wish::Census => {
            let path = format!("/v1/processes/{pid}/census");
            return client.ask(Method::POST, &path, Vec::new()).await.map(drop);
        }
    };
    let body = serde_json::to_vec(&look).map_err(crate::daemon::live::LiveError::Malformed)?;
    client.ask(Method::POST, &format!("/v1/processes/{pid}/look"), body).await.map(drop)
}

/// Its last state, as of a process that is not watched any more.
fn ended(last: &Snapshot) -> Snapshot {
    let mut last = last.clone();
    if last.target.state == TargetState::Live {
        last.target.state = TargetState::Exited { code: None };
    }
    last.taken_at = last.taken_at.after(Nanos(1));
    last
}
