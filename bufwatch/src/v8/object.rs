//! Tagged words and the fields behind them, over any `ReadMemory`. Knows maps and instance types, not what any type is for.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::metadata::Layout;

/// A word of V8's heap: a small integer, or a pointer with its low bits set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tagged(pub u64);

impl Tagged {
    /// A small integer: its value is in the upper half (`SmiShiftSize` 31 on x86-64 without pointer compression).
    pub const fn as_smi(self) -> Option<i32> {
        if self.0 & 1 == 0 { Some((self.0 >> 32) as i32) } else { None }
    }

    /// Address of the object that it points to strongly.
    pub const fn as_object(self) -> Option<Avma> {
        if self.0 & 3 == 1 && self.0 < 1 << 47 { Some(Avma(self.0 & !3)) } else { None }
    }

    /// The same, also for a weak reference that has not been cleared.
    pub const fn as_object_or_weak(self) -> Option<Avma> {
        /// `kClearedWeakHeapObjectLower32`, src/common/globals.h.
        const CLEARED: u64 = 3;
        if self.0 & 0xffff_ffff == CLEARED { None } else { Self(self.0 & !2).as_object() }
    }

    /// As the first word of an object: where V8 has moved it, if it has (`MapWord::FromForwardingAddress`, src/objects/objects.h: the address
    /// without a tag).
    const fn as_moved(self) -> Option<Avma> {
        let is_address = self.0 != 0 && self.0.is_multiple_of(8) && self.0 < 1 << 47;
        if is_address { Some(Avma(self.0)) } else { None }
    }
}

/// The heap of a process, read field by field. Nothing read is believed without a check of its type.
#[derive(Debug)]
pub struct Heap<'a, M> {
    pub memory: &'a M,
    pub layout: &'a Layout,
}

impl<M> Clone for Heap<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Heap<'_, M> {}

impl<'a, M: ReadMemory> Heap<'a, M> {
    pub const fn new(memory: &'a M, layout: &'a Layout) -> Self {
        Self { memory, layout }
    }

    pub fn word(&self, object: Avma, offset: u64) -> Option<u64> {
        self.memory.read_u64(object.checked_add(offset)?).ok()
    }

    pub fn tagged(&self, object: Avma, offset: u64) -> Option<Tagged> {
        self.word(object, offset).map(Tagged)
    }

    pub fn smi(&self, object: Avma, offset: u64) -> Option<i32> {
        self.tagged(object, offset)?.as_smi()
    }

    pub fn u32(&self, object: Avma, offset: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.memory.read(object.checked_add(offset)?, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// Reads `len` bytes, at most `limit`.
    pub fn bytes(&self, start: Avma, len: usize, limit: usize) -> Option<Vec<u8>> {
        if len > limit {
            return None;
        }
        let mut bytes = vec![0; len];
        self.memory.read(start, &mut bytes).ok()?;
        Some(bytes)
    }

    /// Reads `len` bytes, or fewer where memory ends before (`ReadMemory::read_start`).
    pub fn start_of(&self, start: Avma, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        let n_read = self.memory.read_start(start, &mut bytes).ok()?;
        bytes.truncate(n_read);
        Some(bytes)
    }

    /// The object that a word points to, with its instance type. While V8 moves objects, words still point to where they were, and there it
    /// says where they are; their old page is about to be freed.
    pub fn object(&self, word: Tagged) -> Option<(Avma, u64)> {
        let object = word.as_object()?;
        let first = self.tagged(object, 0)?;
        if let Some(map) = first.as_object() {
            return Some((object, self.instance_type(map)?));
        }
        let moved = first.as_moved()?;
        let map = self.tagged(moved, 0)?.as_object()?;
        Some((moved, self.instance_type(map)?))
    }

    fn instance_type(&self, map: Avma) -> Option<u64> {
        let mut bytes = [0; 2];
        self.memory.read(map.checked_add(self.layout.map_instance_type)?, &mut bytes).ok()?;
        Some(u64::from(u16::from_le_bytes(bytes)))
    }

    /// Instance type of an object that is where it is thought to be.
    pub fn type_of(&self, object: Avma) -> Option<u64> {
        self.instance_type(self.tagged(object, 0)?.as_object()?)
    }

    /// The object that a word points to, if it has this type.
    pub fn typed(&self, word: Tagged, wanted: u64) -> Option<Avma> {
        let (object, kind) = self.object(word)?;
        (kind == wanted).then_some(object)
    }

    /// The bytes of a `ByteArray` or `TrustedByteArray`, at most `limit`.
    pub fn byte_array(&self, word: Tagged, limit: usize) -> Option<Vec<u8>> {
        let (array, kind) = self.object(word)?;
        if kind != self.layout.type_byte_array && kind != self.layout.type_trusted_byte_array {
            return None;
        }
        let len = usize::try_from(self.smi(array, self.layout.array_length)?).ok()?;
        self.bytes(array.checked_add(self.layout.array_data)?, len, limit)
    }
}

/// The little-endian word at `at`.
pub(super) fn word_in(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_they_are() {
        assert_eq!(Tagged(0xffff_ffff_0000_0000).as_smi(), Some(-1));
        assert_eq!(Tagged(0x1001).as_smi(), None);
        assert_eq!(Tagged(0x1001).as_object(), Some(Avma(0x1000)));
        assert_eq!(Tagged(0x1003).as_object(), None);
        assert_eq!(Tagged(0x1003).as_object_or_weak(), Some(Avma(0x1000)));
        assert_eq!(Tagged(0x7fff_0000_0003).as_object_or_weak(), None);
        assert_eq!(Tagged(!2).as_object(), None);
    }
}
