//! Reading the target's memory from a program. Reads never fault pages in: what is not in memory is an error.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_user;

/// Reads a `T` at `address` of the current task.
#[inline(always)]
pub fn read<T: Default>(address: u64) -> Option<T> {
    let mut value = T::default();
    read_into(&raw mut value, address).then_some(value)
}

/// Fills `target` from `address`; false if any byte could not be read.
#[inline(always)]
pub fn read_into<T>(target: *mut T, address: u64) -> bool {
    // SAFETY: `target` is valid for `size_of::<T>()` bytes; the helper checks `address`.
    unsafe {
        bpf_probe_read_user(target.cast(), size_of::<T>() as u32, address as *const c_void) == 0
    }
}
