//! `cargo xtask setup`: gets what a build and the tests need and this machine lacks. Each part says
//! in one line what could not be had and what follows from it; only a part that the caller cannot
//! do without becomes an error.

mod addon;
pub(crate) mod ebpf;
pub(crate) mod node;
mod packages;

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process::say;
use crate::workspace::{NODE_VERSIONS, Workspace};

/// What set-up found or made.
#[expect(clippy::struct_excessive_bools, reason = "each is there or not")]
#[derive(Debug)]
pub(crate) struct Ready {
    /// The eBPF programs can be compiled.
    pub(crate) has_ebpf: bool,
    /// The Node versions that can be started.
    pub(crate) node_versions: Vec<String>,
    pub(crate) has_addon: bool,
    pub(crate) has_express: bool,
    pub(crate) has_packages: bool,
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let ready = everything(workspace)?;
    say(format_args!(
        "ready: eBPF programs {}, Node {}, native addon {}, express {}, npm packages {}",
        if ready.has_ebpf { "can be built" } else { "are left out" },
        if ready.node_versions.is_empty() {
            "none".to_owned()
        } else {
            ready.node_versions.join(" ")
        },
        if ready.has_addon { "built" } else { "missing" },
        if ready.has_express { "installed" } else { "missing" },
        if ready.has_packages { "installed" } else { "missing" },
    ));
    Ok(())
}

/// Everything that the tests use.
pub(crate) fn everything(workspace: &Workspace) -> Result<Ready> {
    let _lock = lock(&workspace.create_tools()?)?;
    let has_ebpf = build_tools(workspace);
    let node_versions = nodes(workspace, &NODE_VERSIONS);
    let has_addon = match addon::ensure(workspace) {
        Ok(()) => true,
        Err(error) => {
            say(format_args!(
                "no native addon, so externally owned memory is not tested: {error:#}"
            ));
            false
        }
    };
    let has_express = match packages::ensure(&workspace.express(), &packages::EXPRESS) {
        Ok(()) => true,
        Err(error) => {
            say(format_args!("no express, so no HTTP workload is tested: {error:#}"));
            false
        }
    };
    let has_packages = match packages::ensure(&workspace.packages(), &packages::KEEPERS) {
        Ok(()) => true,
        Err(error) => {
            say(format_args!("no npm packages, so only our own programs are judged: {error:#}"));
            false
        }
    };
    Ok(Ready { has_ebpf, node_versions, has_addon, has_express, has_packages })
}

/// What a build needs; true when the eBPF programs can be part of it.
pub(crate) fn for_build(workspace: &Workspace) -> Result<bool> {
    let _lock = lock(&workspace.create_tools()?)?;
    Ok(build_tools(workspace))
}

/// What running one Node program under bufwatch needs: a build with probes, and that Node.
pub(crate) fn for_node(workspace: &Workspace, version: &str) -> Result<()> {
    let _lock = lock(&workspace.create_tools()?)?;
    ebpf::ensure(workspace).context("the eBPF programs cannot be built")?;
    node::ensure(workspace, version).with_context(|| format!("Node {version} cannot be had"))
}

fn build_tools(workspace: &Workspace) -> bool {
    match ebpf::ensure(workspace) {
        Ok(()) => true,
        Err(error) => {
            say(format_args!(
                "the eBPF programs are not built, so nothing can be traced live and the live tests \
                 are skipped: {error:#}"
            ));
            false
        }
    }
}

fn nodes(workspace: &Workspace, versions: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for version in versions {
        match node::ensure(workspace, version) {
            Ok(()) => found.push((*version).to_owned()),
            Err(error) => {
                say(format_args!("Node {version} is not tested, it cannot be had: {error:#}"));
            }
        }
    }
    found
}

/// Two set-ups in one checkout would write the same files; the second one waits.
fn lock(tools: &Path) -> Result<File> {
    let path = tools.join("setup.lock");
    let file = File::create(&path).with_context(|| format!("create `{}`", path.display()))?;
    if file.try_lock().is_err() {
        say(format_args!("waiting for another set-up in this checkout to finish"));
        file.lock().with_context(|| format!("lock `{}`", path.display()))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_exclusive() {
        let folder = std::env::temp_dir().join(format!("xtask-lock-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let held = lock(&folder).unwrap();
        let second = File::create(folder.join("setup.lock")).unwrap();
        assert!(second.try_lock().is_err());
        drop(held);
        assert!(second.try_lock().is_ok());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
