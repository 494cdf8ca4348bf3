//! Writing records and counting what could not be done. Every early return of a program ends here.

use core::ffi::c_void;

use aya_ebpf::bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP};
use aya_ebpf::helpers::generated::{
    bpf_get_smp_processor_id, bpf_ktime_get_ns, bpf_ringbuf_output,
};
use bufwatch_common::{
    AsyncOriginRecord, DropReason, ExecRecord, GcRecord, MappingRecord, RecordHeader, StoreRecord,
    TaskRecord,
};

use crate::atomic;
use crate::kernel_log;
use crate::maps::{CONFIG, DROPS, EVENTS, SEQUENCES, WOKEN_UP};
use crate::task::{self, Current};

/// Counts that the program gave up on something, and says so to whom wants to know. `address`: of what, in the target; zero if it is not
/// about one.
#[inline(always)]
pub fn drop_event(reason: DropReason, address: u64) {
    kernel_log::gave_up(reason, address);
    let at = reason.index() as usize;
    if let Some(counters) = DROPS.get_ptr_mut(0)
        && at < DropReason::COUNT
    {
        // SAFETY: an entry of the map, and one of its counters; only its address is taken.
        let counter = unsafe { &raw mut (*counters)[at] };
        add(counter, 1);
    }
}

/// Adds to a counter that a preempting program on the same CPU may be adding to as well.
#[inline(always)]
pub fn add(counter: *mut u64, n: u64) {
    // SAFETY: `counter` points into a map value, aligned to 8 bytes.
    unsafe { atomic::fetch_add(counter, n) };
}

/// The header of a record of `kind` about the current task, now; its sequence number comes with `emit`.
#[inline(always)]
pub fn header(kind: u16) -> RecordHeader {
    let current = CONFIG.get(0).map_or(Current { tgid: 0, tid: 0 }, task::current);
    // SAFETY: helpers without arguments.
    let (ktime_ns, cpu) = unsafe { (bpf_ktime_get_ns(), bpf_get_smp_processor_id()) };
    RecordHeader {
        ktime_ns,
        pid: current.tgid,
        tid: current.tid,
        kind,
        cpu: cpu as u16,
        sequence: 0,
    }
}

/// Gives a record its sequence number. Every record gets one, also if it is lost afterwards.
#[inline(always)]
pub fn number(header: &mut RecordHeader) {
    if let Some(counter) = SEQUENCES.get_ptr_mut(0) {
        // SAFETY: as in `add`.
        header.sequence = unsafe { atomic::fetch_add(counter, 1) } as u32;
    }
}

/// A record that begins with a header.
pub trait Record {
    fn header(&mut self) -> &mut RecordHeader;
}

macro_rules! record {
    ($($name:ty),*) => {$(
        impl Record for $name {
            #[inline(always)]
            fn header(&mut self) -> &mut RecordHeader {
                &mut self.header
            }
        }
    )*};
}

record!(StoreRecord, GcRecord, MappingRecord, TaskRecord, ExecRecord, AsyncOriginRecord);

/// True if user space, which looks rarely, is to look at the buffer before it is full.
#[inline(always)]
fn is_due_by_number(header: &RecordHeader) -> bool {
    let Some(config) = CONFIG.get(0) else { return false };
    let every = u32::from(config.wake_up_records);
    every != 0 && header.sequence.is_multiple_of(every) && is_wake_up_due(header.ktime_ns)
}

/// Writes a record. User space polls, so that no store pays for a wake-up; where it polls rarely, one of many stores pays.
#[inline(always)]
pub fn emit<T: Record>(record: T) {
    try_emit(record);
}

/// The same; false if the record is lost.
#[inline(always)]
pub fn try_emit<T: Record>(mut record: T) -> bool {
    number(record.header());
    let wakes_up = is_due_by_number(record.header());
    let is_written = output((&raw const record).cast(), size_of::<T>() as u64, wakes_up);
    if !is_written {
        drop_event(DropReason::RingFull, 0);
    }
    is_written
}

/// Between two wake-ups of user space: it comes by itself soon after one.
const WAKE_UP_EVERY_NS: u64 = 1_000_000;

/// True if a record that does not keep is to wake up user space.
#[inline(always)]
pub fn is_wake_up_due(now_ns: u64) -> bool {
    let Some(last) = WOKEN_UP.get_ptr_mut(0) else { return false };
    // SAFETY: an entry of the map; of two programs that see it due both wake up, which harms nobody.
    let last_ns = unsafe { last.read_volatile() };
    if now_ns.wrapping_sub(last_ns) < WAKE_UP_EVERY_NS {
        return false;
    }
    // SAFETY: as above.
    unsafe { last.write_volatile(now_ns) };
    true
}

/// Writes `n_bytes` from `data`; false if the ring buffer is full.
#[inline(always)]
pub fn output(data: *const c_void, n_bytes: u64, wakes_up: bool) -> bool {
    let flags = if wakes_up { BPF_RB_FORCE_WAKEUP } else { BPF_RB_NO_WAKEUP };
    // SAFETY: the verifier proves that `data` is readable for `n_bytes`.
    unsafe {
        bpf_ringbuf_output(
            (&raw const EVENTS).cast_mut().cast(),
            data.cast_mut(),
            n_bytes,
            u64::from(flags),
        ) == 0
    }
}
