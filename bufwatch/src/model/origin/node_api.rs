//! Functions of Node's own scripts → the API that people know them by. Only what its name proves: a method
//! that several classes of a script have keeps its own name and script.
//!
//! Read in the scripts that Node 18.20, 20.20, 22.23, 24.21 and 26.10 carry (`process.binding('natives')`).

use std::sync::Arc;

use crate::event::Frame;
use crate::event::place;

/// Script, what stands before the function's name, and the functions.
type Api = (&'static str, &'static str, &'static [&'static str]);

/// Functions that are called as they are named.
#[rustfmt::skip]
const SAME_NAME: &[Api] = &[
    ("node:buffer", "Buffer.", &["alloc", "allocUnsafe", "allocUnsafeSlow", "concat", "copyBytesFrom", "from", "of"]),
    ("node:buffer", "", &["SlowBuffer", "atob", "btoa"]),
    ("node:child_process", "child_process.", &["exec", "execFile", "execFileSync", "execSync", "fork", "spawn", "spawnSync"]),
    ("node:fs", "fs.", &[
        "appendFile", "appendFileSync", "copyFile", "copyFileSync", "cp", "cpSync", "createReadStream", "createWriteStream",
        "fstatSync", "lstatSync", "mkdtempSync", "open", "openAsBlob", "openSync", "opendirSync", "read", "readFile",
        "readFileSync", "readSync", "readdir", "readdirSync", "readlinkSync", "readv", "readvSync", "realpathSync", "stat",
        "statSync", "watch", "watchFile", "write", "writeFile", "writeFileSync", "writeSync", "writev", "writevSync",
    ]),
    ("node:http", "http.", &["get", "request"]),
    ("node:https", "https.", &["get", "request"]),
    ("node:internal/crypto/hkdf", "crypto.", &["hkdf", "hkdfSync"]),
    ("node:internal/crypto/pbkdf2", "crypto.", &["pbkdf2", "pbkdf2Sync"]),
    ("node:internal/crypto/random", "crypto.", &["randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID"]),
    ("node:internal/crypto/scrypt", "crypto.", &["scrypt", "scryptSync"]),
    ("node:internal/deps/undici/undici", "", &["fetch"]),
    ("node:internal/fs/promises", "fs.promises.", &["readFile", "writeFile"]),
    ("node:internal/structured_clone", "", &["structuredClone"]),
    ("node:v8", "v8.", &["deserialize", "getHeapSnapshot", "serialize", "writeHeapSnapshot"]),
    ("node:zlib", "zlib.", &["crc32"]),
];

/// Functions that are called by another name than theirs.
#[rustfmt::skip]
const OTHER_NAME: &[(&str, &str, &str)] = &[
    ("node:buffer", "Buffer", "Buffer()"),
    ("node:internal/blob", "Blob", "new Blob"),
    ("node:internal/encoding", "encode", "TextEncoder.encode"),
    ("node:internal/fs/streams", "ReadStream", "fs.createReadStream"),
    ("node:internal/fs/streams", "WriteStream", "fs.createWriteStream"),
    ("node:internal/worker", "Worker", "new Worker"),
    // One function behind gzipSync, inflateSync and the others: which one is not on the stack.
    ("node:zlib", "asyncBufferWrapper", "zlib.* (callback)"),
    ("node:zlib", "syncBufferWrapper", "zlib.*Sync"),
];

/// What to call a frame of Node: its API, otherwise `function (node:script)`.
pub(super) fn name(frame: &Frame) -> Arc<str> {
    let script = frame.script.as_deref().unwrap_or_default();
    let own = frame.function.as_ref();
    if let Some((.., api)) = OTHER_NAME.iter().find(|(s, f, _)| (*s, *f) == (script, own)) {
        return (*api).into();
    }
    if let Some((_, prefix, _)) =
        SAME_NAME.iter().find(|(s, _, functions)| *s == script && functions.contains(&own))
    {
        return format!("{prefix}{own}").into();
    }
    let function = place::function(frame);
    if script.is_empty() {
        return function.into();
    }
    format!("{function} ({})", place::path(script)).into()
}

/// An API that makes a Buffer and reads a file into it.
#[rustfmt::skip]
const READS: &[&str] = &[
    "fs.createReadStream", "fs.promises.readFile", "fs.read", "fs.readFile", "fs.readFile (async)", "fs.readFileSync", "fs.readSync",
];

/// A name that [`name`] gave, of what reads a file.
pub(super) fn is_read(api: &str) -> bool {
    READS.contains(&api)
}
