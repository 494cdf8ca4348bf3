//! What an object of a copied heap refers to: each kind of object by its own rule, weak references left out. What follows from a reference
//! decides who asks: marking, or retained sizes.
//!
//! Strong references only: weak ones are tagged so; ephemerons, weak references, weak cells, machine code and the list of native
//! contexts have rules of their own.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::mark::HeapView;
use crate::v8::census::sizes::{MapFacts, is_context, is_raw, is_receiver};

/// `EphemeronHashTable`: header of two words, three counts, then pairs of key and value.
const EPHEMERONS_START: usize = 5;

/// Words of a code object's header that hold strong references; behind them is machine code (V8 10: `Code`, later
/// `InstructionStream`).
const CODE_HEADER_WORDS: usize = 8;

/// Is told what one object refers to.
pub(super) trait Visitor {
    /// A word that keeps alive what it points to, if it points to anything.
    fn strong(&mut self, word: u64);

    /// The array buffer of a view, a strong reference that some must tell from others.
    fn buffer_of_view(&mut self, word: u64) {
        self.strong(word);
    }

    /// A value that lives as long as its key and the object that is looked into do; the key is an object.
    fn ephemeron(&mut self, key: usize, value: u64);
}

impl HeapView<'_> {
    /// Tells all that the object at an index refers to.
    #[inline]
    pub(super) fn visit(&self, index: usize, visitor: &mut impl Visitor) {
        if let Some(facts) = self.facts(index) {
            self.visit_known(index, facts, self.end_of(index, facts), visitor);
        }
    }

    /// The same for an object of which more is known.
    #[inline]
    pub(super) fn visit_known(
        &self,
        index: usize,
        facts: MapFacts,
        end: usize,
        visitor: &mut impl Visitor,
    ) {
        let Some(map_word) = self.heap.word(index) else { return };
        visitor.strong(map_word);
        let kind = facts.kind;
        let layout = self.layout;
        if is_raw(kind, layout) {
            return;
        }
        let body = index.saturating_add(1)..end;
        if kind == self.ephemeron_kind {
            self.ephemerons(index, end, visitor);
        } else if kind == layout.type_weak_ref {
            self.words_but(body, &[layout.weak_ref_target], visitor);
        } else if kind == layout.type_weak_cell {
            // The target, and behind it the token to unregister it with.
            let target = layout.weak_cell_target;
            self.words_but(body, &[target, target.saturating_add(8)], visitor);
        } else if kind == layout.type_instructions {
            self.machine_code(index, end, visitor);
        } else if self.is_native_context(kind) {
            self.native_context(index, end, visitor);
        } else if kind == layout.type_typed_array
            || kind == layout.type_data_view
            || kind == layout.type_rab_data_view
        {
            self.words_but(body, &[layout.view_buffer], visitor);
            if let Some(word) = self.heap.word_at(index, layout.view_buffer) {
                visitor.buffer_of_view(word);
            }
        } else {
            for word in self.heap.slice(body) {
                visitor.strong(*word);
            }
        }
    }

    fn words_but(&self, body: std::ops::Range<usize>, weak: &[u64], visitor: &mut impl Visitor) {
        let mut offset = 8_u64;
        for word in self.heap.slice(body) {
            if !weak.contains(&offset) {
                visitor.strong(*word);
            }
            offset = offset.saturating_add(8);
        }
    }

    fn ephemerons(&self, table: usize, end: usize, visitor: &mut impl Visitor) {
        let entries = table.saturating_add(EPHEMERONS_START)..end;
        for pair in self.heap.slice(entries).chunks_exact(2) {
            let [key, value] = *pair else { continue };
            if let Some(key) = self.object(key) {
                visitor.ephemeron(key, value);
            }
        }
    }

    /// Embedded objects stand at any byte. Receivers, contexts, cells and maps in optimised code are weak
    /// (`Code::IsWeakObjectInOptimizedCode`): when they die the code is given up.
    fn machine_code(&self, index: usize, end: usize, visitor: &mut impl Visitor) {
        let header_end = index.saturating_add(CODE_HEADER_WORDS).min(end);
        for word in self.heap.slice(index.saturating_add(1)..header_end) {
            visitor.strong(*word);
        }
        let mut words = self.heap.slice(header_end..end).iter().copied().peekable();
        while let Some(low) = words.next() {
            let high = words.peek().copied().unwrap_or(0);
            let both = u128::from(low) | u128::from(high) << 64;
            for shift in 0..8_u32 {
                let word = (both >> shift.saturating_mul(8)) as u64;
                // Addresses of the heap are above 4 GiB and below 128 TiB.
                if word & 7 != 1 || word >> 32 == 0 || word >> 47 != 0 {
                    continue;
                }
                let kind = self.object(word).and_then(|object| self.kind(object));
                let is_strong = kind.is_some_and(|kind| {
                    !is_receiver(kind, self.layout)
                        && !is_context(kind, self.layout)
                        && kind != self.layout.type_property_cell
                        && kind != self.layout.type_map
                });
                if is_strong {
                    visitor.strong(word);
                }
            }
        }
    }

    /// The link to the next native context is weak.
    fn native_context(&self, index: usize, end: usize, visitor: &mut impl Visitor) {
        for word in self.heap.slice(index.saturating_add(1)..end) {
            let other = self.object(*word).filter(|object| *object != index);
            let is_link = other
                .and_then(|object| self.kind(object))
                .is_some_and(|kind| self.is_native_context(kind));
            if !is_link {
                visitor.strong(*word);
            }
        }
    }
}
