//! WebAssembly code: from a frame's instance to the module's code objects, to the function that has a return address, with what was
//! inlined into it. Also right for old code of a function that has been compiled again since; does not name functions.
//!
//! Fields and their order: V8 `src/wasm/wasm-code-manager.h`, `wasm-objects.tq`, `src/objects/managed.h`; where they lie is measured
//! (`Metadata`), and not believed before the module's own table of code agrees.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod binary;
mod std_map;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "made-up addresses")]
mod tests;

use std::collections::BTreeMap;

pub use binary::WasmBinary;

use crate::base::{Avma, FastSet, ReadMemory};
use crate::v8::code::makes_sense;
use crate::v8::metadata::Layout;
use crate::v8::object::{Heap, Tagged, word_in};
use crate::v8::position_table::{self, Encoding, SourcePosition};

/// Behind `owned_code_`: begin and end of the vector `new_owned_code_`, the array `code_table_`.
const NEW_CODE_BEGIN: u64 = 48;
const NEW_CODE_END: u64 = 56;
const CODE_TABLE: u64 = 72;

/// All fields of `WasmCode` that are read.
const CODE_BYTES: usize = 64;

/// Code objects that V8 has not sorted in yet; it does so whenever it walks a stack.
const NEW_CODE_MAX: usize = 200_000;

/// Functions of a module (`kV8MaxWasmDefinedFunctions`, V8 `src/wasm/wasm-limits.h`).
const TABLE_MAX: usize = 1_000_000;

/// Entries of the module's table that must agree with the fields of their code.
const CHECKED: usize = 16;

/// Position tables of one function.
const TABLE_BYTES_MAX: usize = 8 << 20;

/// Inlined functions at one place.
const INLINED_MAX: usize = 64;

/// A module as V8 has it compiled: all its instances in all isolates share it.
#[derive(Clone, Debug)]
pub struct WasmModule {
    native: Avma,
    pub binary: WasmBinary,
    /// Seen in the vector, by the start of the instructions.
    new_code: BTreeMap<Avma, Avma>,
    seen: FastSet<u64>,
}

/// Machine code of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasmCode {
    /// The object about it.
    at: Avma,
    pub start: Avma,
    pub len: u64,
    /// The function, imported ones counted.
    pub index: u32,
}

/// A function at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasmFrame {
    pub index: u32,
    /// In the binary.
    pub offset: Option<u32>,
}

impl WasmCode {
    fn contains(&self, pc: Avma) -> bool {
        pc.0.checked_sub(self.start.0).is_some_and(|offset| offset > 0 && offset < self.len)
    }
}

