//! Birth, change and death of backing stores. Keeps the live map, which is the authority; records only
//! tell the timeline.

use aya_ebpf::bindings::BPF_ANY;
use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::programs::ProbeContext;
use bufwatch_common::{
    DropReason, LiveKey, LiveStore, N_SIZE_CLASSES, ProbeConfig, RecordHeader, StoreRecord, kind,
    size_class,
};

use crate::emit::{add, drop_event, emit, header};
use crate::maps::{CONFIG, RESIZING, SIZE_CLASSES};
use crate::stack::{self, Captured};
use crate::{async_origin, live, task, user_memory};

/// `v8::internal::BackingStore` as far as all supported versions agree; the flags are at 56 or 64
/// (js-stacks.md §1.1).
#[derive(Default)]
#[repr(C)]
struct StoreFields {
    buffer_start: u64,
    byte_length: u64,
    max_byte_length: u64,
    capacity: u64,
    id: u32,
    padding: u32,
    deleter: [u64; 2],
    word_56: u64,
    word_64: u64,
}

impl StoreFields {
    #[inline(always)]
    fn flags(&self, config: &ProbeConfig) -> u16 {
        if config.store_flags_offset == 56 { self.word_56 as u16 } else { self.word_64 as u16 }
    }
}

/// `shared_ptr` is the address of the `std::shared_ptr<BackingStore>` argument.
#[inline(always)]
pub fn attached<const IS_ASYNC: bool>(ctx: &ProbeContext, shared_ptr: u64) -> u32 {
    let Some(config) = CONFIG.get(0) else {
        drop_event(DropReason::ConfigMissing, 0);
        return 0;
    };
    let Some(address) = user_memory::read::<u64>(shared_ptr) else {
        drop_event(DropReason::SharedPtrUnreadable, shared_ptr);
        return 0;
    };
    if address == 0 {
        drop_event(DropReason::StoreNull, shared_ptr);
        return 0;
    }
    let Some(fields) = user_memory::read::<StoreFields>(address) else {
        drop_event(DropReason::StoreUnreadable, address);
        return 0;
    };
    let key = LiveKey { address };
    if let Some(live) = live::find(&key) {
        // SAFETY: an entry of the map, valid until the program ends.
        let live = unsafe { &mut *live };
        if live.id == fields.id {
            attached_again(config, address, &fields, live);
            return 0;
        }
    }
    let max_size_bytes = fields.max_byte_length.max(fields.byte_length);
    let is_tracked = max_size_bytes >= config.min_size_bytes;
    let captured = if is_tracked {
        stack::capture::<IS_ASYNC>(ctx, config, kind::STACK_CAPTURED)
    } else {
        Captured::default()
    };
    let origin_id = if IS_ASYNC { async_origin::find(captured.resource) } else { 0 };
    let header = header(kind::STORE_CREATED);
    let live = LiveStore {
        birth_ns: header.ktime_ns,
        data: fields.buffer_start,
        size_bytes: fields.byte_length,
        max_size_bytes,
        stack_id: captured.stack_id,
        origin_id,
        id: fields.id,
        tid: header.tid,
        flags: fields.flags(config),
        is_tracked: u16::from(is_tracked),
        reserved: 0,
    };
    if !live::insert(&key, &live) {
        drop_event(DropReason::LiveMapFull, address);
        return 0;
    }
    if is_tracked {
        emit_store(header, address, &live);
    } else {
        count_small(&live, true);
    }
    0
}

/// A transfer, a clone of a shared store, or a WebAssembly memory that grew in place.
#[inline(always)]
fn attached_again(config: &ProbeConfig, address: u64, fields: &StoreFields, live: &mut LiveStore) {
    let tid = task::current(config).tid;
    let is_resized = live.size_bytes != fields.byte_length;
    if live.is_tracked == 0 || (!is_resized && live.tid == tid) {
        return;
    }
    live.tid = tid;
    live.size_bytes = fields.byte_length;
    live.data = fields.buffer_start;
    let record_kind = if is_resized { kind::STORE_RESIZED } else { kind::STORE_REATTACHED };
    emit_store(header(record_kind), address, live);
}

