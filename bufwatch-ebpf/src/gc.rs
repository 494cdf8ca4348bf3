//! Begin and end of garbage collections, and the end of a heap. A few a second at most, so every one gets a record.

use bufwatch_common::{GcRecord, TaskRecord, kind};

use crate::emit::{add, emit, header};
use crate::maps::GC_EPOCH;

pub fn started(heap: u64, collector: u64) -> u32 {
    next_epoch();
    // The argument is an 8-bit enum; the rest of the register is garbage.
    let collector = (collector & 0xff) as u32;
    emit(GcRecord { header: header(kind::GC_STARTED), heap, collector, reserved: 0 });
    0
}

pub fn finished(heap: u64) -> u32 {
    next_epoch();
    emit(GcRecord { header: header(kind::GC_FINISHED), heap, collector: 0, reserved: 0 });
    0
}

pub fn torn_down() -> u32 {
    emit(TaskRecord { header: header(kind::TEARDOWN) });
    0
}

/// Functions move: what was read of them through their address no longer holds.
fn next_epoch() {
    if let Some(epoch) = GC_EPOCH.get_ptr_mut(0) {
        add(epoch, 1);
    }
}