impl<M: ReadMemory> Heap<'_, M> {
    /// The `NativeModule` whose code is around `pc`, from the pointer to the state that the process has of WebAssembly.
    pub fn wasm_module_at(&self, state: Avma, pc: Avma) -> Option<Avma> {
        let map = Avma(self.word(state, 0)?).checked_add(self.layout.wasm_lookup_map)?;
        // By start: end and module.
        let (start, value) = self.map_entry_below(map, pc.0)?;
        let end = self.word(value, 0)?;
        (start..end).contains(&pc.0).then_some(())?;
        self.word(value, 8).map(Avma)
    }

    /// The `Script` of an instance as a frame refers to it.
    pub fn wasm_script(&self, instance: Tagged) -> Option<Avma> {
        let layout = self.layout;
        let mut instance = instance.as_object()?;
        if layout.wasm_data_instance != Layout::MISSING {
            let object = self.tagged(instance, layout.wasm_data_instance)?;
            instance = self.typed(object, layout.type_wasm_instance)?;
        }
        let module = self.tagged(instance, layout.wasm_instance_module)?;
        let module = self.typed(module, layout.type_wasm_module)?;
        let script = self.tagged(module, layout.wasm_module_script)?;
        self.typed(script, layout.type_script)
    }

    /// The `NativeModule` of a script, which only WebAssembly has.
    pub fn wasm_native_module(&self, script: Avma) -> Option<Avma> {
        let layout = self.layout;
        // In a script of another kind another field is here.
        let managed = self.tagged(script, layout.script_wasm_native_module)?;
        let managed = self.typed(managed, layout.type_foreign)?;
        let destructor = Avma(self.word(managed, layout.foreign_address)?);
        let shared = Avma(self.word(destructor, layout.managed_shared_ptr)?);
        self.word(shared, 0).map(Avma)
    }

    /// As V8 names the module: `wasm://wasm/ea057f26`.
    pub fn wasm_script_name(&self, script: Avma) -> Option<String> {
        self.name(self.tagged(script, self.layout.script_name)?).filter(|name| !name.is_empty())
    }

    /// Reads a `NativeModule`; `None` also if its code is not laid out as expected.
    pub fn wasm_module(&self, native: Avma) -> Option<WasmModule> {
        let shared = Avma(self.word(native, self.layout.native_module_wire_bytes)?);
        let start = Avma(self.word(shared, 0)?);
        let binary = WasmBinary::read(self.memory, start, self.word(shared, 8)?)?;
        let module =
            WasmModule { native, binary, new_code: BTreeMap::new(), seen: FastSet::default() };
        self.has_expected_layout(&module)?.then_some(module)
    }

    /// The newest code of each function must say that it is that function's.
    fn has_expected_layout(&self, module: &WasmModule) -> Option<bool> {
        let table = Avma(self.word(self.owned_code(module)?, CODE_TABLE)?);
        let len = module.binary.n_declared().min(TABLE_MAX).checked_mul(8)?;
        let bytes = self.bytes(table, len, len)?;
        let (words, _) = bytes.as_chunks::<8>();
        let mut n_checked = 0_usize;
        for (declared, word) in (0_u32..).zip(words) {
            let at = u64::from_le_bytes(*word);
            if at == 0 {
                continue;
            }
            let index = module.binary.n_imported.checked_add(declared)?;
            if self.wasm_code_at(module, Avma(at))?.index != index {
                return Some(false);
            }
            n_checked = n_checked.saturating_add(1);
            if n_checked >= CHECKED {
                break;
            }
        }
        Some(n_checked > 0)
    }

    fn owned_code(&self, module: &WasmModule) -> Option<Avma> {
        module.native.checked_add(self.layout.native_module_owned_code)
    }

    /// The code object at `at`, if it is one of this module.
    fn wasm_code_at(&self, module: &WasmModule, at: Avma) -> Option<WasmCode> {
        let bytes = self.bytes(at, CODE_BYTES, CODE_BYTES)?;
        (word_in(&bytes, 0)? == module.native.0).then_some(())?;
        Some(WasmCode {
            at,
            start: Avma(word_in(&bytes, 8)?),
            len: u64::from(u32_in(&bytes, self.layout.wasm_code_size)?),
            index: u32_in(&bytes, self.layout.wasm_code_index)?,
        })
    }

    /// The function of the module that returns to `pc`.
    pub fn wasm_code(&self, module: &mut WasmModule, pc: Avma) -> Option<WasmCode> {
        let code = self.sorted_code(module, pc).or_else(|| self.new_code(module, pc))?;
        // Wrappers and jump tables have no function.
        let declared = module.binary.declared(code.index)?;
        let table = Avma(self.word(self.owned_code(module)?, CODE_TABLE)?);
        let newest = self.word(table, u64::from(declared).checked_mul(8)?)?;
        let is_agreed = newest == 0 || self.wasm_code_at(module, Avma(newest))?.index == code.index;
        is_agreed.then_some(code)
    }

    fn sorted_code(&self, module: &WasmModule, pc: Avma) -> Option<WasmCode> {
        let (start, value) = self.map_entry_below(self.owned_code(module)?, pc.0)?;
        let code = self.wasm_code_at(module, Avma(self.word(value, 0)?))?;
        (code.start.0 == start && code.contains(pc)).then_some(code)
    }

    /// In the vector, newest first.
    fn new_code(&self, module: &mut WasmModule, pc: Avma) -> Option<WasmCode> {
        if let Some((_, at)) = module.new_code.range(..pc).next_back()
            && let Some(code) = self.wasm_code_at(module, *at)
            && code.contains(pc)
        {
            return Some(code);
        }
        let owned = self.owned_code(module)?;
        let begin = self.word(owned, NEW_CODE_BEGIN)?;
        let len = self.word(owned, NEW_CODE_END)?.checked_sub(begin)?;
        let len = usize::try_from(len).ok()?;
        let bytes = self.bytes(Avma(begin), len, NEW_CODE_MAX.checked_mul(8)?)?;
        let (words, _) = bytes.as_chunks::<8>();
        for word in words.iter().rev() {
            let at = u64::from_le_bytes(*word);
            if at == 0 || !module.seen.insert(at) {
                continue;
            }
            let Some(code) = self.wasm_code_at(module, Avma(at)) else { continue };
            module.new_code.insert(code.start, code.at);
            if code.contains(pc) {
                return Some(code);
            }
        }
        // An object may have gone, and another been made at its address.
        module.seen.clear();
        module.new_code.clear();
        None
    }

    /// The functions at a return address in `code`, innermost first; `None` if what is inlined there cannot be told.
    pub fn wasm_frames(
        &self,
        module: &WasmModule,
        code: &WasmCode,
        pc: Avma,
        encodings: [Encoding; 2],
    ) -> Option<Vec<WasmFrame>> {
        // The call is before the address that it returns to.
        let call = u32::try_from(pc.0.checked_sub(code.start.0)?.checked_sub(1)?).ok()?;
        let (positions, inlining) = self.wasm_tables(code)?;
        let found = encodings
            .into_iter()
            .filter_map(|encoding| position_table::decode(&positions, encoding))
            .filter(|entries| makes_sense(entries, code.len))
            .find_map(|entries| match position_table::find(&entries, call) {
                Some(position) => self.inlined_at(module, code, position, &inlining),
                None => Some(vec![WasmFrame { index: code.index, offset: None }]),
            });
        // Where nothing is inlined the function is certain without them.
        found.or_else(|| {
            inlining.is_empty().then(|| vec![WasmFrame { index: code.index, offset: None }])
        })
    }

    /// Source positions and inlining positions; in front of them are trapping instructions and relocations.
    fn wasm_tables(&self, code: &WasmCode) -> Option<(Vec<u8>, Vec<u8>)> {
        let layout = self.layout;
        let bytes = self.bytes(code.at, CODE_BYTES, CODE_BYTES)?;
        let size = |offset| u32_in(&bytes, offset).map(u64::from);
        let n_positions = size(layout.wasm_code_size.checked_add(8)?)?;
        let n_inlining = size(layout.wasm_code_inlining_size).unwrap_or(0);
        let before = size(layout.wasm_code_trapping_size)?
            .checked_add(size(layout.wasm_code_size.checked_add(4)?)?)?;
        let tables = Avma(word_in(&bytes, usize::try_from(layout.wasm_code_tables).ok()?)?);
        let at = tables.checked_add(before)?;
        let read = |at, len| self.bytes(at, usize::try_from(len).ok()?, TABLE_BYTES_MAX);
        Some((read(at, n_positions)?, read(at.checked_add(n_positions)?, n_inlining)?))
    }

    fn inlined_at(
        &self,
        module: &WasmModule,
        code: &WasmCode,
        position: SourcePosition,
        inlining: &[u8],
    ) -> Option<Vec<WasmFrame>> {
        /// Packed: function index, since V8 12 whether it was a tail call, and last the position in the caller.
        const IS_TAIL_CALL: usize = 4;
        const BEFORE_V8_12: usize = 12;
        let frame = |index, position: SourcePosition| {
            let offset = match position.script_offset() {
                // What lies outside the function's body is a sign that this is no position.
                Some(position) => Some(module.binary.offset(index, position)?),
                None => None,
            };
            Some(WasmFrame { index, offset })
        };
        let len = usize::try_from(self.layout.wasm_inlining_bytes).ok()?;
        let (mut position, mut is_replaced) = (position, false);
        let mut frames = Vec::new();
        for _ in 0..INLINED_MAX {
            let Some(at) = position.inlining() else {
                if !is_replaced {
                    frames.push(frame(code.index, position)?);
                }
                return Some(frames);
            };
            let at = at.checked_mul(len)?;
            let entry = inlining.get(at..at.checked_add(len)?)?;
            if !is_replaced {
                frames.push(frame(u32_in(entry, 0)?, position)?);
            }
            // A tail call's caller is no longer there.
            is_replaced = len > BEFORE_V8_12 && *entry.get(IS_TAIL_CALL)? != 0;
            position = SourcePosition(word_in(entry, len.checked_sub(8)?)?);
        }
        None
    }
}

fn u32_in(bytes: &[u8], at: u64) -> Option<u32> {
    let at = usize::try_from(at).ok()?;
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
