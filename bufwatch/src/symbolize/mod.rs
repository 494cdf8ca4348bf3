//! Layer 3: raw frames → frames with names, while the target lives. Native code and V8's builtins get their
//! names here; frames of JavaScript keep their identity, marked as unresolved.

mod demangle;
mod native;

use std::sync::Arc;

use bufwatch_common::{RawFrame, frame_kind};

pub use native::NativeSymbols;

use crate::base::Avma;
use crate::event::{Frame, FrameKind};

/// Builtins in which the interpreter and Sparkplug run application code: the frame is not theirs.
const JS_ENTRIES: [&str; 3] =
    ["InterpreterEntryTrampoline", "InterpreterEnterAtBytecode", "BaselineOutOfLinePrologue"];

/// Names the frames of one target.
#[derive(Debug)]
pub struct Symbolizer {
    native: NativeSymbols,
}

impl Symbolizer {
    pub fn new(native: NativeSymbols) -> Self {
        Self { native }
    }

    /// Names all frames of a stack, innermost first.
    pub fn resolve(&mut self, frames: &[RawFrame]) -> Arc<[Frame]> {
        frames.iter().map(|raw| self.resolve_frame(raw)).collect()
    }

    fn resolve_frame(&mut self, raw: &RawFrame) -> Frame {
        // A return address: the call is before it, maybe the last instruction of its function.
        let name = self.native.name(Avma(raw.pc.saturating_sub(1)));
        let builtin = name.as_deref().and_then(|name| name.strip_prefix("Builtins_"));
        let is_js = raw.kind != frame_kind::NATIVE && raw.kind != frame_kind::STUB;
        match (builtin, name.as_ref()) {
            (Some(builtin), _) if !is_js || !JS_ENTRIES.iter().any(|e| builtin.starts_with(e)) => {
                frame(FrameKind::Builtin, builtin.into(), true)
            }
            _ if is_js => frame(FrameKind::Js, unresolved(raw).into(), false),
            (None, Some(name)) => frame(FrameKind::Native, Arc::clone(name), true),
            _ => frame(FrameKind::Native, format!("[code {:#x}]", raw.pc).into(), false),
        }
    }
}

fn frame(kind: FrameKind, function: Arc<str>, is_resolved: bool) -> Frame {
    Frame { kind, function, is_resolved, ..Frame::default() }
}

/// What stays the same for a function, as far as it is known.
fn unresolved(raw: &RawFrame) -> String {
    match raw.kind {
        frame_kind::JS => {
            let (script, literal) = (raw.identity >> 32, raw.identity & 0xffff_ffff);
            format!("js#{script}:{literal} (unresolved)")
        }
        _ => format!("js@{:#x} (unresolved)", raw.function),
    }
}
