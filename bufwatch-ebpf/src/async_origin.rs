//! Async origins: by which stack the async resource was created whose callback a thread runs. Which functions run
//! callbacks is the plan's business, and what an origin means that of user space. Not part of the programs unless
//! asked for.
//!
//! Nothing is probed where a callback ends. Instead a walk looks whether the frame in which the callback was entered
//! is still on the stack: the frame pointer and the code must both fit. A frame that was entered later at the same
//! place has taken the entry over, so that what fits is the call that was seen.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::programs::ProbeContext;
use bufwatch_common::{AsyncOriginRecord, DropReason, N_CALLBACK_FUNCTIONS, ProbeConfig, kind};

use crate::emit::{drop_event, header, try_emit};
use crate::maps::{
    ASYNC_ORIGINS, ASYNC_RESOURCES, AsyncOrigin, CALLBACK_FUNCTIONS, CALLBACKS, CONFIG, Callback,
    Callbacks, N_CALLBACKS, Scratch,
};
use crate::stack::{capture, mix};
use crate::user_memory;

/// Origins that one may go back to, all of Node's own making: what creates its successor for good, as two streams
/// that wait for each other do, must have a bounded number of them.
const DEPTH_MAX: u64 = 8;

/// In the id of a stack that creates resources: one of its frames is of the application, so that it needs no parent.
const IS_OF_APP: u64 = 2;

/// Names of files begin so; those of Node's own scripts with `node:` (`lib/internal/bootstrap/realm.js`).
const FILE_SCHEME: [u8; 5] = *b"file:";
const ROOT_FOLDER: u8 = b'/';

/// Between a function's first instruction and its frame pointer: the caller's is pushed.
const FP_BELOW_ENTRY: u64 = 8;

/// No callback is left to be passed.
const NONE_LEFT: u64 = u64::MAX;

/// An `AsyncWrap` begins, or begins anew: its address may have been that of another one.
#[inline(always)]
pub fn created(ctx: &ProbeContext, resource: u64) -> u32 {
    let Some(config) = CONFIG.get(0) else {
        drop_event(DropReason::ConfigMissing, 0);
        return 0;
    };
    let captured = capture::<true>(ctx, config, kind::ASYNC_STACK_CAPTURED);
    let origin_id =
        if captured.stack_id == 0 { 0 } else { origin(captured.stack_id, captured.resource) };
    // In place where it can be: that cannot fail, and leave the origin of another resource there.
    if let Some(entry) = ASYNC_RESOURCES.get_ptr_mut(resource) {
        // SAFETY: an aligned entry of the map.
        unsafe { entry.write_volatile(origin_id) };
    } else if ASYNC_RESOURCES.insert(resource, origin_id, u64::from(BPF_ANY)).is_err() {
        drop_event(DropReason::AsyncOriginLost, resource);
    }
    0
}

/// The origin of an `AsyncWrap`; zero if it is not known.
#[inline(always)]
pub fn find(resource: u64) -> u64 {
    if resource == 0 {
        return 0;
    }
    // SAFETY: the value is copied at once.
    unsafe { ASYNC_RESOURCES.get(resource) }.copied().unwrap_or(0)
}

/// The id of what was created by a stack in a callback of `creator`, sent to user space if it is new.
#[inline(always)]
fn origin(stack_id: u64, creator: u64) -> u64 {
    let mut parent_id = if stack_id & IS_OF_APP != 0 { 0 } else { find(creator) };
    let mut depth = 0;
    if parent_id != 0 {
        // SAFETY: the value is copied at once.
        match unsafe { ASYNC_ORIGINS.get(parent_id) }.copied() {
            // Its successor, created as it was: goes back to the same.
            Some(parent) if parent.stack_id == stack_id => return parent_id,
            Some(parent) if parent.depth + 1 < DEPTH_MAX => depth = parent.depth + 1,
            _ => {
                drop_event(DropReason::AsyncOriginLost, 0);
                parent_id = 0;
            }
        }
    }
    // Zero means "no origin".
    let origin_id = mix(mix(0, stack_id), parent_id) | 1;
    // SAFETY: the value is not kept.
    if unsafe { ASYNC_ORIGINS.get(origin_id) }.is_none() {
        let header = header(kind::ASYNC_ORIGIN);
        if try_emit(AsyncOriginRecord { header, origin_id, stack_id, parent_id }) {
            let known = AsyncOrigin { stack_id, depth };
            if ASYNC_ORIGINS.insert(origin_id, known, u64::from(BPF_ANY)).is_err() {
                drop_event(DropReason::AsyncOriginLost, 0);
            }
        }
    }
    origin_id
}

/// The id of a stack that creates resources.
#[inline(always)]
pub fn mark(stack_id: u64, is_of_app: bool) -> u64 {
    if is_of_app { stack_id | IS_OF_APP } else { stack_id & !IS_OF_APP }
}

