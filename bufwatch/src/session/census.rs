//! Takes censuses for a session, on a thread of their own since one takes seconds: on request, and at an interval that keeps to a pause
//! budget. What a census is, is `source::census`'s business.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread::{Builder, JoinHandle};

use crate::base::{Bytes, Nanos};
use crate::event::{Event, Payload};
use crate::source::census::{CensusError, CensusTaker};
use crate::source::residency::look_at_parents;
use crate::sys::clock;
use crate::v8::census::take::Detail;

/// What of a census a session keeps: all parents with their holders, and of each as many views as a page of the dashboard can draw.
const DETAIL: Detail = Detail { n_parents: 100_000, n_views: 2_000, min_size: Bytes(0) };

/// Where nothing but a census shows what came while probes were not in place, and nobody said how often it is to be taken.
const INTERVAL_OF_SAMPLED: CensusInterval =
    CensusInterval { every: Nanos::from_secs(10), first_after: Nanos(0), pause_budget: 0.005 };

/// When censuses are taken without being asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CensusInterval {
    pub every: Nanos,
    /// From the attach to the first one; a process that was just started has no heap yet.
    pub first_after: Nanos,
    /// The share of time that the target may stand still: after a long stop the next census comes later.
    pub pause_budget: f64,
}

impl CensusInterval {
    /// Whoever has the session says when, also where nothing else shows what came.
    pub const NEVER: Self =
        Self { every: Nanos(u64::MAX), first_after: Nanos(u64::MAX), pause_budget: 1.0 };

    /// When the next one is due after one that began at `began_at` and stopped the target for so long.
    pub fn next(self, began_at: Nanos, stopped: Nanos) -> Nanos {
        let by_budget = Nanos((stopped.0 as f64 / self.pause_budget) as u64);
        Nanos(began_at.0.saturating_add(self.every.max(by_budget).0))
    }
}

/// Censuses of one target; at most one at a time.
pub(super) struct CensusTaking {
    pid: u32,
    taker: Result<Arc<CensusTaker>, CensusError>,
    interval: Option<CensusInterval>,
    /// When the next one is due by the interval; `None` while one is taken, or without one.
    due: Option<Nanos>,
    /// Until the session looks for the first time.
    first_after: Option<Nanos>,
    began_at: Nanos,
    running: Option<(Receiver<Event>, JoinHandle<()>)>,
}

impl CensusTaking {
    pub(super) fn new(
        pid: u32,
        taker: Result<CensusTaker, CensusError>,
        interval: Option<CensusInterval>,
    ) -> Self {
        Self {
            pid,
            taker: taker.map(Arc::new),
            interval,
            due: None,
            first_after: interval.map(|interval| interval.first_after),
            began_at: Nanos(0),
            running: None,
        }
    }

    /// Begins one, unless one is being taken. What it says at once is returned.
    pub(super) fn begin(&mut self, now: Nanos) -> Option<Event> {
        if self.running.is_some() {
            return None;
        }
        self.due = None;
        self.began_at = now;
        let taker = match &self.taker {
            Ok(taker) => Arc::clone(taker),
            // Never again by itself: it would say the same.
            Err(error) => return Some(failure(now, error)),
        };
        let pid = self.pid;
        let (sender, events) = mpsc::channel();
        let take = move || {
            let event = match taker.take(DETAIL) {
                Ok(mut census) => {
                    look_at_parents(pid, &mut census);
                    let at = census.timing.stopped_at;
                    Event { at, payload: Payload::CensusTaken(Arc::new(census)) }
                }
                Err(error) => failure(clock::now(), &error),
            };
            if sender.send(event).is_err() {
                tracing::debug!("a census came after the end of the session");
            }
        };
        match Builder::new().name("bw-census".into()).spawn(take) {
            Ok(thread) => {
                self.running = Some((events, thread));
                Some(Event { at: now, payload: Payload::CensusStarted })
            }
            Err(error) => {
                let message = format!("the thread for a census could not be started: {error}");
                let hint = "is the limit on threads or memory reached?".into();
                let payload = Payload::CensusFailed { message: message.into(), hint };
                Some(Event { at: now, payload })
            }
        }
    }

    /// The census that is done, or the beginning of one that is due.
    /// `is_needed`: by what sees stores, if nobody has asked for any.
    pub(super) fn poll(&mut self, now: Nanos, is_needed: bool) -> Option<Event> {
        if is_needed && self.interval.is_none() {
            self.interval = Some(INTERVAL_OF_SAMPLED);
            self.first_after = Some(Nanos(0));
        }
        if let Some(after) = self.first_after.take() {
            self.due = Some(Nanos(now.0.saturating_add(after.0)));
        }
        if let Some((events, _)) = &self.running {
            let event = match events.try_recv() {
                Ok(event) => Some(event),
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => None,
            };
            self.join();
            let stopped = event.as_ref().map_or(Nanos(0), stopped_in);
            self.due = self.interval.map(|interval| interval.next(self.began_at, stopped));
            return event.or_else(|| {
                let message = "the thread that took the census ended by a bug in bufwatch".into();
                let hint = "please report it".into();
                Some(Event { at: now, payload: Payload::CensusFailed { message, hint } })
            });
        }
        if self.due.is_some_and(|due| now >= due) { self.begin(now) } else { None }
    }

    /// Waits for the one that is being taken: it ends by itself within the limits of a stop and of its analysis.
    pub(super) fn last(&mut self) -> Option<Event> {
        let (events, _) = self.running.as_ref()?;
        let event = events.recv().ok();
        self.join();
        event
    }

    fn join(&mut self) {
        if let Some((_, thread)) = self.running.take()
            && thread.join().is_err()
        {
            tracing::error!("thread bw-census ended by a bug");
        }
    }
}

fn stopped_in(event: &Event) -> Nanos {
    if let Payload::CensusTaken(census) = &event.payload { census.timing.stopped } else { Nanos(0) }
}

fn failure(at: Nanos, error: &CensusError) -> Event {
    let (message, hint) = (error.to_string().into(), error.hint().into());
    Event { at, payload: Payload::CensusFailed { message, hint } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_stop_puts_the_next_census_off() {
        let interval = CensusInterval {
            every: Nanos::from_secs(10),
            first_after: Nanos(0),
            pause_budget: 0.001,
        };
        let began = Nanos::from_secs(100);
        assert_eq!(interval.next(began, Nanos::from_millis(5)), Nanos::from_secs(110));
        assert_eq!(interval.next(began, Nanos::from_millis(250)), Nanos::from_secs(350));
    }
}
