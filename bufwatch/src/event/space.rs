//! What a target asks the kernel for that changes its address space or gives pages back, added up. Data only.

use serde::{Deserialize, Serialize};

use crate::base::Bytes;

/// Bytes asked for and granted, written or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceChanges {
    /// With mmap, or more with mremap.
    pub mapped: Bytes,
    /// Given back with munmap, or left out with mremap.
    pub unmapped: Bytes,
    /// By which the end of malloc's heap was moved up, …
    pub heap_grown: Bytes,
    /// … and down: what was there is given back (brk(2)).
    pub heap_shrunk: Bytes,
    /// Pages given back with madvise; the range stays mapped.
    pub advised: Bytes,
}

impl SpaceChanges {
    /// As scripts and recordings spell them.
    pub const NAMES: [&str; 5] = ["mmap", "munmap", "brk-up", "brk-down", "madvise"];

    /// In the order of [`Self::NAMES`].
    pub const fn as_array(&self) -> [Bytes; 5] {
        [self.mapped, self.unmapped, self.heap_grown, self.heap_shrunk, self.advised]
    }

    pub const fn from_array(bytes: [Bytes; 5]) -> Self {
        let [mapped, unmapped, heap_grown, heap_shrunk, advised] = bytes;
        Self { mapped, unmapped, heap_grown, heap_shrunk, advised }
    }

    /// What came after an earlier sum.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            mapped: self.mapped.saturating_sub(earlier.mapped),
            unmapped: self.unmapped.saturating_sub(earlier.unmapped),
            heap_grown: self.heap_grown.saturating_sub(earlier.heap_grown),
            heap_shrunk: self.heap_shrunk.saturating_sub(earlier.heap_shrunk),
            advised: self.advised.saturating_sub(earlier.advised),
        }
    }

    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        Self {
            mapped: self.mapped + other.mapped,
            unmapped: self.unmapped + other.unmapped,
            heap_grown: self.heap_grown + other.heap_grown,
            heap_shrunk: self.heap_shrunk + other.heap_shrunk,
            advised: self.advised + other.advised,
        }
    }

    /// What the end of malloc's heap was moved by.
    pub fn heap(&self) -> i64 {
        self.heap_grown.signed().saturating_sub(self.heap_shrunk.signed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_taken_one_by_one() {
        let earlier = SpaceChanges::from_array([1, 2, 3, 4, 5].map(Bytes));
        let later = SpaceChanges::from_array([11, 22, 33, 44, 55].map(Bytes));
        assert_eq!(later.since(&earlier).as_array(), [10, 20, 30, 40, 50].map(Bytes));
        assert_eq!(later.since(&earlier).with(&earlier), later);
        assert_eq!((later.heap_shrunk, later.heap()), (Bytes(44), -11));
    }
}
