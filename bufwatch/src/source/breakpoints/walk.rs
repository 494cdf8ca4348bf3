//! Walks the stack of a thread that stands at a breakpoint, by frame pointer: the same frames with the same ids as the eBPF programs make
//! (`bufwatch-ebpf::stack`), over any memory. Names are found later, by `symbolize`.
#![deny(clippy::indexing_slicing)]

use bufwatch_common::{FRAMES_MAX, ProbeConfig, RawFrame, frame_kind};

use crate::base::{Avma, ReadMemory};

/// A frame's words from `fp - 40` on: bytecode offset, bytecode array, argument count, function, context or frame type, caller's frame
/// pointer, return address (`StandardFrameConstants`, js-stacks.md §2.1).
const FRAME_BELOW_FP: u64 = 40;
const N_WORDS: usize = 7;

/// Stack that is read at once.
const CHUNK_BYTES: usize = 4_096;

const PAGE_BYTES: u64 = 4_096;

/// From the frame pointer to the last byte of a frame's words.
const FRAME_ABOVE_FP: u64 = 15;

/// A stack as it was walked; functions are not looked behind yet.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    pub(super) frames: Vec<RawFrame>,
    pub(super) is_cut: bool,
    /// Over what does not change between two collections.
    pub(super) hash: u64,
    /// Some frame is of code that is not the binary's, and may be the interpreter in a place that is not known.
    pub(super) has_foreign_code: bool,
}

/// Where a walk begins: at the first instruction of a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) tid: u32,
    pub(super) stack_pointer: u64,
    pub(super) frame_pointer: u64,
}

/// Part of a stack.
struct Chunk<'a, M> {
    memory: &'a M,
    start: u64,
    bytes: Vec<u8>,
}

impl<M: ReadMemory> Chunk<'_, M> {
    /// From `address` to the end of the page that `known` is on, and not further: beyond the top of a stack nothing is mapped.
    fn read(&mut self, address: u64, known: u64) -> Option<()> {
        let end = (known | (PAGE_BYTES - 1)).checked_add(1)?;
        let len = usize::try_from(end.checked_sub(address)?).ok()?.min(CHUNK_BYTES);
        self.bytes.resize(len, 0);
        self.start = address;
        let outcome = self.memory.read(Avma(address), &mut self.bytes);
        if outcome.is_err() {
            self.bytes.clear();
        }
        outcome.ok()
    }

    fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.start)?).ok()?;
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        bytes.try_into().ok().map(u64::from_le_bytes)
    }

    fn frame(&mut self, fp: u64) -> Option<[u64; N_WORDS]> {
        let low = fp.checked_sub(FRAME_BELOW_FP)?;
        let last = fp.checked_add(8)?;
        if self.word(low).is_none() || self.word(last).is_none() {
            self.read(low, fp.checked_add(FRAME_ABOVE_FP)?)?;
        }
        let mut words = [0; N_WORDS];
        for (n, word) in (0_u64..).zip(&mut words) {
            *word = self.word(low.checked_add(n * 8)?)?;
        }
        Some(words)
    }
}

/// `copies`: where the interpreter is mapped besides its place in the binary. `None` if the stack cannot be read.
pub(super) fn walk(
    memory: &impl ReadMemory,
    config: &ProbeConfig,
    copies: &[u64],
    start: Start,
) -> Option<Walk> {
    let mut chunk = Chunk { memory, start: 0, bytes: Vec::new() };
    // There is the return address; the frame pointer is still the caller's.
    let known = start.frame_pointer.max(start.stack_pointer).saturating_add(FRAME_ABOVE_FP);
    chunk
        .read(start.stack_pointer, known)
        .or_else(|| chunk.read(start.stack_pointer, start.stack_pointer.saturating_add(7)))?;
    let mut pc = chunk.word(start.stack_pointer)?;
    let mut fp = start.frame_pointer;
    let mut walk = Walk { hash: u64::from(start.tid), ..Walk::default() };
    while walk.frames.len() < FRAMES_MAX {
        if is_event_loop(config, pc) {
            // Below it every stack of the thread is the same.
            walk.hash = mix(walk.hash, pc);
            walk.frames.push(RawFrame { pc, kind: frame_kind::NATIVE, ..RawFrame::default() });
            return Some(walk);
        }
        if fp == 0 || fp & 7 != 0 {
            return Some(walk);
        }
        let Some(words) = chunk.frame(fp) else { return Some(walk) };
        let frame = classify(config, copies, pc, &words);
        let is_foreign = !(config.text_start..config.text_end).contains(&pc);
        walk.has_foreign_code |= is_foreign && frame.kind == frame_kind::FUNCTION_UNREAD;
        let [_, bytecode, _, _, _, caller, return_address] = words;
        let bytecode = if frame.bytecode_offset == 0 { 0 } else { bytecode };
        walk.hash = mix(walk.hash ^ bytecode, pc ^ u64::from(frame.bytecode_offset) << 40);
        walk.frames.push(frame);
        pc = return_address;
        // Frames of callers are at higher addresses; anything else is the end or not a frame pointer.
        if caller <= fp {
            return Some(walk);
        }
        fp = caller;
    }
    walk.is_cut = true;
    Some(walk)
}

