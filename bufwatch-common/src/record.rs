//! The records of the ring buffer and the entries of the kernel's live map.

/// Numbers of record kinds; added at the end, never reused.
pub mod kind {
    /// A backing store was attached to an array buffer for the first time ([`super::StoreRecord`]).
    pub const STORE_CREATED: u16 = 1;
    /// A known store was attached again: transferred, cloned, or grown in place ([`super::StoreRecord`]).
    pub const STORE_REATTACHED: u16 = 2;
    /// A known store changed its length ([`super::StoreRecord`]).
    pub const STORE_RESIZED: u16 = 3;
    /// A known store was destroyed ([`super::StoreRecord`]).
    pub const STORE_DESTROYED: u16 = 4;
    /// A stack not sent before ([`crate::StackRecord`]).
    pub const STACK_CAPTURED: u16 = 5;
    /// A garbage collection began ([`super::GcRecord`]).
    pub const GC_STARTED: u16 = 6;
    /// A garbage collection ended ([`super::GcRecord`]).
    pub const GC_FINISHED: u16 = 7;
    /// `mmap` returned ([`super::MappingRecord`]).
    pub const MAPPED: u16 = 8;
    /// `munmap` returned ([`super::MappingRecord`]).
    pub const UNMAPPED: u16 = 9;
    /// `mremap` returned ([`super::MappingRecord`]).
    pub const REMAPPED: u16 = 10;
    /// `madvise` returned ([`super::MappingRecord`]).
    pub const ADVISED: u16 = 11;
    /// The target executed another program ([`super::TaskRecord`]).
    pub const EXECED: u16 = 12;
    /// A thread of the target ended ([`super::TaskRecord`]).
    pub const THREAD_EXITED: u16 = 13;
    /// The target created a thread or a child process ([`super::TaskRecord`]).
    pub const TASK_FORKED: u16 = 14;
    /// A store that was destroyed without its creation having been seen ([`super::StoreRecord`]).
    pub const STORE_DESTROYED_UNKNOWN: u16 = 15;
    /// An isolate is being torn down with everything it holds ([`super::TaskRecord`]).
    pub const TEARDOWN: u16 = 16;
    /// A stack that created an async resource, not sent before ([`crate::StackRecord`]).
    pub const ASYNC_STACK_CAPTURED: u16 = 17;
    /// How an async resource was created, not sent before ([`super::AsyncOriginRecord`]).
    pub const ASYNC_ORIGIN: u16 = 18;
    /// Any process of the machine runs another program ([`super::ExecRecord`]).
    pub const PROGRAM_BEGUN: u16 = 19;
    /// `brk` returned ([`super::MappingRecord`]).
    pub const BREAK_MOVED: u16 = 20;
}

/// The beginning of each record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RecordHeader {
    /// `CLOCK_MONOTONIC` nanoseconds (`bpf_ktime_get_ns`).
    pub ktime_ns: u64,
    /// Thread-group id in the pid namespace of user space; in the initial one if the target is in a third.
    pub pid: u32,
    /// Thread id, likewise.
    pub tid: u32,
    /// One of [`kind`].
    pub kind: u16,
    /// CPU that wrote the record.
    pub cpu: u16,
    /// Counts the records of this CPU, written or lost; a gap is a measured loss.
    pub sequence: u32,
}

/// A backing store and what happened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct StoreRecord {
    /// Time, thread and kind.
    pub header: RecordHeader,
    /// Address of the `v8::internal::BackingStore` object: with `id` the key of the store.
    pub address: u64,
    /// Address of its first byte of data; zero for an empty store.
    pub data: u64,
    /// Length in bytes as array buffers see it.
    pub size_bytes: u64,
    /// Most it can grow to; equal to `size_bytes` for a fixed one.
    pub max_size_bytes: u64,
    /// Stack of the creation; zero if none was captured.
    pub stack_id: u64,
    /// How the async resource was created whose callback made the store ([`AsyncOriginRecord::origin_id`]); zero if
    /// it is not known or was not asked for.
    pub origin_id: u64,
    /// When the store was created: for destruction and re-attachment, from the live map; zero if unknown.
    pub birth_ns: u64,
    /// `BackingStore::id_`, increasing in a process.
    pub id: u32,
    /// `BackingStore` flags word as read; bits differ between versions.
    pub flags: u16,
    /// Written as zero.
    pub reserved: u16,
}

/// Key of the kernel's live map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
pub struct LiveKey {
    /// Address of the `BackingStore` object.
    pub address: u64,
}

/// Entry of the kernel's live map: the authority on what is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct LiveStore {
    /// When it was created, `CLOCK_MONOTONIC` nanoseconds.
    pub birth_ns: u64,
    /// Address of its first byte of data.
    pub data: u64,
    /// Current length in bytes.
    pub size_bytes: u64,
    /// Most it can grow to.
    pub max_size_bytes: u64,
    /// Stack of the creation; zero if none was captured.
    pub stack_id: u64,
    /// As in [`StoreRecord`].
    pub origin_id: u64,
    /// `BackingStore::id_`.
    pub id: u32,
    /// Thread that attached it last.
    pub tid: u32,
    /// `BackingStore` flags word as read.
    pub flags: u16,
    /// 1 if the store is recorded individually, 0 if it is only counted by class.
    pub is_tracked: u16,
    /// Written as zero.
    pub reserved: u32,
}

/// How async resources of one origin were created: by which stack, in a callback of which other resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct AsyncOriginRecord {
    /// Time, thread and kind.
    pub header: RecordHeader,
    /// Hash over the other two: what records of stores name it by.
    pub origin_id: u64,
    /// Stack of the creation, sent before as `ASYNC_STACK_CAPTURED`.
    pub stack_id: u64,
    /// Origin of the resource whose callback created it; zero if there was none, it is not known, or the stack has a
    /// line of the application, so that it does not matter.
    pub parent_id: u64,
}

/// Begin or end of a garbage collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GcRecord {
    /// Time, thread and kind.
    pub header: RecordHeader,
    /// `v8::internal::Heap*` of the isolate.
    pub heap: u64,
    /// `GarbageCollector`: 0 scavenger, 1 mark-compact, 2 minor mark-sweep; only in `GC_STARTED`.
    pub collector: u32,
    /// Written as zero.
    pub reserved: u32,
}

/// A change of the target's address space that went through the C library.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MappingRecord {
    /// Time, thread and kind.
    pub header: RecordHeader,
    /// Address asked for (`munmap`, `mremap`, `madvise`, `brk`) or hinted (`mmap`).
    pub address: u64,
    /// Length asked for in bytes; `brk`: zero.
    pub len_bytes: u64,
    /// What the system call returned; errors are the negated errno. `brk`: where the heap ends, moved or not.
    pub result: u64,
    /// `mremap`: the new length; otherwise zero.
    pub new_len_bytes: u64,
    /// `mmap`: protection bits; `madvise`: the advice; otherwise zero.
    pub detail: u32,
    /// `mmap`: the flags; otherwise zero.
    pub flags: u32,
}

/// Something happened to a task of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TaskRecord {
    /// Time, thread and kind.
    pub header: RecordHeader,
}

/// A process runs another program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ExecRecord {
    /// Time, process and kind.
    pub header: RecordHeader,
    /// The start of the name of what it runs, filled up with zeros (`TASK_COMM_LEN`).
    pub name: [u8; 16],
}
