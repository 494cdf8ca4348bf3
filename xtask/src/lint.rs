//! `cargo xtask lint`: clippy over every target of the workspace, and over the eBPF crate with the
//! clippy of the compiler that builds it.

use std::process::Command;

use anyhow::Result;

use crate::process::{self, say};
use crate::setup::ebpf::{self, Compiler};
use crate::workspace::Workspace;

/// The clippy of Debian's rustc-web.
const DEBIAN_CLIPPY: &str = "/usr/bin/clippy-driver";

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let has_ebpf = ebpf::is_ready(workspace);
    let mut cargo = workspace.cargo(has_ebpf);
    cargo.args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]);
    process::run(&mut cargo)?;
    if workspace.ebpf_manifest().is_file() {
        lint_ebpf(workspace)?;
    }
    Ok(())
}

fn lint_ebpf(workspace: &Workspace) -> Result<()> {
    let mut cargo = Command::new("cargo");
    match ebpf::find_compiler() {
        Some(Compiler::Nightly) => {
            cargo.args(["+nightly", "clippy", "-Z", "build-std=core"]);
        }
        Some(Compiler::Debian) if process::output(&mut debian_clippy_version()).is_ok() => {
            cargo
                .arg("check")
                .env("RUSTC", "/usr/bin/rustc")
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC_WORKSPACE_WRAPPER", DEBIAN_CLIPPY)
                .env("CLIPPY_ARGS", "-Dwarnings__CLIPPY_HACKERY__");
        }
        Some(Compiler::Debian) => {
            say(format_args!(
                "bufwatch-ebpf is not linted: rustc-web has no clippy here (hint: `apt-get install \
                 rust-web-clippy`)"
            ));
            return Ok(());
        }
        None => {
            say(format_args!("bufwatch-ebpf is not linted: there is no compiler for BPF"));
            return Ok(());
        }
    }
    // rustup would point its own cargo proxies at another toolchain than the one named above.
    cargo
        .args(["--quiet", "--release", "--target", "bpfel-unknown-none"])
        .current_dir(workspace.ebpf_manifest().with_file_name(""))
        .env("PATH", workspace.path())
        .env("CARGO_TARGET_DIR", workspace.target().join("ebpf-lint"))
        .env("RUSTFLAGS", "--cfg=bpf_target_arch=\"x86_64\" -Dwarnings");
    process::run(&mut cargo)
}

fn debian_clippy_version() -> Command {
    let mut command = Command::new(DEBIAN_CLIPPY);
    command.arg("--version");
    command
}
