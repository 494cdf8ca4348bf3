//! Objects that were found and not yet looked into, level by level of a breadth-first search. A level that holds a good part of a large
//! heap is kept as bits, which take less room than a list, and whose order is that of memory.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::bitmap::Bitmap;
use crate::v8::census::room::Room;

/// Entries of a level that is a list: as bits, a level takes a sixty-fourth of the heap and at least that much time.
const LISTED_SHARE: usize = 512;
const LISTED_MIN: usize = 1 << 16;

/// One level. Each object is added once.
#[derive(Debug)]
pub(super) struct Frontier {
    list: Vec<u32>,
    bits: Option<Bitmap>,
    n_words: usize,
    listed_max: usize,
    room: Room,
}

impl Frontier {
    /// For a heap of so many words.
    pub(super) fn new(n_words: usize, room: Room) -> Self {
        let listed_max = (n_words / LISTED_SHARE).max(LISTED_MIN);
        Self { list: Vec::new(), bits: None, n_words, listed_max, room }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.list.is_empty() && self.bits.is_none()
    }

    #[inline]
    pub(super) fn push(&mut self, index: usize) {
        if let Some(bits) = &mut self.bits {
            bits.insert(index);
            return;
        }
        self.list.push(index as u32);
        if self.list.len() >= self.listed_max {
            let mut bits = Bitmap::in_room(self.n_words, self.room);
            for index in std::mem::take(&mut self.list) {
                bits.insert(index as usize);
            }
            self.bits = Some(bits);
        }
    }

    /// The level as it is; an empty one takes its place.
    pub(super) fn take(&mut self) -> Level {
        let bits = self.bits.take();
        Level { list: std::mem::take(&mut self.list), at: 0, bits, end: self.n_words }
    }
}

/// A level that is being worked on.
#[derive(Debug)]
pub(super) struct Level {
    list: Vec<u32>,
    /// What comes next in the list, or from which word on in the bits.
    at: usize,
    bits: Option<Bitmap>,
    end: usize,
}

impl Level {
    /// Puts the next objects into `out`, as many as it has room for; how many there were.
    pub(super) fn next(&mut self, out: &mut [u32]) -> usize {
        let mut n = 0_usize;
        for place in out {
            let next = match &self.bits {
                Some(bits) => bits.at_or_after(self.at, self.end).inspect(|index| {
                    self.at = index.saturating_add(1);
                }),
                None => self.list.get(self.at).map(|index| {
                    self.at = self.at.saturating_add(1);
                    *index as usize
                }),
            };
            let Some(index) = next else { break };
            *place = index as u32;
            n = n.saturating_add(1);
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(frontier: &mut Frontier) -> Vec<u32> {
        let mut level = frontier.take();
        let mut all = Vec::new();
        let mut some = [0; 7];
        loop {
            let n = level.next(&mut some);
            if n == 0 {
                return all;
            }
            all.extend(&some[..n]);
        }
    }

    #[test]
    fn a_small_level_keeps_its_order_and_a_large_one_that_of_memory() {
        let n_words = 10 * LISTED_MIN;
        let mut frontier = Frontier::new(n_words, Room::default());
        assert!(frontier.is_empty());
        assert!(drained(&mut frontier).is_empty());
        let small = [77, 5, 63, 64, 0];
        for index in small {
            frontier.push(index);
        }
        assert!(!frontier.is_empty());
        assert_eq!(drained(&mut frontier), small.map(|index| index as u32));
        for index in (0..n_words).rev().step_by(3) {
            frontier.push(index);
        }
        assert!(!frontier.is_empty());
        let mut expected: Vec<u32> = (0..n_words as u32).rev().step_by(3).collect();
        expected.reverse();
        assert!(drained(&mut frontier) == expected);
        assert!(frontier.is_empty());
    }
}
