//! What is alive: our own mark phase over a copied heap, from the roots, breadth first, so that each object's parent leads the shortest
//! way to a root. V8's own mark bits are cleared by the time anybody looks (v8-heap-census.md §3).
//!
//! Strong references only: weak ones are tagged so; ephemerons, weak references, weak cells, machine code and the list of native
//! contexts have rules of their own.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::FastMap;
use crate::v8::census::bitmap::{Bitmap, Ranks};
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::roots::{Root, RootKind};
use crate::v8::census::sizes::{MapFacts, is_context, is_raw, is_receiver};
use crate::v8::census::walk::Walk;
use crate::v8::metadata::Layout;

/// No parent: not reached.
const UNREACHED: u32 = u32::MAX;
/// The parent is a root, whose number is in the other bits; copies are smaller than 2^31 words.
const ROOT: u32 = 1 << 31;

/// `EphemeronHashTable`: header of two words, three counts, then pairs of key and value.
const EPHEMERONS_START: usize = 5;

/// Words of a code object's header that hold strong references; behind them is machine code (V8 10: `Code`, later
/// `InstructionStream`).
const CODE_HEADER_WORDS: usize = 8;

/// Who keeps an object alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    Root(Root),
    /// Index of another object.
    Object(usize),
}

/// Everything that marking looks at.
#[derive(Clone, Copy, Debug)]
pub struct HeapView<'a> {
    pub heap: &'a HeapCopy,
    pub walk: &'a Walk,
    pub layout: &'a Layout,
    pub ephemeron_kind: u64,
}

impl HeapView<'_> {
    #[inline]
    pub fn facts(&self, index: usize) -> Option<MapFacts> {
        self.walk.facts(self.heap, index, self.layout)
    }

    pub fn kind(&self, index: usize) -> Option<u64> {
        self.facts(index).map(|facts| facts.kind)
    }

    /// The object that a word points to strongly.
    #[inline]
    pub fn object(&self, word: u64) -> Option<usize> {
        self.walk.object_at(self.heap, word)
    }

    /// The object in a field.
    pub fn field(&self, index: usize, offset: u64) -> Option<usize> {
        self.object(self.heap.word_at(index, offset)?)
    }

    pub fn end_of(&self, index: usize, map: MapFacts) -> usize {
        self.walk.end_of(self.heap, index, map, self.layout)
    }

    /// `NATIVE_CONTEXT_TYPE` is the eighth of ten kinds of contexts (src/objects/object-list-macros.h).
    pub fn is_native_context(&self, kind: u64) -> bool {
        self.layout.type_first_context.checked_add(7) == Some(kind)
    }
}

/// The objects that are alive.
#[derive(Debug)]
pub struct Marks {
    ranks: Ranks,
    /// By rank: index of the parent, or [`ROOT`] and the number of a root.
    parents: Vec<u32>,
    roots: Vec<Root>,
    pub n_marked: u64,
}

impl Marks {
    pub fn take(view: HeapView<'_>, roots: &[Root]) -> Self {
        let ranks = view.walk.starts.ranks();
        let parents = vec![UNREACHED; ranks.n()];
        let marks = Self { ranks, parents, roots: roots.to_vec(), n_marked: 0 };
        let mut marker = Marker { view, marks, found: Vec::new(), waiting: Waiting::default() };
        marker.run();
        marker.marks
    }

    pub fn is_marked(&self, walk: &Walk, index: usize) -> bool {
        self.parent(walk, index).is_some()
    }

    /// Who an object was first reached from.
    pub fn parent(&self, walk: &Walk, index: usize) -> Option<Parent> {
        let parent = *self.parents.get(self.ranks.of(&walk.starts, index)?)?;
        if parent == UNREACHED {
            None
        } else if parent & ROOT != 0 {
            self.roots.get((parent & !ROOT) as usize).copied().map(Parent::Root)
        } else {
            Some(Parent::Object(parent as usize))
        }
    }
}

/// Values of weak maps whose keys have not been reached yet.
#[derive(Debug, Default)]
struct Waiting {
    keys: Bitmap,
    values: FastMap<usize, Vec<(u64, usize)>>,
    /// Values whose keys have been reached, with their tables.
    due: Vec<(u64, usize)>,
}

struct Marker<'a> {
    view: HeapView<'a>,
    marks: Marks,
    /// Reached, and not yet looked into.
    found: Vec<u32>,
    waiting: Waiting,
}

