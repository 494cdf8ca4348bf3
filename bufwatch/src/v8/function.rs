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

    /// Reads the function at `shared`.
    pub fn function(&self, shared: Tagged) -> Option<FunctionFacts> {
        let layout = self.layout;
        let (id, shared, script) = self.function_id(shared)?;
        let named = self.tagged(shared, layout.shared_name_or_scope_info)?;
        let (name, range) = match named.as_object() {
            Some(object) if self.type_of(object)? == layout.type_scope_info => {
                let facts = self.scope_facts(object)?;
                (facts.name, facts.range)
            }
            Some(object) if self.is_string(object) => (self.optional_name(named)?, None),
            // A Smi stands for "no name".
            _ => (None, None),
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
            let object = data.as_object()?;
            let kind = self.type_of(object)?;
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
        let object = word.as_object_or_weak()?;
        let kind = self.type_of(object)?;
        if kind == layout.type_shared_wrapper {
            return self.tagged(object, layout.wrapper_shared);
        }
        (kind == layout.type_shared).then_some(Tagged(object.0 | 1))
    }
}
