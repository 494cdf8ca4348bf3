//! Compile-time checks that no wire type has padding, reading a type from bytes, and the implementations
//! of aya's `Pod` for the user side. The only module of this crate with `unsafe`.
#![expect(unsafe_code, reason = "Pod is an unsafe marker; the checks below are its proof")]

use core::mem::size_of;

use crate::config::{
    CallbackFunctions, InterpreterCopies, N_CALLBACK_FUNCTIONS, N_COPIES, ProbeConfig,
    SizeClassCounters,
};
use crate::fault::{FaultBlock, N_FAULT_PAGES};
use crate::record::{
    AsyncOriginRecord, ExecRecord, GcRecord, LiveKey, LiveStore, MappingRecord, RecordHeader,
    StoreRecord, TaskRecord,
};
use crate::stack::{FRAMES_MAX, RawFrame, StackRecord};

/// A type of which every bit pattern is a value and which has no padding.
///
/// # Safety
/// Implementors are `repr(C)`, made of integers and arrays of them, and as large as their fields together.
pub unsafe trait Wire: Copy {}

macro_rules! wire {
    ($($name:ty = $bytes:expr;)*) => {$(
        const _: () = assert!(size_of::<$name>() == $bytes, stringify!($name));
        // SAFETY: made of integers only, and the assertion above excludes padding.
        unsafe impl Wire for $name {}
        #[cfg(feature = "user")]
        // SAFETY: as for `Wire`.
        unsafe impl aya::Pod for $name {}
    )*};
}

wire! {
    ProbeConfig = 8 * 14 + 4 * 7 + 2 * 2;
    InterpreterCopies = 8 * N_COPIES;
    CallbackFunctions = 8 * 2 * N_CALLBACK_FUNCTIONS;
    SizeClassCounters = 8 * 4;
    FaultBlock = 8 * N_FAULT_PAGES;
    RecordHeader = 8 + 4 * 2 + 2 * 2 + 4;
    StoreRecord = 24 + 8 * 7 + 4 + 2 + 2;
    LiveKey = 8;
    LiveStore = 8 * 6 + 4 * 2 + 2 * 2 + 4;
    AsyncOriginRecord = 24 + 8 * 3;
    GcRecord = 24 + 8 + 4 + 4;
    MappingRecord = 24 + 8 * 4 + 4 + 4;
    TaskRecord = 24;
    ExecRecord = 24 + 16;
    RawFrame = 8 * 3 + 4 * 2;
    StackRecord = 24 + 8 + 4 + 4 + FRAMES_MAX * 32;
}

/// Reads a `T` from the beginning of `bytes`; `None` if they are too few. Alignment does not matter.
#[must_use]
pub fn read<T: Wire>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: the length was checked above, `Wire` makes every bit pattern valid, the read is unaligned.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
