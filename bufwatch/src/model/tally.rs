//! What came from somewhere, added up: of one stack, or of all stacks of a line.

use crate::base::{Bytes, Nanos};
use crate::model::lifetime::Lifetimes;
use crate::model::rate::Rate;

#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub peak_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
    pub lifetimes: Lifetimes,
    pub created_rate: Rate,
    pub n_created_rate: Rate,
}

impl Tally {
    pub fn created(&mut self, size: Bytes) {
        self.n_created += 1;
        self.created_bytes += size;
        self.found(size);
    }

    /// It was there before anybody looked.
    pub fn found(&mut self, size: Bytes) {
        self.n_live += 1;
        self.live_bytes += size;
        self.peak_bytes = self.peak_bytes.max(self.live_bytes);
    }

    pub fn resized(&mut self, old: Bytes, new: Bytes) {
        self.live_bytes = self.live_bytes.saturating_sub(old) + new;
        self.peak_bytes = self.peak_bytes.max(self.live_bytes);
    }

    pub fn destroyed(&mut self, size: Bytes, lifetime: Nanos, n_majors: u32) {
        self.n_live = self.n_live.saturating_sub(1);
        self.live_bytes = self.live_bytes.saturating_sub(size);
        self.lifetimes.add(lifetime, n_majors);
    }

    /// Adds what came from elsewhere; peaks of different moments are not added.
    pub(super) fn add(&mut self, other: &Self) {
        self.n_live += other.n_live;
        self.live_bytes += other.live_bytes;
        self.n_created += other.n_created;
        self.created_bytes += other.created_bytes;
        self.lifetimes.add_all(&other.lifetimes);
        let sum = |a: Rate, b: Rate, before| Rate::recalled(before, a.per_s() + b.per_s());
        self.created_rate = sum(self.created_rate, other.created_rate, self.created_bytes.0);
        self.n_created_rate = sum(self.n_created_rate, other.n_created_rate, self.n_created);
    }

    pub fn tick(&mut self, elapsed: Nanos) {
        self.created_rate.tick(self.created_bytes.0, elapsed);
        self.n_created_rate.tick(self.n_created, elapsed);
    }
}
