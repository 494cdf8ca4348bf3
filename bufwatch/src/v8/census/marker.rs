//! The search behind `mark`: follows references level by level, many at a time. What is alive, and by whom, is noted in [`Marks`].
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::FastMap;
use crate::v8::census::frontier::Frontier;
use crate::v8::census::maps::MapMemory;
use crate::v8::census::mark::{HeapView, Marks, ROOT, UNREACHED};
use crate::v8::census::references::Visitor;
use crate::v8::census::roots::{Root, RootKind};
use crate::v8::census::word_memory::WordMemory;

/// Not reached, and the key of a value that waits for it. None is left at the end.
const WAITED_FOR: u32 = u32::MAX - 1;
const ROOTS_MAX: usize = (WAITED_FOR ^ ROOT) as usize;

/// Objects and words that are looked up together: each step is done for all of them before the next one, so that the processor waits
/// for many places of memory at once.
const TOGETHER: usize = 64;

/// When a root's turn comes; `None` for one that keeps nothing alive.
pub(super) fn phase_of(view: HeapView<'_>, root: &Root) -> Option<u8> {
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
        RootKind::Stack => Some(3),
    }
}

/// Values of weak maps whose keys have not been reached yet.
#[derive(Debug, Default)]
struct Waiting {
    /// By rank of the key.
    values: FastMap<usize, Vec<(u64, usize)>>,
    /// Values whose keys have been reached, with their tables.
    due: Vec<(u64, usize)>,
}

/// An object that a word points to.
#[derive(Clone, Copy, Default)]
struct Reached {
    index: usize,
    /// `usize::MAX` if no object begins there.
    rank: usize,
    parent: u32,
    old_parent: u32,
    is_read_only: bool,
}

pub(super) struct Marker<'a> {
    view: HeapView<'a>,
    marks: Marks,
    maps: MapMemory,
    /// Reached, and not yet looked into.
    found: Frontier,
    /// Views looked into, whose buffers have not been reached from them yet.
    views: Vec<u32>,
    /// Words that may point to objects, each with its holder; at most [`TOGETHER`].
    words: Vec<(u64, u32)>,
    /// Words that were in `words` before: most lead to a few objects, maps and what stands for nothing.
    remembered: WordMemory,
    /// What the words point to; kept for its room.
    reached: [Reached; TOGETHER],
    waiting: Waiting,
}

impl<'a> Marker<'a> {
    /// `marks` are those before anything was reached.
    pub(super) fn new(view: HeapView<'a>, marks: Marks) -> Self {
        Self {
            view,
            marks,
            maps: MapMemory::new(),
            found: Frontier::new(view.heap.n_words(), view.heap.room()),
            views: Vec::new(),
            words: Vec::with_capacity(TOGETHER),
            remembered: WordMemory::new(),
            reached: [Reached::default(); TOGETHER],
            waiting: Waiting::default(),
        }
    }

    /// Roots that say most about who holds an object come first: what hangs on a global object is named by it, also when a handle or a
    /// stack slot refers to it more directly.
    pub(super) fn run(mut self) -> Marks {
        let roots = self.marks.roots.clone();
        let phases: Vec<Option<u8>> = roots.iter().map(|root| phase_of(self.view, root)).collect();
        for now in 0..4 {
            for (number, (root, phase)) in roots.iter().zip(&phases).enumerate() {
                if *phase == Some(now) && number < ROOTS_MAX {
                    self.reach(root.word, ROOT | number as u32);
                }
            }
            self.drain();
        }
        self.buffers_of_views();
        // Their keys are dead.
        for rank in self.waiting.values.into_keys() {
            if let Some(entry) = self.marks.parents.get_mut(rank) {
                *entry = UNREACHED;
            }
        }
        self.marks
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
        self.reach_all();
        while !self.found.is_empty() || !self.waiting.due.is_empty() {
            // One level of the breadth-first search.
            let mut level = self.found.take();
            let mut together = [0; TOGETHER];
            loop {
                let n = level.next(&mut together);
                if n == 0 {
                    break;
                }
                self.look_into_all(together.get(..n).unwrap_or_default());
            }
            drop(level);
            for (value, table) in std::mem::take(&mut self.waiting.due) {
                self.reach(value, table as u32);
            }
            self.reach_all();
        }
    }

    fn look_into_all(&mut self, together: &[u32]) {
        let view = self.view;
        let mut map_words = [0_u64; TOGETHER];
        for (word, index) in map_words.iter_mut().zip(together) {
            *word = view.heap.word(*index as usize).unwrap_or(0);
        }
        let mut all_facts = [None; TOGETHER];
        for (facts, word) in all_facts.iter_mut().zip(map_words) {
            *facts = self.maps.facts_of(view.heap, word, view.layout);
        }
        let mut ends = [0_usize; TOGETHER];
        for ((end, facts), index) in ends.iter_mut().zip(all_facts).zip(together) {
            *end = facts.map_or(0, |facts| view.end_of(*index as usize, facts));
        }
        for ((index, facts), end) in together.iter().zip(all_facts).zip(ends) {
            if let Some(facts) = facts {
                let from = *index as usize;
                view.visit_known(from, facts, end, &mut Reaching { marker: self, from });
            }
        }
    }

    #[inline]
    fn reach(&mut self, word: u64, parent: u32) {
        if word & 7 != 1 {
            return;
        }
        let Some(place) = self.remembered.place_of(word) else { return };
        *place = word;
        self.words.push((word, parent));
        if self.words.len() >= TOGETHER {
            self.reach_all();
        }
    }