/// True if the script at this address is a file. Of a builtin it is no script, and code may have no name, or one that
/// is no sequential string: then the stack keeps its parent, which it may not need.
#[inline(always)]
pub fn is_of_app(config: &ProbeConfig, script: u64) -> bool {
    if script == 0 || config.string_chars_offset == 0 {
        return false;
    }
    let name = user_memory::read::<u64>(script + u64::from(config.script_name_offset));
    let Some(name) = name else { return false };
    let start = (name & !3) + u64::from(config.string_chars_offset);
    user_memory::read::<[u8; 5]>(start)
        .is_some_and(|start| start == FILE_SCHEME || start[0] == ROOT_FOLDER)
}

/// A function that runs callbacks of `resource` is entered.
#[inline(always)]
pub fn callback_entered(ctx: &ProbeContext, resource: u64) -> u32 {
    // SAFETY: the context is the register set at the probe point.
    let fp = unsafe { (*ctx.regs).rsp } - FP_BELOW_ENTRY;
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(callbacks) = CALLBACKS.get_ptr_mut(tid) else {
        let mut callbacks = Callbacks { n: 1, ..Callbacks::default() };
        callbacks.entries[0] = Callback { fp, resource };
        if CALLBACKS.insert(tid, callbacks, u64::from(BPF_ANY)).is_err() {
            drop_event(DropReason::AsyncOriginLost, resource);
        }
        return 0;
    };
    // SAFETY: an entry of the map that only this thread uses.
    let callbacks = unsafe { &mut *callbacks };
    // The stack grows downwards: what was entered below this frame, or in its place, was left.
    let mut n = 0;
    for at in 0..N_CALLBACKS {
        if at as u64 >= callbacks.n || callbacks.entries[at].fp <= fp {
            break;
        }
        n = at + 1;
    }
    // Too many inside each other: the outer ones are forgotten.
    if n >= N_CALLBACKS {
        n = 0;
    }
    if let Some(entry) = callbacks.entries.get_mut(n) {
        *entry = Callback { fp, resource };
        callbacks.n = n as u64 + 1;
    }
    0
}

/// Before the first frame of a walk that begins at `rsp`.
#[inline(always)]
pub fn begin_walk(s: &mut Scratch, rsp: u64) {
    s.resource = 0;
    s.callback_fp = NONE_LEFT;
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(callbacks) = CALLBACKS.get_ptr_mut(tid) else { return };
    // SAFETY: an entry of the map that only this thread uses.
    let callbacks = unsafe { &*callbacks };
    s.callback_at = callbacks.n;
    next_callback(s, callbacks, rsp);
}

/// A frame is passed that is at least as far out as the next callback: if it is the callback's, the resource is found.
#[inline(always)]
pub fn frame_passed(s: &mut Scratch, fp: u64, pc: u64) {
    if s.callback_fp == fp && runs_callbacks(pc) {
        s.callback_fp = NONE_LEFT;
        return;
    }
    s.resource = 0;
    let tid = bpf_get_current_pid_tgid() as u32;
    let Some(callbacks) = CALLBACKS.get_ptr_mut(tid) else {
        s.callback_fp = NONE_LEFT;
        return;
    };
    // SAFETY: an entry of the map that only this thread uses.
    next_callback(s, unsafe { &*callbacks }, fp);
    if s.callback_fp == fp && runs_callbacks(pc) {
        s.callback_fp = NONE_LEFT;
    }
}

/// Goes on to the innermost callback that is not below `fp`; `resource` is right once its frame was passed.
#[inline(always)]
fn next_callback(s: &mut Scratch, callbacks: &Callbacks, fp: u64) {
    let mut at = s.callback_at as usize;
    s.callback_fp = NONE_LEFT;
    for _ in 0..N_CALLBACKS {
        if at == 0 || at > N_CALLBACKS {
            break;
        }
        at -= 1;
        let Some(entry) = callbacks.entries.get(at) else { break };
        if entry.fp >= fp {
            s.callback_fp = entry.fp;
            s.resource = entry.resource;
            break;
        }
    }
    s.callback_at = at as u64;
}

/// After a walk: the `AsyncWrap` whose callback the thread is in; zero if none was found.
#[inline(always)]
pub fn found(s: &Scratch) -> u64 {
    if s.callback_fp == NONE_LEFT { s.resource } else { 0 }
}

/// True if `pc` is in a function that runs callbacks.
#[inline(always)]
fn runs_callbacks(pc: u64) -> bool {
    let Some(functions) = CALLBACK_FUNCTIONS.get(0) else { return false };
    for at in 0..N_CALLBACK_FUNCTIONS {
        if functions.starts[at] == 0 {
            return false;
        }
        if pc > functions.starts[at] && pc < functions.ends[at] {
            return true;
        }
    }
    false
}
