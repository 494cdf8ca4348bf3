//! Probes that come and go: those that every store meets are in place as long as the budget pays for them. What happens to known stores
//! meanwhile is asked of the process (`known_stores`); stores that come meanwhile are shown by censuses. Attaching itself is `attach`'s part.

use std::thread::{Builder, JoinHandle};

use aya::Ebpf;

use crate::base::Nanos;
use crate::event::{Event, Payload};
use crate::source::ebpf::attach::{AttachPoint, Attached, Means, attach_points};
use crate::source::ebpf::budget::Budget;
use crate::source::ebpf::cost::Cost;
use crate::source::ebpf::load::LoadError;
use crate::source::known_stores::{KnownStores, StoreTarget};
use crate::sys::clock;

/// Between two looks at what was spent.
const PAY_EVERY: Nanos = Nanos::from_millis(50);

/// Between two times that it is told how long the probes were in place.
const TELL_EVERY: Nanos = Nanos::SECOND;

/// What is to become of the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Stay,
    Open,
    Close,
}

/// The probes that come and go, of one target.
#[derive(Debug)]
pub(super) struct Windows {
    budget: Budget,
    cost: Cost,
    pub(super) stores: KnownStores,
    points: Vec<AttachPoint>,
    links: Attached,
    /// The kernel takes its time for it.
    removing: Option<JoinHandle<()>>,
    is_open: bool,
    pay_due: Nanos,
    tell_due: Nanos,
    /// Why they are not in place again though they should be.
    pub(super) obstacle: Option<String>,
}

impl Windows {
    /// With the probes of `points` in place, which `links` are.
    pub(super) fn new(
        share: f64,
        cost: Cost,
        of: StoreTarget,
        points: Vec<AttachPoint>,
        links: Attached,
    ) -> Self {
        let now = clock::now();
        Self {
            budget: Budget::new(share, now),
            cost,
            stores: KnownStores::new(of),
            points,
            links,
            removing: None,
            is_open: true,
            pay_due: now,
            tell_due: now,
            obstacle: None,
        }
    }

    /// Pays for what the probes cost, when that is due, and tells how much was watched.
    pub(super) fn turn(&mut self, ebpf: &Ebpf, means: &Means, events: &mut Vec<Event>) -> Turn {
        let now = clock::now();
        if now < self.pay_due {
            return Turn::Stay;
        }
        self.pay_due = now.after(PAY_EVERY);
        let is_wanted = self.budget.pay(now, self.cost.spent(ebpf, means));
        let is_changed = is_wanted != self.is_open;
        if is_changed || now >= self.tell_due {
            self.tell_due = now.after(TELL_EVERY);
            let (watched, whole) = self.budget.coverage();
            events.push(Event { at: now, payload: Payload::CoverageSampled { watched, whole } });
        }
        // What is not removed yet cannot come again.
        let is_removing = self.removing.as_ref().is_some_and(|it| !it.is_finished());
        match (is_changed, is_wanted) {
            (true, true) if !is_removing => Turn::Open,
            (true, false) => Turn::Close,
            _ => Turn::Stay,
        }
    }

    /// Probes are put in place again.
    pub(super) fn open(&mut self, ebpf: &mut Ebpf, means: &Means) {
        self.join();
        self.obstacle = None;
        match self.attach(ebpf, means) {
            Ok(()) => self.is_open = true,
            Err(error) => {
                self.obstacle = Some(format!("probes could not be put in place again: {error}"));
                self.pay_due = clock::now().after(TELL_EVERY);
            }
        }
    }

    fn attach(&mut self, ebpf: &mut Ebpf, means: &Means) -> Result<(), LoadError> {
        let (links, notices) = attach_points(ebpf, means, &self.points)?;
        for notice in notices {
            // As it was at first.
            tracing::debug!(notice, "a probe is not in place again");
        }
        self.links = links;
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.is_open = false;
        let links = std::mem::take(&mut self.links);
        match Builder::new().name("bw-detach".to_owned()).spawn(move || drop(links)) {
            Ok(thread) => self.removing = Some(thread),
            // They were dropped with the closure.
            Err(error) => tracing::debug!(%error, "probes were removed without a thread for it"),
        }
    }

    /// Another thread carries the probes.
    pub(super) fn move_to(&mut self, ebpf: &mut Ebpf, means: &Means) -> Result<(), LoadError> {
        if self.is_open { self.attach(ebpf, means) } else { Ok(()) }
    }

    /// What is not seen by probes in this moment.
    pub(super) const fn is_sampled(&self) -> bool {
        let (watched, whole) = self.budget.coverage();
        watched.0 < whole.0
    }

    fn join(&mut self) {
        if let Some(thread) = self.removing.take()
            && thread.join().is_err()
        {
            tracing::error!("thread bw-detach ended by a bug");
        }
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.join();
    }
}
