//! Made-up modules as V8 14 has them in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::MemoryError;
use crate::v8::metadata::{Metadata, Release, StatedNumbers};

struct Nothing;

impl StatedNumbers for Nothing {
    fn stated(&self, _names: &[&str]) -> Option<(u32, String)> {
        None
    }
}

pub(super) fn layout() -> Layout {
    Metadata::resolve(&Nothing, Some(Release { major: 14, minor: 6 })).layout()
}

/// By byte; between two that are known nothing is mapped.
#[derive(Clone, Default)]
struct Memory(BTreeMap<u64, u8>);

impl Memory {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        self.0.extend((at..).zip(bytes.iter().copied()));
    }

    fn word(&mut self, at: u64, word: u64) {
        self.put(at, &word.to_le_bytes());
    }

    fn code(&mut self, at: u64, start: u64, index: u32, tables: [&[u8]; 2]) {
        let meta = at.saturating_add(0x100);
        self.put(at, &[0; CODE_BYTES]);
        self.word(at, NATIVE);
        self.word(at.saturating_add(8), start);
        self.word(at.saturating_add(24), meta);
        let sizes = [LEN, 0, len_of(tables[0]), len_of(tables[1])];
        self.put(at.saturating_add(32), &sizes.map(u32::to_le_bytes).concat());
        self.put(at.saturating_add(56), &index.to_le_bytes());
        self.put(meta, &tables.concat());
    }
}

fn len_of(table: &[u8]) -> u32 {
    u32::try_from(table.len()).unwrap()
}

impl ReadMemory for Memory {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        // An address at the end of the address space wraps, as a read of it would not.
        let addresses = (0_u64..).map(|at| address.0.wrapping_add(at));
        for (at, byte) in addresses.zip(out) {
            *byte = *self.0.get(&at).ok_or(MemoryError::Unmapped(address))?;
        }
        Ok(())
    }
}

const STATE: u64 = 0x1000;
const NATIVE: u64 = 0x2000;
const BINARY: u64 = 0x4000;
const TABLE: u64 = 0x5000;
const VECTOR: u64 = 0x5800;
const NODE: u64 = 0x6000;
const LOOKUP_NODE: u64 = 0x6100;
const OLD: u64 = 0x7000;
const NEW: u64 = 0x7800;
const OTHER: u64 = 0x8000;
const WRAPPER: u64 = 0x8800;
/// Code of `OLD` and so on.
const START: [u64; 4] = [0x10_0000, 0x10_1000, 0x10_2000, 0x10_3000];
const LEN: u32 = 0x100;

/// One import and two functions, the first of which has been compiled twice; the second has the first inlined at 0x20.
fn process() -> Memory {
    let mut memory = Memory::default();
    // Imports `m.f`; bodies of 9 and of 4 bytes.
    let binary = b"\0asm\x01\0\0\0\x02\x07\x01\x01m\x01f\0\0\x0a\x10\x02\x09\0\x01\x01\x01\x01\x01\x01\x01\x0b\x04\0\x01\x01\x0b";
    memory.put(BINARY, binary);
    memory.word(NATIVE + 232, 0x3000);
    memory.word(0x3000, BINARY);
    memory.word(0x3008, binary.len() as u64);
    // `owned_code_` has the old code, the vector the rest.
    let owned = NATIVE + 304;
    single_entry(&mut memory, owned, NODE, START[0], &[OLD]);
    memory.word(owned + NEW_CODE_BEGIN, VECTOR);
    memory.word(owned + NEW_CODE_END, VECTOR + 24);
    memory.word(owned + CODE_TABLE, TABLE);
    for (n, code) in (0..).zip([NEW, OTHER, WRAPPER]) {
        memory.word(VECTOR + n * 8, code);
    }
    memory.word(TABLE, NEW);
    memory.word(TABLE + 8, OTHER);
    // At 0x10: position 3.
    let position = [0x11 << 2, 4 << 2];
    memory.code(OLD, START[0], 1, [&position, &[]]);
    memory.code(NEW, START[1], 1, [&position, &[]]);
    let inlining = [1, 0, 0, 0, 0, 3 << 1, 0, 0, 0, 0, 0, 0, 0];
    memory.code(OTHER, START[2], 2, [&inlined_position(), &inlining]);
    memory.code(WRAPPER, START[3], u32::MAX, [&[], &[]]);
    // Pointer, state, and in it all code of the module.
    memory.word(STATE, STATE + 16);
    single_entry(&mut memory, STATE + 16 + 32, LOOKUP_NODE, START[0], &[START[3] + 0x1000, NATIVE]);
    memory
}

