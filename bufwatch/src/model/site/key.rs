//! What makes stacks one site and sites one group: text and lines, never addresses or ids.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::event::{Frame, FrameKind};
use crate::model::async_origin::AsyncStack;
use crate::model::origin::Origin;

/// What makes two stacks the same site: their frames of JavaScript, not those of native code and builtins,
/// which differ between compilation tiers. Without any of JavaScript, all frames. The same for each async stack.
#[derive(Clone, Debug)]
pub(super) struct SiteKey {
    pub(super) frames: Arc<[Frame]>,
    pub(super) origin: Origin,
    pub(super) async_stack: Option<Arc<AsyncStack>>,
}

impl SiteKey {
    fn identity(&self) -> impl Iterator<Item = FrameIdentity<'_>> {
        let async_stacks = self.async_stack.iter().flat_map(|it| &it.stacks);
        [&self.frames].into_iter().chain(async_stacks).flat_map(|frames| stack_identity(frames))
    }
}

fn stack_identity(frames: &[Frame]) -> impl Iterator<Item = FrameIdentity<'_>> {
    let is_js = |frame: &Frame| matches!(frame.kind, FrameKind::Js | FrameKind::Node);
    let has_js = frames.iter().any(is_js);
    frames.iter().filter(move |frame| is_js(frame) || !has_js).map(frame_identity)
}

impl PartialEq for SiteKey {
    fn eq(&self, other: &Self) -> bool {
        let n_async_stacks = |key: &Self| key.async_stack.as_ref().map(|it| it.stacks.len());
        n_async_stacks(self) == n_async_stacks(other)
            && self.origin.via == other.origin.via
            && self.origin.label == other.origin.label
            && self.identity().eq(other.identity())
    }
}

impl Eq for SiteKey {}

impl Hash for SiteKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.origin.via.hash(state);
        self.identity().for_each(|frame| frame.hash(state));
    }
}

/// Function, script and line; not the column, which optimized code knows only roughly. A line that is only
/// about right must not hide behind the same one that is exact.
type FrameIdentity<'a> = (&'a str, Option<&'a str>, Option<u32>, bool);

fn frame_identity(frame: &Frame) -> FrameIdentity<'_> {
    (&frame.function, frame.script.as_deref(), frame.line, frame.is_approximate)
}

/// Whole paths: files of the same name are common.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    function: Arc<str>,
    script: Option<Arc<str>>,
    line: Option<u32>,
    is_approximate: bool,
    via: Option<Arc<str>>,
    named_by: NamedBy,
}

/// Where the line of a group is from: one that began something is no line that allocated.
#[derive(Debug, PartialEq, Eq, Hash)]
enum NamedBy {
    OwnStack,
    AsyncStack,
    /// There is no line.
    Label,
}

impl GroupKey {
    pub(super) fn new(site: &SiteKey) -> Self {
        let origin = &site.origin;
        let own = origin.user_frame.and_then(|at| site.frames.get(at));
        let (frame, named_by) = match (own, &site.async_stack) {
            (Some(own), _) => (Some(own), NamedBy::OwnStack),
            (None, Some(async_stack)) => (async_stack.user_frame(), NamedBy::AsyncStack),
            (None, None) => (None, NamedBy::Label),
        };
        Self {
            function: frame
                .map_or_else(|| Arc::clone(&origin.label), |it| Arc::clone(&it.function)),
            script: frame.and_then(|it| it.script.clone()),
            line: frame.and_then(|it| it.line),
            is_approximate: frame.is_some_and(|it| it.is_approximate),
            via: origin.via.clone(),
            named_by,
        }
    }
}
