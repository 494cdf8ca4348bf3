//! Deoptimisation data of Maglev code: which functions are inlined at a call and how far each is in its bytecode, as V8 itself would
//! rebuild the frames. Exact where the compiler's source positions are not.
//!
//! Formats: V8 13 `src/codegen/maglev-safepoint-table.h`, `src/deoptimizer/frame-translation-builder.cc`,
//! `src/objects/deoptimization-data.h`.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::ReadMemory;
use crate::v8::code::{CodeFacts, FrameAt, INLINED_MAX, InlinedFrame};
use crate::v8::object::Heap;
use crate::v8::position_table::zig_zag;

/// Entries of a safepoint table; one for each call.
const SAFEPOINTS_MAX: usize = 65_536;

/// Bytes of the header: stack slots, number of entries, sizes of fields, number of tagged slots.
const SAFEPOINT_HEADER_BYTES: usize = 16;

/// Bytes of all translations of one function.
const TRANSLATIONS_BYTES_MAX: usize = 8 << 20;

/// Instructions of one translation.
const INSTRUCTIONS_MAX: usize = 100_000;

/// Words of a deoptimisation entry: bytecode offset, index of the translation, machine code offset.
const ENTRY_WORDS: usize = 3;

/// How instructions of translations are written in a build of V8: operands of each (`TranslationOpcodeOperandCount`, read from the
/// binary). The order of the first ones is that of the frames.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TranslationOpcodes {
    n_operands: Vec<u8>,
    /// The first of the two that begin a translation.
    begin: usize,
}

/// `INTERPRETED_FRAME_WITH_RETURN` and `…WITHOUT_RETURN`.
const N_INTERPRETED_FRAMES: u8 = 2;

/// An instruction with its first two operands, which is all that frames need.
#[derive(Clone, Copy, Debug, Default)]
struct Instruction {
    opcode: u8,
    operands: [u64; 2],
}

/// One step of decoding.
enum Step {
    Instruction(Instruction),
    /// The next ones are those of the basis translation at the same places.
    Match(usize),
    Begin {
        lookback: usize,
    },
    End,
}

impl TranslationOpcodes {
    /// `None` if the numbers do not have the form of V8 12 to 14: interpreted frames first, then among others two instructions
    /// without operands before the two that begin.
    pub fn new(n_operands: Vec<u8>) -> Option<Self> {
        let is_known = matches!(n_operands.get(..2)?, [5, 3] | [6, 4]);
        let zero = n_operands.iter().position(|n| *n == 0)?;
        let begin = zero.checked_add(n_operands.get(zero..)?.iter().position(|n| *n != 0)?)?;
        let is_begin = n_operands.get(begin..begin.checked_add(2)?)? == [3, 3];
        (is_known && is_begin).then_some(Self { n_operands, begin })
    }

    fn step(&self, bytes: &[u8], at: &mut usize) -> Option<Step> {
        let Some(byte) = bytes.get(*at).copied() else { return Some(Step::End) };
        *at = at.checked_add(1)?;
        let opcode = usize::from(byte);
        let n = self.n_operands.len();
        if opcode >= n {
            // Short form of the last one, which has a number only.
            return Some(Step::Match(opcode.checked_sub(n)?));
        }
        if opcode.checked_add(1)? == n {
            return Some(Step::Match(usize::try_from(operand(bytes, at)?).ok()?));
        }
        let mut operands = [0; 2];
        for index in 0..usize::from(*self.n_operands.get(opcode)?) {
            let value = operand(bytes, at)?;
            if let Some(slot) = operands.get_mut(index) {
                *slot = value;
            }
        }
        let [first, _] = operands;
        if (self.begin..self.begin.checked_add(2)?).contains(&opcode) {
            return Some(Step::Begin { lookback: usize::try_from(first).ok()? });
        }
        Some(Step::Instruction(Instruction { opcode: byte, operands }))
    }

    /// All instructions of the translation that begins at `index`.
    fn instructions(&self, bytes: &[u8], index: usize) -> Option<Vec<Instruction>> {
        let mut at = index;
        let Step::Begin { lookback } = self.step(bytes, &mut at)? else { return None };
        let basis = match lookback {
            0 => Vec::new(),
            _ => {
                let start = index.checked_sub(lookback)?;
                let mut at = start;
                // A basis has none itself.
                let Step::Begin { lookback: 0 } = self.step(bytes, &mut at)? else { return None };
                self.rest(bytes, at, &[])?
            }
        };
        self.rest(bytes, at, &basis)
    }

    fn rest(&self, bytes: &[u8], start: usize, basis: &[Instruction]) -> Option<Vec<Instruction>> {
        let mut at = start;
        let mut instructions = Vec::new();
        while instructions.len() < INSTRUCTIONS_MAX {
            match self.step(bytes, &mut at)? {
                Step::Instruction(instruction) => instructions.push(instruction),
                Step::Match(n) => {
                    let from = instructions.len();
                    instructions.extend(basis.get(from..from.checked_add(n)?)?);
                }
                Step::Begin { .. } | Step::End => return Some(instructions),
            }
        }
        None
    }

    /// Bytecode offset and literal of each interpreted frame, outermost first.
    fn frames(&self, bytes: &[u8], index: usize) -> Option<Vec<(i64, i64)>> {
        let frames = self.instructions(bytes, index)?.into_iter().filter_map(|instruction| {
            let [offset, literal] = instruction.operands.map(zig_zag);
            (instruction.opcode < N_INTERPRETED_FRAMES).then_some((offset, literal))
        });
        Some(frames.collect())
    }
}

