//! Pushes the page of metrics by OTLP, again and again. What is not taken is not sent again: the next page has all that it had.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::daemon::board::Board;
use crate::daemon::metrics;
use crate::daemon::outgoing::post::post;
use crate::daemon::outgoing::settings::Otlp;
use crate::daemon::outgoing::{Outgoing, count};
use crate::export::otlp;
use crate::sys::{clock, procfs};

/// Pushes until the settings end.
pub async fn push(
    mut settings: watch::Receiver<Otlp>,
    boards: watch::Receiver<Arc<Board>>,
    outgoing: Arc<Outgoing>,
) {
    let resource = resource();
    let mut is_failing = false;
    loop {
        let Otlp { endpoint, every } = settings.borrow_and_update().clone();
        let Some(endpoint) = endpoint.map(|endpoint| endpoint.for_otlp()) else {
            if settings.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            () = sleep(Duration::from_nanos(every.0)) => {}
            changed = settings.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        }
        let board = Arc::clone(&boards.borrow());
        let page = otlp::encode(&metrics::page(&board), &resource, clock::wall_now());
        let error = match post(&endpoint, otlp::CONTENT_TYPE, page).await {
            Ok(answer) => otlp::refused(&answer),
            Err(error) => Some(error.to_string()),
        };
        count(if error.is_some() { &outgoing.otlp_failed } else { &outgoing.otlp_sent });
        // Told when it begins and when it is over.
        if is_failing != error.is_some() {
            is_failing = error.is_some();
            match error {
                Some(error) => tracing::warn!(%endpoint, error, "metrics are not taken"),
                None => tracing::info!(%endpoint, "metrics are taken again"),
            }
        }
    }
}

/// Who tells them: hosts are told apart by it, as Prometheus does by the address of what it asks.
fn resource() -> Vec<(&'static str, String)> {
    let host = procfs::host_name().unwrap_or_default();
    vec![
        ("service.name", "bufwatch".to_owned()),
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", host.clone()),
        ("host.name", host),
    ]
}
