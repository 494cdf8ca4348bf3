//! `cargo xtask demo`: a real leaking Node service with a client that feeds it, and bufwatch attached
//! to it. Whatever ends first, nothing that was started here stays behind.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use crate::process::{Running, bound_to_us, has_program, is_root, say};
use crate::workspace::{NODE_DEFAULT, Workspace};
use crate::{build, setup};

/// How long the service may take to listen; a first start reads the binary from a cold disk.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long the summary watches when nobody said so and there is no terminal.
const HEADLESS_SECONDS: u32 = 10;

/// The client stops feeding the leak here, or at a quarter of the free memory if that is less.
const LEAK_MAX_MIB: u64 = 3072;

/// Seconds between two looks at who holds what.
const CENSUS_EVERY: &str = "5";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Watches for SECONDS and prints a summary instead of the dashboard; without a terminal this
    /// is the default, with 10 seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    headless: Option<u32>,
    /// The Node version that the service runs on
    #[arg(long, value_name = "VERSION", default_value = NODE_DEFAULT)]
    node: String,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if !is_root() && !has_program("sudo") {
        bail!("attaching probes needs root, and there is no sudo: run this as root");
    }
    setup::for_node(workspace, &args.node)?;
    build::build(workspace, true, true)?;

    let mut service = start_node(workspace, args, "service.mjs", &[])?;
    let port = service.lines()?.next(START_LIMIT).context("the service does not come up")?;
    let leak_max_mib = leak_max_mib().to_string();
    let _client = start_node(workspace, args, "client.mjs", &[&port, &leak_max_mib])?;
    say(format_args!(
        "a leaking Node {} service listens on 127.0.0.1:{port} (pid {}), its client leaks up to \
         {leak_max_mib} MiB",
        args.node,
        service.pid()
    ));
    watch(workspace, args, service.pid())
}

/// Shows the service in bufwatch until the user has seen enough.
fn watch(workspace: &Workspace, args: &Args, pid: u32) -> Result<()> {
    let bufwatch = workspace.bufwatch();
    let mut command = if is_root() {
        // SIGTERM lets it give the terminal back.
        bound_to_us(bufwatch, Signal::SIGTERM)
    } else {
        let mut sudo = bound_to_us("sudo", Signal::SIGTERM);
        sudo.arg(bufwatch);
        sudo
    };
    command.args(["--pid", &pid.to_string(), "--census-every", CENSUS_EVERY]);
    let has_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    if args.headless.is_some() || !has_terminal {
        let seconds = args.headless.unwrap_or(HEADLESS_SECONDS).to_string();
        command.args(["--headless", "--duration", &seconds]);
    }
    Running::start(&mut command, "bufwatch")?.wait()
}

fn start_node(workspace: &Workspace, args: &Args, file: &str, more: &[&str]) -> Result<Running> {
    let mut command = bound_to_us(workspace.node(&args.node), Signal::SIGKILL);
    command.arg(workspace.root().join("demo").join(file)).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    Running::start(&mut command, file)
}

fn leak_max_mib() -> u64 {
    let available_kib = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    available_kib.map_or(LEAK_MAX_MIB, |kib| (kib / 1024 / 4).min(LEAK_MAX_MIB))
}
