//! Changes of the target's address space, seen in the C library right after the system call: there, the
//! result and all arguments are in registers, so that one probe says what happened and whether it did.

use aya_ebpf::programs::ProbeContext;
use bufwatch_common::{MappingRecord, kind};

use crate::emit::{emit, header};

pub fn changed(ctx: &ProbeContext, record_kind: u16) -> u32 {
    // SAFETY: the context is the register set at the probe point.
    let regs = unsafe { &*ctx.regs };
    let (detail, flags, new_len_bytes) = match record_kind {
        kind::MAPPED => (regs.rdx as u32, regs.r10 as u32, 0),
        kind::REMAPPED => (0, 0, regs.rdx),
        kind::ADVISED => (regs.rdx as u32, 0, 0),
        _ => (0, 0, 0),
    };
    emit(MappingRecord {
        header: header(record_kind),
        address: regs.rdi,
        len_bytes: regs.rsi,
        result: regs.rax,
        new_len_bytes,
        detail,
        flags,
    });
    0
}
