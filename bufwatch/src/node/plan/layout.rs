//! Layouts of V8 and Node objects that are read from outside, per version of V8. Measured on the official
//! builds of Node 18 (V8 10.2), 20 (11.3), 22 (12.4), 24 (13.6) and 26 (14.6), x86-64 without pointer
//! compression; what the binary states itself wins over these tables.

use std::fmt;

use crate::base::Constant;
use crate::base::Svma;
use crate::elf::{Image, Pattern};
use crate::event::StoreFlagBits;
use crate::node::plan::catalog;
use crate::node::plan::instruction::decode;
use crate::node::survey::{Survey, V8Version};
use crate::v8::census::store::StoreFacts;

/// Masks of the flags word of `v8::internal::BackingStore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FlagBits {
    pub shared: u16,
    pub resizable: u16,
    pub wasm: u16,
    pub custom_deleter: u16,
}

impl FlagBits {
    /// V8 10 to 13.
    const BEFORE_IMMUTABLE: Self =
        Self { shared: 1, resizable: 2, wasm: 1 << 2, custom_deleter: 1 << 7 };
    /// V8 14 has a bit for immutable buffers before that for wasm.
    const WITH_IMMUTABLE: Self =
        Self { shared: 1, resizable: 2, wasm: 1 << 3, custom_deleter: 1 << 8 };
}

impl From<FlagBits> for StoreFlagBits {
    fn from(bits: FlagBits) -> Self {
        Self {
            shared: bits.shared,
            resizable: bits.resizable,
            wasm: bits.wasm,
            custom_deleter: bits.custom_deleter,
        }
    }
}

/// Byte offsets in `v8::internal::BackingStore`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoreLayout {
    pub buffer_start: Constant<u32>,
    pub byte_length: Constant<u32>,
    pub max_byte_length: Constant<u32>,
    /// u32, increases in the whole process.
    pub id: Constant<u32>,
    /// u16.
    pub flags_offset: Constant<u32>,
    pub flags: Constant<FlagBits>,
}

impl StoreLayout {
    /// What the destructor's code shows decides where it shows it; the table is for the rest.
    pub(super) fn resolve(image: &Image, survey: &Survey) -> Self {
        let fixed = |offset| Constant::table(offset, "V8 10.2 to 14.6");
        let seen = [catalog::DESTRUCTOR_D1, catalog::DESTRUCTOR_D2]
            .into_iter()
            .find_map(|pattern| survey.find(pattern).first())
            .and_then(|symbol| image.read_up_to(symbol.svma, DESTRUCTOR_BYTES).ok())
            .and_then(|code| find_flags_test(&code));
        let table = survey.v8_version.and_then(flags_of);
        let (flags_offset, flags) = match (seen, table) {
            (Some((offset, bits)), _) => {
                let rule = "tested by the code of BackingStore::~BackingStore";
                let is_confirmed = table == Some((offset, bits));
                let rule =
                    if is_confirmed { format!("{rule}, as in the table") } else { rule.to_owned() };
                (
                    Constant::Derived { value: offset, rule: rule.clone() },
                    Constant::Derived { value: bits, rule },
                )
            }
            (None, Some((offset, bits))) => {
                let versions =
                    survey.v8_version.map_or_else(String::new, |it| format!("V8 {}", it.major));
                (Constant::table(offset, &versions), Constant::table(bits, &versions))
            }
            (None, None) => {
                let reason = "neither the destructor's code nor the version of V8 tells it";
                (Constant::missing(reason), Constant::missing(reason))
            }
        };
        Self {
            buffer_start: fixed(0),
            byte_length: fixed(8),
            max_byte_length: fixed(16),
            id: fixed(32),
            flags_offset,
            flags,
        }
    }

