//! What user space tells the programs before they are attached, and the counters they keep for stores
//! below the individual-tracking size. Everything that differs between Node versions comes in here.

/// Number of size classes counted in the kernel: class `n` holds sizes in `[2^(n-1), 2^n)`, class 0
/// holds empty stores.
pub const N_SIZE_CLASSES: usize = 32;

/// The settings of one attached session. Addresses are those of the target's address space (AVMA).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ProbeConfig {
    /// Stores of at least this many bytes get a record each; smaller ones are counted by class.
    pub min_size_bytes: u64,
    /// Start of the executable mapping of the Node binary.
    pub text_start: u64,
    /// End (exclusive) of the executable mapping of the Node binary.
    pub text_end: u64,
    /// Start of V8's embedded builtins inside the text; frames there may be JavaScript frames.
    pub blob_start: u64,
    /// End (exclusive) of V8's embedded builtins; zero with `blob_start` zero if not known.
    pub blob_end: u64,
    /// Start of the interpreter's entry trampoline; a frame returning there is an interpreted one, and
    /// only its bytecode-offset slot means anything.
    pub interpreter_start: u64,
    /// End (exclusive) of the interpreter's entry trampoline.
    pub interpreter_end: u64,
    /// Where the interpreter's entry trampoline is in the file of the binary.
    pub interpreter_file_offset: u64,
    /// Start of `uv__io_poll`, where a walk ends: below the event loop all stacks of a thread are the same.
    pub poll_start: u64,
    /// End (exclusive) of `uv__io_poll`; zero if not known.
    pub poll_end: u64,
    /// Start of `uv_run`, where a walk ends as well.
    pub loop_start: u64,
    /// End (exclusive) of `uv_run`; zero if not known.
    pub loop_end: u64,
    /// Device of the pid namespace that user space is in, as the kernel numbers devices (major << 20 | minor).
    pub pid_namespace_device: u64,
    /// Its inode; zero if it is the initial one.
    pub pid_namespace_inode: u64,
    /// Byte offset of `JSFunction::shared`; zero turns reading of JavaScript frames off.
    pub function_shared_offset: u32,
    /// Byte offset of `SharedFunctionInfo::script`.
    pub shared_script_offset: u32,
    /// Byte offset of `SharedFunctionInfo::function_literal_id` (u32).
    pub shared_literal_id_offset: u32,
    /// Byte offset of `Script::id` (a Smi).
    pub script_id_offset: u32,
    /// Byte offset of the flags word (u16) in `v8::internal::BackingStore`.
    pub store_flags_offset: u32,
    /// Thread-group id of the target as the pid namespace of user space numbers it.
    pub tgid: u32,
    /// Most frames walked for one stack; at most [`crate::FRAMES_MAX`].
    pub frames_max: u16,
    /// So many records of a CPU wake user space up, which comes by itself otherwise; zero: they never do.
    pub wake_up_records: u16,
    /// Byte offset of `Script::name`, and of the characters of a sequential string; zero if they are not known or
    /// async origins were not asked for.
    pub script_name_offset: u16,
    /// See `script_name_offset`.
    pub string_chars_offset: u16,
}

/// Most copies of the interpreter looked for: isolates with workers of their own code range.
pub const N_COPIES: usize = 32;

/// Where the interpreter's entry trampoline is mapped besides its place in the binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct InterpreterCopies {
    /// First address of each; 0 ends the list, 1 is a copy that is gone.
    pub starts: [u64; N_COPIES],
}

/// Most functions that run callbacks of async resources: as many as the plan looks for, with up to four copies of each.
pub const N_CALLBACK_FUNCTIONS: usize = 32;

/// The code of the functions that run callbacks of async resources, as far as they are probed. Only read if
/// async origins were asked for. Addresses are those of the target's address space (AVMA).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CallbackFunctions {
    /// First byte of each; 0 ends the list.
    pub starts: [u64; N_CALLBACK_FUNCTIONS],
    /// End (exclusive) of each.
    pub ends: [u64; N_CALLBACK_FUNCTIONS],
}

/// Stores of one size class below the individual-tracking size, since attach, of one CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SizeClassCounters {
    /// Stores attached to an array buffer for the first time.
    pub n_created: u64,
    /// Their byte lengths.
    pub created_bytes: u64,
    /// Stores destroyed whose creation was counted.
    pub n_destroyed: u64,
    /// Their byte lengths.
    pub destroyed_bytes: u64,
}

/// The class of a store of `size_bytes`: 0 for empty ones, else the number of significant bits, capped.
#[must_use]
pub const fn size_class(size_bytes: u64) -> u32 {
    let bits = 64 - size_bytes.leading_zeros();
    if bits < N_SIZE_CLASSES as u32 { bits } else { N_SIZE_CLASSES as u32 - 1 }
}
