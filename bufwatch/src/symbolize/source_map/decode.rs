//! The bytes of a source map (ECMA-426) → positions. They are foreign: sizes are limited, and a map that
//! contradicts itself is refused as a whole. Where it came from and what its names mean is not known here.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

/// Most mappings of one map; a bundle of 10 MB has about a million. 24 bytes each.
const MAPPINGS_MAX: usize = 4_000_000;
/// Most sources, names and sections of one map, each.
const ITEMS_MAX: usize = 500_000;
/// No source or name.
const NONE: u32 = u32::MAX;

/// A generated position and what it was made from; all zero-based, columns in UTF-16 units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mapping {
    line: u32,
    column: u32,
    source: u32,
    original_line: u32,
    original_column: u32,
    name: u32,
}

/// A map with its mappings in order.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    mappings: Vec<Mapping>,
    /// With the source root before them; none where the map says `null`.
    pub(super) sources: Vec<Option<String>>,
    names: Vec<Option<String>>,
}

/// What a map says of a position; zero-based.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Original<'a> {
    /// Index into `sources`.
    pub(super) source: usize,
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) name: Option<&'a str>,
}

/// Why a map is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Damaged,
    OverLimit,
}

impl Decoded {
    /// Reads a map, plain or made of sections.
    pub(super) fn from_json(json: &[u8]) -> Result<Self, Refusal> {
        let json = without_guard(json).ok_or(Refusal::Damaged)?;
        let mut raw: RawMap = serde_json::from_slice(json).map_err(|error| {
            let is_limit = error.is_data() && error.to_string().starts_with(OVER_LIMIT);
            if is_limit { Refusal::OverLimit } else { Refusal::Damaged }
        })?;
        let mut decoded = Self::default();
        let Some(sections) = raw.sections.take() else {
            decoded.add(raw, (0, 0), None)?;
            return Ok(decoded);
        };
        let mut sections = sections.0.into_iter().peekable();
        while let Some(section) = sections.next() {
            let start = (section.offset.line, section.offset.column);
            let end = sections.peek().map(|next| (next.offset.line, next.offset.column));
            if end.is_some_and(|end| end < start) {
                return Err(Refusal::Damaged);
            }
            // What the section before says ends here, also if this one begins with nothing.
            decoded.push(Mapping {
                line: start.0,
                column: start.1,
                source: NONE,
                original_line: 0,
                original_column: 0,
                name: NONE,
            })?;
            // A section that is only the address of a map stays without.
            if let Some(map) = section.map {
                decoded.add(map, start, end)?;
            }
        }
        Ok(decoded)
    }

    /// The last mapping at or before a position of its line.
    pub(super) fn find(&self, line: u32, column: u32) -> Option<Original<'_>> {
        let after = self.mappings.partition_point(|it| (it.line, it.column) <= (line, column));
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        if mapping.line != line || mapping.source == NONE {
            return None;
        }
        Some(Original {
            source: mapping.source as usize,
            line: mapping.original_line,
            column: mapping.original_column,
            name: self.names.get(mapping.name as usize).and_then(Option::as_deref),
        })
    }

    /// Bytes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.sources.iter().chain(&self.names);
        let texts = texts.map(|text| {
            text.as_ref().map_or(0, String::len).saturating_add(size_of::<Option<String>>())
        });
        texts.fold(self.mappings.len().saturating_mul(size_of::<Mapping>()), usize::saturating_add)
    }

    fn push(&mut self, mapping: Mapping) -> Result<(), Refusal> {
        if self.mappings.len() >= MAPPINGS_MAX {
            return Err(Refusal::OverLimit);
        }
        self.mappings.push(mapping);
        Ok(())
    }

    /// Adds a plain map whose first character is at `start`, as far as it lies before `end`.
    fn add(
        &mut self,
        map: RawMap,
        start: (u32, u32),
        end: Option<(u32, u32)>,
    ) -> Result<(), Refusal> {
        let n_before = (self.sources.len(), self.names.len());
        let (sources, names) = (map.sources.unwrap_or_default(), map.names.unwrap_or_default());
        let root = map.source_root.unwrap_or_default();
        let sources = sources.0.into_iter().map(|it| it.map(|source| below(&root, source)));
        self.sources.extend(sources);
        self.names.extend(names.0);
        if self.sources.len().max(self.names.len()) > ITEMS_MAX {
            return Err(Refusal::OverLimit);
        }
        let n_mappings_before = self.mappings.len();
        // Positions in this map are one pair of running numbers; columns begin anew in each line.
        let (mut source, mut line, mut column, mut name) = (0_i64, 0_i64, 0_i64, 0_i64);
        let mappings = map.mappings.unwrap_or_default();
        for (n_line, segments) in mappings.split(';').enumerate() {
            let shift = if n_line == 0 { start.1 } else { 0 };
            let n_line = u32::try_from(n_line).ok().and_then(|n| n.checked_add(start.0));
            let generated_line = n_line.ok_or(Refusal::Damaged)?;
            let mut generated_column = i64::from(shift);
            for segment in segments.split(',').filter(|segment| !segment.is_empty()) {
                let deltas = Deltas::decode(segment).ok_or(Refusal::Damaged)?;
                generated_column = moved(generated_column, deltas.values[0])?;
                let mut mapping = Mapping {
                    line: generated_line,
                    column: generated_column as u32,
                    source: NONE,
                    original_line: 0,
                    original_column: 0,
                    name: NONE,
                };
                if deltas.n >= 4 {
                    source = moved(source, deltas.values[1])?;
                    line = moved(line, deltas.values[2])?;
                    column = moved(column, deltas.values[3])?;
                    mapping.source = shifted(source, n_before.0, self.sources.len());
                    (mapping.original_line, mapping.original_column) = (line as u32, column as u32);
                }
                if deltas.n == 5 {
                    name = moved(name, deltas.values[4])?;
                    mapping.name = shifted(name, n_before.1, self.names.len());
                }
                if end.is_none_or(|end| (mapping.line, mapping.column) < end) {
                    self.push(mapping)?;
                }
            }
        }
        // Columns may go back within a line. Stable: of equal positions the last one counts.
        if let Some(added) = self.mappings.get_mut(n_mappings_before..) {
            added.sort_by_key(|mapping| (mapping.line, mapping.column));
        }
        Ok(())
    }
}

