//! The two atomic instructions the programs need. `core`'s read-modify-write atomics do not exist for BPF
//! targets, its intrinsics change between compilers; the instructions do not (kernel doc: bpf/standardization).

use core::arch::asm;

/// Adds `n` to `*target` and returns what was there before.
///
/// # Safety
/// `target` points to 8 aligned bytes of a map value.
#[inline(always)]
pub unsafe fn fetch_add(target: *mut u64, n: u64) -> u64 {
    let mut value = n;
    // SAFETY: by contract; nothing but `*target` is written.
    unsafe {
        asm!("{value} = atomic_fetch_add((u64 *)({target} + 0), {value})",
            target = in(reg) target, value = inout(reg) value);
    }
    value
}

/// Writes `new` to `*target` and returns what was there before.
///
/// # Safety
/// As for `fetch_add`.
#[inline(always)]
pub unsafe fn exchange(target: *mut u64, new: u64) -> u64 {
    let mut value = new;
    // SAFETY: by contract; nothing but `*target` is written.
    unsafe {
        asm!("{value} = xchg_64({target} + 0, {value})",
            target = in(reg) target, value = inout(reg) value);
    }
    value
}
