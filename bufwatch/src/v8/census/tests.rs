//! Walk, marking, buffers and paths together, on heaps made by hand, and on the same with damaged words.

use proptest::prelude::*;

use crate::base::Bytes;
use crate::event::census::Parent;
use crate::v8::census::buffer::Buffers;
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::fake::FakeHeap;
use crate::v8::census::mark::{HeapView, Marks};
use crate::v8::census::parent::{Assembly, groups};
use crate::v8::census::retained;
use crate::v8::census::roots::{Root, RootKind, Roots};
use crate::v8::census::take::{Detail, Moment, Refusal, analyse};
use crate::v8::census::walk::Walk;

const STORE: u64 = 0x7000_0000;

const DETAIL: Detail = Detail { n_parents: usize::MAX, n_views: 100, min_size: Bytes(0) };

const fn root(word: u64) -> Root {
    Root { kind: RootKind::GlobalHandle, isolate: 0, word, is_in_heap: false }
}

/// The whole way but the self-test, which a heap made by hand is too small for.
fn parents_of(fake: &FakeHeap, heap: &HeapCopy, roots: &[Root]) -> Vec<Parent> {
    let walk = Walk::take(heap, &fake.layout);
    let ephemeron_kind = walk.ephemeron_kind(heap, &fake.layout);
    let view = HeapView { heap, walk: &walk, layout: &fake.layout, ephemeron_kind };
    let marks = Marks::take(view, roots);
    let buffers = Buffers::read(view, fake);
    let is_live = |index| marks.is_marked(&walk, index);
    let live: Vec<bool> = buffers.buffers.iter().map(|it| is_live(it.index)).collect();
    let views: Vec<_> = buffers.views.iter().filter(|it| is_live(it.index)).copied().collect();
    let isolates = &[];
    let parents = {
        let (buffers, marks) = (&buffers, &marks);
        let assembly = Assembly { view, marks, buffers, stores: &[], detail: DETAIL, isolates };
        assembly.parents(&live, &views)
    };
    let n_grouped: u64 = groups(&parents).iter().map(|(group, _)| group.n_parents).sum();
    assert!(n_grouped <= parents.len() as u64);
    let (parents, _, _) = retained::fill(view, marks, &buffers.buffers, parents);
    parents
}

/// An array that holds the first of two views of one buffer; a third buffer nobody holds.
fn pinned() -> (FakeHeap, u64) {
    let mut fake = FakeHeap::new();
    let kind = fake.layout.type_fixed_array;
    let buffer = fake.buffer(STORE, 1_000);
    let kept = fake.view(buffer, STORE, 10, 16);
    let _dropped = fake.view(buffer, STORE, 100, 50);
    let garbage = fake.buffer(STORE + 0x10_000, 2_000);
    let _of_garbage = fake.view(garbage, STORE + 0x10_000, 0, 8);
    let array = fake.array(kind, &[kept, 7 << 32]);
    (fake, array)
}

#[test]
fn a_buffer_that_is_being_made_has_no_store() {
    let (mut fake, array) = pinned();
    let undefined = 0x2a3c_6c1c_0069;
    let kind = fake.layout.type_array_buffer;
    let blank = fake.object(kind, &[undefined; 9]);
    // As `Setup` begins: only the flags are written.
    let u = undefined;
    let begun = fake.object(kind, &[u, u, u, u, u, u, u, u, 2]);
    // As `Attach` leaves it before it makes the extension.
    let attached = fake.object(kind, &[0, 0, 0, 0, 100, 100, STORE + 0x20_000, 0, 2]);
    let roots = [array, blank, begun, attached].map(root);
    let parents = parents_of(&fake, &fake.copy(), &roots);
    let sizes: Vec<Bytes> = parents.iter().map(|parent| parent.size).collect();
    assert_eq!(sizes, [Bytes(1_000)]);
}

#[test]
fn what_a_root_leads_to_is_alive_and_nothing_else() {
    let (fake, array) = pinned();
    let parents = parents_of(&fake, &fake.copy(), &[root(array)]);
    assert_eq!(parents.len(), 1);
    let parent = &parents[0];
    assert_eq!((parent.size, parent.n_views, parent.covered), (Bytes(1_000), 1, Bytes(16)));
    assert_eq!((parent.views[0].offset, parent.views[0].length), (10, Bytes(16)));
    assert_eq!(parent.holders[0].path, ["held natively"]);
    assert!(parents_of(&fake, &fake.copy(), &[]).is_empty());
}

/// What was in free space before is no part of an object whose size nobody knows.
#[test]
fn free_space_ends_an_object() {
    let (mut fake, array) = pinned();
    let kind = fake.layout.type_scope_info;
    let scope = fake.map(kind, 0);
    let free = fake.map(fake.layout.type_free_space, 0);
    let object = fake.page().area_end | 1;
    // Free space of three words: map, size, and what is left of an object.
    fake.words.extend([scope, 0, free, 3 << 32, array]);
    assert_eq!(parents_of(&fake, &fake.copy(), &[root(array)]).len(), 1);
    assert!(parents_of(&fake, &fake.copy(), &[root(object)]).is_empty());
}

