//! Which line of the application a stack stands for, and which API it went through. Pure tables and rules;
//! they claim what the frames prove and otherwise repeat the frame's own name.

mod background;
mod builtin_api;
mod node_api;

use std::sync::Arc;

use crate::event::place;
use crate::event::{Frame, FrameKind};
use crate::model::async_origin::AsyncStack;

/// What to call a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The innermost frame of the application, packages included: an index into the frames.
    pub user_frame: Option<usize>,
    /// The innermost frame of the application outside of packages; often the same.
    pub app_frame: Option<usize>,
    /// The API that the user frame called: `Buffer.concat`.
    pub via: Option<Arc<str>>,
    /// The user frame in short, or what made a stack that has none.
    pub label: Arc<str>,
    /// Node made it to read a file or a connection into.
    pub is_read: bool,
}

impl Origin {
    /// `frames` are innermost first.
    pub fn of(frames: &[Frame]) -> Self {
        let user_frame = frames.iter().position(|frame| frame.kind == FrameKind::Js);
        // A frame without a script may be anybody's.
        let is_app = |frame: &Frame| {
            frame.kind == FrameKind::Js && frame.script.is_some() && !place::is_of_package(frame)
        };
        let app_frame = frames.iter().position(is_app);
        let (callees, caller) = match user_frame {
            Some(at) => (frames.get(..at).unwrap_or_default(), frames.get(at)),
            None => (frames, None),
        };
        match caller {
            Some(caller) => {
                let via = via(callees);
                let is_read = via.as_deref().is_some_and(node_api::is_read);
                let label = place::short_frame(caller).into();
                Self { user_frame, app_frame, via, label, is_read }
            }
            None => {
                let label = background::name(frames);
                let is_read = background::is_read(&label) || node_api::is_read(&label);
                Self { user_frame, app_frame, via: None, label, is_read }
            }
        }
    }
}

impl Origin {
    /// The same for what ran in the turn of an async resource: what has no line of its own goes by the line that
    /// began it, marked as such, and its own name becomes the API.
    pub(crate) fn in_turn_of(&self, async_stack: &AsyncStack) -> Self {
        match async_stack.user_frame() {
            Some(begun_by) if self.user_frame.is_none() => Self {
                via: Some(Arc::clone(&self.label)),
                label: format!("{} {ASYNC_MARK}", place::short_frame(begun_by)).into(),
                ..self.clone()
            },
            _ => self.clone(),
        }
    }
}

/// Behind a line that did not allocate, but began what did.
const ASYNC_MARK: &str = "(async)";

/// The API by what it called itself: the outermost frame of Node, otherwise of V8's builtins or of native
/// code that is an API. What lies between belongs to the machinery of calls.
fn via(callees: &[Frame]) -> Option<Arc<str>> {
    let outermost = || callees.iter().rev();
    let node = || outermost().filter(|frame| frame.kind == FrameKind::Node);
    if let Some(frame) = node().find(|frame| !is_anonymous(frame)).or_else(|| node().next()) {
        return Some(node_api::name(frame));
    }
    outermost().find_map(builtin_api::name)
}

fn is_anonymous(frame: &Frame) -> bool {
    frame.function.is_empty() || frame.function.starts_with("(anonymous")
}

#[cfg(test)]
mod tests;
