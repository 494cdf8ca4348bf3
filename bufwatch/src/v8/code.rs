//! Machine code that V8 generated: which function's it is, how it was compiled, and for optimised code the chain of inlined functions
//! at a place in it.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, FastMap, ReadMemory};
use crate::v8::object::{Heap, Tagged, word_in};
use crate::v8::position_table::{self, Encoding, Entry, SourcePosition};

/// Largest piece of code of one function; V8 refuses to optimise larger ones.
const CODE_BYTES_MAX: u64 = 2 << 20;

/// Read first when looking for the beginning of a piece of code, and twice as much each time after that: most code is short.
const SCAN_BYTES_MIN: u64 = 1 << 10;

const SCAN_BYTES_MAX: u64 = 64 << 10;

/// Tables of one piece of code, and inlining positions.
const TABLE_BYTES_MAX: usize = 8 << 20;

/// Inlined functions at one place: V8 limits the cumulative size, not the depth.
pub(super) const INLINED_MAX: usize = 64;

/// Map words remembered, of both kinds.
const MAPS_MAX: usize = 65_536;

/// Which compiler made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Sparkplug.
    Baseline,
    Maglev,
    Turbofan,
}

/// A piece of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeFacts {
    pub start: Avma,
    pub len: u64,
    pub tier: Tier,
    /// Deoptimisation data; of baseline code its bytecode.
    pub data: Tagged,
    /// Source positions; of baseline code the lengths of machine code per bytecode.
    pub table: Vec<u8>,
}

impl CodeFacts {
    /// A return address may lie behind the last instruction.
    pub fn contains(&self, pc: Avma) -> bool {
        is_in_code(pc, self.start, self.len)
    }
}

fn is_in_code(pc: Avma, start: Avma, len: u64) -> bool {
    pc.0.checked_sub(start.0).is_some_and(|offset| (1..=len).contains(&offset))
}

/// A function at a place, where one function has been compiled into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinedFrame {
    /// `None`: the function whose frame it is.
    pub shared: Option<Tagged>,
    pub at: FrameAt,
}

/// How far a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameAt {
    /// Offset in the script.
    Script(u32),
    /// Offset in its bytecode.
    Bytecode(u32),
    /// The compiler recorded nothing.
    Unknown,
}

impl From<Option<u32>> for FrameAt {
    fn from(script_offset: Option<u32>) -> Self {
        script_offset.map_or(Self::Unknown, Self::Script)
    }
}

/// Which words are maps of code objects. The same in all isolates that share a read-only space, yet learned word by word.
#[derive(Clone, Debug, Default)]
pub struct CodeMaps(FastMap<u64, bool>);

impl CodeMaps {
    fn is_code<M: ReadMemory>(&mut self, heap: Heap<'_, M>, word: u64) -> bool {
        if let Some(is_code) = self.0.get(&word) {
            return *is_code;
        }
        let layout = heap.layout;
        let is_code = Tagged(word).as_object().is_some_and(|map| {
            // Its own map says that it is one.
            heap.type_of(map) == Some(layout.type_map)
                && heap.u32(map, layout.map_instance_type).map(|it| u64::from(it & 0xffff))
                    == Some(layout.type_instructions)
        });
        if self.0.len() >= MAPS_MAX {
            self.0.retain(|_, is_code| *is_code);
        }
        self.0.insert(word, is_code);
        is_code
    }
}

