//! Events for a webhook: one POST each, in their order. Who takes long is waited for by a task of its own: what its queue has no room for, and
//! what is not taken after some tries, is lost and counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::daemon::outgoing::post::post;
use crate::daemon::outgoing::settings::EventSettings;
use crate::daemon::outgoing::{Outgoing, count};

/// Events that may wait.
const QUEUE: usize = 256;
/// Times that an event is sent, and the pause after the first; each further one is twice as long.
const TRIES_MAX: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// At the end of the daemon, what waits is sent for so long.
const FINISH_LIMIT: Duration = Duration::from_secs(5);

/// Where events go.
#[derive(Debug)]
pub struct Webhook {
    sender: mpsc::Sender<String>,
    settings: watch::Sender<EventSettings>,
    outgoing: Arc<Outgoing>,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Within the runtime.
    pub fn start(settings: &EventSettings, outgoing: Arc<Outgoing>) -> Self {
        let (sender, events) = mpsc::channel(QUEUE);
        let (settings, told) = watch::channel(settings.clone());
        let task = tokio::spawn(deliver(events, told, Arc::clone(&outgoing)));
        Self { sender, settings, outgoing, task }
    }

    /// Other settings, which hold for what waits, too.
    pub fn reload(&self, settings: &EventSettings) {
        self.settings.send_replace(settings.clone());
    }

    /// `line`: the event as it is told elsewhere.
    pub fn tell(&self, event: &str, line: &str) {
        let settings = self.settings.borrow();
        if settings.webhook.is_none() || !settings.webhook_events.iter().any(|it| it == event) {
            return;
        }
        if self.sender.try_send(line.to_owned()).is_err() {
            count(&self.outgoing.webhook_lost);
        }
    }

    /// Sends what waits, as far as that goes at once.
    pub async fn finish(self) {
        let Self { sender, settings, mut task, .. } = self;
        drop(sender);
        if timeout(FINISH_LIMIT, &mut task).await.is_err() {
            tracing::warn!("the webhook did not take the last events in time");
            task.abort();
        }
        drop(settings);
    }
}

async fn deliver(
    mut events: mpsc::Receiver<String>,
    mut settings: watch::Receiver<EventSettings>,
    outgoing: Arc<Outgoing>,
) {
    while let Some(line) = events.recv().await {
        if is_taken(&line, &mut settings).await {
            count(&outgoing.webhook_sent);
        } else {
            count(&outgoing.webhook_lost);
        }
    }
}

async fn is_taken(line: &str, settings: &mut watch::Receiver<EventSettings>) -> bool {
    let mut pause = FIRST_PAUSE;
    for n in 1..=TRIES_MAX {
        let Some(to) = settings.borrow_and_update().webhook.clone() else { return false };
        let body = line.as_bytes().to_vec();
        let Err(error) = post(&to, "application/json", body).await else { return true };
        if n == TRIES_MAX || !error.may_pass() {
            tracing::warn!(%to, %error, "an event is lost to the webhook");
            return false;
        }
        tracing::debug!(%to, %error, "an event is sent again");
        tokio::select! {
            () = sleep(pause) => {}
            // It may go to another address.
            Ok(()) = settings.changed() => {}
        }
        pause *= 2;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_queue_has_no_room_for_is_lost_and_counted() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Nothing is sent as long as nobody waits.
        runtime.block_on(async {
            let outgoing = Arc::new(Outgoing::default());
            let webhook = Some("http://127.0.0.1:1/".parse().unwrap());
            let settings = EventSettings { webhook, ..EventSettings::default() };
            let webhook = Webhook::start(&settings, Arc::clone(&outgoing));
            for _ in 0..QUEUE + 10 {
                webhook.tell("finding_opened", "{}");
                webhook.tell("process_watched", "{}");
            }
            assert_eq!(outgoing.counts().n_webhook_lost, 10);
            webhook.reload(&EventSettings::default());
            webhook.tell("finding_opened", "{}");
            assert_eq!(outgoing.counts().n_webhook_lost, 10, "nobody is to be told");
            webhook.finish().await;
            assert_eq!(outgoing.counts().n_webhook_lost, 10 + QUEUE as u64);
        });
    }
}
