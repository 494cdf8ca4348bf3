//! Reads chunk headers one after the other, ahead where they are dense, and keeps to the limits of a survey. What they mean is not known here.

use crate::base::{Avma, ReadMemory};
use crate::event::residency::Obstacle;
use crate::malloc::chunk::{HEADER_BYTES, Header};
use crate::malloc::pages::{Found, Pages};
use crate::malloc::{Limits, PAGE};

/// Bytes read at once where each page had a header so far.
const WINDOW_BYTES_MAX: usize = 64 << 10;

/// What is left of the limits.
pub(super) struct Budget<'a> {
    n_chunks: u64,
    n_bytes: u64,
    is_time_over: &'a dyn Fn() -> bool,
}

impl<'a> Budget<'a> {
    pub(super) const fn new(limits: Limits, is_time_over: &'a dyn Fn() -> bool) -> Self {
        Self { n_chunks: limits.n_chunks, n_bytes: limits.n_bytes, is_time_over }
    }

    /// Bytes that are about to be read.
    pub(super) fn take_bytes(&mut self, n: u64) -> Result<(), Obstacle> {
        let left = self.n_bytes.checked_sub(n).filter(|_| !(self.is_time_over)());
        self.n_bytes = left.ok_or(Obstacle::TooLarge)?;
        Ok(())
    }

    fn take_chunk(&mut self) -> Result<(), Obstacle> {
        self.n_chunks = self.n_chunks.checked_sub(1).ok_or(Obstacle::TooLarge)?;
        Ok(())
    }
}

/// The headers of a target, through a window that moves upwards.
pub(super) struct Heads<'a, M> {
    pub(super) memory: &'a M,
    pub(super) pages: Pages<'a>,
    pub(super) budget: Budget<'a>,
    bytes: Vec<u8>,
    start: u64,
    /// Bytes to read the next time.
    ahead: usize,
}

impl<'a, M: ReadMemory> Heads<'a, M> {
    pub(super) const fn new(memory: &'a M, pages: Pages<'a>, budget: Budget<'a>) -> Self {
        Self { memory, pages, budget, bytes: Vec::new(), start: 0, ahead: 0 }
    }

    /// What was read is old; the next header is read again.
    pub(super) fn forget(&mut self) {
        self.bytes.clear();
        self.ahead = 0;
    }

    /// The header at this address was read before.
    pub(super) fn has(&self, address: u64) -> bool {
        self.slice(address).is_some()
    }

    /// Reads at most to `end`.
    pub(super) fn at(&mut self, address: u64, end: u64) -> Result<Header, Obstacle> {
        self.budget.take_chunk()?;
        if !self.has(address) {
            self.read_window(address, end)?;
        }
        self.slice(address).and_then(Header::parse).ok_or(Obstacle::Changing)
    }

    fn slice(&self, address: u64) -> Option<&[u8]> {
        let from = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(HEADER_BYTES as usize)?)
    }

    fn read_window(&mut self, address: u64, end: u64) -> Result<(), Obstacle> {
        let to_page_end = PAGE - address % PAGE;
        let available = match self.pages.at(address) {
            Found::UpTo(run_end) => run_end - address,
            Found::Swapped => return Err(Obstacle::Swapped),
            Found::Nowhere => to_page_end,
        };
        let is_next =
            address.wrapping_sub(self.start.saturating_add(self.bytes.len() as u64)) < PAGE;
        self.ahead = if is_next { (self.ahead * 2).min(WINDOW_BYTES_MAX) } else { 0 };
        let len = (self.ahead as u64).saturating_add(to_page_end);
        let len = len.min(available).min(end.saturating_sub(address));
        self.ahead = self.ahead.max(PAGE as usize);
        self.budget.take_bytes(len)?;
        self.bytes.resize(len as usize, 0);
        self.start = address;
        if self.memory.read(Avma(address), &mut self.bytes).is_err() {
            self.forget();
            return Err(Obstacle::Changing);
        }
        Ok(())
    }
}
