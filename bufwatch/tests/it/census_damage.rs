//! Damaged heaps: recorded processes with flipped bits, pages cut short, references that lead in circles, lengths beyond all memory. A
//! census of them is refused or is wrong, but it neither panics nor works or allocates without end, and what it says is well-formed.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bufwatch::base::sanitize::TEXT_CHARS_MAX;
use bufwatch::base::{Avma, Bytes, MemoryError, ReadMemory, sanitize};
use bufwatch::event::census::Census;
use bufwatch::source::census_cassette::CensusCassette;
use bufwatch::v8::census::take::{Detail, Refusal};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use crate::census_cassettes::cassettes;

/// A damaged census takes 30 ms in a debug build, a sound one more.
const N_CASES: u32 = 300;

/// A census of sound memory reads less than a tenth of this, in a hundredth of the time.
const BYTES_MAX: u64 = 1 << 30;
const TIME_MAX: Duration = Duration::from_secs(40);

/// Of the whole test; sound cassettes need less than a fifth.
const ADDRESS_SPACE_MAX: u64 = 4 << 30;

const DETAIL: Detail = Detail { n_parents: usize::MAX, n_views: 1_000, min_size: Bytes(0) };

/// Fields of an object that are worth damaging.
const FIELDS: u64 = 12;

/// What of a cassette is worth damaging.
struct Target {
    cassette: &'static CensusCassette,
    memory: Flat,
    /// By instance type, so that rare ones are damaged as often.
    objects: Vec<(u64, Vec<u64>)>,
}

/// Recorded memory in few pieces, which is faster than an image that knows single bytes.
#[derive(Debug, Default)]
struct Flat {
    /// Ascending.
    pieces: Vec<(u64, Vec<u8>)>,
    /// What cannot be read.
    holes: Vec<Range<u64>>,
    n_bytes: AtomicU64,
}

impl Clone for Flat {
    fn clone(&self) -> Self {
        Self { pieces: self.pieces.clone(), holes: self.holes.clone(), n_bytes: AtomicU64::new(0) }
    }
}

impl Flat {
    fn of(cassette: &CensusCassette) -> Self {
        let image = cassette.image();
        let read = |range: Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            image.read(Avma(range.start), &mut bytes).unwrap();
            (range.start, bytes)
        };
        Self { pieces: image.ranges().into_iter().map(read).collect(), ..Self::default() }
    }

    fn piece_of(&self, at: u64) -> Option<usize> {
        self.pieces.partition_point(|(start, _)| *start <= at).checked_sub(1)
    }

    fn word(&self, at: u64) -> Option<u64> {
        let (start, bytes) = &self.pieces[self.piece_of(at)?];
        let bytes = bytes.get((at - start) as usize..)?.first_chunk::<8>()?;
        Some(u64::from_le_bytes(*bytes))
    }

    fn set(&mut self, at: u64, new: &[u8]) {
        let Some(piece) = self.piece_of(at) else { return };
        let (start, bytes) = &mut self.pieces[piece];
        for (n, byte) in new.iter().enumerate() {
            if let Some(old) = bytes.get_mut((at - *start) as usize + n) {
                *old = *byte;
            }
        }
    }

    fn set_word(&mut self, at: u64, word: u64) {
        self.set(at, &word.to_le_bytes());
    }
}

impl ReadMemory for Flat {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        self.n_bytes.fetch_add(out.len() as u64, Ordering::Relaxed);
        let unmapped = MemoryError::Unmapped(address);
        let end = address.checked_add(out.len() as u64).ok_or(unmapped)?.0;
        if self.holes.iter().any(|hole| hole.start < end && address.0 < hole.end) {
            return Err(unmapped);
        }
        let (start, bytes) = &self.pieces[self.piece_of(address.0).ok_or(unmapped)?];
        let first = (address.0 - start) as usize;
        out.copy_from_slice(bytes.get(first..first + out.len()).ok_or(unmapped)?);
        Ok(())
    }
}

fn targets() -> &'static [Target] {
    static TARGETS: LazyLock<Vec<Target>> =
        LazyLock::new(|| cassettes().iter().map(|(_, cassette)| Target::new(cassette)).collect());
    &TARGETS
}