impl<M: ReadMemory> Heap<'_, M> {
    /// The code around a return address, in a mapping that begins at `mapping_start`: the nearest code object before it.
    pub fn find_code(
        &self,
        pc: Avma,
        mapping_start: Avma,
        maps: &mut CodeMaps,
    ) -> Option<CodeFacts> {
        let lowest = mapping_start.0.max(pc.0.saturating_sub(CODE_BYTES_MAX));
        let mut end = pc.0 & !7;
        let mut n_scanned = SCAN_BYTES_MIN;
        while end > lowest {
            let start = lowest.max(end.saturating_sub(n_scanned));
            n_scanned = n_scanned.saturating_mul(2).min(SCAN_BYTES_MAX);
            let len = usize::try_from(end.checked_sub(start)?).ok()?;
            let bytes = self.bytes(Avma(start), len, SCAN_BYTES_MAX as usize)?;
            let (words, _) = bytes.as_chunks::<8>();
            for (n, word) in words.iter().enumerate().rev() {
                let word = u64::from_le_bytes(*word);
                if Tagged(word).as_object().is_none() || !maps.is_code(*self, word) {
                    continue;
                }
                let object = Avma(start.checked_add((n as u64).checked_mul(8)?)?);
                if let Some((code, start, len)) = self.code_span(object)
                    && is_in_code(pc, start, len)
                {
                    // Also if it is of no tier that is read: nothing farther away is around it.
                    return self.code_facts(code, start, len);
                }
            }
            end = start;
        }
        None
    }

    /// Of the object that holds the instructions: the `Code` about them, where they begin and how many bytes they have.
    fn code_span(&self, instructions: Avma) -> Option<(Avma, Avma, u64)> {
        let layout = self.layout;
        let is_one_object = layout.type_instructions == layout.type_code;
        let code =
            if is_one_object { instructions } else { self.code_of_instructions(instructions)? };
        let start = if is_one_object {
            instructions.checked_add(layout.code_header_bytes)?
        } else {
            Avma(self.word(code, layout.code_start)?)
        };
        Some((code, start, u64::from(self.u32(code, layout.code_size)?)))
    }

    fn code_facts(&self, code: Avma, start: Avma, len: u64) -> Option<CodeFacts> {
        let layout = self.layout;
        let kind = u64::from(self.u32(code, layout.code_flags)? & 0xf);
        let tier = if kind == layout.code_kind_baseline {
            Tier::Baseline
        } else if kind == layout.code_kind_maglev {
            Tier::Maglev
        } else if kind == layout.code_kind_turbofan {
            Tier::Turbofan
        } else {
            return None;
        };
        let table = self.tagged(code, layout.code_positions)?;
        Some(CodeFacts {
            start,
            len,
            tier,
            data: self.tagged(code, layout.code_deopt_data)?,
            table: self.byte_array(table, TABLE_BYTES_MAX)?,
        })
    }

    /// One of the first words of an instruction stream points to its `Code`.
    fn code_of_instructions(&self, instructions: Avma) -> Option<Avma> {
        let bytes = self.bytes(instructions, 40, 40)?;
        (8..40)
            .step_by(8)
            .find_map(|at| self.typed(Tagged(word_in(&bytes, at)?), self.layout.type_code))
    }

    /// The functions at `return_offset` into optimised code, innermost first, as the compiler's position tables have them.
    pub fn inlined_frames(
        &self,
        code: &CodeFacts,
        return_offset: u64,
        encodings: [Encoding; 2],
    ) -> Option<Vec<InlinedFrame>> {
        let entries = encodings
            .into_iter()
            .filter_map(|encoding| position_table::decode(&code.table, encoding))
            .find(|entries| makes_sense(entries, code.len))?;
        let data = self.deopt_data(code.data);
        // The call is before the address that it returns to.
        let call = u32::try_from(return_offset.checked_sub(1)?).ok()?;
        let position = position_table::find(&entries, call);
        let Some(data) = data else {
            // V8 10 drops the data of code that it has given up, which may be running. Without inlining, it is not needed.
            let position = position.filter(|position| position.inlining().is_none())?;
            return Some(vec![InlinedFrame { shared: None, at: position.script_offset().into() }]);
        };
        let outer = self.unwrap_shared(data.shared)?;
        let Some(mut position) = position else {
            return Some(vec![InlinedFrame { shared: Some(outer), at: FrameAt::Unknown }]);
        };
        let mut frames = Vec::new();
        for _ in 0..INLINED_MAX {
            let Some(inlining) = position.inlining() else {
                frames.push(InlinedFrame {
                    shared: Some(outer),
                    at: position.script_offset().into(),
                });
                return Some(frames);
            };
            let (caller, function) = inlining_position(&data.inlining_positions, inlining)?;
            let shared = match usize::try_from(function) {
                Ok(function) => self.unwrap_shared(self.element(data.literals, function)?)?,
                // `kNotInlinedFunctionIndex`.
                Err(_) => outer,
            };
            frames.push(InlinedFrame { shared: Some(shared), at: position.script_offset().into() });
            position = caller;
        }
        None
    }

    /// The function that optimised code was made of.
    pub fn function_of_code(&self, code: &CodeFacts) -> Option<Tagged> {
        (code.tier != Tier::Baseline).then_some(())?;
        let index = usize::try_from(self.layout.deopt_shared).ok()?;
        self.unwrap_shared(self.element(code.data.as_object()?, index)?)
    }

    fn deopt_data(&self, word: Tagged) -> Option<DeoptData> {
        let layout = self.layout;
        let array = word.as_object()?;
        let element = |index| self.element(array, usize::try_from(index).ok()?);
        Some(DeoptData {
            shared: element(layout.deopt_shared)?,
            literals: element(layout.deopt_literals)?.as_object()?,
            inlining_positions: self
                .byte_array(element(layout.deopt_inlining_positions)?, TABLE_BYTES_MAX)?,
        })
    }

    /// An element of anything laid out like a `FixedArray`.
    pub fn element(&self, array: Avma, index: usize) -> Option<Tagged> {
        let len = usize::try_from(self.smi(array, self.layout.array_length)?).ok()?;
        if index >= len {
            return None;
        }
        let offset = (index as u64).checked_mul(8)?.checked_add(self.layout.array_data)?;
        self.tagged(array, offset)
    }
}

struct DeoptData {
    shared: Tagged,
    literals: Avma,
    inlining_positions: Vec<u8>,
}

/// `InliningPosition`: position in the caller, and which function was inlined (V8 `src/codegen/source-position.h`).
fn inlining_position(positions: &[u8], index: usize) -> Option<(SourcePosition, i32)> {
    let at = index.checked_mul(16)?;
    let caller = word_in(positions, at)?;
    let function = word_in(positions, at.checked_add(8)?)? as i32;
    Some((SourcePosition(caller), function))
}

/// Entries in the order of the code, none behind its end.
pub(super) fn makes_sense(entries: &[Entry], len: u64) -> bool {
    entries.is_sorted_by_key(|entry| entry.code_offset)
        && entries
            .last()
            .is_none_or(|last| u64::try_from(last.code_offset).is_ok_and(|at| at <= len))
}
