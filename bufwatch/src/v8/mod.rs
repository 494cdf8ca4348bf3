//! Layer 2: V8 over any `ReadMemory`. Pure: what is read comes through the trait, so that tests need no Node.

pub mod allocator;
pub mod bytecode;
pub mod census;
pub mod code;
pub mod deopt;
pub mod function;
pub mod heap_usage;
pub mod line_starts;
pub mod metadata;
pub mod object;
mod origin;
pub mod page;
pub mod position_table;
pub mod readable;
pub mod scope_info;
pub mod script;
pub mod script_list;
pub mod string;
pub mod wasm;

pub use bytecode::{BytecodePositions, BytecodeSizes};
pub use code::{CodeFacts, CodeMaps, FrameAt, InlinedFrame, Tier};
pub use deopt::TranslationOpcodes;
pub use function::{FunctionFacts, FunctionId};
pub use metadata::{Layout, Metadata, Release, StatedNumbers};
pub use object::{Heap, Tagged};
pub use position_table::Encoding;
pub use script::{EvalOrigin, EvalPosition, ScriptFacts};
pub use script_list::{IsolateFacts, ScriptList};
pub use wasm::{WasmBinary, WasmCode, WasmFrame, WasmModule};
