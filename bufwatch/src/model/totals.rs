//! Sums over all tracked stores since attach.

use crate::base::{Bytes, Nanos};
use crate::event::StoreKind;
use crate::model::rate::Rate;

#[derive(Debug, Default)]
pub struct Totals {
    pub live_bytes: Bytes,
    pub peak_bytes: Bytes,
    /// That were there when they were seen first: older than the attach.
    pub n_found: u64,
    pub n_created: u64,
    pub created_bytes: Bytes,
    pub n_destroyed: u64,
    pub destroyed_bytes: Bytes,
    pub n_destroyed_unknown: u64,
    pub destroyed_unknown_bytes: Bytes,
    /// The part of `live_bytes` that Node's allocator counts in `arrayBuffers`.
    pub live_allocator_bytes: Bytes,
    pub n_created_rate: Rate,
    pub created_rate: Rate,
    pub destroyed_rate: Rate,
    pub(super) ticked_at: Option<Nanos>,
    pub(super) between: Between,
}

/// How far `live_bytes` went between two looks at it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Between {
    least: Bytes,
    most: Bytes,
    is_least_last: bool,
}

impl Between {
    /// Nothing has moved since.
    pub(super) const fn still_at(live: Bytes) -> Self {
        Self { least: live, most: live, is_least_last: false }
    }

    const fn in_order(self) -> [Bytes; 2] {
        if self.is_least_last { [self.most, self.least] } else { [self.least, self.most] }
    }
}

impl Totals {
    pub fn created(&mut self, size: Bytes, kind: StoreKind) {
        self.n_created += 1;
        self.created_bytes += size;
        self.grow(size, kind);
    }

    pub fn found(&mut self, size: Bytes, kind: StoreKind) {
        self.n_found += 1;
        self.grow(size, kind);
    }

    /// Stores that have a number.
    pub const fn n_known(&self) -> u64 {
        self.n_created + self.n_found
    }

    pub fn destroyed(&mut self, size: Bytes, kind: StoreKind) {
        self.n_destroyed += 1;
        self.destroyed_bytes += size;
        self.shrink(size, kind);
    }

    pub fn destroyed_unknown(&mut self, size: Bytes) {
        self.n_destroyed_unknown += 1;
        self.destroyed_unknown_bytes += size;
    }

    pub fn resized(&mut self, old: Bytes, new: Bytes, kind: StoreKind) {
        self.shrink(old, kind);
        self.grow(new, kind);
    }

    fn grow(&mut self, size: Bytes, kind: StoreKind) {
        self.live_bytes += size;
        self.peak_bytes = self.peak_bytes.max(self.live_bytes);
        if self.live_bytes > self.between.most {
            self.between.most = self.live_bytes;
            self.between.is_least_last = false;
        }
        if kind.is_counted_by_allocator() {
            self.live_allocator_bytes += size;
        }
    }

    fn shrink(&mut self, size: Bytes, kind: StoreKind) {
        self.live_bytes = self.live_bytes.saturating_sub(size);
        if self.live_bytes < self.between.least {
            self.between.least = self.live_bytes;
            self.between.is_least_last = true;
        }
        if kind.is_counted_by_allocator() {
            self.live_allocator_bytes = self.live_allocator_bytes.saturating_sub(size);
        }
    }

    /// The least and the most that was live since the last call, in the order in which they came: a collection between two looks may
    /// be all that there is to see.
    pub fn take_between(&mut self) -> [Bytes; 2] {
        let taken = self.between.in_order();
        self.between = Between::still_at(self.live_bytes);
        taken
    }

    pub fn tick(&mut self, at: Nanos) {
        if let Some(before) = self.ticked_at {
            let elapsed = at.since(before);
            self.n_created_rate.tick(self.n_created, elapsed);
            self.created_rate.tick(self.created_bytes.0, elapsed);
            self.destroyed_rate.tick(self.destroyed_bytes.0, elapsed);
        }
        self.ticked_at = Some(at);
    }
}
