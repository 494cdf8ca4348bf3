//! What is alive: our own mark phase over a copied heap, from the roots, breadth first, so that each object's parent leads the shortest
//! way to a root. V8's own mark bits are cleared by the time anybody looks (v8-heap-census.md §3). What an object refers to is the part
//! of `references`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::FastMap;
use crate::v8::census::bitmap::{Bitmap, Ranks};
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::references::Visitor;
use crate::v8::census::roots::{Root, RootKind};
use crate::v8::census::sizes::{MapFacts, is_native_context};
use crate::v8::census::walk::Walk;
use crate::v8::metadata::Layout;

/// No parent: not reached.
const UNREACHED: u32 = u32::MAX;
/// The parent is a root, whose number is in the other bits; copies are smaller than 2^31 words.
const ROOT: u32 = 1 << 31;

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
    ranks: Ranks,
    /// By rank: index of the parent, or [`ROOT`] and the number of a root.
    parents: Vec<u32>,
    roots: Vec<Root>,
    /// Array buffers that nothing but views refers to.
    only_by_views: Bitmap,
    tables: Vec<u32>,
    pub n_marked: u64,
}

impl Marks {
    pub fn take(view: HeapView<'_>, roots: &[Root]) -> Self {
        let ranks = view.walk.starts.ranks();
        let parents = vec![UNREACHED; ranks.n()];
        let only_by_views = Bitmap::new(view.heap.n_words());
        let marks = Self {
            ranks,
            parents,
            roots: roots.to_vec(),
            only_by_views,
            tables: Vec::new(),
            n_marked: 0,
        };
        let mut marker = Marker {
            view,
            marks,
            found: Vec::new(),
            views: Vec::new(),
            waiting: Waiting::default(),
        };
        marker.run();
        marker.marks
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

/// Values of weak maps whose keys have not been reached yet.
#[derive(Debug, Default)]
struct Waiting {
    keys: Bitmap,
    values: FastMap<usize, Vec<(u64, usize)>>,
    /// Values whose keys have been reached, with their tables.
    due: Vec<(u64, usize)>,
}

/// When a root's turn comes; `None` for one that keeps nothing alive.
fn phase_of(view: HeapView<'_>, root: &Root) -> Option<u8> {
    let kind = view.object(root.word).and_then(|object| view.kind(object));
    let is_context = kind.is_some_and(|kind| view.is_native_context(kind));
    match root.kind {
        // The list of all native contexts, dead ones included, hangs on the isolate's heap, and is weak.
        RootKind::Isolate if is_context && root.is_in_heap => None,
        RootKind::Isolate | RootKind::GlobalHandle if is_context => Some(0),
        RootKind::Isolate
        | RootKind::GlobalHandle
        | RootKind::TracedHandle
        | RootKind::EternalHandle => Some(1),
        RootKind::Microtask | RootKind::HandleScope => Some(2),
        RootKind::Stack | RootKind::Register => Some(3),
    }
}

struct Marker<'a> {
    view: HeapView<'a>,
    marks: Marks,
    /// Reached, and not yet looked into.
    found: Vec<u32>,
    /// Views looked into, whose buffers have not been reached from them yet.
    views: Vec<u32>,
    waiting: Waiting,
}

impl Marker<'_> {
    /// Roots that say most about who holds an object come first: what hangs on a global object is named by it, also when a handle or a
    /// stack slot refers to it more directly.
    fn run(&mut self) {
        let roots = self.marks.roots.clone();
        let phases: Vec<Option<u8>> = roots.iter().map(|root| phase_of(self.view, root)).collect();
        for now in 0..4 {
            for (number, (root, phase)) in roots.iter().zip(&phases).enumerate() {
                if *phase == Some(now) && number < ROOT as usize {
                    self.reach(root.word, ROOT | number as u32);
                }
            }
            self.drain();
        }
        self.buffers_of_views();
    }

    /// Last of all, so that a buffer which is reached by now is known to be held by more than views.
    fn buffers_of_views(&mut self) {
        while !self.views.is_empty() {
            for view in std::mem::take(&mut self.views) {
                let offset = self.view.layout.view_buffer;
                let Some(word) = self.view.heap.word_at(view as usize, offset) else { continue };
                if let Some(buffer) = self.view.object(word)
                    && !self.marks.is_marked(self.view.walk, buffer)
                {
                    self.marks.only_by_views.insert(buffer);
                }
                self.reach(word, view);
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        let view = self.view;
        while !self.found.is_empty() || !self.waiting.due.is_empty() {
            // One level of the breadth-first search.
            for index in std::mem::take(&mut self.found) {
                let from = index as usize;
                view.visit(from, &mut Reaching { marker: self, from });
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

    /// A value lives as long as its key and the table do.
    fn reach_with_key(&mut self, table: usize, key: usize, value: u64) {
        if self.marks.tables.last() != Some(&(table as u32)) {
            self.marks.tables.push(table as u32);
        }
        if self.view.object(value).is_none() {
            return;
        }
        if self.marks.is_marked(self.view.walk, key) {
            self.reach(value, table as u32);
            return;
        }
        if self.waiting.values.is_empty() {
            self.waiting.keys = Bitmap::new(self.view.heap.n_words());
        }
        self.waiting.keys.insert(key);
        self.waiting.values.entry(key).or_default().push((value, table));
    }
}

/// What one object refers to is reached from it.
struct Reaching<'a, 'b> {
    marker: &'a mut Marker<'b>,
    from: usize,
}

impl Visitor for Reaching<'_, '_> {
    #[inline]
    fn strong(&mut self, word: u64) {
        self.marker.reach(word, self.from as u32);
    }

    fn buffer_of_view(&mut self, _word: u64) {
        self.marker.views.push(self.from as u32);
    }

    fn ephemeron(&mut self, key: usize, value: u64) {
        self.marker.reach_with_key(self.from, key, value);
    }
}
