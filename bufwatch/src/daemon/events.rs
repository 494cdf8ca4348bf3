//! What happens, as JSON lines on stdout for journald or a log shipper, schema `bufwatch.event/1`, and for a webhook. A reader that is slow does not hold the
//! daemon up: what it has no room for is lost and counted.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::thread::{Builder, JoinHandle};

use serde_json::{Map, Value, json};

use crate::base::{Nanos, ProcessKey, WallTime};
use crate::daemon::finding_log::{Change, Told};
use crate::daemon::outgoing::webhook::Webhook;
use crate::daemon::service::Place;
use crate::export::finding::to_value;
use crate::sys::clock;

/// The name of each event.
pub const NAMES: [&str; 17] = [
    "finding_opened",
    "finding_closed",
    "process_watched",
    "process_ended",
    "process_refused",
    "process_failed",
    "process_over_limit",
    "recording_started",
    "recording_stopped",
    "recording_kept",
    "recording_turned_over",
    "recording_removed",
    "daemon_started",
    "daemon_stopping",
    "daemon_stopped",
    "config_reloaded",
    "config_refused",
];

/// Lines that may wait for the reader.
const QUEUE: usize = 1_024;

/// The stream of events.
#[derive(Debug)]
pub struct Events {
    sender: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    n_lost: Arc<AtomicU64>,
    webhook: Option<Webhook>,
}

impl Events {
    /// `webhook` is told what it wants to know.
    pub fn start(webhook: Webhook) -> std::io::Result<Self> {
        let (sender, lines) = mpsc::sync_channel::<String>(QUEUE);
        let n_lost = Arc::new(AtomicU64::new(0));
        let lost = Arc::clone(&n_lost);
        let write = move || {
            for line in lines {
                let mut out = std::io::stdout().lock();
                if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
                    lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let thread = Builder::new().name("bw-events".into()).spawn(write)?;
        Ok(Self { sender: Some(sender), thread: Some(thread), n_lost, webhook: Some(webhook) })
    }

    pub fn n_lost(&self) -> u64 {
        self.n_lost.load(Ordering::Relaxed)
    }

    pub const fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// No more will come: waits a moment for the webhook.
    pub async fn finish(mut self) {
        if let Some(webhook) = self.webhook.take() {
            webhook.finish().await;
        }
    }

    /// Tells `event` with what belongs to it.
    pub fn tell(&self, event: &str, more: Value) {
        let Some(sender) = &self.sender else { return };
        let at = clock::wall_now();
        let mut object = Map::new();
        object.insert("schema".to_owned(), json!("bufwatch.event/1"));
        object.insert("time".to_owned(), json!(rfc3339(at)));
        object.insert("event".to_owned(), json!(event));
        if let Value::Object(more) = more {
            object.extend(more);
        }
        let line = Value::Object(object).to_string();
        if let Some(webhook) = &self.webhook {
            webhook.tell(event, &line);
        }
        match sender.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.n_lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Events {
    /// Does not wait for a reader that does not read.
    fn drop(&mut self) {
        self.sender = None;
        let Some(thread) = self.thread.take() else { return };
        if thread.is_finished() && thread.join().is_err() {
            tracing::error!("thread bw-events ended by a bug");
        }
    }
}

/// Which process an event is about.
pub fn of_process(key: ProcessKey, place: &Place, command: &str) -> Value {
    json!({
        "pid": key.pid,
        "process_start_ticks": key.start_ticks,
        "service": place.service,
        "slot": place.slot,
        "command": command,
    })
}

/// A finding of a process: the name of the event, and what belongs to it.
pub fn of_finding(key: ProcessKey, place: &Place, change: &Change) -> (&'static str, Value) {
    let (event, told) = match change {
        Change::Opened(told) => ("finding_opened", told),
        Change::Closed { told, .. } => ("finding_closed", told),
    };
    let mut object = json!({
        "id": finding_id(key, told),
        "pid": key.pid,
        "service": place.service,
        "slot": place.slot,
        "finding": to_value(&told.finding),
    });
    if let (Change::Closed { is_process_over, told }, Value::Object(object)) = (change, &mut object)
    {
        let reason = if *is_process_over { "process_ended" } else { "gone" };
        object.insert("reason".to_owned(), json!(reason));
        let open = clock::now().since(told.opened_at);
        object.insert("open_ns".to_owned(), json!(open.0));
    }
    (event, object)
}

/// The same in the event that opens it, in the one that closes it, and in what HTTP lists.
pub fn finding_id(key: ProcessKey, told: &Told) -> String {
    format!("{}-{}-{}", key.pid, key.start_ticks, told.number)
}

/// `2026-11-24T03:12:45.123Z`.
pub fn rfc3339(wall: Nanos) -> String {
    let text = WallTime(wall).to_string();
    let (date, rest) = text.split_once(' ').unwrap_or((&text, ""));
    let clock = rest.split(' ').next().unwrap_or_default();
    format!("{date}T{clock}.{:03}Z", wall.0 / 1_000_000 % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        assert_eq!(rfc3339(Nanos(1_795_489_965_123_456_789)), "2026-11-24T03:12:45.123Z");
    }
}
