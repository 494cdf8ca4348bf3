//! What is alive: our own mark phase over a copied heap, from the roots, breadth first, so that each object's parent leads the shortest
//! way to a root. V8's own mark bits are cleared by the time anybody looks (v8-heap-census.md §3). What an object refers to is the part
//! of `references`; how all of it is followed is the part of `marker`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::v8::census::bitmap::{Bitmap, Ranks};
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::marker::{Marker, phase_of};
use crate::v8::census::roots::Root;
use crate::v8::census::sizes::{MapFacts, is_native_context};
use crate::v8::census::walk::Walk;
use crate::v8::metadata::Layout;

/// No parent: not reached.
pub(super) const UNREACHED: u32 = u32::MAX;
/// The parent is a root, whose number is in the other bits; copies are smaller than 2^31 words.
pub(super) const ROOT: u32 = 1 << 31;

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

    pub fn is_native_context(&self, kind: u64) -> bool {
        is_native_context(kind, self.layout)
    }
}

/// What marking leaves behind for those who ask what would be alive without some objects.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) ranks: Ranks,
    /// By rank: index of the object that it was reached from; above [`INDEX_MAX`] is no index.
    pub(super) parents: Vec<u32>,
    /// Words that keep something alive.
    pub(super) roots: Vec<u64>,
    /// Live tables of weak maps.
    pub(super) tables: Vec<u32>,
}

impl Tree {
    /// Largest index of a word.
    pub(super) const INDEX_MAX: u32 = (1 << 30) - 1;
    /// Of an object that is not alive.
    pub(super) const UNREACHED: u32 = UNREACHED;
}

/// The objects that are alive.
#[derive(Debug)]
pub struct Marks {
    pub(super) ranks: Ranks,
    /// By rank: index of the parent, or [`ROOT`] and the number of a root.
    pub(super) parents: Vec<u32>,
    pub(super) roots: Vec<Root>,
    /// Array buffers that nothing but views refers to.
    pub(super) only_by_views: Bitmap,
    pub(super) tables: Vec<u32>,
    pub n_marked: u64,
}

impl Marks {
    pub fn take(view: HeapView<'_>, roots: &[Root]) -> Self {
        let room = view.heap.room();
        let ranks = view.walk.starts.ranks_in(room);
        let mut parents = room.numbers(ranks.n());
        parents.fill(UNREACHED);
        let only_by_views = Bitmap::new(view.heap.n_words());
        let marks = Self {
            ranks,
            parents,
            roots: roots.to_vec(),
            only_by_views,
            tables: Vec::new(),
            n_marked: 0,
        };
        Marker::new(view, marks).run()
    }

    pub fn is_marked(&self, walk: &Walk, index: usize) -> bool {
        self.parent(walk, index).is_some()
    }

    /// A live array buffer is referred to by something besides its views: whoever that is can reach all of its bytes.
    pub fn is_held_itself(&self, walk: &Walk, buffer: usize) -> bool {
        self.is_marked(walk, buffer) && !self.only_by_views.has(buffer)
    }

    pub(super) fn into_tree(self, view: HeapView<'_>) -> Tree {
        let are_strong = self.roots.iter().filter(|root| phase_of(view, root).is_some());
        let roots = are_strong.map(|root| root.word).collect();
        Tree { ranks: self.ranks, parents: self.parents, roots, tables: self.tables }
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
