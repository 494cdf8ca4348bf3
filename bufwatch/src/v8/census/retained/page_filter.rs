//! Which pages of the process have objects that somebody looks for, so that nearly all references are told to lead elsewhere by one look.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Pages by address: those put in, and sometimes others.
#[derive(Debug)]
pub(super) struct PageFilter {
    bits: Vec<u64>,
}

impl Default for PageFilter {
    fn default() -> Self {
        Self { bits: vec![0; Self::N_BITS / 64] }
    }
}

impl PageFilter {
    /// 16 GiB of address space that lies together, in 8 KiB.
    const N_BITS: usize = 1 << 16;

    const fn bit(word: u64) -> usize {
        (word / crate::v8::page::PAGE_ALIGNMENT) as usize % Self::N_BITS
    }

    /// Puts in the page that an address is in.
    pub(super) fn insert(&mut self, word: u64) {
        let bit = Self::bit(word);
        if let Some(block) = self.bits.get_mut(bit / 64) {
            *block |= 1 << (bit % 64);
        }
    }

    /// False only if the page of the address was not put in.
    #[inline]
    pub(super) fn may_have(&self, word: u64) -> bool {
        let bit = Self::bit(word);
        self.bits.get(bit / 64).is_some_and(|block| block >> (bit % 64) & 1 != 0)
    }
}