    /// For the census.
    pub fn store_facts(&self) -> Option<StoreFacts> {
        let (offset, flags) = (self.flags_offset.get()?, self.flags.get()?);
        let flags_offset = usize::try_from(offset).ok()?;
        let FlagBits { wasm, custom_deleter, .. } = flags;
        Some(StoreFacts { flags_offset, wasm, custom_deleter })
    }
}

const DESTRUCTOR_BYTES: usize = 256;

/// Offset and meaning of the flags for a version of V8.
fn flags_of(version: V8Version) -> Option<(u32, FlagBits)> {
    match version.major {
        10..=12 => Some((56, FlagBits::BEFORE_IMMUTABLE)),
        13 => Some((64, FlagBits::BEFORE_IMMUTABLE)),
        14 => Some((56, FlagBits::WITH_IMMUTABLE)),
        _ => None,
    }
}

/// In the destructor, the first thing asked of the flags word is whether the store is a wasm memory:
/// `movzx reg, [rbx+OFFSET]; test reg, MASK`.
fn find_flags_test(code: &[u8]) -> Option<(u32, FlagBits)> {
    use iced_x86::{Mnemonic, OpKind, Register};
    let mut offset = None;
    for (instruction, _) in decode(code, 0) {
        match instruction.mnemonic() {
            Mnemonic::Movzx
                if instruction.op1_kind() == OpKind::Memory
                    && instruction.memory_index() == Register::None
                    && matches!(instruction.memory_displacement64(), 40..=96)
                    && offset.is_none() =>
            {
                offset = u32::try_from(instruction.memory_displacement64()).ok();
            }
            Mnemonic::Test
                if matches!(instruction.op1_kind(), OpKind::Immediate8 | OpKind::Immediate32) =>
            {
                let bits = match instruction.immediate(1) {
                    4 => FlagBits::BEFORE_IMMUTABLE,
                    8 => FlagBits::WITH_IMMUTABLE,
                    _ => return None,
                };
                return Some((offset?, bits));
            }
            _ => {}
        }
    }
    None
}

/// Where code lies that the probe and the resolver tell frames apart by.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FrameConstants {
    /// Start of V8's embedded builtins.
    pub blob_start: Constant<Svma>,
    /// Their size in bytes.
    pub blob_bytes: Constant<u32>,
    /// The interpreter's entries: where interpreted frames return to.
    pub interpreter: Constant<CodeRange>,
    /// libuv's event loop and its waiting for I/O: where walks end.
    pub event_loop: Constant<CodeRange>,
    pub event_poll: Constant<CodeRange>,
    /// First byte of executable segments.
    pub text_start: Svma,
    /// Exclusive.
    pub text_end: Svma,
    /// Bytes of each bytecode at three scales; empty: lines in baseline code are not known.
    pub bytecode_sizes: Vec<u8>,
    /// Operands of each instruction of deoptimisation data; empty: lines of callers in Maglev code are approximate.
    pub translation_operands: Vec<u8>,
    /// Pointer to what WebAssembly has once a process; missing: frames of WebAssembly depend on objects that move.
    pub wasm_state: Constant<Svma>,
}

/// V8 has about 200 bytecodes, at three scales.
const BYTECODE_SIZES_MAX: u64 = 3 * 256;

/// Instructions of deoptimisation data, 4 bytes each.
const TRANSLATION_BYTES_MAX: u64 = 4 * 256;

impl FrameConstants {
    pub(super) fn resolve(image: &Image, survey: &Survey) -> Self {
        let text = image.text().unwrap_or_default();
        let table = |pattern, limit| {
            let symbol = survey.find(pattern).first().filter(|symbol| symbol.size <= limit)?;
            image.read_up_to(symbol.svma, symbol.size as usize).ok()
        };
        let operands = table(catalog::TRANSLATION_OPERANDS, TRANSLATION_BYTES_MAX);
        let (words, _) = operands.as_deref().unwrap_or_default().as_chunks::<4>();
        Self {
            blob_start: find_blob(image, survey),
            blob_bytes: load(image, survey, catalog::BLOB_CODE_SIZE),
            interpreter: find_interpreter(survey),
            event_loop: find_code(survey, catalog::EVENT_LOOP),
            event_poll: find_code(survey, catalog::EVENT_POLL),
            text_start: text.start,
            text_end: text.end,
            bytecode_sizes: table(catalog::BYTECODE_SIZES, BYTECODE_SIZES_MAX).unwrap_or_default(),
            translation_operands: words
                .iter()
                .map(|word| u8::try_from(u32::from_le_bytes(*word)).unwrap_or(u8::MAX))
                .collect(),
            wasm_state: find_data(survey, catalog::WASM_STATE),
        }
    }
}