/// At 0x20: position 5 of inlining 0, which is function 1 in position 2.
fn inlined_position() -> Vec<u8> {
    let position: u64 = 1 << 31 | 6 << 1;
    [vlq(0x21 << 2), vlq(position << 1)].concat()
}

fn vlq(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A `std::map` with one node.
fn single_entry(memory: &mut Memory, map: u64, node: u64, key: u64, value: &[u64]) {
    for (at, word) in [(16, node), (24, node), (32, node)] {
        memory.word(map + at, word);
    }
    for (at, word) in [(16, 0), (24, 0), (32, key)] {
        memory.word(node + at, word);
    }
    for (n, word) in (0..).zip(value) {
        memory.word(node + 40 + n * 8, *word);
    }
}

fn frames_at(memory: &Memory, pc: u64) -> Option<Vec<(u32, Option<u32>)>> {
    let layout = layout();
    let heap = Heap::new(memory, &layout);
    let pc = Avma(pc);
    let mut module = heap.wasm_module(heap.wasm_module_at(Avma(STATE), pc)?)?;
    let code = heap.wasm_code(&mut module, pc)?;
    let frames =
        heap.wasm_frames(&module, &code, pc, [Encoding::FlagBits, Encoding::SignMarksExpression]);
    Some(frames?.iter().map(|frame| (frame.index, frame.offset)).collect())
}

/// Where bodies begin in the binary.
const BODIES: [u32; 2] = [21, 31];

#[test]
fn old_code_of_a_function_is_still_its_own() {
    let memory = process();
    let expected = Some(vec![(1, Some(BODIES[0] + 3))]);
    assert_eq!(frames_at(&memory, START[0] + 0x18), expected);
    assert_eq!(frames_at(&memory, START[1] + 0x18), expected);
    // In front of the first position, the function alone is known.
    assert_eq!(frames_at(&memory, START[0] + 8), Some(vec![(1, None)]));
}

#[test]
fn what_is_inlined_has_frames() {
    let expected = vec![(1, Some(BODIES[0] + 5)), (2, Some(BODIES[1] + 2))];
    assert_eq!(frames_at(&process(), START[2] + 0x28), Some(expected));
}

#[test]
fn the_caller_of_a_tail_call_is_gone() {
    let mut memory = process();
    // Behind the source positions of `OTHER`, in the first inlining.
    let inlining = OTHER + 0x100 + inlined_position().len() as u64;
    memory.put(inlining + 4, &[1]);
    assert_eq!(frames_at(&memory, START[2] + 0x28), Some(vec![(1, Some(BODIES[0] + 5))]));
}

#[test]
fn wrappers_and_gaps_are_no_functions() {
    let memory = process();
    assert_eq!(frames_at(&memory, START[3] + 0x18), None);
    assert_eq!(frames_at(&memory, START[0] + 0x800), None);
    assert_eq!(frames_at(&memory, START[3] + 0x2000), None);
}

#[test]
fn fields_that_lie_elsewhere_are_not_believed() {
    let mut memory = process();
    // The newest code of function 2 says that it is function 1's.
    memory.put(OTHER + 56, &[1]);
    assert_eq!(frames_at(&memory, START[0] + 0x18), None);
}

proptest! {
    #[test]
    fn any_damage_is_survived(
        damage in prop::collection::vec((0usize..2_000, any::<u8>()), 1..40),
        pc in START[0]..START[3] + 0x2000,
    ) {
        let mut memory = process();
        let known: Vec<u64> = memory.0.keys().copied().collect();
        for (at, byte) in damage {
            if let Some(at) = known.get(at % known.len()) {
                memory.0.insert(*at, byte);
            }
        }
        let _frames = frames_at(&memory, pc);
    }

    #[test]
    fn any_memory_is_survived(words in prop::collection::vec(0u64..0x400, 0x200), at in 0u64..0x400) {
        let mut memory = Memory::default();
        for (n, word) in (0..).zip(words) {
            memory.word(n * 8, word);
        }
        let layout = layout();
        let heap = Heap::new(&memory, &layout);
        let _script = heap.wasm_script(Tagged(at));
        let _native = heap.wasm_native_module(Avma(at));
        let _module = heap.wasm_module_at(Avma(at), Avma(0x1000)).map(|at| heap.wasm_module(at));
        let _entry = heap.map_entry_below(Avma(at), 0x200);
    }
}
