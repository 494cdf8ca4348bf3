//! `cargo xtask build`: bufwatch with its eBPF programs, the release build unless told otherwise.

use anyhow::Result;

use crate::workspace::Workspace;
use crate::{process, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An optimized build; this is the default
    #[arg(long)]
    release: bool,
    /// A quick build without optimization, target/debug/bufwatch
    #[arg(long, conflicts_with = "release")]
    debug: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let has_ebpf = setup::for_build(workspace)?;
    build(workspace, has_ebpf, !args.debug)
}

/// Builds with what set-up found.
pub(crate) fn build(workspace: &Workspace, has_ebpf: bool, release: bool) -> Result<()> {
    let mut cargo = workspace.cargo(has_ebpf);
    cargo.args(["build", "--package", "bufwatch", "--bin", "bufwatch"]);
    if release {
        cargo.arg("--release");
    }
    process::run(&mut cargo)
}
