//! What the programs say of themselves, through aya-log, to whoever asks why one misbehaves on some kernel. Off unless user space raises
//! `AYA_LOG_LEVEL` before loading: the level is read-only data, so that the verifier removes what is not said.

use aya_log_ebpf::debug;
use bufwatch_common::DropReason;

/// A program gave up on something, at an address of the target if there is one. Not inlined, for its stack of its own: a message is put
/// together on it.
#[inline(never)]
pub fn gave_up(reason: DropReason, address: u64) {
    // As bufwatch::source::ebpf::kernel_log reads it.
    debug!((), "{} {:x}", reason as u32, address);
}
