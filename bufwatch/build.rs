//! Builds the eBPF programs from source and leaves the object in `OUT_DIR`. Finds a compiler with a `core`
//! for BPF: Debian's `rustc-web` with its prebuilt one, or rustup's nightly with rust-src. With
//! `BUFWATCH_SKIP_EBPF=1` it builds nothing, and bufwatch says so when it is asked to trace.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "bpfel-unknown-none";

/// Where Debian's `rustc-web` puts its compiler; rustup's proxy never lives there.
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

fn main() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    let workspace = manifest_dir.parent().ok_or("the crate is not in its workspace")?;
    for input in ["bufwatch-ebpf/src", "bufwatch-ebpf/Cargo.toml", "bufwatch-common/src"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-env-changed=BUFWATCH_SKIP_EBPF");
    println!("cargo::rerun-if-env-changed=BUFWATCH_BPF_RUSTC");
    let object = out_dir.join("bufwatch-ebpf");
    if env::var_os("BUFWATCH_SKIP_EBPF").is_some_and(|value| value != "0") {
        std::fs::write(&object, [])?;
        println!("cargo::rustc-cfg=bufwatch_no_ebpf");
        println!("cargo::warning=BUFWATCH_SKIP_EBPF is set: this bufwatch cannot trace");
        return Ok(());
    }
    let compiler = find_compiler().ok_or(
        "no compiler for eBPF found. hint: `cargo xtask setup` installs one; \
         BUFWATCH_SKIP_EBPF=1 builds without it",
    )?;
    // Shared by all profiles: the programs are always built optimized.
    let target_dir = out_dir.ancestors().nth(4).ok_or("OUT_DIR is too short")?.join("ebpf");
    compiler.build(workspace, &target_dir)?;
    let built = target_dir.join(TARGET).join("release/bufwatch-ebpf");
    std::fs::copy(&built, &object).map_err(|error| format!("{}: {error}", built.display()))?;
    Ok(())
}

/// A compiler that has a `core` for BPF.
enum Compiler {
    /// This rustc has it prebuilt.
    Prebuilt(PathBuf),
    /// rustup's nightly builds it from rust-src.
    Nightly,
}

fn find_compiler() -> Option<Compiler> {
    let named = env::var_os("BUFWATCH_BPF_RUSTC").map(PathBuf::from);
    if let Some(rustc) = named.into_iter().chain([DEBIAN_RUSTC.into()]).find(|r| has_bpf_core(r)) {
        return Some(Compiler::Prebuilt(rustc));
    }
    let sysroot =
        stdout_of(Command::new("rustup").args(["run", "nightly", "rustc", "--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    source.exists().then_some(Compiler::Nightly)
}

fn has_bpf_core(rustc: &Path) -> bool {
    stdout_of(Command::new(rustc).args(["--print", "sysroot"])).is_some_and(|sysroot| {
        Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).join("lib").exists()
    })
}

fn stdout_of(command: &mut Command) -> Option<String> {
    let output = without_cargo(command).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What cargo set for the outer build must not leak into the inner one.
fn without_cargo(command: &mut Command) -> &mut Command {
    let leaking = env::vars_os().map(|(name, _)| name).filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO") && name != "CARGO_HOME" && !name.starts_with("CARGO_REGISTR")
            || name.starts_with("RUSTC")
            || matches!(
                &*name,
                "RUSTFLAGS" | "RUSTDOCFLAGS" | "RUSTUP_TOOLCHAIN" | "TARGET" | "HOST"
            )
    });
    for name in leaking.collect::<Vec<OsString>>() {
        command.env_remove(name);
    }
    command
}

impl Compiler {
    fn build(&self, workspace: &Path, target_dir: &Path) -> Result<(), Box<dyn Error>> {
        let mut command = match self {
            Self::Prebuilt(rustc) => {
                let mut command = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
                without_cargo(&mut command).arg("build").env("RUSTC", rustc);
                // The programs use inline assembly for BPF, which is not stable.
                command.env("RUSTC_BOOTSTRAP", "1");
                command
            }
            Self::Nightly => {
                let mut command = Command::new("rustup");
                without_cargo(&mut command).args(["run", "nightly", "cargo", "build"]);
                command.arg("-Zbuild-std=core");
                command
            }
        };
        // v3 has the atomic exchange that the programs need; kernels from 5.12 on run it.
        let flags = format!(
            "--cfg=bpf_target_arch=\"x86_64\" -Clinker={} -Clink-arg=--btf -Ctarget-cpu=v3 -Cdebuginfo=2",
            find_linker(workspace).display()
        );
        let status = command
            .args(["--quiet", "--locked", "--release", "--target", TARGET, "--target-dir"])
            .arg(target_dir)
            .arg("--manifest-path")
            .arg(workspace.join("bufwatch-ebpf/Cargo.toml"))
            .env("RUSTFLAGS", flags)
            .status()?;
        if status.success() {
            return Ok(());
        }
        Err("the eBPF programs did not build. hint: `cargo xtask setup` installs what they need"
            .into())
    }
}

/// The linker that `cargo xtask setup` installs, else the one on PATH.
fn find_linker(workspace: &Path) -> PathBuf {
    let own = workspace.join(".tools/bin/bpf-linker");
    if own.exists() { own } else { "bpf-linker".into() }
}
