//! The compiler and the linker of the eBPF programs: two toolchains are known, and the one that is
//! there is taken. Compiling with them is the business of bufwatch's build script.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{debian, process};

/// The linker's version; newer ones want a newer rustc than this workspace's.
const BPF_LINKER_VERSION: &str = "0.13.0";

/// Debian's LLVM that this bpf-linker is built against; it reads the bitcode of both compilers.
const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

/// What compiles for `bpfel-unknown-none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// rustup's nightly with rust-src: `core` is built along.
    Nightly,
    /// Debian's rustc with its prebuilt `core` for BPF.
    Debian,
}

/// Finds or installs a compiler and the linker.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    if find_compiler().is_none() {
        debian::install(&["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"]).context(
            "no compiler for BPF: neither rustup's nightly with rust-src (`rustup component add \
             rust-src --toolchain nightly`) nor Debian's rustc-web",
        )?;
        find_compiler().context("rustc-web is installed but has no `core` for BPF")?;
    }
    if find_linker(workspace).is_none() {
        install_linker(workspace).context("no bpf-linker")?;
    }
    Ok(())
}

/// Whether the eBPF programs can be built as things are, without installing anything.
pub(crate) fn is_ready(workspace: &Workspace) -> bool {
    find_compiler().is_some() && find_linker(workspace).is_some()
}

pub(crate) fn find_compiler() -> Option<Compiler> {
    let sysroot = |command: &mut Command| {
        process::output(command).ok().map(|path| PathBuf::from(path.trim()).join("lib/rustlib"))
    };
    // In the order in which the build script looks.
    let debian = sysroot(Command::new("/usr/bin/rustc").args(["--print", "sysroot"]));
    if debian.is_some_and(|rustlib| rustlib.join("bpfel-unknown-none/lib").is_dir()) {
        return Some(Compiler::Debian);
    }
    let nightly =
        sysroot(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]));
    nightly
        .is_some_and(|rustlib| rustlib.join("src/rust/library/core").is_dir())
        .then_some(Compiler::Nightly)
}

fn find_linker(workspace: &Workspace) -> Option<PathBuf> {
    process::find_program("bpf-linker", &workspace.path())
        .filter(|linker| process::output(Command::new(linker).arg("--version")).is_ok())
}

fn install_linker(workspace: &Workspace) -> Result<()> {
    debian::install(&["llvm-22-dev", "libzstd-dev", "zlib1g-dev", "g++"])?;
    process::say(format_args!("building bpf-linker {BPF_LINKER_VERSION}, about two minutes"));
    let mut install = Command::new("cargo");
    install
        .args(["install", "--locked", "bpf-linker", "--version", BPF_LINKER_VERSION])
        .args(["--no-default-features", "--features", "llvm-22", "--quiet", "--root"])
        .arg(workspace.tools())
        .env("LLVM_PREFIX", LLVM_PREFIX)
        .env("LLVM_SYS_221_PREFIX", LLVM_PREFIX)
        .env(
            "CARGO_BUILD_RUSTFLAGS",
            format!("-L{}", Path::new(LLVM_PREFIX).join("lib").display()),
        );
    process::output(&mut install).map(drop)
}
