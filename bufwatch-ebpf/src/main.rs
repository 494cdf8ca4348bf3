//! Entry points of the eBPF programs: each reads its arguments from the registers and hands over. What
//! happens then is in the module named after the subject.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod async_origin;
mod atomic;
mod backing_store;
mod copies;
mod emit;
mod fault;
mod gc;
mod kernel_log;
mod live;
mod mapping;
mod maps;
mod stack;
mod task;
mod user_memory;

use aya_ebpf::macros::{raw_tracepoint, uprobe, uretprobe};
use aya_ebpf::programs::{ProbeContext, RawTracePointContext, RetProbeContext};
use bufwatch_common::kind;

/// `JSArrayBuffer::Attach(shared_ptr<BackingStore>)`: V8 up to 12.
#[uprobe]
pub fn store_attached_arg1(ctx: ProbeContext) -> u32 {
    backing_store::attached::<false>(&ctx, ctx.arg(1).unwrap_or(0))
}

/// `JSArrayBuffer::CreateExtension(Isolate*, shared_ptr<BackingStore>)`: V8 from 13 on.
#[uprobe]
pub fn store_attached_arg2(ctx: ProbeContext) -> u32 {
    backing_store::attached::<false>(&ctx, ctx.arg(2).unwrap_or(0))
}

/// As `store_attached_arg1`, with async origins.
#[uprobe]
pub fn store_attached_arg1_async(ctx: ProbeContext) -> u32 {
    backing_store::attached::<true>(&ctx, ctx.arg(1).unwrap_or(0))
}

/// As `store_attached_arg2`, with async origins.
#[uprobe]
pub fn store_attached_arg2_async(ctx: ProbeContext) -> u32 {
    backing_store::attached::<true>(&ctx, ctx.arg(2).unwrap_or(0))
}

/// `AsyncWrap::AsyncReset(Local<Object>, ...)`: an async resource begins, or begins anew.
#[uprobe]
pub fn async_created(ctx: ProbeContext) -> u32 {
    async_origin::created(&ctx, ctx.arg(0).unwrap_or(0))
}

/// A function that runs callbacks of the async resource in its first argument.
#[uprobe]
pub fn callback_entered_arg0(ctx: ProbeContext) -> u32 {
    async_origin::callback_entered(&ctx, ctx.arg(0).unwrap_or(0))
}

/// The same for the second argument.
#[uprobe]
pub fn callback_entered_arg1(ctx: ProbeContext) -> u32 {
    async_origin::callback_entered(&ctx, ctx.arg(1).unwrap_or(0))
}

/// `BackingStore::~BackingStore()`.
#[uprobe]
pub fn store_destroyed(ctx: ProbeContext) -> u32 {
    backing_store::destroyed(ctx.arg(0).unwrap_or(0))
}

/// `BackingStore::{ResizeInPlace, GrowInPlace, GrowWasmMemoryInPlace}`: which store is about to change.
#[uprobe]
pub fn store_resize_entered(ctx: ProbeContext) -> u32 {
    backing_store::resize_entered(ctx.arg(0).unwrap_or(0))
}

/// The same functions' return: what it changed to.
#[uretprobe]
pub fn store_resize_returned(_ctx: RetProbeContext) -> u32 {
    backing_store::resize_returned()
}

/// `Heap::PerformGarbageCollection(GarbageCollector, ...)`.
#[uprobe]
pub fn gc_started(ctx: ProbeContext) -> u32 {
    gc::started(ctx.arg(0).unwrap_or(0), ctx.arg(1).unwrap_or(0))
}

/// `Heap::GarbageCollectionEpilogueInSafepoint(...)`.
#[uprobe]
pub fn gc_finished(ctx: ProbeContext) -> u32 {
    gc::finished(ctx.arg(0).unwrap_or(0))
}

/// `Heap::TearDown()`: a worker, or the whole process, ends.
#[uprobe]
pub fn torn_down(_ctx: ProbeContext) -> u32 {
    gc::torn_down()
}

/// Does nothing: what a probe costs the target at the least, for the benchmark.
#[uprobe]
pub fn nothing(_ctx: ProbeContext) -> u32 {
    0
}

/// `mmap` after its system call.
#[uprobe]
pub fn mapped(ctx: ProbeContext) -> u32 {
    mapping::changed(&ctx, kind::MAPPED)
}

/// `munmap` after its system call.
#[uprobe]
pub fn unmapped(ctx: ProbeContext) -> u32 {
    mapping::changed(&ctx, kind::UNMAPPED)
}

/// `mremap` after its system call.
#[uprobe]
pub fn remapped(ctx: ProbeContext) -> u32 {
    mapping::changed(&ctx, kind::REMAPPED)
}

/// `madvise` after its system call.
#[uprobe]
pub fn advised(ctx: ProbeContext) -> u32 {
    mapping::changed(&ctx, kind::ADVISED)
}

/// `brk` after its system call.
#[uprobe]
pub fn break_moved(ctx: ProbeContext) -> u32 {
    mapping::changed(&ctx, kind::BREAK_MOVED)
}

#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn task_execed(_ctx: RawTracePointContext) -> i32 {
    task::happened(kind::EXECED)
}

/// For who waits for programs of the whole machine; attached by itself.
#[raw_tracepoint(tracepoint = "sched_process_exec")]
pub fn program_begun(_ctx: RawTracePointContext) -> i32 {
    task::begun()
}

#[raw_tracepoint(tracepoint = "sched_process_exit")]
pub fn task_exited(_ctx: RawTracePointContext) -> i32 {
    task::happened(kind::THREAD_EXITED)
}

#[raw_tracepoint(tracepoint = "sched_process_fork")]
pub fn task_forked(_ctx: RawTracePointContext) -> i32 {
    task::happened(kind::TASK_FORKED)
}

/// `page_fault_user(address, regs, error_code)`.
#[raw_tracepoint(tracepoint = "page_fault_user")]
pub fn page_faulted_by_program(ctx: RawTracePointContext) -> i32 {
    fault::happened(ctx.arg(0), ctx.arg(2), false)
}

/// `page_fault_kernel(address, regs, error_code)`: the kernel writes for the program, as in read(2).
#[raw_tracepoint(tracepoint = "page_fault_kernel")]
pub fn page_faulted_in_kernel(ctx: RawTracePointContext) -> i32 {
    fault::happened(ctx.arg(0), ctx.arg(2), true)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

/// The kernel lends some helpers only to GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
