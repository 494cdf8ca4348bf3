//! `ScopeInfo`: the name of a compiled function and where in its script it lies. Knows nothing of its variables but how to skip them.
//!
//! Order of the parts: V8 `src/objects/scope-info.tq`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::object::{Heap, Tagged, word_in};

/// `kScopeInfoMaxInlinedLocalNamesSize`: from here on names are in a hash table, of which there is one word.
const INLINED_LOCALS_MAX: u64 = 75;

/// Context slots of one function; more would be a misread object.
const LOCALS_MAX: u64 = 1 << 16;

/// Bits of the flags word (`scope-info.tq`, `ScopeFlags`), the same in V8 10 to 14.
const HAS_SAVED_CLASS_VARIABLE: u32 = 1 << 10;
const FUNCTION_VARIABLE: u32 = 3 << 12;
const HAS_INFERRED_NAME: u32 = 1 << 14;

/// What a scope says of its function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeFacts {
    /// As written, or as V8 inferred it; `None` for an anonymous function.
    pub name: Option<String>,
    /// First position of the function in its script, and the one behind its last; `None` if not known.
    pub range: Option<(u32, u32)>,
}

/// Words behind the locals, of which few scopes have all: saved class variable, function variable (2), inferred name, position (2).
const TAIL_WORDS: usize = 6;

impl<M: ReadMemory> Heap<'_, M> {
    /// `None` also if the name cannot be read now, as while V8 moves it: it would pass for an anonymous function.
    pub fn scope_facts(&self, scope: Avma) -> Option<ScopeFacts> {
        let layout = self.layout;
        let flags = if layout.scope_flags_are_smi == 1 {
            self.smi(scope, layout.scope_flags)?.cast_unsigned()
        } else {
            self.u32(scope, layout.scope_flags)?
        };
        let offset_of_word = |word: u64| word.checked_mul(8)?.checked_add(8);
        let n_locals = self.smi(scope, offset_of_word(layout.scope_n_locals)?)?;
        let n_locals = u64::try_from(n_locals).ok().filter(|n| *n < LOCALS_MAX)?;
        let n_names = if n_locals < INLINED_LOCALS_MAX { n_locals } else { 1 };
        // A word of information for each local follows the names.
        let tail =
            offset_of_word(layout.scope_first_local.checked_add(n_names)?.checked_add(n_locals)?)?;
        let bytes = self.start_of(scope.checked_add(tail)?, TAIL_WORDS.checked_mul(8)?)?;
        let mut at = 0_usize;
        let mut next = || {
            let word = word_in(&bytes, at);
            at = at.saturating_add(8);
            word.map(Tagged)
        };
        if flags & HAS_SAVED_CLASS_VARIABLE != 0 {
            next()?;
        }
        let mut name = None;
        if flags & FUNCTION_VARIABLE != 0 {
            name = self.optional_name(next()?)?;
            next()?;
        }
        if flags & HAS_INFERRED_NAME != 0 {
            let inferred = next()?;
            if name.is_none() {
                name = self.optional_name(inferred)?;
            }
        }
        let (start, end) = if layout.scope_position == crate::v8::Layout::MISSING {
            (next().and_then(Tagged::as_smi), next().and_then(Tagged::as_smi))
        } else {
            let start = layout.scope_position;
            (self.smi(scope, start), self.smi(scope, start.checked_add(8)?))
        };
        let range = start
            .zip(end)
            .and_then(|(start, end)| Some((u32::try_from(start).ok()?, u32::try_from(end).ok()?)))
            .filter(|(start, end)| start <= end);
        Some(ScopeFacts { name, range })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MemoryError;
    use crate::v8::metadata::Layout;

    const PAGE: u64 = 0x5000;
    const PAGE_BYTES: u64 = 4_096;

    /// A page of memory, and nothing behind it.
    struct Page(Vec<u8>);

    impl ReadMemory for Page {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let at = usize::try_from(address.0.checked_sub(PAGE).unwrap()).unwrap();
            let bytes = self.0.get(at..).and_then(|rest| rest.get(..out.len()));
            out.copy_from_slice(bytes.ok_or(MemoryError::Unmapped(address))?);
            Ok(())
        }
    }

    /// Of evaluated code: no locals, no name, positions 3 and 60.
    #[test]
    fn a_scope_at_the_end_of_memory_is_read() {
        let words: [u64; 5] = [1, 0, 0, 3 << 32, 60 << 32];
        let layout = Layout {
            scope_flags: 8,
            scope_n_locals: 1,
            scope_first_local: 2,
            scope_position: Layout::MISSING,
            ..Layout::default()
        };
        for n_behind in [0, 1, 8] {
            let words = [&words[..], &vec![0; n_behind]].concat();
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            let n_before = usize::try_from(PAGE_BYTES).unwrap().checked_sub(bytes.len()).unwrap();
            let page = Page([vec![0; n_before], bytes].concat());
            let start = Avma(PAGE).checked_add(n_before as u64).unwrap();
            let facts = Heap::new(&page, &layout).scope_facts(start);
            assert_eq!(facts, Some(ScopeFacts { name: None, range: Some((3, 60)) }), "{n_behind}");
        }
    }
}
