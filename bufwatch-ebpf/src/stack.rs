//! Walks the target's stack by frame pointer and gives it an id. The first pass reads nothing but the stack
//! and only hashes it: if it is one known since the last garbage collection, that is all. Else it is walked
//! again and written down, and each JavaScript function looked behind for an identity that survives collections.
//!
//! The first pass tells frames apart by code address, and interpreted ones by bytecode address and offset: the
//! code of a function is its own, while closures of one function are many.

use core::ffi::c_void;

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{bpf_loop, bpf_probe_read_user};
use aya_ebpf::programs::ProbeContext;
use bufwatch_common::{
    DropReason, FRAMES_MAX, ProbeConfig, RawFrame, StackRecord, frame_kind, kind as record_kind,
};

use crate::async_origin;
use crate::atomic;
use crate::copies;
use crate::emit::{drop_event, header, is_wake_up_due, number, output};
use crate::maps::{
    CHUNK_BYTES, CONFIG, FRAME_BYTES, GC_EPOCH, N_SCRATCH, N_SHORTCUTS, SCRATCH, SHORTCUTS, STACKS,
    Scratch, Shortcut,
};
use crate::user_memory;

/// A frame's words, as V8 lays them out on x86-64 (`StandardFrameConstants`, js-stacks.md §2.1), from
/// `fp - 40` on: bytecode offset, bytecode array, argument count, function, context or frame type, caller's
/// frame pointer, return address.
const FRAME_BELOW_FP: u64 = 40;
const FRAME_WORDS_BYTES: u64 = 56;

const PAGE_BYTES: u64 = 4_096;

/// What lies between the start of a frame's words and its last byte, seen from the frame pointer.
const FRAME_ABOVE_FP: u64 = 15;

/// What a walk has found.
#[derive(Default)]
pub struct Captured {
    /// Zero if the stack could not be captured.
    pub stack_id: u64,
    /// `AsyncWrap` whose callback the thread is in; zero if there is none, it is not known or was not asked for.
    pub resource: u64,
}

/// Captures the current stack; if it is new it is sent to user space as a record of `kind`. `IS_ASYNC` asks for
/// the resource as well.
#[inline(always)]
pub fn capture<const IS_ASYNC: bool>(
    ctx: &ProbeContext,
    config: &ProbeConfig,
    kind: u16,
) -> Captured {
    let Some((slot, scratch)) = take_scratch() else {
        drop_event(DropReason::ScratchBusy, 0);
        return Captured::default();
    };
    // SAFETY: the context is the register set at the probe point.
    let (rsp, rbp) = unsafe { ((*ctx.regs).rsp, (*ctx.regs).rbp) };
    let captured = walk::<IS_ASYNC>(slot, scratch, rsp, rbp, config, kind);
    // SAFETY: `scratch` is an aligned map value that this run owns.
    unsafe { (&raw mut (*scratch).is_taken).write_volatile(0) };
    captured
}

#[inline(always)]
fn take_scratch() -> Option<(u32, *mut Scratch)> {
    for slot in 0..N_SCRATCH {
        let scratch = SCRATCH.get_ptr_mut(slot)?;
        // SAFETY: an aligned map value.
        if unsafe { atomic::exchange(&raw mut (*scratch).is_taken, 1) } == 0 {
            return Some((slot, scratch));
        }
    }
    None
}

