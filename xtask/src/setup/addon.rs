//! The native addon of the live tests, which makes Buffers over memory that V8 does not own. Node-API
//! is the same for all versions, so one build serves every Node.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::node;
use crate::workspace::Workspace;
use crate::{debian, process};

/// The headers alone; the functions are found in the running node.
const HEADERS_PACKAGE: &str = "node-api-headers@1.9.0";

/// Makes `.tools/addon/external.node` exist and be newer than its source.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    let source = workspace.root().join("bufwatch/tests/live/addon/external.c");
    let addon = workspace.addon();
    let changed = |path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if changed(&addon) > changed(&source) {
        return Ok(());
    }
    let headers = workspace.tools().join("node-api-headers");
    if !headers.join("include/node_api.h").is_file() {
        let part = workspace.tools().join("node-api-headers.part");
        node::unpack(HEADERS_PACKAGE, "package/include", &part)?;
        drop(fs::remove_dir_all(&headers));
        fs::rename(&part, &headers)
            .with_context(|| format!("move `{}` into place", part.display()))?;
    }
    if !process::has_program("gcc") {
        debian::install(&["gcc", "libc6-dev"]).context("no gcc")?;
    }
    let folder = addon.with_file_name("");
    fs::create_dir_all(&folder).with_context(|| format!("create `{}`", folder.display()))?;
    let mut gcc = Command::new("gcc");
    gcc.args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&addon);
    gcc.arg("-I").arg(headers.join("include")).arg(&source);
    process::output(&mut gcc).map(drop)
}
