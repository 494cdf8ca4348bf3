//! `BytecodeArray`: from where a function is in its bytecode to a position in its script, and from baseline machine code to bytecode.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::object::Heap;
use crate::v8::position_table::{self, Encoding, Entry, unsigned_numbers};

/// Longest bytecode and position table read; a generated function of 10 MB of source has less.
const BYTES_MAX: usize = 32 << 20;

/// Positions of one function's bytecode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytecodePositions {
    entries: Vec<Entry>,
    pub n_bytes: u32,
}

impl BytecodePositions {
    /// Script offset of what runs at `bytecode_offset`.
    pub fn find(&self, bytecode_offset: u32) -> Option<u32> {
        if bytecode_offset >= self.n_bytes {
            return None;
        }
        position_table::find(&self.entries, bytecode_offset)?.script_offset()
    }
}

/// Bytes of each bytecode, operands included, at the three operand scales
/// (`interpreter::Bytecodes::kBytecodeSizes`, read from the binary).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BytecodeSizes(Vec<u8>);

impl BytecodeSizes {
    const N_SCALES: usize = 3;

    pub const fn new(sizes: Vec<u8>) -> Self {
        Self(sizes)
    }

    fn get(&self, scale: usize, bytecode: u8) -> Option<usize> {
        let n = self.0.len().checked_div(Self::N_SCALES)?;
        let at = scale.checked_mul(n)?.checked_add(usize::from(bytecode))?;
        let size = usize::from(*self.0.get(at)?);
        (usize::from(bytecode) < n && size > 0).then_some(size)
    }

    /// Length of the bytecode that begins at `at`, a `Wide` or `ExtraWide` prefix included.
    fn len_at(&self, bytecodes: &[u8], at: usize) -> Option<usize> {
        // `Wide`, `ExtraWide` and their `DebugBreak` versions are the first four (src/interpreter/bytecodes.h).
        match *bytecodes.get(at)? {
            prefix @ 0..4 => {
                let next = *bytecodes.get(at.checked_add(1)?)?;
                let scale = if prefix % 2 == 0 { 1 } else { 2 };
                self.get(scale, next)?.checked_add(1)
            }
            bytecode => self.get(0, bytecode),
        }
    }
}

impl<M: ReadMemory> Heap<'_, M> {
    fn bytecode_len(&self, bytecode: Avma) -> Option<u32> {
        (self.type_of(bytecode)? == self.layout.type_bytecode_array).then_some(())?;
        u32::try_from(self.smi(bytecode, self.layout.bytecode_length)?).ok().filter(|len| *len > 0)
    }

    pub fn bytecodes(&self, bytecode: Avma) -> Option<Vec<u8>> {
        let len = usize::try_from(self.bytecode_len(bytecode)?).ok()?;
        self.bytes(bytecode.checked_add(self.layout.bytecode_data)?, len, BYTES_MAX)
    }

    /// The position table, in the first encoding of which everything makes sense: offsets rise and lie in the bytecode, positions
    /// lie in the function.
    pub fn bytecode_positions(
        &self,
        bytecode: Avma,
        range: Option<(u32, u32)>,
        encodings: [Encoding; 2],
    ) -> Option<BytecodePositions> {
        let n_bytes = self.bytecode_len(bytecode)?;
        let table = self.tagged(bytecode, self.layout.bytecode_positions)?;
        let table = self.byte_array(table, BYTES_MAX)?;
        if table.is_empty() {
            // V8 has not collected positions for it, or it is native.
            return None;
        }
        encodings
            .into_iter()
            .filter_map(|encoding| position_table::decode(&table, encoding))
            .find(|entries| makes_sense(entries, n_bytes, range))
            .map(|entries| BytecodePositions { entries, n_bytes })
    }

    /// Bytecode offset of the call that returns to `return_offset`, from the start of baseline code whose table of lengths this is.
    pub fn baseline_offset(
        &self,
        bytecode: Avma,
        table: &[u8],
        sizes: &BytecodeSizes,
        return_offset: u64,
    ) -> Option<u32> {
        let bytecodes = self.bytecodes(bytecode)?;
        baseline_offset(&bytecodes, table, sizes, return_offset)
    }
}

/// The table has the length of machine code for the prologue, then for each bytecode
/// (V8 `src/baseline/bytecode-offset-iterator.h`).
fn baseline_offset(
    bytecodes: &[u8],
    table: &[u8],
    sizes: &BytecodeSizes,
    return_offset: u64,
) -> Option<u32> {
    let mut end = 0_u64;
    let mut at = 0_usize;
    let mut is_prologue = true;
    for len in unsigned_numbers(table)? {
        end = end.checked_add(len)?;
        if is_prologue {
            is_prologue = false;
            if end >= return_offset {
                return Some(0);
            }
            continue;
        }
        if end >= return_offset {
            return u32::try_from(at).ok();
        }
        at = at.checked_add(sizes.len_at(bytecodes, at)?)?;
    }
    None
}

fn makes_sense(entries: &[Entry], n_bytes: u32, range: Option<(u32, u32)>) -> bool {
    let is_rising = entries.is_sorted_by_key(|entry| entry.code_offset);
    let (start, end) = range.unwrap_or((0, u32::MAX));
    is_rising
        && !entries.is_empty()
        && entries.iter().all(|entry| {
            entry.code_offset < i64::from(n_bytes)
                && entry.position.inlining().is_none()
                && entry.position.script_offset().is_none_or(|at| start <= at && at <= end)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baseline_code_is_stepped_with_its_bytecodes() {
        // Bytecode 4 has 1 byte, 5 has 2; wide 5 has 3 and a prefix.
        let sizes = BytecodeSizes::new(vec![1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1, 5]);
        let bytecodes = [4, 5, 9, 0, 5, 9, 9, 4];
        let table = [10, 3, 4, 6, 2];
        let at = |offset| baseline_offset(&bytecodes, &table, &sizes, offset);
        assert_eq!(at(10), Some(0));
        assert_eq!(at(13), Some(0));
        assert_eq!(at(14), Some(1));
        assert_eq!(at(17), Some(1));
        assert_eq!(at(18), Some(3));
        assert_eq!(at(24), Some(7));
        assert_eq!(at(26), None);
    }
}