/// `value + delta`, which must be a position; one below the largest u32, so that counting from one fits.
fn moved(value: i64, delta: i64) -> Result<i64, Refusal> {
    let moved = value.checked_add(delta).filter(|it| (0..i64::from(u32::MAX)).contains(it));
    moved.ok_or(Refusal::Damaged)
}

/// An index of one map as one of all of them, `NONE` if it is outside.
fn shifted(index: i64, n_before: usize, n_all: usize) -> u32 {
    let index = usize::try_from(index).ok().and_then(|index| index.checked_add(n_before));
    index.filter(|index| *index < n_all).map_or(NONE, |index| index as u32)
}

/// A source behind the map's `sourceRoot`; one that is an address or absolute needs none.
fn below(root: &str, source: String) -> String {
    if root.is_empty() || source.starts_with('/') || super::place::has_scheme(&source) {
        return source;
    }
    format!("{}/{source}", root.trim_end_matches('/'))
}

/// Without a byte order mark and the line `)]}'` that keeps browsers from running JSON as a script.
fn without_guard(json: &[u8]) -> Option<&[u8]> {
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    if !json.starts_with(b")]}'") {
        return Some(json);
    }
    json.get(json.iter().position(|byte| *byte == b'\n')?..)
}

/// The numbers of one segment: one, four or five.
struct Deltas {
    values: [i64; 5],
    n: usize,
}

impl Deltas {
    /// Base 64 digits of five bits, the sixth says that more follow; the lowest bit of a number is its sign.
    fn decode(segment: &str) -> Option<Self> {
        let mut deltas = Self { values: [0; 5], n: 0 };
        let (mut value, mut shift) = (0_i64, 0_u32);
        for digit in segment.bytes().map(digit) {
            let digit = i64::from(digit?);
            // 32 bits and a sign: seven digits.
            if shift > 30 {
                return None;
            }
            value |= (digit & 31).checked_shl(shift)?;
            shift = shift.checked_add(5)?;
            if digit & 32 == 0 {
                let magnitude = value >> 1;
                let is_negative = value & 1 == 1;
                *deltas.values.get_mut(deltas.n)? =
                    if is_negative { magnitude.checked_neg()? } else { magnitude };
                deltas.n = deltas.n.checked_add(1)?;
                (value, shift) = (0, 0);
            }
        }
        (shift == 0 && matches!(deltas.n, 1 | 4 | 5)).then_some(deltas)
    }
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => byte.checked_sub(b'A'),
        b'a'..=b'z' => byte.checked_sub(b'a' - 26),
        b'0'..=b'9' => byte.checked_add(52 - b'0'),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// What is read of a map; the contents of the sources, most of its bytes, are skipped.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawMap {
    mappings: Option<String>,
    source_root: Option<String>,
    sources: Option<Limited<Option<String>>>,
    names: Option<Limited<Option<String>>>,
    /// Only the outermost map may have them.
    sections: Option<Limited<Section>>,
}

#[derive(serde::Deserialize)]
struct Section {
    offset: Offset,
    map: Option<RawMap>,
}

#[derive(serde::Deserialize)]
struct Offset {
    line: u32,
    column: u32,
}

const OVER_LIMIT: &str = "more than the limit";

/// A list that stops being read when it is too long: its items take more memory than their text.
#[derive(Debug)]
struct Limited<T>(Vec<T>);

impl<T> Default for Limited<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Limited<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = Limited<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Limited<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    if list.len() >= ITEMS_MAX {
                        return Err(serde::de::Error::custom(OVER_LIMIT));
                    }
                    list.push(item);
                }
                Ok(Limited(list))
            }
        }
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}