#[inline(always)]
fn walk<const IS_ASYNC: bool>(
    slot: u32,
    scratch: *mut Scratch,
    rsp: u64,
    rbp: u64,
    config: &ProbeConfig,
    kind: u16,
) -> Captured {
    // SAFETY: this run owns the scratch; `is_taken` alone is looked at by others.
    let s = unsafe { &mut *scratch };
    let mut slot = slot;
    let context = (&raw mut slot).cast::<c_void>();
    let n_frames_max = u32::from(config.frames_max).min(FRAMES_MAX as u32);
    s.is_recording = 0;
    if !begin_walk(s, rsp, rbp) {
        drop_event(DropReason::StackUnreadable, rsp);
        return Captured::default();
    }
    if IS_ASYNC {
        async_origin::begin_walk(s, rsp);
    }
    // A loop in this program would be 4 ns a frame faster, and take the verifier 0.7 s.
    // SAFETY: the callback has the type that bpf_loop asks for, and `slot` outlives the call.
    unsafe { bpf_loop(n_frames_max, walk_frame::<IS_ASYNC> as *mut c_void, context, 0) };
    let resource = if IS_ASYNC { async_origin::found(s) } else { 0 };
    let shortcut = s.hash;
    if let Some(stack_id) = find_shortcut(shortcut) {
        return Captured { stack_id, resource };
    }
    s.is_recording = 1;
    if !begin_walk(s, rsp, rbp) {
        drop_event(DropReason::StackUnreadable, rsp);
        return Captured::default();
    }
    // SAFETY: as above.
    unsafe { bpf_loop(n_frames_max, walk_frame::<false> as *mut c_void, context, 0) };
    s.record.is_cut = u32::from(s.fp != 0);
    s.hash = bpf_get_current_pid_tgid();
    let identify = if kind == record_kind::ASYNC_STACK_CAPTURED {
        s.is_of_app = 0;
        identify_frame::<true> as *mut c_void
    } else {
        identify_frame::<false> as *mut c_void
    };
    // SAFETY: as above.
    unsafe { bpf_loop(s.record.n_frames, identify, context, 0) };
    // Zero means "no stack".
    let mut stack_id = s.hash | 1;
    if kind == record_kind::ASYNC_STACK_CAPTURED {
        stack_id = async_origin::mark(stack_id, s.is_of_app != 0);
    }
    // SAFETY: the value is not kept.
    let is_known = unsafe { STACKS.get(stack_id) }.is_some();
    if is_known || send(s, stack_id, kind) {
        keep_shortcut(shortcut, stack_id);
    }
    Captured { stack_id, resource }
}

/// Sets the walk to the innermost frame; false if the stack cannot be read.
#[inline(always)]
fn begin_walk(s: &mut Scratch, rsp: u64, rbp: u64) -> bool {
    // Of the thread as well: the ids of functions count in its isolate.
    s.hash = mix(GC_EPOCH.get(0).copied().unwrap_or(0), bpf_get_current_pid_tgid());
    s.record.n_frames = 0;
    s.chunk_len = 0;
    // At a function's first instruction, rsp points to the return address and rbp is the caller's.
    if !copy_chunk(s, rsp, rbp.wrapping_add(FRAME_ABOVE_FP)) {
        return false;
    }
    s.pc = s.chunk[0];
    s.fp = rbp;
    true
}

/// The entry of a shortcut: the hash, mixed with the id so that a half-written entry is not taken for one.
#[inline(always)]
fn find_shortcut(hash: u64) -> Option<u64> {
    let entry = SHORTCUTS.get(hash as u32 % N_SHORTCUTS)?;
    (entry.hash_and_id ^ entry.stack_id == hash && entry.stack_id != 0).then_some(entry.stack_id)
}

#[inline(always)]
fn keep_shortcut(hash: u64, stack_id: u64) {
    if let Some(entry) = SHORTCUTS.get_ptr_mut(hash as u32 % N_SHORTCUTS) {
        // SAFETY: an entry of the map; readers check that both words belong together.
        unsafe { entry.write_volatile(Shortcut { hash_and_id: hash ^ stack_id, stack_id }) };
    }
}

/// Sends the stack; false if it did not get through, so that it is tried again next time.
#[inline(always)]
fn send(s: &mut Scratch, stack_id: u64, kind: u16) -> bool {
    s.record.header = header(kind);
    number(&mut s.record.header);
    s.record.stack_id = stack_id;
    let n_frames = u64::from(s.record.n_frames).min(FRAMES_MAX as u64);
    let n_bytes = StackRecord::HEADER_BYTES as u64 + n_frames * FRAME_BYTES as u64;
    // Where code lies is known for milliseconds only.
    let wakes_up = is_wake_up_due(s.record.header.ktime_ns);
    if !output((&raw const s.record).cast(), n_bytes, wakes_up) {
        drop_event(DropReason::RingFull, 0);
        return false;
    }
    if STACKS.insert(stack_id, s.record.header.ktime_ns, u64::from(BPF_ANY)).is_err() {
        drop_event(DropReason::StackMapFull, 0);
    }
    true
}

