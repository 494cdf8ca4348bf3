//! The thread that samples what no probe tells: RSS, the allocators' counters, mappings, threads, and that the target has ended. What is
//! sampled is `source::sampler`'s business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, JoinHandle};

use crate::event::Event;
use crate::event::residency::Allocator;
use crate::session::SessionError;
use crate::source::residency::{ScanOrder, Scanner};
use crate::source::sampler::{Sampler, TICK};
use crate::sys::pidfd::PidFd;
use crate::v8::allocator::AllocatorFacts;
use crate::v8::page::PageLayout;

/// The sampler on a thread of its own, since smaps of a large process takes a fifth of a second.
pub(super) struct Sampling {
    pub(super) events: Receiver<Vec<Event>>,
    /// Of stores whose pages are to be looked at.
    pub(super) orders: Sender<ScanOrder>,
    is_stopped: Arc<AtomicBool>,
    has_ended: Arc<AtomicBool>,
    /// Threads came since the sampler looked: maybe a worker with an isolate of its own.
    pub(super) is_stale: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampling {
    pub(super) fn start(
        pid: u32,
        pidfd: PidFd,
        allocator: Option<AllocatorFacts>,
        page_layout: Option<PageLayout>,
        malloc: Option<Allocator>,
    ) -> Result<Self, SessionError> {
        let (sender, events) = mpsc::channel();
        let (orders, inbox) = mpsc::channel::<ScanOrder>();
        let is_stopped = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::new(AtomicBool::new(false));
        let is_stale = Arc::new(AtomicBool::new(false));
        let flags = (Arc::clone(&is_stopped), Arc::clone(&has_ended), Arc::clone(&is_stale));
        let name = "bw-sample";
        let thread = Builder::new()
            .name(name.into())
            .spawn(move || {
                let (is_stopped, has_ended, is_stale) = flags;
                let mut sampler = Sampler::new(pid, allocator, page_layout);
                let scanner = Scanner::new(pid, malloc).ok();
                while !is_stopped.load(Ordering::Relaxed) {
                    if is_stale.swap(false, Ordering::Relaxed) {
                        sampler.look_again();
                    }
                    let mut events = Vec::new();
                    sampler.sample(&mut events);
                    for order in inbox.try_iter() {
                        let scan = |scanner: &Scanner| scanner.scan(order, sampler.v8_memory());
                        events.extend(scanner.as_ref().and_then(scan));
                    }
                    if sender.send(events).is_err() {
                        return;
                    }
                    if pidfd.wait(TICK) {
                        has_ended.store(true, Ordering::Relaxed);
                        return;
                    }
                }
            })
            .map_err(|source| SessionError::Thread { name, source })?;
        Ok(Self { events, orders, is_stopped, has_ended, is_stale, thread: Some(thread) })
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("thread bw-sample ended by a bug");
        }
    }
}
