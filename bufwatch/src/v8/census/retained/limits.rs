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
    pub(super) crossings: usize,
    pub(super) pairs: usize,
}

impl Budget {
    /// For a heap of so many words, of which so many objects are alive. Memory: at most a fiftieth of the heap's size, and 24 MiB.
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
            // 40 bytes each, with what is kept beside it. A view takes 13 words or more: of a small heap all may be asked for.
            heads: (n_words / 512)
                .saturating_add((n_words / 13).min(1 << 18))
                .saturating_add(1 << 16),
            // 12 bytes each: two of each view that may be asked for.
            crossings: (n_words / 256)
                .saturating_add((n_words / 6).min(1 << 19))
                .saturating_add(1 << 17),
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

    pub(super) const fn room_for_head(&self, n: usize) -> Result<(), Exceeded> {
        if n < self.heads { Ok(()) } else { Err(Exceeded::Heads(self.heads)) }
    }

    pub(super) const fn room_for_crossing(&self, n: usize) -> Result<(), Exceeded> {
        if n < self.crossings { Ok(()) } else { Err(Exceeded::Crossings(self.crossings)) }
    }

    pub(super) const fn room_for_pair(&self, n: usize) -> Result<(), Exceeded> {
        if n < self.pairs { Ok(()) } else { Err(Exceeded::Pairs(self.pairs)) }
    }
}
