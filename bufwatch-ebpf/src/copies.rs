//! Where V8's interpreter is mapped besides its place in the binary. Since V8 11 each isolate maps the builtins once more, near its
//! own code ("short builtin calls"), so that a worker brings another copy while it is watched: seen when it is mapped.

use bufwatch_common::{N_COPIES, ProbeConfig};

use crate::atomic;
use crate::maps::COPIES;

/// `PROT_EXEC` (mman.h).
const PROT_EXEC: u64 = 4;

/// True if `pc` is in one of the copies.
#[inline(always)]
pub fn contain(config: &ProbeConfig, pc: u64) -> bool {
    let Some(copies) = COPIES.get_ptr(0) else { return false };
    let len = config.interpreter_end.wrapping_sub(config.interpreter_start);
    for at in 0..N_COPIES {
        // SAFETY: an entry of the map; another program may be writing it.
        let start = unsafe { (&raw const (*copies).starts[at]).read_volatile() };
        if start == NEVER {
            return false;
        }
        if pc.wrapping_sub(start) < len {
            return true;
        }
    }
    false
}

/// An entry that was never used: the ones behind it neither.
const NEVER: u64 = 0;

/// An entry whose copy is gone.
const GONE: u64 = 1;

/// `mmap` returned `address` for a file: is the interpreter in there? Another file of which the same part is mapped as code is taken
/// for it as well; its frames are told apart by their names.
#[inline(always)]
pub fn mapped(config: &ProbeConfig, address: u64, len: u64, protection: u64, fd: u64, offset: u64) {
    let at = config.interpreter_file_offset.wrapping_sub(offset);
    let n_bytes = config.interpreter_end.wrapping_sub(config.interpreter_start);
    if protection & PROT_EXEC == 0 || fd as i32 == -1 || n_bytes == 0 {
        return;
    }
    if config.interpreter_file_offset < offset || at.wrapping_add(n_bytes) > len {
        return;
    }
    let Some(copies) = COPIES.get_ptr_mut(0) else { return };
    let mut start = address.wrapping_add(at);
    for at in 0..N_COPIES {
        // SAFETY: an aligned entry of the map. Should another thread have taken it meanwhile, its entry moves on.
        let old = unsafe {
            let entry = &raw mut (*copies).starts[at];
            let old = entry.read_volatile();
            if old != NEVER && old != GONE {
                continue;
            }
            atomic::exchange(entry, start)
        };
        if old == NEVER || old == GONE {
            return;
        }
        start = old;
    }
}

/// A range of addresses is no longer mapped.
#[inline(always)]
pub fn unmapped(address: u64, len: u64) {
    let Some(copies) = COPIES.get_ptr_mut(0) else { return };
    for at in 0..N_COPIES {
        // SAFETY: an aligned entry of the map.
        let entry = unsafe { &raw mut (*copies).starts[at] };
        // SAFETY: as above.
        let start = unsafe { entry.read_volatile() };
        if start == NEVER {
            return;
        }
        if start.wrapping_sub(address) < len {
            // SAFETY: as above.
            unsafe { entry.write_volatile(GONE) };
        }
    }
}
