//! V8's strings in all their representations: sequential, cons, sliced, thin, external; one-byte and two-byte. Length-limited, and
//! strings that point to themselves end.
//!
//! Representation and encoding are bits of the instance type (V8 `src/objects/instance-type.h`; the same in V8 10 to 14).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::object::{Heap, Tagged};

/// Longest name or URL read, in UTF-16 units.
pub const NAME_UNITS_MAX: usize = 4_096;

/// Longest source read, in UTF-16 units; V8's own limit is 512 Mi.
pub const SOURCE_UNITS_MAX: usize = 64 << 20;

/// `kIsNotStringMask`: instance types from here on are no strings.
const FIRST_NON_STRING: u64 = 128;
const REPRESENTATION_MASK: u64 = 7;
const ONE_BYTE: u64 = 8;
/// External strings without a cached pointer to their characters.
const UNCACHED: u64 = 16;

/// Strings visited for one text: twice the characters of the longest name, which may have been put together one by one. V8 flattens
/// sources before it compiles them.
const PARTS_MAX: usize = 1 << 14;

/// Strings visited in a row that bring no characters and leave no more to visit: a flattened rope, a slice of it, an internalized
/// string. More in a row go in circles.
const DETOURS_MAX: usize = 16;

/// Characters as V8 holds them; positions in sources count its units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Units {
    /// Latin-1.
    OneByte(Vec<u8>),
    /// UTF-16.
    TwoByte(Vec<u16>),
}

impl Units {
    pub fn len(&self) -> usize {
        match self {
            Self::OneByte(units) => units.len(),
            Self::TwoByte(units) => units.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last `n` units as text.
    pub fn tail(&self, n: usize) -> String {
        let from = self.len().saturating_sub(n);
        match self {
            Self::OneByte(units) => units.iter().skip(from).copied().map(char::from).collect(),
            Self::TwoByte(units) => String::from_utf16_lossy(units.get(from..).unwrap_or_default()),
        }
    }

    fn append(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::OneByte(all), Self::OneByte(more)) => all.extend(more),
            (Self::TwoByte(all), Self::TwoByte(more)) => all.extend(more),
            (Self::TwoByte(all), Self::OneByte(more)) => {
                all.extend(more.into_iter().map(u16::from));
            }
            (Self::OneByte(all), Self::TwoByte(more)) => {
                let mut wide: Vec<u16> = all.iter().copied().map(u16::from).collect();
                wide.extend(more);
                *self = Self::TwoByte(wide);
            }
        }
    }
}

impl std::fmt::Display for Units {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.tail(self.len()))
    }
}

/// A part of a string's characters.
#[derive(Clone, Copy)]
struct Part {
    string: Avma,
    from: usize,
    len: usize,
}

