//! V8's builtins and native functions → the API that JavaScript called. The machinery of calls (entry
//! stubs, adaptors, trampolines, bytecode handlers, inline caches) is no API and has no name here.

use std::sync::Arc;

use crate::event::place;
use crate::event::{Frame, FrameKind};

/// Builtins by their name in V8 (`src/builtins/builtins-definitions.h` and the Torque files beside it).
/// `SharedArrayBuffer` has the constructor of `ArrayBuffer`; the kind of the store tells them apart.
#[rustfmt::skip]
const BUILTINS: &[(&str, &str)] = &[
    ("ArrayBufferConstructor", "new ArrayBuffer"),
    ("ArrayBufferConstructor_DoNotInitialize", "new ArrayBuffer"),
    ("ArrayBufferPrototypeResize", "ArrayBuffer.prototype.resize"),
    ("ArrayBufferPrototypeSlice", "ArrayBuffer.prototype.slice"),
    ("ArrayBufferPrototypeTransfer", "ArrayBuffer.prototype.transfer"),
    ("ArrayBufferPrototypeTransferToFixedLength", "ArrayBuffer.prototype.transferToFixedLength"),
    // What optimized code calls instead of the constructor.
    ("CreateTypedArray", "new TypedArray"),
    ("SharedArrayBufferPrototypeGrow", "SharedArrayBuffer.prototype.grow"),
    ("SharedArrayBufferPrototypeSlice", "SharedArrayBuffer.prototype.slice"),
    ("TypedArrayConstructor", "new TypedArray"),
    ("TypedArrayFrom", "TypedArray.from"),
    ("TypedArrayOf", "TypedArray.of"),
    ("TypedArrayPrototypeBuffer", "TypedArray.prototype.buffer"),
    ("TypedArrayPrototypeFilter", "TypedArray.prototype.filter"),
    ("TypedArrayPrototypeMap", "TypedArray.prototype.map"),
    ("TypedArrayPrototypeSlice", "TypedArray.prototype.slice"),
    ("TypedArrayPrototypeSubArray", "TypedArray.prototype.subarray"),
    ("TypedArrayPrototypeToReversed", "TypedArray.prototype.toReversed"),
    ("TypedArrayPrototypeToSorted", "TypedArray.prototype.toSorted"),
    ("TypedArrayPrototypeWith", "TypedArray.prototype.with"),
    ("WasmMemoryGrow", "memory.grow (WebAssembly)"),
];

/// Native functions that JavaScript calls through V8's API, by the last part of their name
/// (V8's `src/wasm/wasm-js.cc`, Node's `src/node_messaging.cc`). Every name of both tables is a symbol of
/// at least one of Node 18.20, 20.20, 22.23, 24.21 and 26.10.
#[rustfmt::skip]
const NATIVES: &[(&str, &str)] = &[
    ("StructuredClone", "structuredClone"),
    ("WebAssemblyInstance", "new WebAssembly.Instance"),
    ("WebAssemblyMemory", "new WebAssembly.Memory"),
    ("WebAssemblyMemoryGetBuffer", "WebAssembly.Memory.prototype.buffer"),
    ("WebAssemblyMemoryGrow", "WebAssembly.Memory.prototype.grow"),
];

/// Beginnings of builtins that every call may go through.
const MACHINERY: &[&str] = &[
    "Adaptor",
    "AsyncFunctionAwait",
    "Baseline",
    "CEntry",
    "Call",
    "CompileLazy",
    "Construct",
    "Deoptimiz",
    "FastNew",
    "FunctionPrototypeApply",
    "FunctionPrototypeCall",
    "GeneratorPrototype",
    "HandleApiCall",
    "InstantiateAsm",
    "Interpreter",
    "JSBuiltinsConstruct",
    "JSConstruct",
    "JSEntry",
    "JSRunMicrotasks",
    "JSToWasm",
    "Keyed",
    "Load",
    "OrdinaryToPrimitive",
    "Promise",
    "RecordWrite",
    "ReflectApply",
    "ReflectConstruct",
    "ResumeGenerator",
    "RunMicrotasks",
    "StackCheck",
    "Store",
    "WasmToJS",
    "WasmToJs",
];

/// The same by their ends.
const MACHINERY_ENDS: &[&str] = &["Handler", "IC", "IC_Megamorphic", "Stub", "Trampoline"];

/// The API that a frame is; `None` if it is only on the way to one.
pub(super) fn name(frame: &Frame) -> Option<Arc<str>> {
    if !frame.is_resolved {
        return None;
    }
    let function = frame.function.as_ref();
    match frame.kind {
        FrameKind::Builtin => builtin(function.strip_prefix("Builtins_").unwrap_or(function)),
        FrameKind::Native => native(function).or_else(|| {
            let is_api = function.starts_with("node::") || function.starts_with("napi_");
            is_api.then(|| place::function(frame).into())
        }),
        FrameKind::Js | FrameKind::Node => None,
    }
}

fn builtin(own: &str) -> Option<Arc<str>> {
    if let Some((_, api)) = BUILTINS.iter().find(|(name, _)| *name == own) {
        return Some((*api).into());
    }
    (!is_machinery(own)).then(|| crate::base::sanitize(own).into())
}

fn native(function: &str) -> Option<Arc<str>> {
    // The C++ half of a builtin; the other one is an adaptor.
    let in_cpp = function
        .strip_prefix("v8::internal::Builtin_Impl_")
        .or_else(|| function.strip_prefix("v8::internal::Builtin_"));
    if let Some(own) = in_cpp {
        return builtin(own);
    }
    let (scope, own) = function.rsplit_once("::")?;
    let is_known = scope.starts_with("v8") || scope.starts_with("node");
    let (_, api) = NATIVES.iter().find(|(name, _)| is_known && *name == own)?;
    Some((*api).into())
}

pub(super) fn is_machinery(own: &str) -> bool {
    MACHINERY.iter().any(|start| own.starts_with(start))
        || MACHINERY_ENDS.iter().any(|end| own.ends_with(end))
        || own.contains("Trampoline")
        || own.contains("IC_")
}