/// Copies stack from `address` to the end of the page that `known` is on, at most a chunk. Not further: beyond
/// the top of the stack nothing is mapped, and a copy that faults costs more than the whole walk.
#[inline(always)]
fn copy_chunk(s: &mut Scratch, address: u64, known: u64) -> bool {
    let page_end = (known | (PAGE_BYTES - 1)) + 1;
    let len = page_end.wrapping_sub(address).min(CHUNK_BYTES as u64);
    if len < FRAME_WORDS_BYTES {
        return false;
    }
    let target = (&raw mut s.chunk).cast::<c_void>();
    // SAFETY: `chunk` is `CHUNK_BYTES` long; the helper checks `address`.
    if unsafe { bpf_probe_read_user(target, len as u32, address as *const c_void) } != 0 {
        return false;
    }
    s.chunk_start = address;
    s.chunk_len = len;
    true
}

/// Walking, one frame: hashes its words, writes them down when that is asked for, and goes on to the caller. Returns 1 to end the loop.
extern "C" fn walk_frame<const IS_ASYNC: bool>(_index: u64, context: *mut c_void) -> i64 {
    // SAFETY: `walk` passes a pointer to the slot number.
    let slot = unsafe { *context.cast::<u32>() };
    let Some(scratch) = SCRATCH.get_ptr_mut(slot) else { return 1 };
    let Some(config) = CONFIG.get(0) else { return 1 };
    // SAFETY: the run that called bpf_loop owns it.
    let s = unsafe { &mut *scratch };
    let at = s.record.n_frames as usize;
    let (fp, pc) = (s.fp, s.pc);
    if at >= FRAMES_MAX {
        return 1;
    }
    if is_event_loop(config, pc) {
        // Below it every stack of the thread is the same, and its own frame is 12 KiB wide.
        s.hash = mix(s.hash, pc);
        if s.is_recording != 0 {
            s.record.frames[at] = RawFrame { pc, kind: frame_kind::NATIVE, ..RawFrame::default() };
        }
        return end_walk(s, at + 1);
    }
    if fp == 0 || fp & 7 != 0 {
        return end_walk(s, at);
    }
    if IS_ASYNC && fp >= s.callback_fp {
        async_origin::frame_passed(s, fp, pc);
    }
    let low = fp - FRAME_BELOW_FP;
    let mut offset = low.wrapping_sub(s.chunk_start);
    if offset.wrapping_add(FRAME_WORDS_BYTES) > s.chunk_len {
        if !copy_chunk(s, low, fp + FRAME_ABOVE_FP) {
            return end_walk(s, at);
        }
        offset = 0;
    }
    if offset > CHUNK_BYTES as u64 - FRAME_WORDS_BYTES {
        return end_walk(s, at);
    }
    // SAFETY: `offset + FRAME_WORDS_BYTES` is within the chunk, checked above.
    let words =
        unsafe { (&raw const s.chunk).cast::<u8>().add(offset as usize).cast::<[u64; 7]>() };
    // SAFETY: seven words are there; the alignment of a BPF load does not matter on x86-64.
    let words = unsafe { &*words };
    let frame = classify(config, pc, words);
    let bytecode = if frame.bytecode_offset == 0 { 0 } else { words[1] };
    s.hash = mix(s.hash ^ bytecode, pc ^ u64::from(frame.bytecode_offset) << 40);
    if s.is_recording != 0 {
        s.record.frames[at] = frame;
    }
    s.pc = words[6];
    // Frames of callers are at higher addresses; anything else is the end or not a frame pointer.
    if words[5] <= fp {
        return end_walk(s, at + 1);
    }
    s.fp = words[5];
    s.record.n_frames = at as u32 + 1;
    0
}

/// Ends the walk where there is no caller, so that the stack does not count as cut.
#[inline(always)]
fn end_walk(s: &mut Scratch, n_frames: usize) -> i64 {
    s.fp = 0;
    s.record.n_frames = n_frames as u32;
    1
}