    /// In the order in which they came.
    fn reach_all(&mut self) {
        let (view, ranks) = (self.view, &self.marks.ranks);
        let mut places = self.reached.iter_mut();
        for (word, parent) in self.words.drain(..) {
            if let Some(place) = view.heap.place(word.wrapping_sub(1))
                && let Some(reached) = places.next()
            {
                reached.index = place.index;
                reached.is_read_only = place.is_read_only;
                reached.parent = parent;
            }
        }
        let n = TOGETHER.saturating_sub(places.len());
        let all = self.reached.get_mut(..n).unwrap_or_default();
        for reached in &mut *all {
            reached.rank = ranks.of(&view.walk.starts, reached.index).unwrap_or(usize::MAX);
        }
        for reached in &mut *all {
            reached.old_parent = self.marks.parents.get(reached.rank).copied().unwrap_or(0);
        }
        for reached in all {
            if !is_unreached(reached.old_parent) {
                continue;
            }
            let Some(entry) = self.marks.parents.get_mut(reached.rank) else { continue };
            // It may have been twice among them.
            if !is_unreached(*entry) {
                continue;
            }
            if *entry == WAITED_FOR {
                let values = self.waiting.values.remove(&reached.rank);
                self.waiting.due.extend(values.unwrap_or_default());
            }
            *entry = reached.parent;
            self.marks.n_marked = self.marks.n_marked.saturating_add(1);
            // Read-only memory refers only to itself.
            if !reached.is_read_only {
                self.found.push(reached.index);
            }
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
        let Some(rank) = self.marks.ranks.of(&self.view.walk.starts, key) else { return };
        let Some(state) = self.marks.parents.get_mut(rank) else { return };
        if is_unreached(*state) {
            *state = WAITED_FOR;
            self.waiting.values.entry(rank).or_default().push((value, table));
        } else {
            self.reach(value, table as u32);
        }
    }
}

const fn is_unreached(parent: u32) -> bool {
    parent == UNREACHED || parent == WAITED_FOR
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

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up heaps")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::v8::census::fake::FakeHeap;
    use crate::v8::census::mark::Parent;
    use crate::v8::census::walk::Walk;

    /// Arrays that refer to each other, and entries of one weak map, all by number.
    #[derive(Debug)]
    struct Graph {
        edges: Vec<Vec<usize>>,
        /// Key, value.
        pairs: Vec<(usize, usize)>,
        roots: Vec<usize>,
    }

    impl Graph {
        /// Slow and simple.
        fn alive(&self) -> BTreeSet<usize> {
            let mut alive = BTreeSet::new();
            let mut found = self.roots.clone();
            while let Some(node) = found.pop() {
                if alive.insert(node) {
                    found.extend(&self.edges[node]);
                }
                if found.is_empty() {
                    let of_live = self.pairs.iter().filter(|(key, _)| alive.contains(key));
                    found.extend(of_live.map(|(_, value)| value).filter(|it| !alive.contains(it)));
                }
            }
            alive
        }
    }

    fn graphs() -> impl Strategy<Value = Graph> {
        (1_usize..400).prop_flat_map(|n| {
            let node = 0..n;
            let edges = proptest::collection::vec(node.clone(), 0..4);
            let pairs = proptest::collection::vec((node.clone(), node.clone()), 0..60);
            (proptest::collection::vec(edges, n), pairs, proptest::collection::vec(node, 0..4))
                .prop_map(|(edges, pairs, roots)| Graph { edges, pairs, roots })
        })
    }

    proptest! {
        #[test]
        fn what_is_reachable_is_marked_and_nothing_else(graph in graphs()) {
            let mut fake = FakeHeap::new();
            let kind = fake.layout.type_fixed_array;
            let made = graph.edges.iter().map(|edges| fake.array(kind, &vec![0; edges.len()]));
            let nodes: Vec<u64> = made.collect();
            let page = fake.page();
            for (node, edges) in nodes.iter().zip(&graph.edges) {
                let first = ((node - 1 - page.start) / 8) as usize + 2;
                for (n, edge) in edges.iter().enumerate() {
                    fake.words[first + n] = nodes[*edge];
                }
            }
            let entries = graph.pairs.iter().flat_map(|(key, value)| [nodes[*key], nodes[*value]]);
            let entries: Vec<u64> = [0; 3].into_iter().chain(entries).collect();
            let table = fake.array(fake.layout.type_ephemeron_table, &entries);
            let root = |word| Root { kind: RootKind::GlobalHandle, isolate: 0, word, is_in_heap: false };
            let mut roots: Vec<Root> = graph.roots.iter().map(|it| root(nodes[*it])).collect();
            roots.push(root(table));

            let heap = fake.copy();
            let walk = Walk::take(&heap, &fake.layout);
            let ephemeron_kind = fake.layout.type_ephemeron_table;
            let view = HeapView { heap: &heap, walk: &walk, layout: &fake.layout, ephemeron_kind };
            let marks = Marks::take(view, &roots);
            let alive = graph.alive();
            let index = |node: u64| heap.find(node - 1).unwrap();
            let table = index(table);
            for (number, node) in nodes.iter().enumerate() {
                let parent = marks.parent(&walk, index(*node));
                prop_assert_eq!(parent.is_some(), alive.contains(&number), "node {}", number);
                match parent {
                    Some(Parent::Root(root)) => prop_assert_eq!(root.word, *node),
                    Some(Parent::Object(parent)) if parent == table => {
                        let of = |(key, value): &(usize, usize)| *value == number && alive.contains(key);
                        prop_assert!(graph.pairs.iter().any(of));
                    }
                    Some(Parent::Object(parent)) => {
                        let parent = nodes.iter().position(|it| index(*it) == parent).unwrap();
                        prop_assert!(graph.edges[parent].contains(&number));
                        prop_assert!(alive.contains(&parent));
                    }
                    None => {}
                }
            }
        }
    }
}
