//! Some of the words that were looked up before, so that the few that most words of a heap are need no second look. Knows nothing of what
//! they lead to.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Words remembered.
const REMEMBERED: usize = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 11;

/// One place for each word, which it shares with others: the last one keeps it.
#[derive(Debug)]
pub(super) struct WordMemory {
    /// Zero is no word that anybody asks for.
    words: Vec<u64>,
}

impl WordMemory {
    pub(super) fn new() -> Self {
        Self { words: vec![0; REMEMBERED] }
    }

    /// Where to put a word to have it remembered; `None` if it is.
    #[inline]
    pub(super) fn place_of(&mut self, word: u64) -> Option<&mut u64> {
        let at = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - INDEX_BITS);
        self.words.get_mut(at as usize).filter(|kept| **kept != word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_remembered_until_another_takes_its_place() {
        let mut memory = WordMemory::new();
        for word in (1..100_000_u64).map(|n| n * 8 + 1) {
            *memory.place_of(word).unwrap() = word;
            assert_eq!(memory.place_of(word), None);
        }
        let n_kept = (1..100_000_u64).filter(|n| memory.place_of(n * 8 + 1).is_none()).count();
        assert_eq!(n_kept, REMEMBERED);
    }
}