#[inline(always)]
fn is_event_loop(config: &ProbeConfig, pc: u64) -> bool {
    pc >= config.poll_start && pc < config.poll_end
        || pc >= config.loop_start && pc < config.loop_end
}

#[inline(always)]
fn classify(config: &ProbeConfig, pc: u64, words: &[u64; 7]) -> RawFrame {
    let (slot_word, function, marker) = (words[0], words[3], words[4]);
    let is_in_text = pc >= config.text_start && pc < config.text_end;
    let is_in_blob = pc >= config.blob_start && pc < config.blob_end;
    let mut frame = RawFrame { pc, kind: frame_kind::NATIVE, ..RawFrame::default() };
    if is_in_text && !is_in_blob || config.function_shared_offset == 0 {
        return frame;
    }
    // A Smi where the context would be: a stub's frame type. Low bits 01: a tagged pointer.
    if marker & 1 == 0 || function & 3 != 1 {
        frame.kind = frame_kind::STUB;
        frame.function = marker;
        // Where WebAssembly code keeps its instance. It moves: no part of the stack's id.
        frame.identity = function;
        return frame;
    }
    frame.kind = frame_kind::FUNCTION_UNREAD;
    frame.function = function;
    let is_interpreted = pc >= config.interpreter_start && pc < config.interpreter_end
        || copies::contain(config, pc);
    // In compiled code this slot is a spilled value, which would make equal stacks differ.
    if is_interpreted && slot_word & 1 == 0 {
        frame.bytecode_offset = (slot_word >> 32) as u32;
    }
    frame
}

/// Looking behind, one frame: from function to SharedFunctionInfo to (script id, literal id). `IS_ASYNC` asks whose
/// script it is as well.
extern "C" fn identify_frame<const IS_ASYNC: bool>(index: u64, context: *mut c_void) -> i64 {
    // SAFETY: `walk` passes a pointer to the slot number.
    let slot = unsafe { *context.cast::<u32>() };
    let Some(scratch) = SCRATCH.get_ptr_mut(slot) else { return 1 };
    let Some(config) = CONFIG.get(0) else { return 1 };
    // SAFETY: the run that called bpf_loop owns it.
    let s = unsafe { &mut *scratch };
    let at = index as usize;
    if at >= FRAMES_MAX {
        return 1;
    }
    let frame = &mut s.record.frames[at];
    if frame.kind == frame_kind::FUNCTION_UNREAD {
        let script = identify(config, frame);
        if IS_ASYNC && async_origin::is_of_app(config, script) {
            s.is_of_app = 1;
        }
    }
    // Where the identity is known the address, which changes when V8 compacts, is left out.
    let who = if frame.kind == frame_kind::JS { frame.identity } else { frame.function };
    s.hash = mix(mix(s.hash, frame.pc), who ^ u64::from(frame.bytecode_offset) << 17);
    0
}

/// The address of the function's script; zero if it could not be read.
#[inline(always)]
fn identify(config: &ProbeConfig, frame: &mut RawFrame) -> u64 {
    let function = frame.function & !3;
    let Some(shared) =
        user_memory::read::<u64>(function + u64::from(config.function_shared_offset))
    else {
        return 0;
    };
    if shared & 3 != 1 {
        return 0;
    }
    frame.function = shared;
    frame.kind = frame_kind::SHARED_ONLY;
    let shared = shared & !3;
    let Some(script) = user_memory::read::<u64>(shared + u64::from(config.shared_script_offset))
    else {
        return 0;
    };
    if script & 3 != 1 {
        return 0;
    }
    let literal_id = user_memory::read::<u32>(shared + u64::from(config.shared_literal_id_offset));
    let script_id = user_memory::read::<u64>((script & !3) + u64::from(config.script_id_offset));
    if let (Some(literal_id), Some(script_id)) = (literal_id, script_id) {
        // A Smi's value is in the upper half.
        frame.identity = script_id & 0xffff_ffff_0000_0000 | u64::from(literal_id);
        frame.kind = frame_kind::JS;
    }
    script & !3
}

/// One round of a multiply-and-fold hash; 64 bits over at most 48 frames leave collisions to theory.
#[inline(always)]
pub fn mix(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}
