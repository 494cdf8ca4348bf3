//! `Script`: its name, its source's lines, and for evaluated code where the evaluation was.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, ReadMemory};
use crate::v8::line_starts::LineStarts;
use crate::v8::object::{Heap, Tagged};
use crate::v8::string::SOURCE_UNITS_MAX;

/// A script, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFacts {
    /// `//# sourceURL=` if it has one, else the name it was compiled with: path, `file://` URL, `node:…`.
    pub name: Option<String>,
    /// `//# sourceMappingURL=`; a longer one than a name may be is not read here.
    pub source_mapping_url: Option<String>,
    /// The comment is there, but too long to be a name: the map itself.
    pub has_inline_map: bool,
    /// Of the first line of the source in its file, 0-based.
    pub line_offset: u32,
    /// Of its first column in its first line.
    pub column_offset: u32,
    /// `None` if the source could not be read: then no position has a line.
    pub lines: Option<LineStarts>,
    pub eval_origin: Option<EvalOrigin>,
    /// Of a WebAssembly module: its functions that JavaScript sees are what V8 calls the module through.
    pub is_wasm: bool,
}

/// Who called `eval` or `new Function`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvalOrigin {
    /// Its `SharedFunctionInfo`, at this moment.
    pub shared: Tagged,
    pub position: EvalPosition,
}

/// V8 notes the bytecode offset, and the position once somebody asked (`Script::GetEvalPosition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalPosition {
    Script(u32),
    Bytecode(u32),
}

impl<M: ReadMemory> Heap<'_, M> {
    pub fn script_id(&self, script: Avma) -> Option<i32> {
        (self.type_of(script)? == self.layout.type_script).then_some(())?;
        self.smi(script, self.layout.script_id)
    }

    /// The script of a WebAssembly module; that of asm.js is not, V8 shows its functions as JavaScript.
    pub fn is_wasm_script(&self, script: Avma) -> bool {
        /// `Script::Type::kWasm`, V8 src/objects/script.h; the same in V8 10 to 14.
        const WASM: i32 = 3;
        self.smi(script, self.layout.script_type) == Some(WASM)
    }

    /// Reads the script, its source included; `None` also if part of it cannot be read now, as while V8 moves it.
    pub fn script(&self, script: Avma) -> Option<ScriptFacts> {
        let layout = self.layout;
        self.script_id(script)?;
        let text = |offset| self.optional_name(self.tagged(script, offset)?);
        let number = |offset| u32::try_from(self.smi(script, offset)?).ok();
        let map_url = self.tagged(script, layout.script_source_mapping_url);
        let source_mapping_url = map_url.and_then(|word| self.name(word));
        let has_inline_map =
            source_mapping_url.is_none() && map_url.is_some_and(|word| self.is_string(word));
        let source = self.tagged(script, layout.script_source)?;
        let source = match self.string_len(source)? {
            Some(len) if len <= SOURCE_UNITS_MAX => Some(self.string(source, SOURCE_UNITS_MAX)?),
            _ => None,
        };
        Some(ScriptFacts {
            name: match text(layout.script_source_url)? {
                Some(url) => Some(url),
                None => text(layout.script_name)?,
            },
            source_mapping_url: source_mapping_url.filter(|url| !url.is_empty()),
            has_inline_map,
            line_offset: number(layout.script_line_offset).unwrap_or(0),
            column_offset: number(layout.script_column_offset).unwrap_or(0),
            lines: source.map(|source| LineStarts::of(&source)),
            eval_origin: self.eval_origin(script),
            is_wasm: self.is_wasm_script(script),
        })
    }

    /// The text behind `//# sourceMappingURL=`, whole.
    pub fn source_mapping_url(&self, script: Avma, limit: usize) -> Option<String> {
        let word = self.tagged(script, self.layout.script_source_mapping_url)?;
        self.string(word, limit).map(|units| units.to_string())
    }

    fn eval_origin(&self, script: Avma) -> Option<EvalOrigin> {
        let layout = self.layout;
        let shared = self.tagged(script, layout.script_eval_from_shared)?;
        self.typed(shared, layout.type_shared)?;
        let position = self.smi(script, layout.script_eval_from_position)?;
        let position = match u32::try_from(position) {
            Ok(position) => EvalPosition::Script(position),
            Err(_) => EvalPosition::Bytecode(position.unsigned_abs()),
        };
        Some(EvalOrigin { shared, position })
    }
}

impl ScriptFacts {
    /// 1-based line and column of a position.
    pub fn place(&self, position: u32) -> Option<(u32, u32)> {
        let (line, column) = self.lines.as_ref()?.place(position)?;
        let column = if line == 0 { column.checked_add(self.column_offset)? } else { column };
        Some((line.checked_add(self.line_offset)?.checked_add(1)?, column.checked_add(1)?))
    }
}
