//! The thread that samples what no probe tells: RSS, the allocators' counters, mappings, threads, and that the target has ended. What is
//! sampled is `source::sampler`'s business.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{Builder, JoinHandle};

use crate::base::Nanos;
use crate::event::{Event, Payload};
use crate::session::SessionError;
use crate::session::pace::Pace;
use crate::source::residency::{ScanOrder, Scanner};
use crate::source::sampler::{Sampler, SamplerFacts};
use crate::sys::clock;
use crate::sys::pidfd::PidFd;
use crate::sys::priority;
use crate::sys::wake::Waker;

/// The sampler on a thread of its own, since a look at all pages of a large process takes a tenth of a second.
pub(super) struct Sampling {
    pub(super) events: Receiver<Vec<Event>>,
    /// What cannot be had here, in words.
    pub(super) notices: Vec<String>,
    orders: Sender<ScanOrder>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What both threads look at.
struct Shared {
    is_stopped: AtomicBool,
    has_ended: AtomicBool,
    /// Threads came since the sampler looked: maybe a worker.
    is_stale: AtomicBool,
    waker: Waker,
}

impl Sampling {
    pub(super) fn start(
        pid: u32,
        pidfd: PidFd,
        facts: SamplerFacts,
        pace: Pace,
    ) -> Result<Self, SessionError> {
        let name = "bw-sample";
        let failed = |source| SessionError::Thread { name, source };
        let (sender, events) = mpsc::channel();
        let (orders, inbox) = mpsc::channel();
        let shared = Arc::new(Shared {
            is_stopped: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
            waker: Waker::new().map_err(failed)?,
        });
        let scanner = Scanner::new(pid, facts);
        let notices = notice(&scanner).into_iter().collect();
        let looking = Looking {
            pidfd,
            sampler: Sampler::new(pid, facts, pace.mappings),
            every: pace.sample,
            scanner: scanner.ok(),
            inbox,
            sender,
            shared: Arc::clone(&shared),
        };
        let thread = Builder::new().name(name.into()).spawn(move || looking.run());
        Ok(Self { events, notices, orders, shared, thread: Some(thread.map_err(failed)?) })
    }

    /// Has pages looked at; false if the sampler has ended.
    pub(super) fn order(&self, order: ScanOrder) -> bool {
        let is_sent = self.orders.send(order).is_ok();
        self.shared.waker.wake();
        is_sent
    }

    /// There are threads that the sampler does not know.
    pub(super) fn threads_are_stale(&self) {
        self.shared.is_stale.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.shared.has_ended.load(Ordering::Relaxed)
    }
}

/// What cannot be told of pages.
fn notice(scanner: &io::Result<Scanner>) -> Option<String> {
    match scanner {
        Ok(scanner) if scanner.tells_zero_pages() => None,
        Ok(_) => Some(
            "before Linux 6.7 pages that were only read look like written ones: resident bytes of stores may be too many".to_owned(),
        ),
        Err(error) => Some(format!(
            "the page tables of the process cannot be read, so it is not known what is in memory: {error}"
        )),
    }
}

/// What the thread has.
struct Looking {
    pidfd: PidFd,
    sampler: Sampler,
    /// Between two samples.
    every: Nanos,
    /// `None`: the page tables may not be read.
    scanner: Option<Scanner>,
    inbox: Receiver<ScanOrder>,
    sender: Sender<Vec<Event>>,
    shared: Arc<Shared>,
}

impl Looking {
    fn run(mut self) {
        // Whoever takes the processor from it while the kernel answers a question keeps the target from mapping and unmapping for as long.
        priority::make_urgent();
        // Before anything is asked for: it finds V8's heaps, and with them Node's counters.
        let mut events = self.scan(ScanOrder { is_full: true, ..ScanOrder::default() });
        let mut due = Nanos(0);
        while !self.shared.is_stopped.load(Ordering::Relaxed) {
            if self.shared.is_stale.swap(false, Ordering::Relaxed) {
                self.sampler.look_again();
            }
            let now = clock::now();
            if now >= due {
                due = Nanos(now.0.saturating_add(self.every.0));
                self.sampler.sample(&mut events);
            }
            while let Ok(order) = self.inbox.try_recv() {
                events.append(&mut self.scan(order));
            }
            if !events.is_empty() && self.sender.send(std::mem::take(&mut events)).is_err() {
                return;
            }
            if self.pidfd.wait(&self.shared.waker, due.since(clock::now())) {
                self.shared.has_ended.store(true, Ordering::Relaxed);
                return;
            }
        }
    }

    fn scan(&mut self, order: ScanOrder) -> Vec<Event> {
        let Some(scanner) = &mut self.scanner else { return Vec::new() };
        let Some(event) = scanner.scan(order) else { return Vec::new() };
        let heaps = match &event.payload {
            Payload::ResidencyScanned(scan) => scan
                .split
                .as_ref()
                .map(|split| self.sampler.found_heaps(scanner.heap_usages(), split.v8())),
            _ => None,
        };
        std::iter::once(event).chain(heaps).collect()
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.shared.waker.wake();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("thread bw-sample ended by a bug");
        }
    }
}
