//! `bench recording`: how large a recording is and how fast it is opened and searched, beside what heaptrack writes for the same run; and
//! what recording adds to the slowdown of a target that makes and drops stores as fast as it can.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;

use super::NodeArgs;
use super::report::{self, Report};
use super::statistics::Spread;
use super::tracer::Tracer;
use super::workload::Workload;
use crate::process::{Running, bound_to_us, output, say};
use crate::setup::ebpf;
use crate::workspace::Workspace;
use crate::{clock, debian};

const N_STORES: u32 = 1_000_000;
const QUICK_STORES: u32 = 10_000;

const N_SEEKS: u64 = 9;

/// The recorder writes twice a second.
const FLUSHED: Duration = Duration::from_secs(3);

const END_LIMIT: Duration = Duration::from_mins(5);

const MIB: f64 = 1_048_576.0;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How often the churning target is run with and without a recording
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    pub(super) node: NodeArgs,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let n = if args.node.quick { QUICK_STORES } else { N_STORES };
    let rounds = if args.node.quick { 1 } else { args.rounds };
    let folder = tempfile::tempdir().context("make a folder for recordings")?;
    let mut table = String::from("| what | bar | measured |\n|---|---|---|\n");
    survivors(workspace, &args.node.node, n, folder.path(), &mut table)?;
    churn(workspace, &args.node.node, rounds, folder.path(), &mut table)?;
    large(workspace, args.node.quick, folder.path(), &mut table)?;
    let mut command = format!("cargo xtask bench recording --rounds {rounds}");
    if args.node.quick {
        command.push_str(" --quick");
    }
    let report = Report {
        section: "recording",
        command: &command,
        node: &args.node.node,
        has_bpftrace: false,
        table: &table,
    };
    report::publish(workspace, &report, !args.node.quick)
}

