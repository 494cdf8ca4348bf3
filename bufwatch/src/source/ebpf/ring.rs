//! Reading the ring buffer, bounded per call.

use std::io;
use std::os::fd::AsFd as _;

use aya::maps::{MapData, RingBuf};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::base::Nanos;
use crate::event::Event;
use crate::event::decode::{DecodeIssue, decode};

/// What came out of the ring buffer so far.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) n_records: u64,
    /// Of these, how many this version does not understand.
    pub(super) n_undecoded: u64,
}

/// Waits for wake-ups of the ring buffer. Edge-triggered: that there are records does not count, since most of them can wait.
#[derive(Debug)]
pub(super) struct WakeUps(Epoll);

impl WakeUps {
    pub(super) fn new(ring: &RingBuf<MapData>) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let interest = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
        epoll.add(ring.as_fd(), EpollEvent::new(interest, 0))?;
        Ok(Self(epoll))
    }

    /// Waits for one, at most `limit`.
    pub(super) fn wait(&self, limit: Nanos) {
        let milliseconds = u16::try_from(limit.0 / 1_000_000).unwrap_or(u16::MAX);
        let mut events = [EpollEvent::empty()];
        if let Err(error) = self.0.wait(&mut events, EpollTimeout::from(milliseconds)) {
            // Interrupted, most likely: the look at the buffer that follows does no harm.
            tracing::trace!(%error, "waiting for the ring buffer");
        }
    }
}

/// Moves at most `limit` records into `events`; true if the limit ended it.
pub(super) fn drain(
    ring: &mut RingBuf<MapData>,
    limit: usize,
    received: &mut Received,
    events: &mut Vec<Event>,
) -> bool {
    for _ in 0..limit {
        let Some(item) = ring.next() else { return false };
        received.n_records += 1;
        match decode(&item) {
            Ok((_, event)) => events.push(event),
            // A change of the address space that did not happen.
            Err(DecodeIssue::SyscallFailed) => {}
            Err(_) => received.n_undecoded += 1,
        }
    }
    true
}