#[inline(always)]
pub fn destroyed(address: u64) -> u32 {
    let key = LiveKey { address };
    let Some(live) = live::find(&key) else {
        destroyed_unknown(address);
        return 0;
    };
    // SAFETY: an entry of the map; copied before it is removed.
    let live = unsafe { *live };
    if !live::remove(&key) {
        return 0;
    }
    if live.is_tracked == 0 {
        count_small(&live, false);
    } else {
        emit_store(header(kind::STORE_DESTROYED), address, &live);
    }
    0
}

/// Older than the attach, or native scratch memory that never belonged to an array buffer.
#[inline(always)]
fn destroyed_unknown(address: u64) {
    drop_event(DropReason::DestroyedUnknown, address);
    let Some(config) = CONFIG.get(0) else { return };
    let Some(fields) = user_memory::read::<StoreFields>(address) else { return };
    if fields.byte_length < config.min_size_bytes {
        return;
    }
    let live = LiveStore {
        data: fields.buffer_start,
        size_bytes: fields.byte_length,
        max_size_bytes: fields.max_byte_length,
        id: fields.id,
        flags: fields.flags(config),
        ..LiveStore::default()
    };
    emit_store(header(kind::STORE_DESTROYED_UNKNOWN), address, &live);
}

#[inline(always)]
pub fn resize_entered(address: u64) -> u32 {
    let thread = bpf_get_current_pid_tgid();
    if RESIZING.insert(thread, address, u64::from(BPF_ANY)).is_err() {
        drop_event(DropReason::ResizeUnpaired, address);
    }
    0
}

/// Reads the length that the store has now instead of trusting the one asked for: a resize may fail.
#[inline(always)]
pub fn resize_returned() -> u32 {
    let thread = bpf_get_current_pid_tgid();
    // SAFETY: the value is copied at once.
    let Some(address) = (unsafe { RESIZING.get(thread) }).copied() else {
        drop_event(DropReason::ResizeUnpaired, 0);
        return 0;
    };
    if RESIZING.remove(thread).is_err() {
        return 0;
    }
    let Some(fields) = user_memory::read::<StoreFields>(address) else {
        drop_event(DropReason::StoreUnreadable, address);
        return 0;
    };
    let Some(live) = live::find(&LiveKey { address }) else { return 0 };
    // SAFETY: an entry of the map, valid until the program ends.
    let live = unsafe { &mut *live };
    if live.is_tracked == 0 || live.size_bytes == fields.byte_length {
        return 0;
    }
    live.size_bytes = fields.byte_length;
    live.data = fields.buffer_start;
    emit_store(header(kind::STORE_RESIZED), address, live);
    0
}

#[inline(always)]
fn emit_store(header: RecordHeader, address: u64, live: &LiveStore) {
    emit(StoreRecord {
        header,
        address,
        data: live.data,
        size_bytes: live.size_bytes,
        max_size_bytes: live.max_size_bytes,
        stack_id: live.stack_id,
        origin_id: live.origin_id,
        birth_ns: live.birth_ns,
        id: live.id,
        flags: live.flags,
        reserved: 0,
    });
}

#[inline(always)]
fn count_small(live: &LiveStore, is_birth: bool) {
    let Some(classes) = SIZE_CLASSES.get_ptr_mut(0) else { return };
    let class = size_class(live.size_bytes) as usize;
    if class >= N_SIZE_CLASSES {
        return;
    }
    // SAFETY: an entry of the map, and one of its classes; only its address is taken.
    let counters = unsafe { &raw mut (*classes)[class] };
    // SAFETY: an entry of the map; only the addresses of its fields are taken.
    unsafe {
        if is_birth {
            add(&raw mut (*counters).n_created, 1);
            add(&raw mut (*counters).created_bytes, live.size_bytes);
        } else {
            add(&raw mut (*counters).n_destroyed, 1);
            add(&raw mut (*counters).destroyed_bytes, live.size_bytes);
        }
    }
}
