//! Retained sizes against their definition: what marking no longer reaches when the objects asked about are gone.

use proptest::prelude::*;

use crate::base::Bytes;
use crate::event::census::Retained;
use crate::v8::census::buffer::Buffers;
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::fake::FakeHeap;
use crate::v8::census::mark::{HeapView, Marks};
use crate::v8::census::retained::limits::Budget;
use crate::v8::census::retained::{Outcome, ask, owner};
use crate::v8::census::roots::{Root, RootKind};
use crate::v8::census::walk::Walk;

const STORE: u64 = 0x7000_0000;

/// Words of an object's references.
const N_SLOTS: usize = 4;

/// Entries of a weak map.
const N_PAIRS: usize = 3;

const fn root(word: u64) -> Root {
    Root { kind: RootKind::GlobalHandle, isolate: 0, word, is_in_heap: false }
}

/// What is alive of a heap, with its size.
struct Live {
    heap: Bytes,
    stores: Vec<(u64, u64)>,
}

fn with_view<T>(fake: &FakeHeap, heap: &HeapCopy, then: impl FnOnce(HeapView<'_>) -> T) -> T {
    let walk = Walk::take(heap, &fake.layout);
    let ephemeron_kind = walk.ephemeron_kind(heap, &fake.layout);
    then(HeapView { heap, walk: &walk, layout: &fake.layout, ephemeron_kind })
}

fn live(fake: &FakeHeap, roots: &[Root]) -> Live {
    with_view(fake, &fake.copy(), |view| {
        let marks = Marks::take(view, roots);
        let is_live = |index: &usize| marks.is_marked(view.walk, *index);
        let size = |index| {
            let end = view.end_of(index, view.facts(index).unwrap());
            (end - index) as u64 * 8
        };
        let heap = Bytes(view.walk.starts.ones().filter(is_live).map(size).sum());
        let buffers = Buffers::read(view, fake).buffers;
        let mut stores: Vec<(u64, u64)> = buffers
            .iter()
            .filter(|it| is_live(&it.index))
            .map(|it| (it.store.0, it.byte_length.0))
            .collect();
        stores.sort_unstable();
        stores.dedup();
        Live { heap, stores }
    })
}

/// By the definition: without these objects.
fn naive(fake: &mut FakeHeap, roots: &[Root], gone: &[u64]) -> Retained {
    let before = live(fake, roots);
    let words = fake.words.clone();
    for word in &mut fake.words {
        if gone.contains(word) {
            *word = 0;
        }
    }
    let roots: Vec<Root> = roots.iter().copied().filter(|it| !gone.contains(&it.word)).collect();
    let after = live(fake, &roots);
    fake.words = words;
    let dead = before.stores.iter().filter(|store| !after.stores.contains(store));
    Retained {
        heap: Bytes(before.heap.0 - after.heap.0),
        off_heap: Bytes(dead.map(|(_, size)| size).sum()),
    }
}

fn retained(fake: &FakeHeap, roots: &[Root], questions: &[Vec<u64>]) -> Vec<Option<Retained>> {
    retained_within(Budget::new(0, 0), fake, roots, questions)
}

fn retained_within(
    budget: Budget,
    fake: &FakeHeap,
    roots: &[Root],
    questions: &[Vec<u64>],
) -> Vec<Option<Retained>> {
    let copy = fake.copy();
    with_view(fake, &copy, |view| {
        let marks = Marks::take(view, roots);
        let buffers = Buffers::read(view, fake);
        let index = |word: &u64| view.object(*word).unwrap() as u32;
        let questions: Vec<Vec<u32>> =
            questions.iter().map(|words| words.iter().map(index).collect()).collect();
        let questions: Vec<&[u32]> = questions.iter().map(Vec::as_slice).collect();
        let outcome = ask(view, marks, budget, &buffers.buffers, &questions);
        assert_eq!(outcome.gap, None);
        outcome.answers
    })
}

fn heap_of(answer: Option<Retained>) -> u64 {
    answer.unwrap().heap.0
}

/// Objects whose references are set later.
struct Graph {
    fake: FakeHeap,
    objects: Vec<u64>,
    maps: Vec<u64>,
}

impl Graph {
    fn new(n_objects: usize, n_maps: usize, stores: &[usize]) -> Self {
        let mut fake = FakeHeap::new();
        let kind = fake.layout.type_js_array;
        let table = fake.layout.type_ephemeron_table;
        let mut objects: Vec<u64> =
            (0..n_objects).map(|_| fake.object(kind, &[0; N_SLOTS])).collect();
        // Several buffers may have one store.
        for store in stores {
            let store = *store as u64;
            objects.push(fake.buffer(STORE + store * 0x1000, 100 + store));
        }
        let maps: Vec<u64> =
            (0..n_maps).map(|_| fake.array(table, &[0; 3 + 2 * N_PAIRS])).collect();
        objects.extend(&maps);
        Self { fake, objects, maps }
    }

    fn slot(&mut self, object: u64, at: usize) -> &mut u64 {
        let start = self.fake.page().start;
        &mut self.fake.words[((object - 1 - start) / 8) as usize + at]
    }

    fn refer(&mut self, from: usize, slot: usize, to: usize) {
        let to = self.objects[to % self.objects.len()];
        let from = self.objects[from];
        *self.slot(from, 1 + slot) = to;
    }

    fn pair(&mut self, map: usize, entry: usize, key: usize, value: usize) {
        let [key, value] = [key, value].map(|n| self.objects[n % self.objects.len()]);
        let map = self.maps[map];
        *self.slot(map, 5 + 2 * entry) = key;
        *self.slot(map, 6 + 2 * entry) = value;
    }
}

#[test]
fn what_two_hold_neither_retains() {
    // 0 → 1 → 3, 0 → 2 → 3 → buffer
    let mut graph = Graph::new(4, 0, &[7]);
    for (from, slot, to) in [(0, 0, 1), (0, 1, 2), (1, 0, 3), (2, 0, 3), (3, 0, 4)] {
        graph.refer(from, slot, to);
    }
    let ask_of: Vec<Vec<u64>> = [vec![0], vec![1], vec![1, 2], vec![3]]
        .iter()
        .map(|set| set.iter().map(|n| graph.objects[*n]).collect())
        .collect();
    let roots = [root(graph.objects[0])];
    let answers = retained(&graph.fake, &roots, &ask_of);
    let object = (1 + N_SLOTS as u64) * 8;
    let off_heap = |n: usize| answers[n].unwrap().off_heap;
    assert_eq!(heap_of(answers[1]), object);
    assert_eq!(heap_of(answers[2]) - heap_of(answers[3]), 2 * object);
    assert_eq!([0, 1, 2, 3].map(off_heap), [107, 0, 107, 107].map(Bytes));
    // One more reference from a root, and only the object itself is retained.
    let roots = [roots[0], root(graph.objects[4])];
    let answers = retained(&graph.fake, &roots, &ask_of);
    assert_eq!(heap_of(answers[3]), object);
    assert_eq!(answers[3].unwrap().off_heap, Bytes(0));
}

#[test]
fn a_store_dies_with_all_of_its_buffers() {
    let mut graph = Graph::new(3, 0, &[1, 1]);
    for (from, slot, to) in [(0, 0, 1), (0, 1, 2), (1, 0, 3), (2, 0, 4)] {
        graph.refer(from, slot, to);
    }
    let objects = graph.objects.clone();
    let questions = [vec![objects[1]], vec![objects[1], objects[2]], vec![objects[0]]];
    let answers = retained(&graph.fake, &[root(objects[0])], &questions);
    let off_heap = answers.iter().map(|answer| answer.unwrap().off_heap.0).collect::<Vec<_>>();
    assert_eq!(off_heap, [0, 101, 101]);
}

#[test]
fn values_of_weak_maps_die_with_their_key_and_with_the_map() {
    let mut graph = Graph::new(3, 1, &[1]);
    let (key, buffer, map) = (1, 3, 4);
    graph.refer(0, 0, key);
    graph.refer(0, 1, map);
    graph.pair(0, 0, key, buffer);
    let objects = graph.objects.clone();
    let questions = [vec![objects[key]], vec![objects[map]], vec![objects[buffer]]];
    let answers = retained(&graph.fake, &[root(objects[0])], &questions);
    for answer in answers {
        assert_eq!(answer.unwrap().off_heap, Bytes(101));
    }
}

/// Every way in which the value of a weak map may be alive without what is asked about.
#[test]
fn values_of_weak_maps_live_with_others() {
    let object = (1 + N_SLOTS as u64) * 8;
    let [root_object, asked, other, key, value, between, map] = [0, 1, 2, 3, 4, 5, 6];
    let check = |references: &[(usize, usize)], questions: &[usize], expected: u64| {
        let mut graph = Graph::new(6, 1, &[]);
        let mut n_used = [0; 7];
        for (from, to) in references {
            graph.refer(*from, n_used[*from], *to);
            n_used[*from] += 1;
        }
        graph.pair(0, 0, key, value);
        let objects = graph.objects.clone();
        let roots = [root(objects[root_object]), root(objects[map])];
        let questions: Vec<Vec<u64>> = questions.iter().map(|n| vec![objects[*n]]).collect();
        let answers = retained(&graph.fake, &roots, &questions);
        assert_eq!(heap_of(answers[0]), expected, "{references:?}");
        assert_eq!(answers[0], Some(naive(&mut graph.fake, &roots, &questions[0])));
    };
    let both = [(root_object, asked), (root_object, other), (asked, key)];
    // Only what is asked about holds the key.
    check(&both, &[asked], 3 * object);
    // Something outside holds the key as well; something that is asked about in another question does.
    let with_other = [&both[..], &[(other, key)]].concat();
    check(&with_other, &[asked], object);
    check(&with_other, &[asked, other], object);
    // What was reached later than the map holds the value: from outside, and from another region.
    let with_value = [&both[..], &[(other, between), (between, value)]].concat();
    check(&with_value, &[asked], 2 * object);
    check(&with_value, &[asked, other], 2 * object);
}

/// The map and what else holds the value are below one head, the key is below another.
#[test]
fn a_value_may_be_held_from_where_its_map_is() {
    let [root_object, asked, other, key, value, between, further, map] = [0, 1, 2, 3, 4, 5, 6, 7];
    let mut graph = Graph::new(7, 1, &[]);
    let references = [
        (root_object, 0, asked),
        (root_object, 1, other),
        (asked, 0, key),
        (other, 0, map),
        (other, 1, between),
        (between, 0, further),
        (further, 0, value),
    ];
    for (from, slot, to) in references {
        graph.refer(from, slot, to);
    }
    graph.pair(0, 0, key, value);
    let objects = graph.objects.clone();
    let roots = [root(objects[root_object])];
    let questions = [vec![objects[asked]], vec![objects[other]]];
    let answers = retained(&graph.fake, &roots, &questions);
    for (answer, question) in answers.into_iter().zip(&questions) {
        assert_eq!(answer, Some(naive(&mut graph.fake, &roots, question)));
    }
}

#[test]
fn the_owner_of_a_group_is_what_all_paths_have_in_common() {
    // 0 → array → {1, 2} → {3, 4}
    let mut graph = Graph::new(5, 0, &[]);
    graph.refer(1, 0, 3);
    graph.refer(2, 0, 4);
    let objects = graph.objects.clone();
    let kind = graph.fake.layout.type_fixed_array;
    let array = graph.fake.array(kind, &[objects[1], objects[2]]);
    *graph.slot(objects[0], 1) = array;
    let copy = graph.fake.copy();
    with_view(&graph.fake, &copy, |view| {
        let marks = Marks::take(view, &[root(objects[0])]);
        let index = |word: u64| view.object(word).unwrap();
        let owner_of = |set: &[usize]| {
            let set: Vec<u32> = set.iter().map(|n| index(objects[*n]) as u32).collect();
            owner::of(view, &marks, &set)
        };
        assert_eq!(owner_of(&[3]), Some(index(objects[1])));
        assert_eq!(owner_of(&[3, 4]), Some(index(objects[0])));
        assert_eq!(owner_of(&[3, 1]), Some(index(objects[0])));
        assert_eq!(owner_of(&[0]), None);
        assert_eq!(owner_of(&[]), None);
    });
}

#[test]
fn each_limit_is_told() {
    // 0 → {1, 2} → 3, and a weak map.
    let mut graph = Graph::new(4, 1, &[]);
    for (from, slot, to) in [(0, 0, 1), (0, 1, 2), (0, 2, 4), (1, 0, 3), (2, 0, 3)] {
        graph.refer(from, slot, to);
    }
    graph.pair(0, 0, 1, 2);
    let objects = graph.objects.clone();
    let copy = graph.fake.copy();
    let n_answered = |budget: Budget, reason: &str| {
        with_view(&graph.fake, &copy, |view| {
            let marks = Marks::take(view, &[root(objects[0])]);
            let heads = [0, 1, 2].map(|n| [view.object(objects[n]).unwrap() as u32]);
            let questions = heads.each_ref().map(<[u32; 1]>::as_slice);
            let Outcome { answers, gap } = ask(view, marks, budget, &[], &questions);
            assert_eq!(answers.len(), 3);
            assert!(gap.as_deref().unwrap_or_default().contains(reason), "{gap:?}");
            answers.iter().flatten().count()
        })
    };
    let enough = Budget::new(0, 0);
    assert_eq!(n_answered(enough, ""), 3);
    assert_eq!(n_answered(Budget { heads: 2, ..enough }, "more than 2 views and holders"), 2);
    assert_eq!(n_answered(Budget { regions: 1, ..enough }, "in more than 1 places"), 1);
    assert_eq!(n_answered(Budget { heads: 0, ..enough }, "3 of 3 retained sizes"), 0);
    assert_eq!(n_answered(Budget { pairs: 0, ..enough }, "weak maps"), 0);
    assert_eq!(n_answered(Budget { crossings: 1, ..enough }, "more than 1 references"), 0);
    for objects_left in 0..12 {
        n_answered(Budget { objects_left, ..enough }, "would have to be looked at");
    }
}

proptest! {
    #[test]
    fn it_is_what_marking_does_not_reach_any_more(
        n_objects in 1_usize..20,
        n_maps in 0_usize..3,
        stores in proptest::collection::vec(0_usize..3, 0..4),
        references in proptest::collection::vec((any::<usize>(), 0..N_SLOTS, any::<usize>()), 0..50),
        pairs in proptest::collection::vec((any::<usize>(), 0..N_PAIRS, any::<usize>(), any::<usize>()), 0..9),
        roots in proptest::collection::vec(any::<usize>(), 1..4),
        questions in proptest::collection::vec(proptest::collection::vec(any::<usize>(), 1..4), 1..8),
        followed in prop_oneof![0_usize..5, Just(usize::MAX)],
    ) {
        let mut graph = Graph::new(n_objects, n_maps, &stores);
        for (from, slot, to) in references {
            graph.refer(from % n_objects, slot, to);
        }
        for (map, entry, key, value) in pairs {
            if n_maps > 0 {
                graph.pair(map % n_maps, entry, key, value);
            }
        }
        let Graph { mut fake, objects, .. } = graph;
        let object = |n: &usize| objects[n % objects.len()];
        let roots: Vec<Root> = roots.iter().map(|n| root(object(n))).collect();
        let questions: Vec<Vec<u64>> =
            questions.iter().map(|set| set.iter().map(object).collect()).collect();
        let budget = Budget { followed, ..Budget::new(0, 0) };
        let answers = retained_within(budget, &fake, &roots, &questions);
        for (question, answer) in questions.iter().zip(answers) {
            let expected = naive(&mut fake, &roots, question);
            prop_assert_eq!(answer.unwrap_or_default(), expected);
        }
    }
}
