//! Changes of the target's address space, seen in the C library right after the system call: there, the
//! result and all arguments are in registers, so that one probe says what happened and whether it did.

use aya_ebpf::programs::ProbeContext;
use bufwatch_common::{MappingRecord, kind};

use crate::copies;
use crate::emit::{emit, header};
use crate::maps::CONFIG;

pub fn changed(ctx: &ProbeContext, record_kind: u16) -> u32 {
    // SAFETY: the context is the register set at the probe point.
    let regs = unsafe { &*ctx.regs };
    let (detail, flags, new_len_bytes) = match record_kind {
        kind::MAPPED => (regs.rdx as u32, regs.r10 as u32, 0),
        kind::REMAPPED => (0, 0, regs.rdx),
        kind::ADVISED => (regs.rdx as u32, 0, 0),
        _ => (0, 0, 0),
    };
    match record_kind {
        // A failed call returns what no mapping can begin at.
        kind::MAPPED if regs.rax < 1 << 47 => {
            if let Some(config) = CONFIG.get(0) {
                copies::mapped(config, regs.rax, regs.rsi, regs.rdx, regs.r8, regs.r9);
            }
        }
        kind::UNMAPPED if regs.rax == 0 => copies::unmapped(regs.rdi, regs.rsi),
        _ => {}
    }
    // brk has one argument.
    let len_bytes = if record_kind == kind::BREAK_MOVED { 0 } else { regs.rsi };
    emit(MappingRecord {
        header: header(record_kind),
        address: regs.rdi,
        len_bytes,
        result: regs.rax,
        new_len_bytes,
        detail,
        flags,
    });
    0
}
