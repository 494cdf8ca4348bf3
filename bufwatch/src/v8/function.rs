//! `SharedFunctionInfo`: which function it is, its name, its script and its bytecode. What a function is is never its address: V8
//! moves it, the pair of script id and literal id stays.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::object::{Heap, Tagged};

/// What stays the same for a function's life, within its isolate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId {
    pub script: i32,
    pub literal: u32,
}

impl FunctionId {
    /// As the probe captures it: script id in the upper half.
    pub const fn from_captured(identity: u64) -> Self {
        Self { script: (identity >> 32) as i32, literal: identity as u32 }
    }
}

/// A function, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionFacts {
    pub id: FunctionId,
    /// As DevTools shows it; `None` for an anonymous one.
    pub name: Option<String>,
    /// In the script; `None` if not known.
    pub range: Option<(u32, u32)>,
    /// Its `Script` object, at this moment.
    pub script: Avma,
    /// Its `BytecodeArray`, at this moment.
    pub bytecode: Option<Avma>,
}

impl<M: ReadMemory> Heap<'_, M> {
    /// The identity of the function at `shared`; `None` if there is no `SharedFunctionInfo` with a script.
    pub fn function_id(&self, shared: Tagged) -> Option<(FunctionId, Avma, Avma)> {
        let layout = self.layout;
        let shared = self.typed(shared, layout.type_shared)?;
        let script = self.typed(self.tagged(shared, layout.shared_script)?, layout.type_script)?;
        let id = FunctionId {
            script: self.smi(script, layout.script_id)?,
            literal: self.u32(shared, layout.shared_literal_id)?,
        };
        Some((id, shared, script))
    }

    /// Where the function is now, by what its script refers to: V8 moves functions, and a captured address is as old as the capture.
    pub fn find_function(&self, script: Avma, id: FunctionId) -> Option<Tagged> {
        let layout = self.layout;
        let script = self.typed(Tagged(script.0 | 1), layout.type_script)?;
        (self.script_id(script)? == id.script).then_some(())?;
        let functions = self.tagged(script, layout.script_functions)?;
        let functions = self.typed(functions, layout.type_weak_fixed_array)?;
        let n = u32::try_from(self.smi(functions, layout.array_length)?).ok()?;
        (id.literal < n).then_some(())?;
        let offset = u64::from(id.literal).checked_mul(8)?.checked_add(layout.array_data)?;
        let found = self.tagged(functions, offset)?.as_object_or_weak()?;
        Some(Tagged(found.0 | 1))
    }

    /// Reads the function at `shared`.
    pub fn function(&self, shared: Tagged) -> Option<FunctionFacts> {
        let layout = self.layout;
        let (id, shared, script) = self.function_id(shared)?;
        let named = self.tagged(shared, layout.shared_name_or_scope_info)?;
        let (name, range) = if named.as_object().is_none() {
            // A Smi stands for "no name".
            (None, None)
        } else {
            let (object, kind) = self.object(named)?;
            if kind == layout.type_scope_info {
                let facts = self.scope_facts(object)?;
                (facts.name, facts.range)
            } else {
                // Of anything but a string there is none.
                (self.optional_name(named)?, None)
            }
        };
        let name = self.initializer_name(shared).map(str::to_owned).or(name);
        let bytecode = self
            .tagged(shared, layout.shared_function_data)
            .and_then(|data| self.bytecode_of(data));
        Some(FunctionFacts { id, name, range, script, bytecode })
    }

    /// Field initialisers and static blocks are functions that V8 makes; its stack traces name them so.
    fn initializer_name(&self, shared: Avma) -> Option<&'static str> {
        /// `FunctionKindBits`: the lowest five of the flags.
        const KIND_MASK: u32 = 0x1f;
        let layout = self.layout;
        let kind = u64::from(self.u32(shared, layout.shared_flags)? & KIND_MASK);
        if kind >= layout.kind_static_initializer {
            Some("<static_initializer>")
        } else if kind >= layout.kind_members_initializer {
            Some("<instance_members_initializer>")
        } else {
            None
        }
    }

    /// From what a function's data, or baseline code, refers to.
    pub fn bytecode_of(&self, data: Tagged) -> Option<Avma> {
        let layout = self.layout;
        let mut data = data;
        // Baseline code has interpreter data, which has the bytecode.
        for _ in 0..3 {
            let (object, kind) = self.object(data)?;
            if kind == layout.type_bytecode_array {
                return Some(object);
            }
            let offset = if kind == layout.type_interpreter_data {
                layout.interpreter_data_bytecode
            } else if kind == layout.type_code {
                layout.code_deopt_data
            } else {
                return None;
            };
            data = self.tagged(object, offset)?;
        }
        None
    }

    /// A `SharedFunctionInfo`, also behind the wrapper that code refers to it through since V8 13.
    pub fn unwrap_shared(&self, word: Tagged) -> Option<Tagged> {
        let layout = self.layout;
        let strong = Tagged(word.as_object_or_weak()?.0 | 1);
        let (object, kind) = self.object(strong)?;
        if kind == layout.type_shared_wrapper {
            return self.tagged(object, layout.wrapper_shared);
        }
        (kind == layout.type_shared).then_some(Tagged(object.0 | 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::MemoryError;
    use crate::v8::metadata::Layout;

    const ID: FunctionId = FunctionId { script: 7, literal: 1 };
    const SCRIPT: u64 = 0x1_0000;
    const FUNCTIONS: u64 = 0x2_0000;
    const SHARED: u64 = 0x3_0000;
    const MAP_OF_SCRIPTS: u64 = 0x8_0000;
    const MAP_OF_ARRAYS: u64 = 0x9_0000;

    struct Words(BTreeMap<u64, u64>);

    impl ReadMemory for Words {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let word = self.0.get(&address.0).ok_or(MemoryError::Unmapped(address))?;
            out.copy_from_slice(&word.to_le_bytes()[..out.len()]);
            Ok(())
        }
    }

    fn layout() -> Layout {
        Layout {
            map_instance_type: 8,
            type_script: 1,
            type_weak_fixed_array: 2,
            script_id: 64,
            script_functions: 88,
            array_length: 8,
            array_data: 16,
            ..Layout::default()
        }
    }

    fn memory() -> Words {
        Words(BTreeMap::from([
            (MAP_OF_SCRIPTS + 8, 1),
            (MAP_OF_ARRAYS + 8, 2),
            (SCRIPT, MAP_OF_SCRIPTS | 1),
            (SCRIPT + 64, 7 << 32),
            (SCRIPT + 88, FUNCTIONS | 1),
            (FUNCTIONS, MAP_OF_ARRAYS | 1),
            (FUNCTIONS + 8, 2 << 32),
            // The first has been collected, the second is there, weakly.
            (FUNCTIONS + 16, 3),
            (FUNCTIONS + 24, SHARED | 3),
        ]))
    }

    #[test]
    fn a_script_knows_where_its_functions_are() {
        let (memory, layout) = (memory(), layout());
        let heap = Heap::new(&memory, &layout);
        let find = |script, literal| {
            heap.find_function(Avma(SCRIPT), FunctionId { script, literal }).map(|it| it.0)
        };
        assert_eq!(find(ID.script, ID.literal), Some(SHARED | 1));
        assert_eq!(find(ID.script, 0), None);
        assert_eq!(find(ID.script, 2), None);
        assert_eq!(find(ID.script, u32::MAX), None);
        assert_eq!(find(8, ID.literal), None);
    }

    #[test]
    fn an_object_that_was_moved_says_where_to() {
        let (mut memory, layout) = (memory(), layout());
        let moved = 0x7_0000;
        for at in [0, 64, 88] {
            let word = memory.0[&(SCRIPT + at)];
            memory.0.insert(moved + at, word);
        }
        memory.0.insert(SCRIPT, moved);
        let heap = Heap::new(&memory, &layout);
        assert_eq!(heap.typed(Tagged(SCRIPT | 1), 1), Some(Avma(moved)));
        assert_eq!(heap.typed(Tagged(FUNCTIONS | 1), 2), Some(Avma(FUNCTIONS)));
        let shared = heap.find_function(Avma(SCRIPT), FunctionId { script: 7, literal: 1 });
        assert_eq!(shared.map(|it| it.0), Some(SHARED | 1));
        // To nowhere, and to what has no map.
        memory.0.insert(SCRIPT, 0x5_0000);
        assert_eq!(Heap::new(&memory, &layout).typed(Tagged(SCRIPT | 1), 1), None);
        memory.0.insert(SCRIPT, SCRIPT);
        assert_eq!(Heap::new(&memory, &layout).typed(Tagged(SCRIPT | 1), 1), None);
    }
}
