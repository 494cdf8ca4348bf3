//! Traced handles (`v8::TracedReference`): what a C++ object that V8's collector manages refers to. Such a handle holds nothing by itself;
//! it is alive as long as the C++ object, and that as long as the JavaScript object that wraps it. Node 24 and 26 keep contexts of `vm` so,
//! earlier versions use none.
//!
//! Layouts: V8 src/handles/traced-handles.h (`TracedNodeBlock`, `TracedNode`), src/heap/cppgc/heap-object-header.h; measured on V8
//! 13.6 and 14.6.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Avma, FastMap, ReadMemory};
use crate::v8::census::mark::{HeapView, Marks};
use crate::v8::census::roots::{Collector, Root, RootKind, Roots, read_first_words, read_words};
use crate::v8::page::is_pointer;

/// `TracedNodeBlock`: two links of the list of all blocks, four of others, `TracedHandles*`, counts, and behind another word the nodes.
const BLOCK_NEXT: usize = 1;
const BLOCK_HANDLES: usize = 6;
const BLOCK_COUNTS: usize = 7;
const BLOCK_NODES: u64 = 72;
const NODE_BYTES: u64 = 16;
const BLOCKS_MAX: usize = 4_096;

/// `TracedNode::flags`: the lowest bit of the byte at 12.
const NODE_IN_USE: u64 = 1 << 32;

/// Words of a JavaScript object that may be the pointer to its C++ object; an object at the end of V8's last page has fewer.
const WRAPPER_WORDS: u64 = 12;

/// Largest C++ object that is searched for handles.
const OBJECT_BYTES_MAX: u64 = 4_096;

/// How often marking is done anew, since what a handle holds may wrap another C++ object.
const ROUNDS_MAX: usize = 8;

/// A handle that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedHandle {
    /// The object that it refers to.
    pub word: u64,
    /// The JavaScript object that wraps its C++ object; `None` if it was not found.
    pub owner: Option<u64>,
}

impl<M: ReadMemory> Collector<'_, M> {
    /// All traced handles of the isolate, with their owners.
    pub(super) fn traced_handles(&self) -> Vec<TracedHandle> {
        // `TracedHandles` is part of the isolate and begins with the list of its blocks, which refer back to it.
        let first = (0_u64..).zip(&self.words).find_map(|(n, word)| {
            let handles = self.place.isolate.0.checked_add(n.checked_mul(8)?)?;
            let pointee = self.pointees.binary_search_by_key(word, |(at, _)| at.0).ok()?;
            let (_, words) = self.pointees.get(pointee)?;
            (words.get(BLOCK_HANDLES) == Some(&handles)).then_some((*word, handles))
        });
        let Some((first, handles)) = first else { return Vec::new() };
        let mut nodes: BTreeMap<u64, u64> = BTreeMap::new();
        let mut at = first;
        for _ in 0..BLOCKS_MAX {
            let Some(next) = self.traced_block(at, handles, &mut nodes) else { break };
            at = next;
        }
        let mut owners: FastMap<u64, u64> = FastMap::default();
        for wrapper in nodes.values() {
            for node in self.handles_of(*wrapper, &nodes) {
                owners.insert(node, *wrapper);
            }
        }
        let mut traced: Vec<TracedHandle> = nodes
            .iter()
            .map(|(node, word)| TracedHandle { word: *word, owner: owners.get(node).copied() })
            .collect();
        traced.sort_unstable_by_key(|handle| (handle.word, handle.owner));
        traced
    }

    /// Notes the nodes in use by their addresses.
    fn traced_block(&self, at: u64, handles: u64, nodes: &mut BTreeMap<u64, u64>) -> Option<u64> {
        is_pointer(at).then_some(())?;
        let header = read_words(self.memory, Avma(at), BLOCK_NODES);
        (header.get(BLOCK_HANDLES) == Some(&handles)).then_some(())?;
        // u16 of nodes in use, u16 of all.
        let capacity = (header.get(BLOCK_COUNTS)? >> 16) & 0xffff;
        let start = at.checked_add(BLOCK_NODES)?;
        let words = read_words(self.memory, Avma(start), capacity.checked_mul(NODE_BYTES)?);
        for (n, node) in (0_u64..).zip(words.as_chunks::<2>().0) {
            let [object, state] = *node;
            if state & NODE_IN_USE != 0 && object & 7 == 1 {
                nodes.insert(start.checked_add(n.checked_mul(NODE_BYTES)?)?, object);
            }
        }
        header.get(BLOCK_NEXT).copied()
    }

    /// Handles that are fields of the C++ object which a JavaScript object wraps.
    fn handles_of(&self, wrapper: u64, nodes: &BTreeMap<u64, u64>) -> Vec<u64> {
        let Some(at) = wrapper.checked_sub(1) else { return Vec::new() };
        let fields = read_first_words(self.memory, Avma(at), WRAPPER_WORDS.saturating_mul(8));
        let objects: BTreeSet<u64> = fields.into_iter().filter(|it| is_pointer(*it)).collect();
        let mut found = Vec::new();
        for object in objects {
            let own = self.fields_of(object).unwrap_or_default();
            let handles: Vec<u64> =
                own.into_iter().filter(|field| nodes.contains_key(field)).collect();
            // Its first handle is the one back to its wrapper (`node::CppgcMixin`).
            if handles.iter().any(|node| nodes.get(node) == Some(&wrapper)) {
                found.extend(handles);
            }
        }
        found
    }

    /// Of an object of cppgc, whose header, right before it, says its size in words in the upper bits.
    fn fields_of(&self, object: u64) -> Option<Vec<u64>> {
        let header = self.memory.read_u64(Avma(object.checked_sub(8)?)).ok()?;
        let n_bytes = (header >> 49).checked_mul(8)?.checked_sub(8)?;
        (n_bytes <= OBJECT_BYTES_MAX).then(|| read_words(self.memory, Avma(object), n_bytes))
    }
}

