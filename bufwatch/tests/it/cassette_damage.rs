//! Damaged memory: cassettes whose strings contain themselves, whose lengths are huge, whose tables and code are noise. The resolver
//! neither panics nor reads without end, and what it says is well-formed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bufwatch::base::{Avma, ReadMemory as _, sanitize};
use bufwatch::symbolize::cassette::{Cassette, Image};
use bufwatch::symbolize::{BYTES_PER_FRAME_MAX, READS_PER_FRAME_MAX};
use bufwatch::v8::{Heap, Layout, Tagged};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::cassette_player::{Played, PlayedMemory, cassettes, last_image, play};

/// What strings may cost that are all wrong; sound memory takes a third of it.
const READS_OF_STRINGS_MAX: u64 = 1_500;

/// The longest that a Smi can say.
const LENGTH_MAX: u64 = i32::MAX as u64;

/// What is longer is code, or a source.
const CODE_BYTES_MIN: u64 = 1 << 10;

/// What of a cassette is worth damaging.
struct Target {
    cassette: &'static Cassette,
    image: Image,
    /// Of all that is recorded.
    ranges: Vec<std::ops::Range<u64>>,
    /// By instance type, so that rare ones are damaged as often.
    objects: Vec<(u64, Vec<Avma>)>,
}

fn targets() -> &'static [Target] {
    static TARGETS: LazyLock<Vec<Target>> =
        LazyLock::new(|| cassettes().iter().map(|(_, cassette)| Target::new(cassette)).collect());
    &TARGETS
}

impl Target {
    fn new(cassette: &'static Cassette) -> Self {
        let image = last_image(cassette);
        let ranges = image.ranges();
        let mut by_type: BTreeMap<u64, Vec<Avma>> = BTreeMap::new();
        let heap = Heap::new(&image, &cassette.header.facts.layout);
        for range in &ranges {
            for at in (range.start.next_multiple_of(8)..range.end).step_by(8).map(Avma) {
                // It begins with a map, and that with the map of maps.
                let map = image.read_u64(at).ok().and_then(|word| Tagged(word).as_object());
                if map.and_then(|map| heap.type_of(map)) == Some(heap.layout.type_map)
                    && let Some(kind) = heap.type_of(at)
                {
                    by_type.entry(kind).or_default().push(at);
                }
            }
        }
        Self { cassette, image, ranges, objects: by_type.into_iter().collect() }
    }

    fn layout(&self) -> &Layout {
        &self.cassette.header.facts.layout
    }

    /// Any recorded byte: first a range, so that small objects are found beside pages of code.
    fn address(&self, range: Index, offset: Index) -> u64 {
        let range = range.get(&self.ranges);
        range.start + offset.index((range.end - range.start) as usize) as u64
    }

    fn object(&self, kind: Index, object: Index) -> Avma {
        let (_, objects) = kind.get(&self.objects);
        *object.get(objects)
    }
}

/// One thing that is wrong with the memory.
#[derive(Clone, Debug)]
enum Damage {
    FlippedBit {
        at: (Index, Index),
        bit: u8,
    },
    /// A word of an object, counted from its map.
    Field {
        of: (Index, Index),
        word: u64,
        value: Value,
    },
    /// The same field of all objects of a type.
    Fields {
        kind: Index,
        word: u64,
        value: Value,
    },
    /// Any word; in code, it may pass for the beginning of a piece of code.
    Word {
        at: (Index, Index),
        value: Value,
    },
    Unmapped {
        at: (Index, Index),
        len: u64,
    },
}

#[derive(Clone, Debug)]
enum Value {
    /// The object itself, for a field.
    Itself,
    Object(Index, Index),
    /// What the field of another object has.
    FieldOf(Index, Index, u64),
    Smi(i32),
    Bits(u64),
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Itself),
        (any::<Index>(), any::<Index>()).prop_map(|(kind, object)| Value::Object(kind, object)),
        (any::<Index>(), any::<Index>(), 0..16u64).prop_map(|(k, o, w)| Value::FieldOf(k, o, w)),
        (0..64i32).prop_map(Value::Smi),
        any::<i32>().prop_map(Value::Smi),
        Just(Value::Smi(i32::MAX)),
        any::<u64>().prop_map(Value::Bits),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = || (any::<Index>(), any::<Index>());
    prop_oneof![
        (place(), 0..8u8).prop_map(|(at, bit)| Damage::FlippedBit { at, bit }),
        (place(), 0..16u64, value()).prop_map(|(of, word, value)| Damage::Field {
            of,
            word,
            value
        }),
        (any::<Index>(), 0..16u64, value()).prop_map(|(kind, word, value)| Damage::Fields {
            kind,
            word,
            value
        }),
        (place(), value()).prop_map(|(at, value)| Damage::Word { at, value }),
        (place(), 1..4_096u64).prop_map(|(at, len)| Damage::Unmapped { at, len }),
    ]
}

/// Bytes that are to be read instead of those on the cassette.
#[derive(Default)]
struct Overlay(BTreeMap<u64, Option<u8>>);

impl Overlay {
    fn word(&mut self, at: u64, word: u64) {
        for (at, byte) in (at..).zip(word.to_le_bytes()) {
            self.0.insert(at, Some(byte));
        }
    }