impl Marker<'_> {
    /// Roots that say most about who holds an object come first: what hangs on a global object is named by it, also when a handle or a
    /// stack slot refers to it more directly.
    fn run(&mut self) {
        let roots = self.marks.roots.clone();
        let is_native_context = |root: &Root| {
            self.view
                .object(root.word)
                .and_then(|object| self.view.kind(object))
                .is_some_and(|kind| self.view.is_native_context(kind))
        };
        // The list of all native contexts, dead ones included, hangs on the isolate's heap, and is weak.
        let contexts: Vec<bool> = roots.iter().map(is_native_context).collect();
        let phase = |root: &Root, is_context: bool| match root.kind {
            RootKind::Isolate if is_context && root.is_in_heap => None,
            RootKind::Isolate | RootKind::GlobalHandle if is_context => Some(0),
            RootKind::Isolate | RootKind::GlobalHandle => Some(1),
            RootKind::Microtask | RootKind::HandleScope => Some(2),
            RootKind::Stack | RootKind::Register => Some(3),
        };
        for now in 0..4 {
            for (number, (root, is_context)) in roots.iter().zip(&contexts).enumerate() {
                if phase(root, *is_context) == Some(now) && number < ROOT as usize {
                    self.reach(root.word, ROOT | number as u32);
                }
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        while !self.found.is_empty() || !self.waiting.due.is_empty() {
            // One level of the breadth-first search.
            for index in std::mem::take(&mut self.found) {
                self.look_into(index as usize);
            }
            for (value, table) in std::mem::take(&mut self.waiting.due) {
                self.reach(value, table as u32);
            }
        }
    }

    #[inline]
    fn reach(&mut self, word: u64, parent: u32) {
        if word & 7 != 1 {
            return;
        }
        let Some((page, index)) = self.view.heap.locate(word.wrapping_sub(1)) else { return };
        let Some(rank) = self.marks.ranks.of(&self.view.walk.starts, index) else { return };
        let Some(entry) = self.marks.parents.get_mut(rank) else { return };
        if *entry != UNREACHED {
            return;
        }
        *entry = parent;
        self.marks.n_marked = self.marks.n_marked.saturating_add(1);
        // Read-only memory refers only to itself.
        if !page.page.is_read_only() {
            self.found.push(index as u32);
        }
        if self.waiting.keys.has(index)
            && let Some(values) = self.waiting.values.remove(&index)
        {
            self.waiting.due.extend(values);
        }
    }

    fn look_into(&mut self, index: usize) {
        let view = self.view;
        let parent = index as u32;
        let Some(map_word) = view.heap.word(index) else { return };
        let Some(facts) = view.facts(index) else { return };
        self.reach(map_word, parent);
        let kind = facts.kind;
        let layout = view.layout;
        if is_raw(kind, layout) {
            return;
        }
        let end = view.end_of(index, facts);
        let body = index.saturating_add(1);
        if kind == view.ephemeron_kind {
            self.ephemerons(index, end);
        } else if kind == layout.type_weak_ref {
            self.words_but(index, end, &[layout.weak_ref_target]);
        } else if kind == layout.type_weak_cell {
            // The target, and behind it the token to unregister it with.
            let target = layout.weak_cell_target;
            self.words_but(index, end, &[target, target.saturating_add(8)]);
        } else if kind == layout.type_instructions {
            self.machine_code(index, end);
        } else if view.is_native_context(kind) {
            self.native_context(index, end);
        } else {
            for word in view.heap.slice(body..end) {
                self.reach(*word, parent);
            }
        }
    }

    fn words_but(&mut self, index: usize, end: usize, weak: &[u64]) {
        let mut offset = 8_u64;
        for word in self.view.heap.slice(index.saturating_add(1)..end) {
            if !weak.contains(&offset) {
                self.reach(*word, index as u32);
            }
            offset = offset.saturating_add(8);
        }
    }

    /// A value lives as long as its key and the table do.
    fn ephemerons(&mut self, table: usize, end: usize) {
        let entries = table.saturating_add(EPHEMERONS_START)..end;
        for pair in self.view.heap.slice(entries).chunks_exact(2) {
            let [key, value] = *pair else { continue };
            let Some(key) = self.view.object(key) else { continue };
            if self.view.object(value).is_none() {
                continue;
            }
            if self.marks.is_marked(self.view.walk, key) {
                self.reach(value, table as u32);
                continue;
            }
            if self.waiting.values.is_empty() {
                self.waiting.keys = Bitmap::new(self.view.heap.n_words());
            }
            self.waiting.keys.insert(key);
            self.waiting.values.entry(key).or_default().push((value, table));
        }
    }

    /// Embedded objects stand at any byte. Receivers, contexts, cells and maps in optimised code are weak
    /// (`Code::IsWeakObjectInOptimizedCode`): when they die the code is given up.
    fn machine_code(&mut self, index: usize, end: usize) {
        let view = self.view;
        let header_end = index.saturating_add(CODE_HEADER_WORDS).min(end);
        for word in view.heap.slice(index.saturating_add(1)..header_end) {
            self.reach(*word, index as u32);
        }
        let mut words = view.heap.slice(header_end..end).iter().copied().peekable();
        while let Some(low) = words.next() {
            let high = words.peek().copied().unwrap_or(0);
            let both = u128::from(low) | u128::from(high) << 64;
            for shift in 0..8_u32 {
                let word = (both >> shift.saturating_mul(8)) as u64;
                // Addresses of the heap are above 4 GiB and below 128 TiB.
                if word & 7 != 1 || word >> 32 == 0 || word >> 47 != 0 {
                    continue;
                }
                let kind = view.object(word).and_then(|object| view.kind(object));
                let is_strong = kind.is_some_and(|kind| {
                    !is_receiver(kind, view.layout)
                        && !is_context(kind, view.layout)
                        && kind != view.layout.type_property_cell
                        && kind != view.layout.type_map
                });
                if is_strong {
                    self.reach(word, index as u32);
                }
            }
        }
    }

    /// The link to the next native context is weak.
    fn native_context(&mut self, index: usize, end: usize) {
        let view = self.view;
        for word in view.heap.slice(index.saturating_add(1)..end) {
            let other = view.object(*word).filter(|object| *object != index);
            let is_link = other
                .and_then(|object| view.kind(object))
                .is_some_and(|kind| view.is_native_context(kind));
            if !is_link {
                self.reach(*word, index as u32);
            }
        }
    }
}
