//! The wire types that the eBPF programs write and the user side reads. Only layouts live here: no logic
//! of either side, no recording format, no model.
//!
//! Rules for every type: `repr(C)`, fixed-width integers and arrays of them only, largest fields first,
//! explicit padding written as zero, any bit pattern valid. Sizes are asserted at compile time as the sum
//! of the fields, so that padding cannot appear unnoticed.
#![no_std]
#![warn(missing_docs)]

pub mod config;
pub mod drop_reason;
pub mod fault;
pub mod layout;
pub mod record;
pub mod stack;

pub use config::{
    CallbackFunctions, InterpreterCopies, N_CALLBACK_FUNCTIONS, N_COPIES, N_SIZE_CLASSES,
    ProbeConfig, SizeClassCounters, size_class,
};
pub use drop_reason::DropReason;
pub use record::{
    AsyncOriginRecord, ExecRecord, GcRecord, LiveKey, LiveStore, MappingRecord, RecordHeader,
    StoreRecord, TaskRecord, kind,
};
pub use stack::{FRAMES_MAX, RawFrame, StackRecord, frame_kind};