#[test]
fn weak_references_hold_nothing() {
    let (mut fake, array) = pinned();
    let kind = fake.layout.type_fixed_array;
    let weak = fake.array(kind, &[array | 2]);
    assert!(parents_of(&fake, &fake.copy(), &[root(weak)]).is_empty());
    let (mut fake, array) = pinned();
    let kind = fake.layout.type_weak_ref;
    let weak = fake.object(kind, &[0, 0, array]);
    assert!(parents_of(&fake, &fake.copy(), &[root(weak)]).is_empty());
}

/// Values of a weak map live with their keys, also along a chain that is longer than any stack is deep.
#[test]
fn ephemerons_live_with_their_keys() {
    const N: usize = 2_000;
    let (mut fake, array) = pinned();
    let object = fake.layout.type_js_array;
    let keys: Vec<u64> = (0..N).map(|_| fake.object(object, &[0])).collect();
    let mut entries = vec![0, 0, 0];
    for pair in keys.windows(2) {
        entries.extend(pair);
    }
    entries.extend([keys[N - 1], array]);
    let kind = fake.layout.type_ephemeron_table;
    let table = fake.array(kind, &entries);
    assert!(parents_of(&fake, &fake.copy(), &[root(table)]).is_empty());
    assert_eq!(parents_of(&fake, &fake.copy(), &[root(table), root(keys[0])]).len(), 1);
    assert_eq!(parents_of(&fake, &fake.copy(), &[root(keys[0]), root(table)]).len(), 1);
}

#[test]
fn a_view_that_contradicts_its_buffer_is_none() {
    let mut fake = FakeHeap::new();
    let buffer = fake.buffer(STORE, 1_000);
    let good = fake.view(buffer, STORE, 0, 1_000);
    let too_long = fake.view(buffer, STORE, 1, 1_000);
    let elsewhere = fake.view(buffer, STORE + 8, 0, 16);
    let roots = [root(good), root(too_long), root(elsewhere)];
    let parents = parents_of(&fake, &fake.copy(), &roots);
    assert_eq!((parents.len(), parents[0].n_views), (1, 1));
}

#[test]
fn views_over_the_same_bytes_are_seen() {
    let mut fake = FakeHeap::new();
    let buffer = fake.buffer(STORE, 1_000);
    let roots = [(0, 100), (50, 100), (400, 10)]
        .map(|(offset, length)| root(fake.view(buffer, STORE, offset, length)));
    let parents = parents_of(&fake, &fake.copy(), &roots);
    let parent = &parents[0];
    assert_eq!((parent.views_bytes, parent.covered), (Bytes(210), Bytes(160)));
    assert!(parent.has_overlaps && !parent.has_aliases);
}

#[test]
fn a_buffer_that_is_held_beside_its_views_is_told_from_one_that_is_not() {
    let mut fake = FakeHeap::new();
    let buffer = fake.buffer(STORE, 1_000);
    let view = root(fake.view(buffer, STORE, 0, 100));
    let is_held = |roots: &[Root]| {
        let parents = parents_of(&fake, &fake.copy(), roots);
        (parents[0].n_views, parents[0].is_held_itself)
    };
    assert_eq!(is_held(&[view]), (1, false));
    assert_eq!(is_held(&[view, root(buffer)]), (1, true));
    assert_eq!(is_held(&[root(buffer)]), (0, true));
}

#[test]
fn a_heap_without_known_objects_is_refused() {
    let (fake, array) = pinned();
    let roots = Roots { words: vec![root(array)], ..Roots::default() };
    let moment = Moment { heap: fake.copy(), roots, isolates: Vec::new() };
    let result = analyse(&moment, &fake.layout, None, DETAIL, &fake, None);
    assert!(matches!(result, Err(Refusal::NoMaps { .. })), "{result:?}");
}

proptest! {
    /// Any words in place of any others: no panic, no endless walk, no more parents than buffers.
    #[test]
    fn damaged_heaps_are_survived(
        changes in proptest::collection::vec((0_usize..400, 0_u8..4, any::<u64>()), 0..60),
    ) {
        let (mut fake, array) = pinned();
        let table = fake.layout.type_ephemeron_table;
        let entries = fake.array(table, &[0, 0, 0, array, array]);
        let map = fake.layout.type_weak_map;
        let weak = fake.object(map, &[0, 0, entries]);
        let n_words = fake.words.len();
        for (at, how, value) in changes {
            let at = at % n_words;
            fake.words[at] = match how {
                0 => value,
                // A pointer into the heap.
                1 => 0x12_3400_0001 + value % (n_words as u64) * 8,
                2 => fake.words[value as usize % n_words],
                _ => fake.words[at] ^ 1 << (value % 64),
            };
        }
        let parents = parents_of(&fake, &fake.copy(), &[root(array), root(weak)]);
        prop_assert!(parents.len() <= n_words);
    }
}
