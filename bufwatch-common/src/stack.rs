//! A captured stack: raw frames as the walk found them, with the words that symbolization of JavaScript
//! frames needs. Nothing is interpreted beyond that.

use crate::record::RecordHeader;

/// Most frames of one stack. Node stacks at allocation measured 20 to 34 frames (reference: js-stacks.md).
pub const FRAMES_MAX: usize = 48;

/// What the walk could say of a frame.
pub mod frame_kind {
    /// Program counter in C++ code: only `pc` is meaningful.
    pub const NATIVE: u32 = 0;
    /// A stub, builtin or WebAssembly frame: `function` holds the frame-type marker word, `identity` the word
    /// below it, which is the tagged instance of WebAssembly code and means nothing in others.
    pub const STUB: u32 = 1;
    /// A JavaScript frame whose `JSFunction` could not be read: `function` holds its tagged address.
    pub const FUNCTION_UNREAD: u32 = 2;
    /// A JavaScript frame: `function` holds the tagged SharedFunctionInfo, `identity` is not known.
    pub const SHARED_ONLY: u32 = 3;
    /// A JavaScript frame with SharedFunctionInfo and identity.
    pub const JS: u32 = 4;
}

/// One frame, innermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct RawFrame {
    /// Program counter: the return address into the frame's function.
    pub pc: u64,
    /// Meaning depends on `kind`.
    pub function: u64,
    /// Script id in the upper half, function literal id in the lower; stable for the function's life. Of a stub
    /// frame a word of the stack.
    pub identity: u64,
    /// Bytecode offset slot of an interpreted frame (the Smi's value); zero otherwise.
    pub bytecode_offset: u32,
    /// One of [`frame_kind`].
    pub kind: u32,
}

/// A stack that was not sent before. On the wire it is cut after `n_frames` frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct StackRecord {
    /// Time, thread and kind.
    pub header: RecordHeader,
    /// Hash over the frames: the stack's id in store records.
    pub stack_id: u64,
    /// Number of valid entries in `frames`.
    pub n_frames: u32,
    /// 1 if the walk ended at the frame limit with more frames to come.
    pub is_cut: u32,
    /// Innermost first.
    pub frames: [RawFrame; FRAMES_MAX],
}

impl StackRecord {
    /// Bytes before the frames.
    pub const HEADER_BYTES: usize = size_of::<Self>() - FRAMES_MAX * size_of::<RawFrame>();
}
