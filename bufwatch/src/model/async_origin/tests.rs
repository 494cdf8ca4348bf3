//! Ways back, on shortened real stacks.

use super::*;
use crate::event::FrameKind;

fn frame(kind: FrameKind, function: &str, script: Option<&str>) -> Frame {
    let script = script.map(Into::into);
    Frame { kind, function: function.into(), script, is_resolved: true, ..Frame::default() }
}

fn native(function: &str) -> Frame {
    frame(FrameKind::Native, function, None)
}

fn node(function: &str, script: &str) -> Frame {
    frame(FrameKind::Node, function, Some(script))
}

fn user(function: &str) -> Frame {
    frame(FrameKind::Js, function, Some("/srv/app.js"))
}

/// What stands below a callback of a resource.
fn callback() -> [Frame; 2] {
    [native("node::AsyncWrap::MakeCallback"), native("uv__work_done")]
}

/// What stands below a microtask that Node runs after a callback.
fn microtask() -> [Frame; 4] {
    [
        frame(FrameKind::Builtin, "RunMicrotasks", None),
        native("v8::internal::MicrotaskQueue::RunMicrotasks"),
        native("node::InternalCallbackScope::Close"),
        native("node::fs::FSReqPromise::ResolveStat"),
    ]
}

/// What stands below a tick that Node runs after a callback.
fn tick() -> [Frame; 3] {
    [
        node("processTicksAndRejections", "node:internal/process/task_queues"),
        native("node::InternalCallbackScope::Close"),
        native("node::AsyncWrap::MakeCallback"),
    ]
}

fn stack(
    frames: impl IntoIterator<Item = Frame>,
    below: impl IntoIterator<Item = Frame>,
) -> Vec<Frame> {
    frames.into_iter().chain(below).collect()
}

/// Origins 1, 2, … of which each was created by its stack in a turn of the one before.
fn chain(stacks: &[Vec<Frame>]) -> AsyncOrigins {
    let mut origins = AsyncOrigins::default();
    for (n, frames) in (1..).zip(stacks) {
        let stack = StackId(100 + n);
        origins.stack_resolved(stack, &frames.clone().into());
        let (id, parent) = (AsyncOriginId(n), AsyncOriginId(n - 1));
        origins.seen(&AsyncOriginSeen { id, stack, parent });
    }
    origins
}

fn begun_by(stacks: &[Vec<Frame>], made: &[Frame]) -> Option<String> {
    let origins = chain(stacks);
    let found = origins.trace(Turn::of(made), AsyncOriginId(stacks.len() as u64))?;
    assert_eq!(found.stacks.len(), stacks.len());
    let user_frame = found.user_frame().unwrap();
    let at = found.index_of(found.user_frame);
    assert_eq!(found.frames().nth(at), Some(user_frame));
    Some(user_frame.function.to_string())
}

const FS_PROMISES: &str = "node:internal/fs/promises";

#[test]
fn a_callback_leads_back_over_what_node_created_itself() {
    let opened = stack([node("readFile", "node:fs"), user("load")], [native("uv_run")]);
    let stated = stack([node("readFileAfterOpen", "node:fs")], callback());
    let made = stack([node("readFileAfterStat", "node:fs")], callback());
    assert_eq!(begun_by(&[opened.clone(), stated], &made).as_deref(), Some("load"));
    assert_eq!(begun_by(&[opened], &made).as_deref(), Some("load"));
}

#[test]
fn without_a_line_of_the_application_there_is_no_way_back() {
    let opened = stack([node("openAsync", "node:internal/loader")], [native("uv_run")]);
    let made = stack([node("readFileAfterStat", "node:fs")], callback());
    assert_eq!(begun_by(&[opened], &made), None);
    assert_eq!(AsyncOrigins::default().trace(Turn::Callback, AsyncOriginId(1)), None);
}

#[test]
fn jobs_lead_back_only_where_they_can_be_nobody_elses() {
    let opened = stack(
        [node("open", FS_PROMISES), node("readFile", FS_PROMISES), user("load")],
        [native("uv_run")],
    );
    let stated =
        stack([node("readFileHandle", FS_PROMISES), node("readFile", FS_PROMISES)], microtask());
    let engine = stack([node("asyncBufferWrapper", "node:zlib"), user("pack")], [native("uv_run")]);
    let socket = stack([node("connect", "node:net"), user("dial")], [native("uv_run")]);

    let read = stack([node("readFileHandle", FS_PROMISES)], microtask());
    assert_eq!(begun_by(&[opened.clone(), stated.clone()], &read).as_deref(), Some("load"));
    let packed = stack(
        [
            node("concat", "node:buffer"),
            node("zlibBufferOnEnd", "node:zlib"),
            node("endReadableNT", "node:internal/streams/readable"),
        ],
        tick(),
    );
    assert_eq!(begun_by(std::slice::from_ref(&engine), &packed).as_deref(), Some("pack"));

    // The same jobs in turns of resources that they do not wait for.
    for other in [&socket, &engine] {
        assert_eq!(begun_by(std::slice::from_ref(other), &read), None);
        assert_eq!(begun_by(&[other.clone(), stated.clone()], &read), None);
    }
    assert_eq!(begun_by(std::slice::from_ref(&socket), &packed), None);
    // Jobs that anybody may have queued: those of streams, and of the application.
    let streamed = stack([node("ReadStream._read", "node:internal/fs/streams")], tick());
    let own = stack([node("alloc", "node:buffer"), user("onGate")], microtask());
    let within = stack([node("readFileHandle", FS_PROMISES), user("iterate")], microtask());
    for made in [streamed, own, within] {
        assert_eq!(begun_by(std::slice::from_ref(&opened), &made), None, "{made:?}");
    }
}

#[test]
fn a_way_that_goes_in_circles_ends() {
    let mut origins = AsyncOrigins::default();
    let stack = StackId(1);
    origins.stack_resolved(stack, &callback().to_vec().into());
    let id = AsyncOriginId(1);
    origins.seen(&AsyncOriginSeen { id, stack, parent: id });
    assert_eq!(origins.trace(Turn::Callback, id), None);
}
