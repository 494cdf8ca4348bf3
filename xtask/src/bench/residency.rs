//! `bench residency`: what it costs to know what of many stores is in RAM: processor time, and how much longer a thread of
//! the target that maps and unmaps memory has to wait at worst.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::NodeArgs;
use super::report::{self, Report};
use super::statistics::Spread;
use super::tracer::Tracer;
use super::workload::{Workload, number};
use crate::clock;
use crate::process::say;
use crate::workspace::Workspace;

/// Stores, their bytes, and what is promised: the share of a core, and milliseconds added to the worst wait.
#[derive(Debug, Clone, Copy)]
struct Case {
    n: u64,
    bytes: u64,
    cpu_bar: f64,
    stall_bar: Option<f64>,
}

const CASES: [Case; 2] = [
    Case { n: 10_000, bytes: 1 << 20, cpu_bar: 0.015, stall_bar: Some(5.0) },
    Case { n: 100, bytes: 10 << 20, cpu_bar: 0.002, stall_bar: None },
];
const QUICK_CASES: [Case; 1] = [Case { n: 100, bytes: 1 << 20, cpu_bar: 0.002, stall_bar: None }];

/// Long against the ticks of 10 ms in which the kernel counts, and as long as several looks at everything.
const CPU_WINDOW: Duration = Duration::from_secs(30);
const STALL_WINDOW: Duration = Duration::from_secs(15);
const QUICK_WINDOW: Duration = Duration::from_secs(2);

/// Names, the first looks and the first census are over by then.
const SETTLED: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How often each case is measured, in a new target each time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    pub(super) node: NodeArgs,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    /// Of the thread that looks at memory, and of all of bufwatch.
    looking: f64,
    cpu_share: f64,
    stall_ms: f64,
    undisturbed_ms: f64,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let is_quick = args.node.quick;
    let cases = if is_quick { QUICK_CASES.as_slice() } else { CASES.as_slice() };
    let rounds = if is_quick { 1 } else { args.rounds };
    let mut table = String::from("| what | bar | measured |\n|---|---|---|\n");
    for case in cases {
        let mut runs = Vec::new();
        for round in 1..=rounds {
            let run = measure(workspace, &args.node, *case)?;
            say(format_args!("{} stores, round {round}/{rounds}: {run:?}", case.n));
            runs.push(run);
        }
        write_rows(&mut table, *case, &runs)?;
    }
    let mut command = format!("cargo xtask bench residency --rounds {rounds}");
    if is_quick {
        command.push_str(" --quick");
    }
    let report = Report {
        section: "residency",
        command: &command,
        node: &args.node.node,
        has_bpftrace: false,
        table: &table,
    };
    report::publish(workspace, &report, !is_quick)
}

/// The loop runs when processor time is not measured: its own events would be counted.
fn measure(workspace: &Workspace, args: &NodeArgs, case: Case) -> Result<Run> {
    let (cpu_window, stall_window) =
        if args.quick { (QUICK_WINDOW, QUICK_WINDOW) } else { (CPU_WINDOW, STALL_WINDOW) };
    let argument = format!("{}x{}", case.n, case.bytes);
    let mut target = Workload::start(workspace, &args.node, "resident", &argument)?;
    let tracer = Tracer::bufwatch(workspace, target.pid())?;
    target.ask("make")?;
    tracer.wait_for_live_stores(case.n)?;
    std::thread::sleep(SETTLED);
    let (looked, start) = (tracer.looking_seconds()?, clock::now());
    let cpu_share = tracer.cpu_share(cpu_window)?;
    let looking = (tracer.looking_seconds()? - looked) / start.elapsed().as_secs_f64();
    let stall_ms = stall(&mut target, stall_window)?;
    drop(tracer.stop());
    let undisturbed_ms = stall(&mut target, stall_window)?;
    target.finish()?;
    Ok(Run { looking, cpu_share, stall_ms, undisturbed_ms })
}

fn stall(target: &mut Workload, window: Duration) -> Result<f64> {
    number(&target.ask(&format!("stall {}", window.as_secs()))?, "stall_ms")
}

fn write_rows(table: &mut String, case: Case, runs: &[Run]) -> Result<()> {
    let of =
        |value: fn(&Run) -> f64| Spread::of(runs.iter().map(value)).context("nothing was measured");
    let gib = (case.n * case.bytes) as f64 / f64::from(1 << 30);
    let what = format!("{} stores, {gib:.1} GiB", case.n);
    let cpu_bar = 100.0 * case.cpu_bar;
    writeln!(
        table,
        "| {what}: looking at its memory, % of a core | ≤ {cpu_bar} | {} |",
        of(|run| 100.0 * run.looking)?
    )?;
    writeln!(
        table,
        "| {what}: all of bufwatch, % of a core | | {} |",
        of(|run| 100.0 * run.cpu_share)?
    )?;
    let bar = case.stall_bar.map_or_else(String::new, |bar| format!("≤ {bar}"));
    writeln!(
        table,
        "| {what}: worst wait for mapping and unmapping, less that without bufwatch, ms | {bar} | {} |",
        of(|run| run.stall_ms - run.undisturbed_ms)?
    )?;
    writeln!(table, "| {what}: worst wait, ms | | {} |", of(|run| run.stall_ms)?)?;
    writeln!(
        table,
        "| {what}: worst wait without bufwatch, ms | | {} |",
        of(|run| run.undisturbed_ms)?
    )?;
    Ok(())
}
