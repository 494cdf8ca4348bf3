//! What the question for retained sizes may cost, in memory and in objects looked at. Both are counted, not measured: the same heap gets
//! the same answers.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Exceeded {
    #[error("more than {0} objects would have to be looked at")]
    Objects(u64),
    #[error("more than {0} views and holders are asked for")]
    Heads(usize),
    #[error("views are in more than {0} places")]
    Regions(usize),
    #[error("more than {0} references lead from one holder's objects to another's")]
    Crossings(usize),
    #[error("weak maps have more than {0} entries")]
    Pairs(usize),
}

/// What is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) objects: u64,
    pub(super) objects_left: u64,
    /// Objects that are labelled by following references, before all objects of the heap are looked up.
    pub(super) followed: usize,
    pub(super) heads: usize,
    pub(super) regions: usize,
    pub(super) crossings: usize,
    pub(super) pairs: usize,
}

impl Budget {
    /// For a heap of so many words, of which so many objects are alive. Memory: at most a twentieth of the heap's size, and 12 MiB, if all of
    /// them are reached.
    pub(super) fn new(n_words: usize, n_live: u64) -> Self {
        /// Looked into in any heap: a fifth of a second.
        const OBJECTS_MIN: u64 = 4 << 20;
        /// Followed in any heap.
        const FOLLOWED_MIN: u64 = 1 << 16;
        let objects = (n_live / 4).saturating_add(OBJECTS_MIN);
        Self {
            objects,
            objects_left: objects,
            // Following takes as long for one object as looking up for so many.
            followed: (n_live / 16).saturating_add(FOLLOWED_MIN) as usize,
            // 12 bytes each, with what is kept beside it.
            heads: (n_words / 128).saturating_add(1 << 18),
            // About 60 bytes each, with what is kept beside it.
            regions: (n_words / 512).saturating_add(1 << 16),
            // 12 bytes each.
            crossings: (n_words / 256).saturating_add(1 << 17),
            // 12 bytes each, and as much for their order.
            pairs: (n_words / 512).saturating_add(1 << 16),
        }
    }

    #[inline]
    pub(super) fn spend(&mut self, n: u64) -> Result<(), Exceeded> {
        match self.objects_left.checked_sub(n) {
            Some(left) => {
                self.objects_left = left;
                Ok(())
            }
            None => Err(Exceeded::Objects(self.objects)),
        }
    }

    pub(super) const fn room_for_heads(&self, n: usize) -> Result<(), Exceeded> {
        if n <= self.heads { Ok(()) } else { Err(Exceeded::Heads(self.heads)) }
    }

    pub(super) const fn room_for_regions(&self, n: usize) -> Result<(), Exceeded> {
        if n <= self.regions { Ok(()) } else { Err(Exceeded::Regions(self.regions)) }
    }

    pub(super) const fn room_for_crossing(&self, n: usize) -> Result<(), Exceeded> {
        if n < self.crossings { Ok(()) } else { Err(Exceeded::Crossings(self.crossings)) }
    }

    pub(super) const fn room_for_pair(&self, n: usize) -> Result<(), Exceeded> {
        if n < self.pairs { Ok(()) } else { Err(Exceeded::Pairs(self.pairs)) }
    }
}