/// Marks what is alive, also through traced handles; with the number of handles that could not be followed and on which it depends what
/// array buffers are alive. V8 frees the handle of a dead young wrapper with it, those beside it only when the C++ object is swept: of
/// `vm.Script` they refer to a compiled script, which no answer rests on.
pub(super) fn mark(view: HeapView<'_>, roots: &Roots) -> (Marks, usize) {
    let mut words = roots.words.clone();
    let mut marks = Marks::take(view, &words);
    let is_alive = |marks: &Marks, word: u64| {
        view.object(word).is_some_and(|object| marks.is_marked(view.walk, object))
    };
    // Next to nothing is held so alone: marking again costs only where something is.
    for _ in 0..ROUNDS_MAX {
        let held = roots.traced.iter().filter(|handle| {
            handle.owner.is_some_and(|owner| is_alive(&marks, owner))
                && view.object(handle.word).is_some()
                && !is_alive(&marks, handle.word)
        });
        let held: Vec<Root> = held.map(root).collect();
        if held.is_empty() {
            break;
        }
        words.extend(held);
        marks = Marks::take(view, &words);
    }
    let unknown = roots.traced.iter().filter(|handle| {
        handle.owner.is_none()
            && view.object(handle.word).is_some()
            && !is_alive(&marks, handle.word)
    });
    let unknown: Vec<Root> = unknown.map(root).collect();
    if unknown.is_empty() {
        return (marks, 0);
    }
    let n_unknown = unknown.len();
    words.extend(unknown);
    let at_most = Marks::take(view, &words);
    let walk = view.walk;
    let mut asked = walk.buffers.iter().chain(&walk.views);
    let depends = asked.any(|it| at_most.is_marked(walk, *it) != marks.is_marked(walk, *it));
    (marks, if depends { n_unknown } else { 0 })
}