/// Stores that are all alive in the end.
fn survivors(
    workspace: &Workspace,
    node: &str,
    n: u32,
    folder: &Path,
    table: &mut String,
) -> Result<()> {
    say(format_args!("a recording of {n} live stores"));
    let file = folder.join("survivors.bufwatch");
    let mut target = Workload::start(workspace, node, "hold", &n.to_string())?;
    let tracer = Tracer::bufwatch_with(workspace, target.pid(), &["--record", &shown(&file)])?;
    let timed = target.run()?;
    tracer.wait_for_live_stores(u64::from(n))?;
    std::thread::sleep(FLUSHED);
    drop(tracer.stop());
    target.finish()?;
    let bytes = fs::metadata(&file).context("the recording is gone")?.len() as f64;
    writeln!(
        table,
        "| {n} live stores: recording, MiB; bytes per store | | {:.1}; {:.0} |",
        bytes / MIB,
        bytes / f64::from(n)
    )?;
    writeln!(
        table,
        "| the same: stores made and recorded in a second | | {:.0} |",
        timed.ops / timed.seconds
    )?;
    let heaptrack = heaptrack(workspace, node, n, folder)?;
    writeln!(
        table,
        "| the same run: what heaptrack writes, MiB; bytes per store | | {:.1}; {:.0} |",
        heaptrack / MIB,
        heaptrack / f64::from(n)
    )?;
    let open = sql(workspace, &file, "SELECT count(*) FROM meta")?;
    writeln!(table, "| the same: opened, with the start of bufwatch, s | < 1 | {open:.3} |")?;
    let last: f64 = output(Command::new(workspace.bufwatch()).args([
        "sql",
        &shown(&file),
        "--csv",
        "SELECT cast(max(t_s) AS INTEGER) FROM timeline",
    ]))?
    .lines()
    .last()
    .and_then(|line| line.trim().parse().ok())
    .context("the recording has no end")?;
    let mut seconds = Vec::new();
    for seek in 1..=N_SEEKS {
        let at = format!("{}", (last * seek as f64 / N_SEEKS as f64) as u64);
        let start = clock::now();
        let mut replay = Command::new(workspace.bufwatch());
        replay.args(["replay", &shown(&file), "--headless", "--json", "--at", &at]);
        output(&mut replay)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let seconds = Spread::of(seconds).context("nothing was measured")?;
    writeln!(
        table,
        "| the same: opened and a moment shown, of {N_SEEKS} all over it, s | | {seconds} |"
    )?;
    Ok(())
}

/// A made-up recording of four hours with a million stores alive at its end, above a gigabyte.
fn large(workspace: &Workspace, is_quick: bool, folder: &Path, table: &mut String) -> Result<()> {
    say(format_args!("a large recording"));
    let n_flushes = if is_quick { "600" } else { "28800" };
    let mut command = workspace.cargo(ebpf::is_ready(workspace));
    command.args([
        "run",
        "--release",
        "--package",
        "bufwatch",
        "--example",
        "large_recording",
        "--",
    ]);
    command.arg(folder.join("large.bufwatch")).args([n_flushes, "280", "35", "120"]);
    let said = output(&mut command)?;
    let said = said.lines().last().unwrap_or_default();
    let numbers: serde_json::Value = serde_json::from_str(said).context("what it measured")?;
    let number = |name: &str| numbers[name].as_f64().unwrap_or(f64::NAN);
    writeln!(
        table,
        "| a made-up recording of {:.0} MiB, up to {:.0} stores alive: opened, ms | < 1000 | {:.0} |",
        number("bytes") / MIB,
        number("most_live"),
        number("open_ms")
    )?;
    writeln!(
        table,
        "| the same: a seek to any moment, ms: median, 90 of 100, longest of 40 | < 100 | {:.0}, {:.0}, {:.0} |",
        number("seek_median_ms"),
        number("seek_p90_ms"),
        number("seek_longest_ms")
    )?;
    Ok(())
}

fn shown(file: &Path) -> String {
    file.to_string_lossy().into_owned()
}

/// Seconds of one question.
fn sql(workspace: &Workspace, file: &Path, question: &str) -> Result<f64> {
    let start = clock::now();
    output(Command::new(workspace.bufwatch()).args(["sql", &shown(file), question]))?;
    Ok(start.elapsed().as_secs_f64())
}

/// Bytes that heaptrack writes while the same program runs under it.
fn heaptrack(workspace: &Workspace, node: &str, n: u32, folder: &Path) -> Result<f64> {
    debian::install(&["heaptrack"])?;
    say(format_args!("the same under heaptrack"));
    let prefix = folder.join("heaptrack");
    let script = workspace.root().join("xtask/workloads/hold.mjs");
    let mut command = bound_to_us("heaptrack", Signal::SIGKILL);
    command.arg("-o").arg(&prefix).arg(workspace.node(node));
    command.arg(script).arg(n.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running::start(&mut command, "heaptrack")?;
    let lines = running.lines()?;
    while lines.next(END_LIMIT)? != "READY" {}
    running.tell("go")?;
    while !lines.next(END_LIMIT)?.starts_with('{') {}
    running.close_input();
    running.wait()?;
    let written = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().starts_with("heaptrack"));
    let Some(written) = written else { bail!("heaptrack wrote nothing") };
    Ok(written.metadata()?.len() as f64)
}

/// Stores of 64 KiB that are dropped at once, with and without a recording, in changing order.
fn churn(
    workspace: &Workspace,
    node: &str,
    rounds: u32,
    folder: &Path,
    table: &mut String,
) -> Result<()> {
    let mut ratios = Vec::new();
    let mut sizes = Vec::new();
    for round in 0..rounds {
        say(format_args!("churn, round {}/{rounds}", round + 1));
        let file = folder.join(format!("churn-{round}.bufwatch"));
        let recorded = |is_recorded: bool| -> Result<f64> {
            let mut target = Workload::start(workspace, node, "churn64k", "1")?;
            let (option, path) = ("--record", shown(&file));
            let more: &[&str] = if is_recorded { &[option, &path] } else { &[] };
            let tracer = Tracer::bufwatch_with(workspace, target.pid(), more)?;
            let timed = target.run()?;
            drop(tracer.stop());
            target.finish()?;
            Ok(timed.seconds)
        };
        let (with, without) = if round % 2 == 0 {
            let with = recorded(true)?;
            (with, recorded(false)?)
        } else {
            let without = recorded(false)?;
            (recorded(true)?, without)
        };
        ratios.push(with / without);
        sizes.push(fs::metadata(&file).context("the recording is gone")?.len() as f64 / MIB);
    }
    let spread = |values: Vec<f64>| Spread::of(values).context("nothing was measured");
    writeln!(
        table,
        "| churn of 64 KiB Buffers: time with a recording, of that without | ≤ 1.03 | {} |",
        spread(ratios)?
    )?;
    writeln!(table, "| the same: recording, MiB | < 20 | {} |", spread(sizes)?)?;
    Ok(())
}
