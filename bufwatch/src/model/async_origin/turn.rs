//! In which part of a resource's turn something ran: in its callback, or in the jobs that Node runs after it. A
//! callback's own calls belong to the resource. A job belongs to whoever queued it or whose promise it waited for,
//! which is not on the stack: it counts only where Node's own code leaves no other choice.
//!
//! From how Node 18.20, 20.20, 22.23, 24.21 and 26.10 behave: stacks seen of them, and a test that knows the line of each.

use crate::event::{Frame, FrameKind};

/// What can be said of a stack whose thread runs for a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A call from the callback itself.
    Callback,
    /// `fs.promises` goes on: all that it waits for are its own requests, each of which settles its promise in
    /// its own turn, and the promises of its own functions.
    FsPromise,
    /// The end of a `zlib.gzip` and its like: emitted in the turn in which its own engine gave the last output.
    ZlibEnd,
    /// Any other job.
    #[default]
    Job,
}

const FS_PROMISES: &str = "node:internal/fs/promises";

/// Functions of `fs.promises` that wait for nothing that the application gives them.
const FS_PROMISE_JOBS: [&str; 2] = ["readFile", "readFileHandle"];

const ZLIB: &str = "node:zlib";

impl Turn {
    /// `frames` are innermost first.
    pub(crate) fn of(frames: &[Frame]) -> Self {
        let Some(queue) = frames.iter().position(runs_jobs) else { return Self::Callback };
        let job = frames.get(..queue).unwrap_or_default();
        let is_js = |frame: &&Frame| matches!(frame.kind, FrameKind::Js | FrameKind::Node);
        let Some(outermost) = job.iter().rfind(is_js) else { return Self::Job };
        let is_of_promises = FS_PROMISE_JOBS.iter().any(|name| is(outermost, FS_PROMISES, name));
        if is_of_promises && job.iter().all(|frame| frame.kind != FrameKind::Js) {
            return Self::FsPromise;
        }
        if job.iter().filter(is_js).any(|frame| is(frame, ZLIB, "zlibBufferOnEnd")) {
            return Self::ZlibEnd;
        }
        Self::Job
    }

    /// True if what ran belongs to the resource that was created by this stack.
    pub(crate) fn belongs_to(self, created: &[Frame]) -> bool {
        let any = |of: &dyn Fn(&Frame) -> bool| created.iter().any(of);
        match self {
            Self::Callback => true,
            Self::FsPromise => any(&|frame| is_of_script(frame, FS_PROMISES)),
            Self::ZlibEnd => any(&|frame| is(frame, ZLIB, "asyncBufferWrapper")),
            Self::Job => false,
        }
    }
}

/// Below this frame jobs run: ticks or microtasks.
fn runs_jobs(frame: &Frame) -> bool {
    match frame.kind {
        FrameKind::Node => {
            is(frame, "node:internal/process/task_queues", "processTicksAndRejections")
        }
        FrameKind::Builtin => frame.function.as_ref() == "RunMicrotasks",
        FrameKind::Native => {
            frame.function.starts_with("v8::internal::MicrotaskQueue::")
                || frame.function.starts_with("node::InternalCallbackScope::Close")
        }
        FrameKind::Js => false,
    }
}

fn is(frame: &Frame, script: &str, function: &str) -> bool {
    is_of_script(frame, script) && frame.function.as_ref() == function
}

fn is_of_script(frame: &Frame, script: &str) -> bool {
    frame.kind == FrameKind::Node && frame.script.as_deref() == Some(script)
}