fn is_event_loop(config: &ProbeConfig, pc: u64) -> bool {
    (config.poll_start..config.poll_end).contains(&pc)
        || (config.loop_start..config.loop_end).contains(&pc)
}

fn classify(config: &ProbeConfig, copies: &[u64], pc: u64, words: &[u64; N_WORDS]) -> RawFrame {
    let [slot_word, _, _, function, marker, ..] = *words;
    let is_in_text = (config.text_start..config.text_end).contains(&pc);
    let is_in_blob = (config.blob_start..config.blob_end).contains(&pc);
    let mut frame = RawFrame { pc, kind: frame_kind::NATIVE, ..RawFrame::default() };
    if is_in_text && !is_in_blob || config.function_shared_offset == 0 {
        return frame;
    }
    // A Smi where the context would be: a stub's frame type. Low bits 01: a tagged pointer.
    if marker & 1 == 0 || function & 3 != 1 {
        frame.kind = frame_kind::STUB;
        frame.function = marker;
        // Where WebAssembly code keeps its instance.
        frame.identity = function;
        return frame;
    }
    frame.kind = frame_kind::FUNCTION_UNREAD;
    frame.function = function;
    let len = config.interpreter_end.wrapping_sub(config.interpreter_start);
    let is_interpreted = (config.interpreter_start..config.interpreter_end).contains(&pc)
        || copies.iter().any(|start| pc.wrapping_sub(*start) < len);
    // In compiled code this slot is a spilled value, which would make equal stacks differ.
    if is_interpreted && slot_word & 1 == 0 {
        frame.bytecode_offset = (slot_word >> 32) as u32;
    }
    frame
}

/// Looks behind functions for what survives collections, and returns the id of the stack.
pub(super) fn identify(
    memory: &impl ReadMemory,
    config: &ProbeConfig,
    tid: u32,
    frames: &mut [RawFrame],
) -> u64 {
    let mut hash = u64::from(tid);
    for frame in frames {
        if frame.kind == frame_kind::FUNCTION_UNREAD {
            // As far as it can be read.
            let _known: Option<()> = identify_frame(memory, config, frame);
        }
        // Where the identity is known the address, which changes when V8 compacts, is left out.
        let who = if frame.kind == frame_kind::JS { frame.identity } else { frame.function };
        hash = mix(mix(hash, frame.pc), who ^ u64::from(frame.bytecode_offset) << 17);
    }
    // Zero means "no stack".
    hash | 1
}

/// From function to `SharedFunctionInfo` to (script id, literal id).
fn identify_frame(
    memory: &impl ReadMemory,
    config: &ProbeConfig,
    frame: &mut RawFrame,
) -> Option<()> {
    let field = |object: u64, offset: u32| {
        memory.read_u64(Avma((object & !3).wrapping_add(u64::from(offset)))).ok()
    };
    let shared = field(frame.function, config.function_shared_offset)?;
    (shared & 3 == 1).then_some(())?;
    frame.function = shared;
    frame.kind = frame_kind::SHARED_ONLY;
    let script = field(shared, config.shared_script_offset)?;
    (script & 3 == 1).then_some(())?;
    let mut literal_id = [0; 4];
    let at = (shared & !3).wrapping_add(u64::from(config.shared_literal_id_offset));
    memory.read(Avma(at), &mut literal_id).ok()?;
    let script_id = field(script, config.script_id_offset)?;
    // A Smi's value is in the upper half.
    frame.identity = script_id & 0xffff_ffff_0000_0000 | u64::from(u32::from_le_bytes(literal_id));
    frame.kind = frame_kind::JS;
    Some(())
}

