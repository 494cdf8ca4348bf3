//! `cargo xtask run -- ARGS`: builds as the user and runs the result, as root when sudo can do it.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{build, process, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The arguments of bufwatch
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let has_ebpf = setup::for_build(workspace)?;
    build::build(workspace, has_ebpf, true)?;
    let bufwatch = workspace.bufwatch();
    let mut command = if process::is_root() || !process::has_program("sudo") {
        Command::new(&bufwatch)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg(&bufwatch);
        sudo
    };
    // Becoming the program hands over the terminal, the signals and the exit code.
    let error = command.args(&args.arguments).exec();
    Err(error).with_context(|| format!("start `{}`", bufwatch.display()))
}
