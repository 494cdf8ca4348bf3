//! Which task runs now; and exec, exit and fork of the target's tasks: these tracepoints fire for every process of the machine, but
//! rarely, and return at once for others.

use aya_ebpf::bindings::bpf_pidns_info;
use aya_ebpf::helpers::generated::bpf_get_ns_current_pid_tgid;
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use bufwatch_common::{ExecRecord, ProbeConfig, TaskRecord, kind};

use crate::emit::{emit, header};
use crate::maps::CONFIG;

/// The current task, as the pid namespace of user space numbers it.
#[derive(Clone, Copy)]
pub struct Current {
    pub tgid: u32,
    pub tid: u32,
}

/// Tasks of a namespace below that of user space keep their initial numbers unless that is the initial one: the helper knows no
/// others than its own.
#[inline(always)]
pub fn current(config: &ProbeConfig) -> Current {
    if config.pid_namespace_inode != 0 {
        let mut found = bpf_pidns_info { pid: 0, tgid: 0 };
        let size = size_of::<bpf_pidns_info>() as u32;
        let (device, inode) = (config.pid_namespace_device, config.pid_namespace_inode);
        // SAFETY: `found` is as long as `size` says.
        if unsafe { bpf_get_ns_current_pid_tgid(device, inode, &raw mut found, size) } == 0 {
            return Current { tgid: found.tgid, tid: found.pid };
        }
    }
    let pid_tgid = bpf_get_current_pid_tgid();
    Current { tgid: (pid_tgid >> 32) as u32, tid: pid_tgid as u32 }
}

pub fn happened(kind: u16) -> i32 {
    let Some(config) = CONFIG.get(0) else { return 0 };
    if current(config).tgid == config.tgid {
        emit(TaskRecord { header: header(kind) });
    }
    0
}

/// Any process runs another program: what it is, user space sees by a look at it.
pub fn begun() -> i32 {
    let name = bpf_get_current_comm().unwrap_or_default();
    emit(ExecRecord { header: header(kind::PROGRAM_BEGUN), name });
    0
}
