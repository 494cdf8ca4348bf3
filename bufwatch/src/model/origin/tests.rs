//! What stacks are called, on shortened real ones.

use super::*;

fn js(function: &str, script: &str, line: u32) -> Frame {
    Frame {
        kind: FrameKind::Js,
        function: function.into(),
        script: Some(script.into()),
        line: Some(line),
        is_resolved: true,
        ..Frame::default()
    }
}

fn node(function: &str, script: &str) -> Frame {
    Frame { kind: FrameKind::Node, ..js(function, script, 1) }
}

fn native(function: &str) -> Frame {
    Frame { function: function.into(), is_resolved: true, ..Frame::default() }
}

fn builtin(function: &str) -> Frame {
    Frame { kind: FrameKind::Builtin, ..native(function) }
}

fn user() -> Frame {
    js("onChunk", "/srv/ingest/ingest.js", 31)
}

fn via_of(callees: &[Frame]) -> Option<String> {
    let frames: Vec<Frame> = callees.iter().cloned().chain([user()]).collect();
    let origin = Origin::of(&frames);
    assert_eq!(origin.user_frame, Some(callees.len()));
    assert_eq!(origin.label.as_ref(), "onChunk ingest.js:31");
    origin.via.map(|via| via.to_string())
}

#[test]
fn the_api_is_the_outermost_frame_of_node() {
    let inside = [
        native("v8::internal::JSArrayBuffer::Attach"),
        builtin("CEntry_Return1_ArgvOnStack_NoBuiltinExit"),
        node("createUnsafeBuffer", "node:internal/buffer"),
    ];
    let cases = [
        (node("allocUnsafe", "node:buffer"), "Buffer.allocUnsafe"),
        (node("concat", "node:buffer"), "Buffer.concat"),
        (node("readFileSync", "node:fs"), "fs.readFileSync"),
        (node("syncBufferWrapper", "node:zlib"), "zlib.*Sync"),
        (node("randomBytes", "node:internal/crypto/random"), "crypto.randomBytes"),
        (node("encode", "node:internal/encoding"), "TextEncoder.encode"),
        (node("fetch", "node:internal/deps/undici/undici"), "fetch"),
        (node("digest", "node:internal/crypto/hash"), "digest (node:internal/crypto/hash)"),
        (node("tryReadSync", "node:fs"), "tryReadSync (node:fs)"),
        (node("", "node:vm"), "createUnsafeBuffer (node:internal/buffer)"),
        (node("e\u{1b}vil", "node:vm"), "e\u{fffd}vil (node:vm)"),
    ];
    for (outermost, api) in cases {
        let mut callees = inside.to_vec();
        callees.push(outermost);
        callees.push(builtin("InterpreterEntryTrampoline"));
        assert_eq!(via_of(&callees).as_deref(), Some(api));
    }
}

#[test]
fn without_node_the_api_is_what_the_code_called_in_v8() {
    let cases: [(&[Frame], Option<&str>); 9] = [
        (
            &[
                native("v8::internal::Builtin_ArrayBufferConstructor"),
                builtin("CEntry_Return1_ArgvOnStack_BuiltinExit"),
                builtin("AdaptorWithBuiltinExitFrame2"),
                builtin("JSBuiltinsConstructStub"),
                builtin("ConstructHandler"),
            ],
            Some("new ArrayBuffer"),
        ),
        (
            &[
                native("v8::internal::Builtin_ArrayBufferConstructor_DoNotInitialize"),
                builtin("Builtins_CreateTypedArray"),
                builtin("Builtins_TypedArrayConstructor"),
                builtin("Builtins_JSConstructStubGeneric"),
            ],
            Some("new TypedArray"),
        ),
        (&[builtin("CreateTypedArray")], Some("new TypedArray")),
        (&[builtin("TypedArrayPrototypeSlice")], Some("TypedArray.prototype.slice")),
        (
            &[builtin("StringPrototypeReplace"), builtin("CallApiCallbackGeneric")],
            Some("StringPrototypeReplace"),
        ),
        (
            &[
                native("v8::internal::wasm::WebAssemblyMemory"),
                native("v8::internal::FunctionCallbackArguments::CallOrConstruct"),
                builtin("HandleApiCallOrConstruct"),
            ],
            Some("new WebAssembly.Memory"),
        ),
        (
            &[
                native("node::Buffer::New"),
                native("napi_create_external_buffer"),
                native("sharp.node+0x4a10"),
                native("v8impl::(anonymous namespace)::FunctionCallbackWrapper::Invoke"),
                builtin("CallApiCallbackGeneric"),
            ],
            Some("napi_create_external_buffer"),
        ),
        (&[builtin("JSEntryTrampoline"), builtin("LoadIC")], None),
        (&[], None),
    ];
    for (callees, api) in cases {
        assert_eq!(via_of(callees).as_deref(), api, "{callees:?}");
    }
}

