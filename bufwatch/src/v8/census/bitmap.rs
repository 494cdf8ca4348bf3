//! A bit for each word of a copied heap, and the rank of a set bit, so that an array can have one entry for each object.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::room::Room;

/// Bits by word index.
#[derive(Clone, Debug, Default)]
pub struct Bitmap {
    blocks: Vec<u64>,
}

impl Bitmap {
    pub fn new(n_bits: usize) -> Self {
        Self::in_room(n_bits, Room::default())
    }

    pub fn in_room(n_bits: usize, room: Room) -> Self {
        Self { blocks: room.words(n_bits.div_ceil(64)) }
    }

    #[inline]
    pub fn has(&self, index: usize) -> bool {
        self.blocks.get(index / 64).is_some_and(|block| block >> (index % 64) & 1 != 0)
    }

    /// Sets a bit; true if it was not set. Beyond the end nothing happens.
    pub fn insert(&mut self, index: usize) -> bool {
        let Some(block) = self.blocks.get_mut(index / 64) else { return false };
        let bit = 1_u64 << (index % 64);
        let is_new = *block & bit == 0;
        *block |= bit;
        is_new
    }

    /// Clears a bit.
    pub fn remove(&mut self, index: usize) {
        if let Some(block) = self.blocks.get_mut(index / 64) {
            *block &= !(1 << (index % 64));
        }
    }

    pub fn n_set(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.count_ones())).fold(0, u64::saturating_add)
    }

    /// Parts that threads can set bits in at the same time: each from the end of the one before to its own, both rounded up to 64 bits.
    pub fn split(&mut self, ends: impl Iterator<Item = usize>) -> Vec<BitmapPart<'_>> {
        let mut rest = self.blocks.as_mut_slice();
        let mut first = 0_usize;
        ends.map(|end| {
            let n = end.div_ceil(64).saturating_sub(first).min(rest.len());
            let (blocks, behind) =
                std::mem::take(&mut rest).split_at_mut_checked(n).unwrap_or_default();
            rest = behind;
            let part = BitmapPart { blocks, first };
            first = first.saturating_add(n);
            part
        })
        .collect()
    }

    /// The first set bit after `index` and before `end`.
    #[inline]
    pub fn next_after(&self, index: usize, end: usize) -> Option<usize> {
        self.at_or_after(index.checked_add(1)?, end)
    }

    /// The first set bit from `start` on and before `end`.
    #[inline]
    pub fn at_or_after(&self, start: usize, end: usize) -> Option<usize> {
        if start >= end {
            return None;
        }
        let mut at = start / 64;
        let mut block = self.blocks.get(at)? & u64::MAX.checked_shl((start % 64) as u32)?;
        loop {
            if block != 0 {
                let found = at.checked_mul(64)?.checked_add(block.trailing_zeros() as usize)?;
                return (found < end).then_some(found);
            }
            at = at.checked_add(1)?;
            if at.checked_mul(64)? >= end {
                return None;
            }
            block = *self.blocks.get(at)?;
        }
    }

    /// The last set bit that is not after `index`.
    pub fn at_or_before(&self, index: usize) -> Option<usize> {
        let mut at = index / 64;
        let above = 63_u32.saturating_sub((index % 64) as u32);
        let mut block = self.blocks.get(at)? & u64::MAX.checked_shr(above)?;
        while block == 0 {
            at = at.checked_sub(1)?;
            block = *self.blocks.get(at)?;
        }
        let highest = 63_u32.saturating_sub(block.leading_zeros()) as usize;
        at.checked_mul(64)?.checked_add(highest)
    }

    /// All set bits, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.blocks.iter().enumerate().flat_map(|(n, block)| {
            let mut left = *block;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                left &= left.wrapping_sub(1);
                (bit < 64).then(|| n.saturating_mul(64).saturating_add(bit))
            })
        })
    }

    /// Counts for [`Ranks::of`].
    pub fn ranks(&self) -> Ranks {
        self.ranks_in(Room::default())
    }

    pub fn ranks_in(&self, room: Room) -> Ranks {
        let mut before = room.numbers(self.blocks.len());
        let mut n = 0_u32;
        for (before, block) in before.iter_mut().zip(&self.blocks) {
            *before = n;
            n = n.saturating_add(block.count_ones());
        }
        Ranks { before, n }
    }
}

/// Some of the bits of a bitmap.
#[derive(Debug)]
pub struct BitmapPart<'a> {
    blocks: &'a mut [u64],
    /// Number of its first block in the bitmap.
    first: usize,
}

impl BitmapPart<'_> {
    /// Sets a bit, by its index in the whole bitmap; outside of the part nothing happens.
    #[inline]
    pub fn insert(&mut self, index: usize) {
        let block = (index / 64).checked_sub(self.first);
        if let Some(block) = block.and_then(|at| self.blocks.get_mut(at)) {
            *block |= 1_u64 << (index % 64);
        }
    }
}

/// How many bits of a bitmap are set before each block of 64.
#[derive(Clone, Debug, Default)]
pub struct Ranks {
    before: Vec<u32>,
    n: u32,
}

impl Ranks {
    /// How many set bits there are.
    pub const fn n(&self) -> usize {
        self.n as usize
    }

    /// How many bits are set before this one, if it is set.
    #[inline]
    pub fn of(&self, bitmap: &Bitmap, index: usize) -> Option<usize> {
        let block = *bitmap.blocks.get(index / 64)?;
        let bit = 1_u64 << (index % 64);
        if block & bit == 0 {
            return None;
        }
        let inside = (block & bit.wrapping_sub(1)).count_ones();
        Some(self.before.get(index / 64)?.checked_add(inside)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_and_neighbours_are_those_of_a_sorted_list(
            set in proptest::collection::btree_set(0_usize..1_000, 0..80),
            end in 0_usize..1_000,
            cut in 0_usize..1_000,
        ) {
            let mut bitmap = Bitmap::new(1_000);
            for index in &set {
                prop_assert!(bitmap.insert(*index));
                prop_assert!(!bitmap.insert(*index));
            }
            let mut in_parts = Bitmap::new(1_000);
            for mut part in in_parts.split([cut, 1_000].into_iter()) {
                for index in &set {
                    part.insert(*index);
                }
            }
            prop_assert_eq!(&in_parts.blocks, &bitmap.blocks);
            let ranks = bitmap.ranks();
            prop_assert_eq!(ranks.n(), set.len());
            prop_assert_eq!(bitmap.n_set(), set.len() as u64);
            prop_assert!(bitmap.ones().eq(set.iter().copied()));
            for index in 0..1_000 {
                prop_assert_eq!(bitmap.has(index), set.contains(&index));
                prop_assert_eq!(ranks.of(&bitmap, index), set.iter().position(|it| *it == index));
                let next = set.iter().copied().find(|it| *it > index && *it < end);
                prop_assert_eq!(bitmap.next_after(index, end), next);
                let last = set.range(..=index).next_back().copied();
                prop_assert_eq!(bitmap.at_or_before(index), last);
            }
            for index in &set {
                bitmap.remove(*index);
                prop_assert!(!bitmap.has(*index));
            }
            prop_assert_eq!(bitmap.n_set(), 0);
        }
    }
}
