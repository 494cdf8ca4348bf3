//! Exec, exit and fork of the target's tasks. These tracepoints fire for every process of the machine, but
//! rarely, and return at once for others.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use bufwatch_common::TaskRecord;

use crate::emit::{emit, header};
use crate::maps::CONFIG;

pub fn happened(kind: u16) -> i32 {
    let Some(config) = CONFIG.get(0) else { return 0 };
    if (bpf_get_current_pid_tgid() >> 32) as u32 == config.tgid {
        emit(TaskRecord { header: header(kind) });
    }
    0
}
