//! When pages of the target were first written to: what the fault programs keep for user space to look up. Only there if it was asked for.

/// Bytes of a page.
pub const FAULT_PAGE_BYTES: u64 = 4_096;

/// Pages of one entry.
pub const N_FAULT_PAGES: usize = 16;

/// Bytes of one entry; its key is an address divided by this.
pub const FAULT_BLOCK_BYTES: u64 = FAULT_PAGE_BYTES * N_FAULT_PAGES as u64;

/// Set in a time if the fault was taken in the kernel, such as in read(2).
pub const FAULT_IN_KERNEL: u64 = 1;

/// The last write fault of each page of a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct FaultBlock {
    /// `CLOCK_MONOTONIC` nanoseconds, the lowest bit of which is [`FAULT_IN_KERNEL`]; 0: there was none.
    pub pages: [u64; N_FAULT_PAGES],
}