#[test]
fn the_frame_outside_of_packages_stands_beside_the_user_frame() {
    let frames = [
        native("node::Buffer::New"),
        js("encode", "/srv/node_modules/msgpack/lib/encode.js", 12),
        js("pack", "/srv/node_modules/msgpack/index.js", 3),
        js("send", "file:///srv/app/send.mjs", 7),
    ];
    let origin = Origin::of(&frames);
    assert_eq!((origin.user_frame, origin.app_frame), (Some(1), Some(3)));
    assert_eq!(origin.label.as_ref(), "encode msgpack/lib/encode.js:12");
    assert_eq!(Origin::of(&frames[..3]).app_frame, None);
    let evaluated = Frame { script: None, ..user() };
    assert_eq!(Origin::of(&[evaluated, user()]).app_frame, Some(1));
}

#[test]
fn stacks_without_the_application_are_named_by_what_made_them() {
    let ticks = node("processTicksAndRejections", "node:internal/process/task_queues");
    let alloc = node("allocUnsafeSlow", "node:buffer");
    let listener = native("node::EmitToJSStreamListener::OnStreamRead");
    let read = native("node::LibuvStreamWrap::OnUvRead");
    let cases: [(&[Frame], &str); 14] = [
        (&[alloc.clone(), node("readFileAfterStat", "node:fs")], "fs.readFile (async)"),
        (
            &[alloc.clone(), node("readFileHandle", "node:internal/fs/promises"), ticks.clone()],
            "fs.promises.readFile",
        ),
        (
            &[alloc.clone(), node("ReadStream._read", "node:internal/fs/streams")],
            "fs.createReadStream",
        ),
        (
            &[native("node::Buffer::Copy"), node("socketOnData", "node:_http_client")],
            "http client (response data)",
        ),
        (
            &[native("node::MakeBackingStore"), listener.clone(), read.clone(), native("uv__read")],
            "socket data (or pipe, libuv stream read)",
        ),
        (std::slice::from_ref(&read), "socket data (or pipe, libuv stream read)"),
        (
            &[listener, native("node::crypto::TLSWrap::ClearOut"), read.clone()],
            "TLS data (decrypted)",
        ),
        (&[native("node::crypto::CryptoJob::AfterThreadPoolWork")], "crypto job (result)"),
        (&[alloc.clone(), node("run", "node:internal/x"), ticks.clone()], "run (node:internal/x)"),
        (&[alloc, ticks], "Buffer.allocUnsafeSlow"),
        (
            &[native("v8::ArrayBuffer::New"), native("node::Blob::Reader::Pull"), native("uv_run")],
            "node::Blob::Reader::Pull",
        ),
        (&[native("v8::ArrayBuffer::New"), native("addon.node+0x10")], "addon.node+0x10"),
        (&[native("v8::ArrayBuffer::New")], "v8::ArrayBuffer::New"),
        (&[], "(empty stack)"),
    ];
    for (frames, name) in cases {
        let origin = Origin::of(frames);
        assert_eq!(origin.label.as_ref(), name);
        assert_eq!((origin.user_frame, origin.via), (None, None));
    }
}

#[test]
fn a_frame_that_could_not_be_resolved_is_a_user_frame_that_says_so() {
    let unknown =
        Frame { kind: FrameKind::Js, function: "js#12:4 (unresolved)".into(), ..Frame::default() };
    let origin = Origin::of(&[native("node::Buffer::New"), unknown, user()]);
    assert_eq!((origin.user_frame, origin.app_frame), (Some(1), Some(2)));
    assert_eq!(origin.label.as_ref(), "js#12:4 (unresolved)");
}

#[test]
fn what_node_read_is_told_from_what_the_application_made() {
    let made = |frames: &[Frame]| Origin::of(frames).is_read;
    assert!(made(&[native("node::EmitToJSStreamListener::OnStreamRead(long, uv_buf_t const&)")]));
    assert!(made(&[node("_read", "node:internal/fs/streams")]));
    assert!(made(&[node("readFileSync", "node:fs"), user()]));
    assert!(!made(&[node("concat", "node:buffer"), user()]));
    // A callback of the application on a stream's stack makes what it likes.
    let stream = native("node::EmitToJSStreamListener::OnStreamRead(long, uv_buf_t const&)");
    assert!(!made(&[node("allocUnsafe", "node:buffer"), user(), stream]));
}
