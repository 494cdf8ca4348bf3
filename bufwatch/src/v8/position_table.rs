//! V8's source position tables: code offset → source position, for bytecode and for machine code. Pure decoding of bytes.
//!
//! A table is a stream of differences in base-128 VLQ (V8 `src/codegen/source-position-table.cc`). Up to V8 13 both are zig-zag, and
//! a negative code difference marks an expression; later the code difference is unsigned with two flag bits below it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// A position with the inlining it is in (V8 `src/codegen/source-position.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourcePosition(pub u64);

impl SourcePosition {
    /// Offset in the script, in UTF-16 units; `None` if it is not known.
    pub const fn script_offset(self) -> Option<u32> {
        ((self.0 >> 1 & 0x3fff_ffff) as u32).checked_sub(1)
    }

    /// Index into the inlining positions; `None` in the function itself.
    pub const fn inlining(self) -> Option<usize> {
        ((self.0 >> 31 & 0xffff) as usize).checked_sub(1)
    }
}

/// How differences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Encoding {
    /// V8 up to 13.6.
    SignMarksExpression,
    /// V8 14.6; from some version between the two on.
    FlagBits,
}

impl Encoding {
    pub const ALL: [Self; 2] = [Self::SignMarksExpression, Self::FlagBits];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where in the code it begins to hold.
    pub code_offset: i64,
    pub position: SourcePosition,
}

/// All entries of a table; `None` if the bytes are no such table.
pub fn decode(table: &[u8], encoding: Encoding) -> Option<Vec<Entry>> {
    let mut bytes = table.iter().copied();
    let mut entries = Vec::new();
    // `PositionTableEntry` begins at code offset kFunctionEntryBytecodeOffset (-1) and position 0.
    let (mut code_offset, mut position) = (-1_i64, 0_i64);
    while let Some(first) = unsigned(&mut bytes)? {
        let code_difference = match encoding {
            Encoding::FlagBits => (first >> 2) as i64,
            Encoding::SignMarksExpression => {
                let signed = zig_zag(first);
                if signed >= 0 { signed } else { signed.checked_add(1)?.checked_neg()? }
            }
        };
        let difference = zig_zag(unsigned(&mut bytes)??);
        code_offset = code_offset.checked_add(code_difference)?;
        position = position.checked_add(difference)?;
        entries
            .push(Entry { code_offset, position: SourcePosition(u64::try_from(position).ok()?) });
    }
    Some(entries)
}

/// The last entry at or before `code_offset`.
pub fn find(entries: &[Entry], code_offset: u32) -> Option<SourcePosition> {
    let after = entries.partition_point(|entry| entry.code_offset <= i64::from(code_offset));
    entries.get(after.checked_sub(1)?).map(|entry| entry.position)
}

/// The outer `None`: cut short or too long. The inner one: at the end.
#[expect(clippy::option_option, reason = "damaged, ended, or a number")]
fn unsigned(bytes: &mut impl Iterator<Item = u8>) -> Option<Option<u64>> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let Some(byte) = bytes.next() else {
            return if shift == 0 { Some(None) } else { None };
        };
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(Some(value));
        }
    }
    None
}

/// All unsigned numbers of a stream; the bytecode-offset table of baseline code is one.
pub fn unsigned_numbers(table: &[u8]) -> Option<Vec<u64>> {
    let mut bytes = table.iter().copied();
    let mut numbers = Vec::new();
    while let Some(number) = unsigned(&mut bytes)? {
        numbers.push(number);
    }
    Some(numbers)
}

/// A signed number from the unsigned one that V8 writes for it.
pub const fn zig_zag(value: u64) -> i64 {
    (value >> 1) as i64 ^ ((value & 1) as i64).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vlq(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn zig(value: i64) -> u64 {
        ((value << 1) ^ (value >> 63)) as u64
    }

    #[test]
    fn both_encodings_are_read() {
        // Offsets 0 and 7; positions 10 and 5, the second an expression.
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for (code, position, is_statement) in [(1_i64, 22_i64, true), (7, -10, false)] {
            vlq(zig(if is_statement { code } else { -code - 1 }), &mut old);
            vlq(zig(position), &mut old);
            vlq((code as u64) << 2 | u64::from(is_statement), &mut new);
            vlq(zig(position), &mut new);
        }
        let expected = [(0, Some(10)), (7, Some(5))];
        for (bytes, encoding) in [(old, Encoding::SignMarksExpression), (new, Encoding::FlagBits)] {
            let entries = decode(&bytes, encoding).unwrap();
            let got: Vec<_> =
                entries.iter().map(|e| (e.code_offset, e.position.script_offset())).collect();
            assert_eq!(got, expected, "{encoding:?}");
            assert_eq!(find(&entries, 6).unwrap().script_offset(), Some(10));
            assert_eq!(find(&entries, 900).unwrap().script_offset(), Some(5));
        }
    }

    #[test]
    fn inlining_and_offset_share_a_word() {
        let position = SourcePosition(3 << 31 | 100 << 1);
        assert_eq!(position.inlining(), Some(2));
        assert_eq!(position.script_offset(), Some(99));
        assert_eq!(SourcePosition(0).script_offset(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for encoding in Encoding::ALL {
                let n = decode(&bytes, encoding).map_or(0, |entries| entries.len());
                prop_assert!(n <= bytes.len());
            }
        }
    }
}
