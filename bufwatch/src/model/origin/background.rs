//! Names for stacks without any frame of the application: what the event loop delivered. js-stacks.md §4
//! lists what was measured; the other rules are read from Node's sources and need their frame on the stack.

use std::sync::Arc;

use crate::event::place;
use crate::event::{Frame, FrameKind};
use crate::model::origin::{builtin_api, is_anonymous, node_api};

/// Frames of Node's scripts that tell what they complete. `None` for any function of the script.
#[rustfmt::skip]
const NODE: &[(&str, Option<&str>, &str)] = &[
    ("node:fs", Some("readFileAfterStat"), "fs.readFile (async)"),
    ("node:internal/fs/read/context", None, "fs.readFile (async)"),
    // As 18 and 20 call it.
    ("node:internal/fs/read_file_context", None, "fs.readFile (async)"),
    ("node:internal/fs/promises", Some("readFileHandle"), "fs.promises.readFile"),
    ("node:internal/fs/promises", Some("readFileHandleWithUserBuffer"), "fs.promises.readFile"),
    ("node:internal/fs/streams", Some("ReadStream._read"), "fs.createReadStream"),
    ("node:internal/fs/streams", Some("_read"), "fs.createReadStream"),
    ("node:zlib", Some("zlibBufferOnEnd"), "zlib.* (callback)"),
    ("node:zlib", Some("processCallback"), "zlib stream"),
    ("node:_http_client", Some("socketOnData"), "http client (response data)"),
    ("node:_http_server", Some("socketOnData"), "http server (request data)"),
    ("node:_http_server", Some("onParserExecute"), "http server (request data)"),
    ("node:internal/deps/undici/undici", None, "fetch (undici)"),
];

/// The same for native code, by a part of the function's name; the first that is on the stack counts, so
/// what stands on top of a stream comes before the stream.
#[rustfmt::skip]
const NATIVE: &[(&str, &str)] = &[
    ("node::http2::Http2Session::OnStreamRead", "HTTP/2 session data"),
    ("node::crypto::TLSWrap::ClearOut", "TLS data (decrypted)"),
    ("Parser::OnStreamRead", "http data (libuv stream read)"),
    ("node::EmitToJSStreamListener::OnStreamRead", "socket data (or pipe, libuv stream read)"),
    ("node::LibuvStreamWrap::OnUvRead", "socket data (or pipe, libuv stream read)"),
    ("node::UDPWrap::OnRecv", "UDP datagram"),
    ("node::worker::MessagePort::OnMessage", "message received (MessagePort)"),
    ("node::crypto::CryptoJob::AfterThreadPoolWork", "crypto job (result)"),
    // Node 26 reads small files so, for fs.readFile as for fs.promises.readFile.
    ("node::fs::ReadFileJob::AfterThreadPoolWork", "readFile job (result)"),
    ("CompressionStream::AfterThreadPoolWork", "zlib stream"),
    ("WasmEngine::AsyncInstantiate", "WebAssembly.instantiate"),
    ("node::fs::FileHandle::", "file handle read (native)"),
];

/// Names above of what was read from a connection or by a thread of Node's.
const READS: &[&str] = &[
    "HTTP/2 session data",
    "TLS data (decrypted)",
    "UDP datagram",
    "file handle read (native)",
    "fs.createReadStream",
    "http data (libuv stream read)",
    "readFile job (result)",
    "socket data (or pipe, libuv stream read)",
];

/// A name that [`name`] gave, of what Node has read.
pub(super) fn is_read(name: &str) -> bool {
    READS.contains(&name)
}

/// Scripts that run whatever is due, and those through which any API allocates: they tell neither.
const UNTELLING: &[&str] = &[
    "node:buffer",
    "node:events",
    "node:internal/async_hooks",
    "node:internal/buffer",
    "node:internal/process/promises",
    "node:internal/process/task_queues",
    "node:internal/stream_base_commons",
    "node:internal/timers",
    "node:internal/util",
];

/// What made a stack, by its most telling frame.
pub(super) fn name(frames: &[Frame]) -> Arc<str> {
    let known = frames.iter().find_map(node_rule).or_else(|| native_rule(frames));
    if let Some(known) = known {
        return known.into();
    }
    let node = || frames.iter().filter(|frame| frame.kind == FrameKind::Node);
    let is_telling = |frame: &&Frame| {
        let script = frame.script.as_deref().unwrap_or_default();
        !UNTELLING.contains(&script) && !is_anonymous(frame)
    };
    // Better an API that anybody may have called than the loop that ran the caller.
    let is_buffer = |frame: &&Frame| frame.script.as_deref() == Some("node:buffer");
    let telling = node().find(is_telling).or_else(|| node().rfind(is_buffer));
    if let Some(frame) = telling.or_else(|| node().next()) {
        return node_api::name(frame);
    }
    innermost(frames).map_or_else(|| "(empty stack)".into(), |frame| place::function(frame).into())
}

fn node_rule(frame: &Frame) -> Option<&'static str> {
    let script = frame.script.as_deref().filter(|_| frame.kind == FrameKind::Node)?;
    let is_match = |function: Option<&str>| function.is_none_or(|f| f == frame.function.as_ref());
    NODE.iter().find(|(s, f, _)| *s == script && is_match(*f)).map(|(.., name)| *name)
}

fn native_rule(frames: &[Frame]) -> Option<&'static str> {
    let is_on_stack = |part: &str| {
        frames.iter().any(|f| f.kind == FrameKind::Native && f.function.contains(part))
    };
    NATIVE.iter().find(|(part, _)| is_on_stack(part)).map(|(_, name)| *name)
}

/// Node's own native code, otherwise what is neither V8's nor the machinery of calls, otherwise whatever is
/// innermost.
fn innermost(frames: &[Frame]) -> Option<&Frame> {
    let is_somebodys = |frame: &&Frame| match frame.kind {
        FrameKind::Builtin => !builtin_api::is_machinery(&frame.function),
        FrameKind::Js | FrameKind::Node | FrameKind::Native => {
            frame.is_resolved && !frame.function.starts_with("v8::")
        }
    };
    frames
        .iter()
        .find(|frame| frame.function.starts_with("node::"))
        .or_else(|| frames.iter().find(is_somebodys))
        .or(frames.first())
}