impl<M: ReadMemory> Heap<'_, M> {
    /// A short string as text; `None` if the word is no string or it is longer than [`NAME_UNITS_MAX`].
    pub fn name(&self, word: Tagged) -> Option<String> {
        self.string(word, NAME_UNITS_MAX).map(|units| units.to_string())
    }

    /// Length of what may be a string: the inner `None` if it is something else, the outer if nothing can be read.
    pub fn string_len(&self, word: Tagged) -> Option<Option<usize>> {
        if word.as_object().is_none() {
            return Some(None);
        }
        let (object, kind) = self.object(word)?;
        if kind >= FIRST_NON_STRING {
            return Some(None);
        }
        self.length(object).map(Some)
    }

    /// A name where there may be something else than a string, or one that is empty or too long: the inner `None`. The outer one: it
    /// cannot be read.
    pub fn optional_name(&self, word: Tagged) -> Option<Option<String>> {
        match self.string_len(word)? {
            Some(1..=NAME_UNITS_MAX) => self.name(word).map(Some),
            _ => Some(None),
        }
    }

    pub fn is_string(&self, word: Tagged) -> bool {
        self.object(word).is_some_and(|(_, kind)| kind < FIRST_NON_STRING)
    }

    /// A string of at most `limit` units.
    pub fn string(&self, word: Tagged, limit: usize) -> Option<Units> {
        let (string, kind) = self.object(word)?;
        if kind >= FIRST_NON_STRING {
            return None;
        }
        let len = self.length(string)?;
        if len > limit {
            return None;
        }
        self.gather(Part { string, from: 0, len }, limit)
    }

    /// One unit of a string.
    pub fn unit_at(&self, word: Tagged, index: u32) -> Option<u16> {
        let from = usize::try_from(index).ok()?;
        match self.gather(Part { string: word.as_object()?, from, len: 1 }, 1)? {
            Units::OneByte(units) => units.first().copied().map(u16::from),
            Units::TwoByte(units) => units.first().copied(),
        }
    }

    /// The characters of a part, and of what it consists of.
    fn gather(&self, part: Part, limit: usize) -> Option<Units> {
        let mut all = Units::OneByte(Vec::new());
        // What is left, the next one last.
        let mut rest = vec![part];
        let mut n_detours = 0_usize;
        for _ in 0..PARTS_MAX {
            let before = (all.len(), rest.len());
            let Some(part) = rest.pop() else { return Some(all) };
            self.take_part(part, &mut all, &mut rest)?;
            let is_detour = before == (all.len(), rest.len());
            n_detours = if is_detour { n_detours.saturating_add(1) } else { 0 };
            if all.len() > limit || n_detours > DETOURS_MAX {
                return None;
            }
        }
        None
    }

    fn length(&self, string: Avma) -> Option<usize> {
        usize::try_from(self.u32(string, self.layout.string_length)?).ok()
    }

    /// Reads a part, or puts what it consists of on the list.
    fn take_part(&self, part: Part, all: &mut Units, rest: &mut Vec<Part>) -> Option<()> {
        let Part { string, from, len } = part;
        if len == 0 {
            return Some(());
        }
        let (string, kind) = self.object(Tagged(string.0 | 1))?;
        if kind >= FIRST_NON_STRING || from.checked_add(len)? > self.length(string)? {
            return None;
        }
        let layout = self.layout;
        let object = |offset| self.tagged(string, offset)?.as_object();
        match kind & REPRESENTATION_MASK {
            0 => {
                let chars = string.checked_add(layout.string_chars)?;
                all.append(self.units(chars, kind & ONE_BYTE != 0, from, len)?);
            }
            1 => {
                let (first, second) = (object(layout.cons_first)?, object(layout.cons_second)?);
                let n_first = self.length(self.object(Tagged(first.0 | 1))?.0)?;
                let end = from.checked_add(len)?;
                if end > n_first {
                    let from = from.saturating_sub(n_first);
                    let len = end.checked_sub(n_first)?.checked_sub(from)?;
                    rest.push(Part { string: second, from, len });
                }
                if from < n_first {
                    let len = end.min(n_first).checked_sub(from)?;
                    rest.push(Part { string: first, from, len });
                }
            }
            2 if kind & UNCACHED == 0 => {
                let chars = Avma(self.word(string, layout.external_data)?);
                all.append(self.units(chars, kind & ONE_BYTE != 0, from, len)?);
            }
            3 => {
                let offset = usize::try_from(self.smi(string, layout.sliced_offset)?).ok()?;
                let parent = object(layout.sliced_parent)?;
                rest.push(Part { string: parent, from: from.checked_add(offset)?, len });
            }
            5 => rest.push(Part { string: object(layout.thin_actual)?, from, len }),
            _ => return None,
        }
        Some(())
    }

    fn units(&self, chars: Avma, is_one_byte: bool, from: usize, len: usize) -> Option<Units> {
        if is_one_byte {
            let start = chars.checked_add(from as u64)?;
            return Some(Units::OneByte(self.bytes(start, len, SOURCE_UNITS_MAX)?));
        }
        let start = chars.checked_add((from as u64).checked_mul(2)?)?;
        let bytes = self.bytes(start, len.checked_mul(2)?, SOURCE_UNITS_MAX.checked_mul(2)?)?;
        let (pairs, _) = bytes.as_chunks::<2>();
        Some(Units::TwoByte(pairs.iter().copied().map(u16::from_le_bytes).collect()))
    }
}