const fn root(handle: &TracedHandle) -> Root {
    Root { kind: RootKind::TracedHandle, isolate: 0, word: handle.word, is_in_heap: false }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v8::census::fake::{FakeHeap, FakeMemory};
    use crate::v8::census::roots::{IsolatePlace, RootFacts};
    use crate::v8::census::walk::Walk;

    const ISOLATE: u64 = 0x50_0000;
    const HEAP: u64 = ISOLATE + 0x9000;
    const HANDLES: u64 = ISOLATE + 0x100;
    const BLOCK: u64 = 0x60_0000;
    const OWNER: u64 = 0x70_0000;
    const WRAPPER: u64 = 0x1234_0000_0001;
    const HELD: u64 = 0x1234_0000_0101;
    const NOBODYS: u64 = 0x1234_0000_0201;

    fn collect(memory: &FakeMemory) -> Vec<TracedHandle> {
        let places = [IsolatePlace { heap: Avma(HEAP), isolate: Avma(ISOLATE) }];
        Roots::collect(memory, &RootFacts::default(), &places, &[]).traced
    }

    #[test]
    fn the_last_object_of_memory_has_an_owner_too() {
        const LAST: u64 = 0x1234_0000_2000 - 5 * 8;
        let mut memory = process();
        memory.fill(BLOCK + BLOCK_NODES, &[LAST + 1]);
        memory.fill(LAST, &[0x99, 0, 0, OWNER, OWNER]);
        let owner = Some(LAST + 1);
        assert!(collect(&memory).contains(&TracedHandle { word: HELD, owner }));
    }

    /// A block with a wrapper's handle, one more of the same owner, a free one, and one of nobody known.
    fn process() -> FakeMemory {
        let mut memory = FakeMemory::default();
        memory.fill(ISOLATE - 8, &[0x9809]);
        memory.fill(ISOLATE, &vec![0; 0x1300]);
        memory.fill(HANDLES, &[BLOCK, 1]);
        memory.fill(BLOCK, &[HANDLES, 0, HANDLES + 16, 0, 0, 0, HANDLES, 3 | 4 << 16, 0]);
        let nodes = [WRAPPER, 3 << 32, HELD, 1 << 32, 0x1bef_fed7, 5, NOBODYS, 1 << 32];
        memory.fill(BLOCK + BLOCK_NODES, &nodes);
        memory.fill(WRAPPER - 1, &[0x99, 0, 0, OWNER, OWNER, 0, 0, 0, 0, 0, 0, 0]);
        // Four words, the header included, and something of another object.
        let (first, second) = (BLOCK + BLOCK_NODES, BLOCK + BLOCK_NODES + 16);
        memory.fill(OWNER - 8, &[4 << 49, 0x40_0000, first, second, second + 32]);
        memory.fill(HELD - 1, &[0; 12]);
        memory.fill(NOBODYS - 1, &[0; 12]);
        memory
    }

    #[test]
    fn a_handle_belongs_to_what_its_object_wraps() {
        let owner = Some(WRAPPER);
        let expected = [
            TracedHandle { word: WRAPPER, owner },
            TracedHandle { word: HELD, owner },
            TracedHandle { word: NOBODYS, owner: None },
        ];
        assert_eq!(collect(&process()), expected);
    }

    #[test]
    fn handles_hold_what_they_refer_to_as_long_as_their_owner_lives() {
        let mut fake = FakeHeap::new();
        let kind = fake.layout.type_fixed_array;
        let buffer = fake.buffer(0x7000_0000, 64);
        let held = fake.array(kind, &[buffer]);
        let script = fake.array(kind, &[9 << 32]);
        let wrapper = fake.array(kind, &[7 << 32]);
        let heap = fake.copy();
        let walk = Walk::take(&heap, &fake.layout);
        let view = HeapView { heap: &heap, walk: &walk, layout: &fake.layout, ephemeron_kind: 0 };
        let root =
            Root { kind: RootKind::GlobalHandle, isolate: 0, word: wrapper, is_in_heap: false };
        let lives = |roots: &[Root], held: u64, owner: Option<u64>| {
            let traced = vec![TracedHandle { word: held, owner }];
            let roots = Roots { words: roots.to_vec(), traced, ..Roots::default() };
            let (marks, n_unknown) = mark(view, &roots);
            (marks.is_marked(&walk, view.object(held).unwrap()), n_unknown)
        };
        assert_eq!(lives(&[root], held, Some(wrapper)), (true, 0));
        assert_eq!(lives(&[], held, Some(wrapper)), (false, 0));
        assert_eq!(lives(&[root], held, None), (false, 1));
        assert_eq!(lives(&[root], script, None), (false, 0), "no array buffer depends on it");
    }

    proptest! {
        #[test]
        fn any_block_is_survived(changes in proptest::collection::vec((0_u64..40, any::<u64>()), 0..20)) {
            let mut memory = process();
            for (at, word) in changes {
                memory.fill(if at < 20 { BLOCK + at * 8 } else { OWNER - 8 + (at - 20) * 8 }, &[word]);
            }
            prop_assert!(collect(&memory).len() <= 4);
        }
    }
}
