//! `cargo xtask test`: sets up, builds and hands over to the test runner. Which tests exist, and how
//! many run side by side, is said in the crates and in .config/nextest.toml.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;

use crate::process::{self, say};
use crate::setup::{self, Ready};
use crate::workspace::Workspace;
use crate::{build, setup::ebpf};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Only the tests of one level
    #[arg(value_enum)]
    level: Option<Level>,
    /// Only tests whose name contains this
    #[arg(last = true)]
    names: Vec<String>,
}

/// What makes tests do the same so often that they take many minutes (CONTRIBUTING.md).
const SOAKS: [&str; 2] = ["BUFWATCH_CENSUSES", "BUFWATCH_KILLS"];

/// The live tests that record cassettes, and the tests that play them, by what their names have in common.
const RECORDING: &str = "recorded_reads";
const PLAYING: &str = "cassette";

/// What a test needs to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Level {
    /// Nothing: the tests beside the code
    Unit,
    /// The built program: command line, screens, recordings
    It,
    /// Root, a kernel with BPF, and real Node processes
    Live,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    run_keeping(workspace, args, None)
}

/// Runs the live tests that record cassettes, and keeps those in a folder; then plays them.
pub(crate) fn record(workspace: &Workspace) -> Result<()> {
    let only = |level, name: &str| Args { level: Some(level), names: vec![name.to_owned()] };
    run_keeping(workspace, &only(Level::Live, RECORDING), Some(&workspace.cassettes()))?;
    run(workspace, &only(Level::It, PLAYING))
}

fn run_keeping(workspace: &Workspace, args: &Args, cassettes: Option<&Path>) -> Result<()> {
    let needs_live = args.level.is_none_or(|level| level == Level::Live);
    let ready = if needs_live {
        setup::everything(workspace)?
    } else {
        let has_ebpf = ebpf::is_ready(workspace);
        Ready {
            has_ebpf,
            node_versions: Vec::new(),
            has_addon: false,
            has_express: false,
            has_packages: false,
        }
    };
    let runs_live = needs_live && can_trace(&ready);
    if runs_live {
        // A debug build is too slow to keep up with the targets that the live tests start.
        build::build(workspace, ready.has_ebpf, true)?;
    } else if args.level == Some(Level::Live) {
        return Ok(());
    }
    let mut cargo = workspace.cargo(ready.has_ebpf);
    cargo.env("BUFWATCH_NODES", workspace.node_folder()).env("BUFWATCH_BIN", workspace.bufwatch());
    if let Some(folder) = cassettes {
        cargo.env("BUFWATCH_CASSETTES", folder);
    }
    if ready.has_addon {
        cargo.env("BUFWATCH_ADDON", workspace.addon());
    }
    if ready.has_express {
        cargo.env("BUFWATCH_EXPRESS", workspace.express());
    }
    if ready.has_packages {
        cargo.env("BUFWATCH_PACKAGES", workspace.packages());
    }
    if process::output(Command::new("cargo").args(["nextest", "--version"])).is_ok() {
        cargo.args(["nextest", "run"]).args(nextest_selection(args.level, runs_live));
        if SOAKS.iter().any(|name| std::env::var_os(name).is_some()) {
            cargo.args(["--profile", "soak"]);
        }
        return process::run(cargo.args(&args.names));
    }
    say(format_args!("cargo-nextest is missing, so the tests run one program after the other"));
    cargo.arg("test").args(cargo_selection(args.level, runs_live));
    process::run(cargo.arg("--").args(&args.names).arg("--test-threads=1"))
}

/// Says in one line why live tests are left out.
fn can_trace(ready: &Ready) -> bool {
    let obstacle = if !ready.has_ebpf {
        "the eBPF programs are not built"
    } else if !process::is_root() {
        "only root may attach probes (hint: run this as root)"
    } else if ready.node_versions.is_empty() {
        "there is no Node to trace"
    } else if !Path::new("/sys/kernel/btf/vmlinux").exists() {
        "this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)"
    } else {
        return true;
    };
    say(format_args!("the live tests are skipped: {obstacle}"));
    false
}

fn nextest_selection(level: Option<Level>, runs_live: bool) -> Vec<&'static str> {
    match level {
        Some(Level::Unit) => vec!["--workspace", "--lib", "--bins"],
        Some(Level::It) => vec!["--package", "bufwatch", "--test", "it"],
        Some(Level::Live) => vec!["--package", "bufwatch", "--test", "live"],
        None if runs_live => vec!["--workspace"],
        None => vec!["--workspace", "-E", "not binary(live)"],
    }
}

fn cargo_selection(level: Option<Level>, runs_live: bool) -> Vec<&'static str> {
    match level {
        None if runs_live => vec!["--workspace", "--lib", "--bins", "--tests"],
        None => vec!["--workspace", "--lib", "--bins"],
        level => nextest_selection(level, runs_live),
    }
}
