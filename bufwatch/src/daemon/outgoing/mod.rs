//! What the daemon tells others by itself: events to a webhook, metrics by OTLP. Nothing waits for those who are told.

pub mod otlp;
mod post;
pub mod settings;
pub mod webhook;

use std::sync::atomic::{AtomicU64, Ordering};

/// What went out, and what did not.
#[derive(Debug, Default)]
pub struct Outgoing {
    webhook_sent: AtomicU64,
    webhook_lost: AtomicU64,
    otlp_sent: AtomicU64,
    otlp_failed: AtomicU64,
}

/// The same at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutgoingCounts {
    /// Events that were taken, and events that were given up.
    pub n_webhook_sent: u64,
    pub n_webhook_lost: u64,
    /// Pages that were taken, and pages that were not.
    pub n_otlp_sent: u64,
    pub n_otlp_failed: u64,
}

impl Outgoing {
    pub fn counts(&self) -> OutgoingCounts {
        let read = |n: &AtomicU64| n.load(Ordering::Relaxed);
        OutgoingCounts {
            n_webhook_sent: read(&self.webhook_sent),
            n_webhook_lost: read(&self.webhook_lost),
            n_otlp_sent: read(&self.otlp_sent),
            n_otlp_failed: read(&self.otlp_failed),
        }
    }
}

fn count(n: &AtomicU64) {
    n.fetch_add(1, Ordering::Relaxed);
}