impl Target {
    fn new(cassette: &'static CensusCassette) -> Self {
        let memory = Flat::of(cassette);
        let layout = &cassette.header.facts.layout;
        let is_map = |at: u64| {
            let map_of_maps = memory.word(at)?.checked_sub(1)?;
            Some(memory.word(map_of_maps)? == map_of_maps | 1)
        };
        let mut by_type: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (start, bytes) in &memory.pieces {
            for at in (start.next_multiple_of(8)..start + bytes.len() as u64).step_by(8) {
                let Some(map) = memory.word(at).filter(|word| word & 7 == 1) else { continue };
                if is_map(map - 1) == Some(true)
                    && let Some(kind) = memory.word(map - 1 + (layout.map_instance_type & !7))
                {
                    let kind = kind >> (layout.map_instance_type % 8 * 8) & 0xffff;
                    by_type.entry(kind).or_default().push(at);
                }
            }
        }
        Self { cassette, memory, objects: by_type.into_iter().collect() }
    }

    fn object(&self, kind: Index, object: Index) -> u64 {
        let (_, objects) = kind.get(&self.objects);
        *object.get(objects)
    }

    /// Any recorded byte: first a piece, so that small ones are found beside whole pages.
    fn address(&self, piece: Index, offset: Index) -> u64 {
        let (start, bytes) = piece.get(&self.memory.pieces);
        start + offset.index(bytes.len()) as u64
    }
}

type At = (Index, Index);

/// One thing that is wrong with the memory.
#[derive(Clone, Debug)]
enum Damage {
    FlippedBit {
        at: At,
        bit: u8,
    },
    /// A word of an object, counted from its map.
    Field {
        of: At,
        word: u64,
        value: Value,
    },
    /// The same word of all objects of a type.
    Fields {
        kind: Index,
        word: u64,
        value: Value,
    },
    Word {
        at: At,
        value: Value,
    },
    /// What a page says of itself, or what is behind it.
    Header {
        page: Index,
        word: u64,
        value: Value,
    },
    Unmapped {
        at: At,
        len: u64,
    },
    /// A page of which only the beginning is there.
    Cut {
        page: Index,
        len: u64,
    },
}

/// What a word becomes.
#[derive(Clone, Debug)]
enum Value {
    /// A reference to the object itself, or to where the word is.
    Itself,
    Object(At),
    /// Inside of an object.
    Inside(At, u64),
    /// A word of another object.
    FieldOf(At, u64),
    Smi(i32),
    Bits(u64),
}

fn at() -> impl Strategy<Value = At> {
    (any::<Index>(), any::<Index>())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(Value::Itself),
        3 => at().prop_map(Value::Object),
        2 => (at(), 1..FIELDS).prop_map(|(at, word)| Value::Inside(at, word)),
        2 => (at(), 0..FIELDS).prop_map(|(at, word)| Value::FieldOf(at, word)),
        3 => prop_oneof![any::<i32>(), Just(i32::MAX), Just(-1), 0..100].prop_map(Value::Smi),
        2 => prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), 0..1_u64 << 48].prop_map(Value::Bits),
    ]
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Damage::FlippedBit { at, bit }),
        6 => (at(), 0..FIELDS, value()).prop_map(|(of, word, value)| Damage::Field { of, word, value }),
        2 => (any::<Index>(), 0..FIELDS, value())
            .prop_map(|(kind, word, value)| Damage::Fields { kind, word, value }),
        3 => (at(), value()).prop_map(|(at, value)| Damage::Word { at, value }),
        1 => (any::<Index>(), 0..16_u64, value())
            .prop_map(|(page, word, value)| Damage::Header { page, word, value }),
        1 => (at(), 1..20_000_u64).prop_map(|(at, len)| Damage::Unmapped { at, len }),
        1 => (any::<Index>(), 0..260_000_u64).prop_map(|(page, len)| Damage::Cut { page, len }),
    ]
}

fn word_of(value: &Value, itself: u64, target: &Target) -> u64 {
    match value {
        Value::Itself => itself | 1,
        Value::Object((kind, object)) => target.object(*kind, *object) | 1,
        Value::Inside((kind, object), word) => (target.object(*kind, *object) + word * 8) | 1,
        Value::FieldOf((kind, object), word) => {
            target.memory.word(target.object(*kind, *object) + word * 8).unwrap_or_default()
        }
        Value::Smi(value) => u64::from(value.cast_unsigned()) << 32,
        Value::Bits(word) => *word,
    }
}