/// From the entry to the last re-entry, if they lie together as V8 lays out its builtins: nothing between them leaves a return address.
fn find_interpreter(survey: &Survey) -> Constant<CodeRange> {
    const TOGETHER_BYTES: u64 = 16 << 10;
    let entry = find_code(survey, catalog::INTERPRETER_ENTRY);
    let Constant::Loaded { value: range, symbol } = entry else { return entry };
    let end = catalog::INTERPRETER_RE_ENTRIES
        .iter()
        .flat_map(|pattern| survey.find(*pattern))
        .filter_map(|symbol| symbol.svma.checked_add(symbol.size))
        .filter(|end| end.0 > range.start.0 && end.0 - range.start.0 < TOGETHER_BYTES)
        .fold(range.end, Ord::max);
    Constant::Loaded { value: CodeRange { start: range.start, end }, symbol }
}

/// The code of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CodeRange {
    pub start: Svma,
    /// Exclusive.
    pub end: Svma,
}

impl fmt::Display for CodeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}–{}", self.start, self.end)
    }
}

fn find_code(survey: &Survey, pattern: Pattern) -> Constant<CodeRange> {
    let found = survey.find(pattern).iter().find(|symbol| symbol.size > 0);
    let range = found.and_then(|symbol| Some((symbol, symbol.svma.checked_add(symbol.size)?)));
    range.map_or_else(
        || Constant::missing(&format!("no symbol `{}`", pattern.text())),
        |(symbol, end)| Constant::Loaded {
            value: CodeRange { start: symbol.svma, end },
            symbol: symbol.name.clone(),
        },
    )
}

fn find_data(survey: &Survey, pattern: Pattern) -> Constant<Svma> {
    match survey.find(pattern).first() {
        Some(symbol) => Constant::Loaded { value: symbol.svma, symbol: symbol.name.clone() },
        None => Constant::missing(&format!("no symbol `{}`", pattern.text())),
    }
}

fn load(image: &Image, survey: &Survey, pattern: Pattern) -> Constant<u32> {
    let loaded = survey
        .find(pattern)
        .first()
        .and_then(|symbol| Some((image.read_u32(symbol.svma).ok()?, symbol.name.clone())));
    match loaded {
        Some((value, symbol)) => Constant::Loaded { value, symbol },
        None => Constant::missing(&format!("no symbol `{}`", pattern.text())),
    }
}

fn find_blob(image: &Image, survey: &Survey) -> Constant<Svma> {
    // In Node 18 the plain name is a pointer in the data segment; only code counts.
    [catalog::BLOB_CODE_DATA, catalog::BLOB_CODE]
        .into_iter()
        .flat_map(|pattern| survey.find(pattern))
        .find(|symbol| image.is_executable(symbol.svma))
        .map_or_else(
            || Constant::missing("no symbol of the embedded builtins is in code"),
            |symbol| Constant::Loaded { value: symbol.svma, symbol: symbol.name.clone() },
        )
}

/// How the `Heap*` is found from a 256-KiB-aligned page of V8's heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum HeapPointer {
    /// A word of the page header.
    InPage { offset: u32 },
    /// The page header has a pointer to metadata, which has the word.
    InMetadata { metadata_offset: u32, offset: u32 },
}

