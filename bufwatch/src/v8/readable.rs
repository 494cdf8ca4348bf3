//! How much of JavaScript frames can be said with the numbers that are known of a build of V8. Reads nothing itself.

use crate::base::Constant;
use crate::v8::metadata::Metadata;

/// What can be said of JavaScript frames with the numbers at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// Functions, scripts, and lines in all code.
    Everything,
    /// Lines of interpreted functions only.
    NoCompiledLines,
    /// Functions and scripts.
    NoLines,
    /// Identities only: `js#SCRIPT:FUNCTION`.
    NoNames,
}

impl Readable {
    pub const fn consequence(self) -> &'static str {
        match self {
            Self::Everything => "functions, scripts and lines",
            Self::NoCompiledLines => "functions, scripts, and lines of interpreted code only",
            Self::NoLines => "functions and scripts, no lines",
            Self::NoNames => "no names: frames stay js#SCRIPT:FUNCTION",
        }
    }
}

impl Metadata {
    pub fn readable(&self) -> Readable {
        let has = |constants: &[&Constant<u32>]| constants.iter().all(|it| it.get().is_some());
        let names = [
            &self.map_instance_type,
            &self.type_shared,
            &self.type_script,
            &self.type_scope_info,
            &self.shared_name_or_scope_info,
            &self.shared_script,
            &self.shared_literal_id,
            &self.script_name,
            &self.script_id,
            &self.string_length,
            &self.string_chars,
        ];
        let lines = [
            &self.script_source,
            &self.type_bytecode_array,
            &self.shared_function_data,
            &self.bytecode_length,
            &self.bytecode_data,
            &self.bytecode_positions,
        ];
        let compiled = [
            &self.type_code,
            &self.type_instructions,
            &self.code_size,
            &self.code_flags,
            &self.code_positions,
            &self.code_deopt_data,
            &self.code_kind_turbofan,
        ];
        match (has(&names), has(&lines), has(&compiled)) {
            (false, ..) => Readable::NoNames,
            (true, false, _) => Readable::NoLines,
            (true, true, false) => Readable::NoCompiledLines,
            (true, true, true) => Readable::Everything,
        }
    }
}