fn apply(memory: &mut Flat, damage: &Damage, target: &Target) {
    match damage {
        Damage::FlippedBit { at, bit } => {
            let at = target.address(at.0, at.1);
            let byte = memory.word(at & !7).unwrap_or_default().to_le_bytes()[(at % 8) as usize];
            memory.set(at, &[byte ^ (1 << bit)]);
        }
        Damage::Field { of, word, value } => {
            let object = target.object(of.0, of.1);
            memory.set_word(object + word * 8, word_of(value, object, target));
        }
        Damage::Fields { kind, word, value } => {
            let (_, objects) = kind.get(&target.objects);
            for object in objects {
                memory.set_word(object + word * 8, word_of(value, *object, target));
            }
        }
        Damage::Word { at, value } => {
            let at = target.address(at.0, at.1) & !7;
            memory.set_word(at, word_of(value, at, target));
        }
        Damage::Header { page, word, value } => {
            let page = *page.get(&target.cassette.header.places);
            // From V8 13 on the rest is somewhere else.
            let apart = memory.word(page + 8).filter(|it| memory.word(*it).is_some());
            let start = if *word < 2 { page } else { apart.unwrap_or(page) };
            memory.set_word(start + word * 8, word_of(value, page, target));
        }
        Damage::Unmapped { at, len } => {
            let at = target.address(at.0, at.1);
            memory.holes.push(at..at + len);
        }
        Damage::Cut { page, len } => {
            let page = *page.get(&target.cassette.header.places);
            memory.holes.push(page + len..page + (1 << 18));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an analysis without end is seen by real time only")]
fn take(target: &Target, memory: &Flat) -> Result<Census, Refusal> {
    let start = Instant::now();
    let census = target.cassette.take(memory, DETAIL);
    assert!(start.elapsed() < TIME_MAX, "{:?}", start.elapsed());
    assert!(memory.n_bytes.load(Ordering::Relaxed) <= BYTES_MAX);
    if let Ok(census) = &census {
        check_form(census);
    }
    census
}

fn check_form(census: &Census) {
    for parent in &census.parents {
        assert!(parent.covered <= parent.size, "{parent:?}");
        assert!(parent.views.len() as u64 <= parent.n_views, "{parent:?}");
        for view in &parent.views {
            let end = view.offset.saturating_add(view.length.0);
            assert!(end <= parent.size.0, "{view:?} of {parent:?}");
            check_text(&view.type_name);
        }
        for step in parent.holders.iter().flat_map(|holder| &holder.path) {
            assert!(!step.is_empty());
            check_text(step.as_str());
        }
    }
    let n_of_groups: u64 = census.holders.iter().map(|group| group.n_parents).sum();
    assert!(n_of_groups <= census.parents.len() as u64);
}

/// A step has at most a key, a class and a function's place.
const TEXTS_OF_A_STEP: usize = 4;

fn check_text(text: &str) {
    assert!(text.chars().count() <= TEXTS_OF_A_STEP * (TEXT_CHARS_MAX + 1), "{}", text.len());
    // Cut where it is too long as one text.
    let start: String = text.chars().take(TEXT_CHARS_MAX).collect();
    assert_eq!(sanitize(&start), start);
}

/// What asks for more ends the test.
fn limit_memory() {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS).unwrap();
    setrlimit(Resource::RLIMIT_AS, ADDRESS_SPACE_MAX.min(hard), hard).unwrap();
}

#[test]
fn damaged_heaps_are_survived() {
    limit_memory();
    let config =
        ProptestConfig { cases: N_CASES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let damages = proptest::collection::vec(damage(), 1..200);
    let outcomes = Cell::new(0);
    let outcome = runner.run(&(any::<Index>(), damages), |(target, damages)| {
        let target = target.get(targets());
        let mut memory = target.memory.clone();
        for damage in &damages {
            apply(&mut memory, damage, target);
        }
        outcomes.set(outcomes.get() + u32::from(take(target, &memory).is_ok()));
        Ok(())
    });
    outcome.unwrap();
    let n_taken = outcomes.get();
    assert!(n_taken > N_CASES / 4 && n_taken < N_CASES, "{n_taken}: one side is not tried");
}