/// How the bytes that Node counts in `process.memoryUsage().arrayBuffers` are read: a word of the `Isolate`
/// points to the allocator, whose first word points behind the head of its vtable.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AllocatorFacts {
    /// `node::NodeArrayBufferAllocator`'s vtable symbol; the object's first word is 16 bytes behind it.
    pub vtable: Svma,
    /// Byte offset of `total_mem_usage_` (u64) in the allocator.
    pub total_offset: Constant<u32>,
    pub heap_pointer: Constant<HeapPointer>,
    /// `Heap*` − `Isolate*` in the official build of this version of V8: a hint, to be checked.
    pub heap_in_isolate: Constant<u32>,
    /// Where the `Isolate` has the allocator's address in the official build: a hint, to be checked.
    pub allocator_in_isolate: Constant<u32>,
}

impl AllocatorFacts {
    /// What the first word of a `NodeArrayBufferAllocator` is: offset-to-top and type information precede.
    pub fn vtable_pointer(&self) -> Svma {
        Svma(self.vtable.0.saturating_add(16))
    }

    pub(super) fn resolve(survey: &Survey) -> Option<Self> {
        let vtable = survey.address(catalog::ALLOCATOR_VTABLE)?;
        let unknown = "the version of V8 is not known to bufwatch";
        let major = survey.v8_version.map(|version| version.major);
        let total_offset = match major {
            Some(10..=12) => Constant::table(16, "V8 10 to 12"),
            Some(13..=14) => Constant::table(8, "V8 13 and 14"),
            _ => Constant::missing(unknown),
        };
        let heap_pointer = match major {
            Some(10 | 11) => Constant::table(HeapPointer::InPage { offset: 16 }, "V8 10 and 11"),
            Some(12) => Constant::table(HeapPointer::InPage { offset: 24 }, "V8 12"),
            Some(13 | 14) => Constant::table(
                HeapPointer::InMetadata { metadata_offset: 8, offset: 64 },
                "V8 13 and 14",
            ),
            _ => Constant::missing(unknown),
        };
        let hints = survey.v8_version.and_then(|version| match (version.major, version.minor) {
            (10, 2) => Some((0xc638, 0xea78)),
            (11, 3) => Some((0xd2c0, 0xf6b0)),
            (12, 4) => Some((0xdea0, 0x1_0138)),
            (13, 6) => Some((0xeff8, 0x1_1070)),
            (14, 6) => Some((0xf3c0, 0x1_1420)),
            _ => None,
        });
        let hint = |value: Option<u32>| match value {
            Some(value) => Constant::table(value, "official build of this version"),
            None => Constant::missing(unknown),
        };
        Some(Self {
            vtable,
            total_offset,
            heap_pointer,
            heap_in_isolate: hint(hints.map(|it| it.0)),
            allocator_in_isolate: hint(hints.map(|it| it.1)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_recognised_in_the_destructor() {
        // Node 18: movzx edx, byte [rbx+0x38]; test dl, 4
        let code = [0x0f, 0xb6, 0x53, 0x38, 0xf6, 0xc2, 0x04];
        assert_eq!(find_flags_test(&code), Some((56, FlagBits::BEFORE_IMMUTABLE)));
        // Node 24: movzx eax, word [rbx+0x40]; test al, 4
        let code = [0x0f, 0xb7, 0x43, 0x40, 0xa8, 0x04];
        assert_eq!(find_flags_test(&code), Some((64, FlagBits::BEFORE_IMMUTABLE)));
        // Node 26: movzx ecx, word [rbx+0x38]; movzx eax, word [rbx+0x38]; test cl, 8
        let code = [0x0f, 0xb7, 0x4b, 0x38, 0x0f, 0xb7, 0x43, 0x38, 0xf6, 0xc1, 0x08];
        assert_eq!(find_flags_test(&code), Some((56, FlagBits::WITH_IMMUTABLE)));
        assert_eq!(find_flags_test(&[0xc3]), None);
    }
}
