//! `cargo xtask fmt`: rustfmt over the workspace and the eBPF crate, which is not a member of it.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace::Workspace;

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Changes nothing and fails when something is not formatted
    #[arg(long)]
    check: bool,
}

impl Args {
    pub(crate) const CHECK: Self = Self { check: true };
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut folders = vec![workspace.root().to_path_buf()];
    if workspace.ebpf_manifest().is_file() {
        folders.push(workspace.ebpf_manifest().with_file_name(""));
    }
    for folder in folders {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(folder).args(["fmt", "--all"]);
        if args.check {
            cargo.arg("--check");
        }
        process::run(&mut cargo).context("hint: run `cargo xtask fmt`")?;
    }
    Ok(())
}