    fn apply(&mut self, damage: &Damage, target: &Target) {
        match damage {
            Damage::FlippedBit { at, bit } => {
                let at = target.address(at.0, at.1);
                let mut byte = [0];
                target.image.read(Avma(at), &mut byte).unwrap();
                self.0.insert(at, Some(byte[0] ^ 1 << bit));
            }
            Damage::Field { of, word, value } => {
                let object = target.object(of.0, of.1);
                self.word(object.0 + word * 8, word_of(value, object, target));
            }
            Damage::Fields { kind, word, value } => {
                let (_, objects) = kind.get(&target.objects);
                for object in objects {
                    self.word(object.0 + word * 8, word_of(value, *object, target));
                }
            }
            Damage::Word { at, value } => {
                let at = target.address(at.0, at.1) & !7;
                self.word(at, word_of(value, Avma(at), target));
            }
            Damage::Unmapped { at, len } => {
                let at = target.address(at.0, at.1);
                self.0.extend((at..at + len).map(|at| (at, None)));
            }
        }
    }
}

fn word_of(value: &Value, itself: Avma, target: &Target) -> u64 {
    match value {
        Value::Itself => itself.0 | 1,
        Value::Object(kind, object) => target.object(*kind, *object).0 | 1,
        Value::FieldOf(kind, object, word) => {
            let object = target.object(*kind, *object);
            target.image.read_u64(Avma(object.0 + word * 8)).unwrap_or_default()
        }
        Value::Smi(value) => u64::from(value.cast_unsigned()) << 32,
        Value::Bits(word) => *word,
    }
}

/// Plays the damaged cassette and looks at all that comes out. Returns the most reads that a frame took.
fn check(target: &Target, damage: Overlay) -> u64 {
    let mut n_reads_max = 0;
    play(target.cassette, &PlayedMemory::damaged(damage.0), |played| {
        n_reads_max = n_reads_max.max(played.n_reads);
        assert!(played.n_reads <= READS_PER_FRAME_MAX);
        assert!(played.n_bytes <= BYTES_PER_FRAME_MAX);
        check_form(&played);
    });
    n_reads_max
}

fn check_form(played: &Played<'_>) {
    let Some(got) = played.got else { return };
    assert!(!got.is_empty(), "resolved, but to nothing");
    for frame in got {
        assert!(frame.is_resolved);
        assert!(!frame.function.is_empty(), "{frame:?}");
        assert_eq!(sanitize(&frame.function), &*frame.function);
        // Of WebAssembly it need not be known.
        if let Some(script) = frame.script.as_deref() {
            assert_eq!(sanitize(script), script);
        }
        // Lines and columns begin with 1, and are known together.
        assert_eq!(frame.line.is_some(), frame.column.is_some(), "{frame:?}");
        assert!(frame.line != Some(0) && frame.column != Some(0), "{frame:?}");
        assert!(!frame.is_approximate || frame.line.is_some(), "{frame:?}");
    }
}

#[test]
fn strings_that_contain_themselves_end() {
    /// Of the representations in an instance type (V8 `src/objects/instance-type.h`): cons, external, sliced, thin.
    const REPRESENTATIONS: [u64; 4] = [1, 2, 3, 5];
    for target in targets() {
        for representation in REPRESENTATIONS {
            let layout = target.layout();
            let mut overlay = Overlay::default();
            for (kind, objects) in target.objects.iter().filter(|(kind, _)| *kind < 128) {
                for string in objects {
                    let map = target.image.read_u64(*string).unwrap() & !3;
                    let kind = (kind & !0x17 | representation) as u8;
                    overlay.0.insert(map + layout.map_instance_type, Some(kind));
                    // Whichever it is, it has itself where another string would be.
                    for field in [layout.cons_first, layout.cons_second] {
                        overlay.word(string.0 + field, string.0 | 1);
                    }
                }
            }
            let n_reads = check(target, overlay);
            assert!(n_reads <= READS_OF_STRINGS_MAX, "{representation}: {n_reads} reads");
        }
    }
}

#[test]
fn lengths_beyond_all_memory_are_refused() {
    for target in targets() {
        let mut overlay = Overlay::default();
        for object in target.objects.iter().flat_map(|(_, objects)| objects) {
            // Of arrays and of strings; in other objects, something else that is wrong then.
            overlay.word(object.0 + target.layout().array_length, LENGTH_MAX << 32);
        }
        let n_reads = check(target, overlay);
        assert!(n_reads <= READS_OF_STRINGS_MAX, "{n_reads} reads");
    }
}

#[test]
fn code_that_begins_everywhere_is_searched_within_limits() {
    let mut n_reads_max = 0;
    for target in targets() {
        let instructions = target.layout().type_instructions;
        let (_, code) = target.objects.iter().find(|(kind, _)| *kind == instructions).unwrap();
        let map = target.image.read_u64(code[0]).unwrap();
        let mut overlay = Overlay::default();
        for range in target.ranges.iter().filter(|it| it.end - it.start >= CODE_BYTES_MIN) {
            for at in (range.start.next_multiple_of(8)..range.end - 8).step_by(8) {
                overlay.word(at, map);
            }
        }
        n_reads_max = n_reads_max.max(check(target, overlay));
    }
    // The search was led astray, and not for nothing are there limits.
    assert!(n_reads_max > READS_OF_STRINGS_MAX, "{n_reads_max} reads");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_memory_is_survived(
        target in any::<Index>(),
        damages in proptest::collection::vec(damage(), 1..60),
    ) {
        let target = target.get(targets());
        let mut overlay = Overlay::default();
        for damage in &damages {
            overlay.apply(damage, target);
        }
        check(target, overlay);
    }
}