impl<M: ReadMemory> Heap<'_, M> {
    /// The functions at a call in Maglev code, innermost first; `None` if the call has no deoptimisation data.
    pub fn maglev_frames(
        &self,
        code: &CodeFacts,
        return_offset: u64,
        opcodes: &TranslationOpcodes,
    ) -> Option<Vec<InlinedFrame>> {
        let layout = self.layout;
        let index = self.maglev_deopt_index(code, return_offset)?;
        let data = code.data.as_object()?;
        let element = |index| self.element(data, usize::try_from(index).ok()?);
        let first_entry = usize::try_from(layout.deopt_first_entry).ok()?;
        let entry = index.checked_mul(ENTRY_WORDS)?.checked_add(first_entry)?;
        let translation = self.element(data, entry.checked_add(1)?)?.as_smi()?;
        let translations =
            self.byte_array(element(layout.deopt_translations)?, TRANSLATIONS_BYTES_MAX)?;
        let literals = element(layout.deopt_literals)?.as_object()?;
        let mut frames = opcodes.frames(&translations, usize::try_from(translation).ok()?)?;
        // Code without a function is not what it seems.
        if frames.is_empty() || frames.len() > INLINED_MAX {
            return None;
        }
        frames.reverse();
        frames
            .into_iter()
            .map(|(offset, literal)| {
                let literal = self.element(literals, usize::try_from(literal).ok()?)?;
                Some(InlinedFrame {
                    shared: Some(self.unwrap_shared(literal)?),
                    // Before the first bytecode: at the entry.
                    at: FrameAt::Bytecode(u32::try_from(offset.max(0)).ok()?),
                })
            })
            .collect()
    }

    /// Which deoptimisation entry belongs to the call that returns there. The table follows the instructions.
    fn maglev_deopt_index(&self, code: &CodeFacts, return_offset: u64) -> Option<usize> {
        let table = code.start.checked_add(code.len)?;
        let header = self.bytes(table, SAFEPOINT_HEADER_BYTES, SAFEPOINT_HEADER_BYTES)?;
        let (words, _) = header.as_chunks::<4>();
        let word = |n: usize| words.get(n).map(|word| u32::from_le_bytes(*word));
        let n_entries = usize::try_from(word(1)?).ok().filter(|n| *n <= SAFEPOINTS_MAX)?;
        let sizes = word(2)?;
        // Bit fields: has deoptimisation data (1), bytes of register indexes (3), of code offsets (3), of indexes (3).
        let field = |shift: u32| (sizes >> shift & 7) as usize;
        let (n_registers, n_pc, n_index) = (field(1), field(4), field(7));
        if sizes & 1 == 0 || n_pc == 0 || n_pc > 4 || n_index > 4 || n_registers > 4 {
            return None;
        }
        let n_bytes =
            n_pc.checked_mul(2)?.checked_add(n_index)?.checked_add(n_registers)?.checked_add(1)?;
        let start = table.checked_add(SAFEPOINT_HEADER_BYTES as u64)?;
        let entries = self.bytes(start, n_entries.checked_mul(n_bytes)?, SAFEPOINTS_MAX << 4)?;
        for entry in entries.chunks_exact(n_bytes) {
            if number(entry.get(..n_pc)?) == return_offset {
                // Stored with one added, so that zero is none.
                let index = number(entry.get(n_pc..n_pc.checked_add(n_index)?)?);
                return usize::try_from(index.checked_sub(1)?).ok();
            }
        }
        None
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// A base-128 number.
fn operand(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..36).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at = at.checked_add(1)?;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Node 24's and 26's.
    const COUNTS: [u8; 45] = [
        6, 4, 3, 3, 2, 1, 3, 4, 3, 3, 3, 1, 0, 0, 3, 3, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 2, 1,
    ];

    #[test]
    fn a_translation_is_read_through_its_basis() {
        let opcodes = TranslationOpcodes::new(COUNTS.to_vec()).unwrap();
        // Basis: begin(0, 2, 2), outer frame (offset 40, literal 1), inner frame (offset 6, literal 2).
        let mut bytes = vec![14, 0, 4, 4, 1, 80, 2, 0, 0, 0, 12, 4, 0, 0, 0, 0];
        let second = bytes.len();
        // Begin with a look back, one instruction as before, then another inner frame (offset 9).
        bytes.extend([14, second as u8, 4, 4, 45 + 1, 1, 18, 4, 0, 0]);
        assert_eq!(opcodes.frames(&bytes, 0), Some(vec![(40, 1), (6, 2)]));
        assert_eq!(opcodes.frames(&bytes, second), Some(vec![(40, 1), (9, 2)]));
        assert_eq!(opcodes.frames(&bytes, 4), None);
    }

    #[test]
    fn other_forms_are_not_guessed_at() {
        assert_eq!(TranslationOpcodes::new(vec![2, 1, 0, 3, 1, 1, 3]), None);
        assert_eq!(TranslationOpcodes::new(Vec::new()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400), index in 0usize..400) {
            let opcodes = TranslationOpcodes::new(COUNTS.to_vec()).unwrap();
            let _frames = opcodes.frames(&bytes, index);
        }
    }
}