/// One round of a multiply-and-fold hash.
const fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::base::MemoryError;

    /// Words by address.
    #[derive(Default)]
    struct Words(BTreeMap<u64, u64>);

    impl ReadMemory for Words {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            // All of its page is there if anything is.
            let page = address.0 & !(PAGE_BYTES - 1);
            if self.0.range(page..page + PAGE_BYTES).next().is_none() {
                return Err(MemoryError::Unmapped(address));
            }
            for (n, byte) in (0_u64..).zip(out) {
                let at = address.0 + n;
                let word = self.0.get(&(at & !7)).copied().unwrap_or(0);
                *byte = word.to_le_bytes()[(at & 7) as usize];
            }
            Ok(())
        }
    }

    fn config() -> ProbeConfig {
        ProbeConfig {
            text_start: 0x10_0000,
            text_end: 0x20_0000,
            blob_start: 0x18_0000,
            blob_end: 0x19_0000,
            interpreter_start: 0x18_1000,
            interpreter_end: 0x18_1100,
            loop_start: 0x11_0000,
            loop_end: 0x11_0100,
            function_shared_offset: 32,
            shared_script_offset: 40,
            shared_literal_id_offset: 60,
            script_id_offset: 24,
            ..ProbeConfig::default()
        }
    }

    const START: Start = Start { tid: 9, stack_pointer: 0x7000, frame_pointer: 0x7100 };

    /// A native caller, an interpreted function, the event loop.
    fn stack(interpreter: u64) -> Words {
        let mut words = Words::default();
        let mut set = |address: u64, word: u64| words.0.insert(address, word);
        set(0x7000, 0x12_0000);
        set(0x7100, 0x7200);
        set(0x7108, interpreter + 8);
        // Bytecode offset 5, array, count, function, context.
        set(0x71d8, 5 << 32);
        set(0x71e0, 0x5001);
        set(0x71f0, 0x9001);
        set(0x71f8, 0x9101);
        set(0x7200, 0x8300);
        set(0x7208, 0x11_0040);
        // Function → shared → script.
        set(0x9020, 0x9201);
        set(0x9228, 0x9301);
        set(0x9238, 0x4d << 32);
        set(0x9318, 3 << 32);
        words
    }

    #[test]
    fn a_stack_is_walked_to_the_event_loop() {
        let memory = stack(0x18_1000);
        let mut walk = walk(&memory, &config(), &[], START).unwrap();
        let pcs: Vec<u64> = walk.frames.iter().map(|frame| frame.pc).collect();
        assert_eq!(pcs, [0x12_0000, 0x18_1008, 0x11_0040]);
        assert!(!walk.is_cut && !walk.has_foreign_code);
        let id = identify(&memory, &config(), 9, &mut walk.frames);
        let kinds: Vec<u32> = walk.frames.iter().map(|frame| frame.kind).collect();
        assert_eq!(kinds, [frame_kind::NATIVE, frame_kind::JS, frame_kind::NATIVE]);
        assert_eq!((walk.frames[1].identity, walk.frames[1].bytecode_offset), (3 << 32 | 0x4d, 5));
        assert_eq!(walk.frames[1].function, 0x9201);
        assert_ne!(id, identify(&memory, &config(), 8, &mut walk.frames));
    }

    #[test]
    fn a_copy_of_the_interpreter_is_known_by_its_address() {
        let memory = stack(0x60_0000);
        let offset = |copies: &[u64]| {
            let walk = walk(&memory, &config(), copies, START).unwrap();
            assert!(walk.has_foreign_code);
            walk.frames[1].bytecode_offset
        };
        assert_eq!((offset(&[]), offset(&[0x60_0000])), (0, 5));
    }

    #[test]
    fn functions_that_moved_are_the_same_stack() {
        let mut memory = stack(0x18_1000);
        let id = |memory: &Words| {
            let mut walk = walk(memory, &config(), &[], START).unwrap();
            identify(memory, &config(), 9, &mut walk.frames)
        };
        let before = id(&memory);
        memory.0.insert(0x71f0, 0xa001);
        memory.0.insert(0xa020, 0xa201);
        memory.0.insert(0xa228, 0x9301);
        memory.0.insert(0xa238, 0x4d << 32);
        assert_eq!(id(&memory), before);
        memory.0.insert(0xa238, 0x4e << 32);
        assert_ne!(id(&memory), before);
    }

    #[test]
    fn a_stack_that_cannot_be_read_is_none() {
        assert_eq!(walk(&Words::default(), &config(), &[], START), None);
    }

    proptest! {
        #[test]
        fn any_memory_ends(seed in proptest::collection::vec(any::<u64>(), 1..600), sp: u64, fp: u64) {
            struct Noise(Vec<u64>);
            impl ReadMemory for Noise {
                fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
                    for (n, byte) in (0_u64..).zip(out) {
                        let at = address.0.wrapping_add(n) / 8;
                        *byte = self.0[at as usize % self.0.len()].to_le_bytes()[(n & 7) as usize];
                    }
                    Ok(())
                }
            }
            let memory = Noise(seed);
            let start = Start { tid: 1, stack_pointer: sp, frame_pointer: fp };
            if let Some(mut walk) = walk(&memory, &config(), &[0], start) {
                prop_assert!(walk.frames.len() <= FRAMES_MAX);
                prop_assert!(identify(&memory, &config(), 1, &mut walk.frames) != 0);
            }
        }
    }
}
