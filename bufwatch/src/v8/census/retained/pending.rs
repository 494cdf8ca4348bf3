//! Objects that wait to be looked into: a stack of limited size, and beyond it one bit for each object, so that an array of ten million
//! objects does not need ten million entries. Knows no objects.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::bitmap::Bitmap;

/// Entries of the stack: 1 MiB.
const STACK_MAX: usize = 1 << 18;

/// Taken from the bits when the stack is empty; the other half of the stack is for what they lead to.
const REFILL: usize = STACK_MAX / 2;

/// A set; in which order objects come back is not defined.
#[derive(Debug, Default)]
pub(super) struct Pending {
    stack: Vec<u32>,
    /// What the stack had no room for.
    others: Bitmap,
    n_others: usize,
    /// Where the search in the bits goes on.
    at: usize,
    n_words: usize,
    stack_max: usize,
}

impl Pending {
    /// For indices below `n_words`.
    pub(super) fn new(n_words: usize) -> Self {
        Self { n_words, stack_max: STACK_MAX, ..Self::default() }
    }

    /// An object that waits already must not be put in again.
    #[inline]
    pub(super) fn push(&mut self, index: usize) {
        if self.stack.len() < self.stack_max {
            self.stack.push(index as u32);
            return;
        }
        if self.n_others == 0 {
            self.others = Bitmap::new(self.n_words);
            self.at = 0;
        }
        if self.others.insert(index) {
            self.n_others = self.n_others.saturating_add(1);
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<usize> {
        if self.stack.is_empty() && self.n_others > 0 {
            self.refill();
        }
        self.stack.pop().map(|index| index as usize)
    }

    pub(super) fn clear(&mut self) {
        *self = Self { n_words: self.n_words, stack_max: self.stack_max, ..Self::default() };
    }

    /// Goes on where it stopped, and around.
    fn refill(&mut self) {
        let n = REFILL.min(self.stack_max.div_ceil(2)).min(self.n_others);
        while self.stack.len() < n {
            let found = if self.others.has(self.at) {
                Some(self.at)
            } else {
                self.others.next_after(self.at, self.n_words)
            };
            let Some(index) = found else {
                if self.at == 0 {
                    // Not reached: the count says that there is one.
                    self.n_others = 0;
                    return;
                }
                self.at = 0;
                continue;
            };
            self.others.remove(index);
            self.n_others = self.n_others.saturating_sub(1);
            self.stack.push(index as u32);
            self.at = index;
        }
        if self.n_others == 0 {
            self.others = Bitmap::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_comes_back_once(
            steps in proptest::collection::vec(proptest::option::weighted(0.7, 0_usize..500), 0..400),
            stack_max in 1_usize..20,
        ) {
            let mut pending = Pending { stack_max, ..Pending::new(500) };
            let mut waiting = std::collections::BTreeSet::new();
            for step in steps {
                match step {
                    Some(index) => {
                        if waiting.insert(index) {
                            pending.push(index);
                        }
                    }
                    None => match pending.pop() {
                        Some(index) => prop_assert!(waiting.remove(&index)),
                        None => prop_assert!(waiting.is_empty()),
                    },
                }
            }
            while let Some(index) = pending.pop() {
                prop_assert!(waiting.remove(&index));
            }
            prop_assert!(waiting.is_empty());
        }
    }
}
