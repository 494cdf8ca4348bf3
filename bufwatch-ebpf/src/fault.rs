//! Page faults of the target: when each page was written to for the first time. These tracepoints fire for each fault of every process of
//! the machine, and return at once for others; they are attached only if that was asked for.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use bufwatch_common::DropReason;
use bufwatch_common::fault::{
    FAULT_BLOCK_BYTES, FAULT_IN_KERNEL, FAULT_PAGE_BYTES, FaultBlock, N_FAULT_PAGES,
};

use crate::emit::drop_event;
use crate::maps::{CONFIG, FAULTS};
use crate::task;

/// `X86_PF_WRITE` (arch/x86/include/asm/trap_pf.h). A page that is only read is the kernel's page of zeros, and faults again when it is
/// written.
const IS_WRITE: u64 = 1 << 1;

/// First address that is not the program's.
const USER_END: u64 = 1 << 47;

#[inline(always)]
pub fn happened(address: u64, error_code: u64, is_in_kernel: bool) -> i32 {
    if error_code & IS_WRITE == 0 || address >= USER_END {
        return 0;
    }
    let Some(config) = CONFIG.get(0) else { return 0 };
    if task::current(config).tgid != config.tgid {
        return 0;
    }
    let key = address / FAULT_BLOCK_BYTES;
    let block = match FAULTS.get_ptr_mut(key) {
        Some(block) => block,
        None => {
            let inserted = FAULTS.insert(key, FaultBlock::default(), u64::from(BPF_NOEXIST));
            // Another thread may have been faster; then its entry is there.
            let Some(block) = FAULTS.get_ptr_mut(key) else {
                if inserted.is_err() {
                    drop_event(DropReason::FaultLost, address);
                }
                return 0;
            };
            block
        }
    };
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_ns() } & !FAULT_IN_KERNEL;
    let page = (address / FAULT_PAGE_BYTES) as usize % N_FAULT_PAGES;
    // SAFETY: an entry of the map, valid until the program ends; another fault of the same page writes a time that is as good.
    unsafe { (*block).pages[page] = now | if is_in_kernel { FAULT_IN_KERNEL } else { 0 } };
    0
}
