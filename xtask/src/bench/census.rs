//! `bench census`: how long a census stops its target, how long it takes and how much memory, on small and large heaps; what the
//! target's event loop feels of it; and the same of `v8.writeHeapSnapshot` in the same kind of process.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::NodeArgs;
use super::report::{self, Report};
use super::statistics::Spread;
use super::workload::{Workload, number};
use crate::debian;
use crate::process::say;
use crate::workspace::Workspace;

/// Megabytes of live objects that a target is asked to have, and how often it writes a snapshot: that takes minutes on a large heap.
const HEAPS: [(u32, u32); 3] = [(10, 5), (100, 3), (1_100, 1)];
const QUICK_HEAPS: [(u32, u32); 1] = [(10, 1)];
const QUICK_ROUNDS: u32 = 2;

/// What a census promises, by the bytes of V8's pages that it copies.
const STOP_SECONDS: f64 = 0.005;
const STOP_SECONDS_PER_BYTE: f64 = 0.25e-9;
const WHOLE_SECONDS_PER_BYTE: f64 = 2e-9;
const MEMORY_BYTES: f64 = 50e6;
const MEMORY_PER_BYTE: f64 = 1.2;

const MEGABYTE: f64 = 1e6;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many censuses are taken of each heap
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    pub(super) node: NodeArgs,
}

/// One census, in seconds and bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    heap_bytes: f64,
    n_objects: f64,
    stop: f64,
    whole: f64,
    peak_rss_bytes: f64,
    /// Of the target's event loop meanwhile.
    gap: f64,
    /// Of a census just before, after a rest.
    whole_rested: f64,
}

/// One heap snapshot.
#[derive(Debug, Clone, Copy)]
struct Snapshot {
    seconds: f64,
    gap: f64,
    /// What the process had at most, less what it had before.
    rss_growth_bytes: f64,
}

/// All of one size of heap.
#[derive(Debug)]
struct Measured {
    megabytes: u32,
    runs: Vec<Run>,
    /// Longest gaps while nobody looked, for as long as a census takes.
    undisturbed: Vec<f64>,
    snapshots: Vec<Snapshot>,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    // GNU time: the greatest RSS of a program that has ended.
    debian::install(&["time"])?;
    let (heaps, rounds) = if args.node.quick {
        (QUICK_HEAPS.as_slice(), QUICK_ROUNDS)
    } else {
        (HEAPS.as_slice(), args.rounds)
    };
    let mut measured = Vec::new();
    for (megabytes, n_snapshots) in heaps {
        measured.push(measure(workspace, &args.node.node, *megabytes, rounds, *n_snapshots)?);
    }
    let mut command = format!("cargo xtask bench census --rounds {rounds}");
    if args.node.quick {
        command.push_str(" --quick");
    }
    let report = Report {
        section: "census",
        command: &command,
        node: &args.node.node,
        has_bpftrace: false,
        table: &table(&measured)?,
    };
    report::publish(workspace, &report, !args.node.quick)
}

fn measure(
    workspace: &Workspace,
    node: &str,
    megabytes: u32,
    rounds: u32,
    n_snapshots: u32,
) -> Result<Measured> {
    let mut measured =
        Measured { megabytes, runs: Vec::new(), undisturbed: Vec::new(), snapshots: Vec::new() };
    let mut target = Workload::start(workspace, node, "heap", &megabytes.to_string())?;
    for round in 0..rounds {
        // A hypervisor takes unused memory from the machine, and brings it back page by page: no work of a census.
        let rested = take_census(workspace, target.pid())?;
        target.ask("reset")?;
        let mut run = take_census(workspace, target.pid())?;
        run.gap = gap(&mut target)?;
        run.whole_rested = rested.whole;
        say(format_args!(
            "heap of {megabytes} MB, census {}/{rounds}: stop {:.1} ms of {:.1}, whole {:.0} ms of {:.0}, \
             {:.0} MB of {:.0}, gap {:.1} ms",
            round + 1,
            1e3 * run.stop,
            1e3 * run.stop_bar(),
            1e3 * run.whole,
            1e3 * run.whole_bar(),
            run.peak_rss_bytes / MEGABYTE,
            run.memory_bar() / MEGABYTE,
            1e3 * run.gap,
        ));
        target.ask("reset")?;
        thread::sleep(Duration::from_secs_f64(run.whole));
        measured.undisturbed.push(gap(&mut target)?);
        measured.runs.push(run);
    }
    target.finish()?;
    for snapshot in 0..n_snapshots {
        // A process keeps some of the memory that its first snapshot took.
        let mut target = Workload::start(workspace, node, "heap", &megabytes.to_string())?;
        say(format_args!("heap of {megabytes} MB, snapshot {}/{n_snapshots}", snapshot + 1));
        measured.snapshots.push(write_snapshot(&mut target)?);
        target.finish()?;
    }
    Ok(measured)
}

fn take_census(workspace: &Workspace, pid: u32) -> Result<Run> {
    let mut command = Command::new("time");
    command.args(["--format", "%M"]).arg(workspace.bufwatch());
    command.args(["census", "--json", "--pid", &pid.to_string()]);
    let output = command.output().context("run `time bufwatch census`")?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("the census failed: {}", stderr.trim());
    }
    let census = serde_json::from_slice(&output.stdout).context("read the census")?;
    parse(&census, &stderr)
}

/// `time` writes its line last.
fn parse(census: &Value, stderr: &str) -> Result<Run> {
    let rss_kib: Option<f64> = stderr.lines().next_back().and_then(|line| line.trim().parse().ok());
    Ok(Run {
        heap_bytes: number(census, "heap_bytes")?,
        n_objects: number(census, "n_objects")?,
        stop: number(census, "stop_ns")? / 1e9,
        whole: number(census, "total_ns")? / 1e9,
        peak_rss_bytes: 1024.0 * rss_kib.context("`time` printed no memory")?,
        gap: f64::NAN,
        whole_rested: f64::NAN,
    })
}

/// The longest time in seconds between two turns of the target's loop since `reset`.
fn gap(target: &mut Workload) -> Result<f64> {
    Ok(number(&target.ask("gap")?, "gap_ms")? / 1e3)
}

fn write_snapshot(target: &mut Workload) -> Result<Snapshot> {
    let pid = target.pid();
    let before = status_bytes(pid, "VmRSS")?;
    let path = format!("/proc/{pid}/clear_refs");
    // proc_pid_clear_refs(5): the greatest RSS begins anew.
    fs::write(&path, "5").with_context(|| format!("write `{path}`"))?;
    target.ask("reset")?;
    let seconds = number(&target.ask("snapshot")?, "seconds")?;
    let rss_growth_bytes = status_bytes(pid, "VmHWM")? - before;
    Ok(Snapshot { seconds, gap: gap(target)?, rss_growth_bytes })
}

fn status_bytes(pid: u32, key: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("read `{path}`"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    Ok(1024.0 * kib.with_context(|| format!("`{path}` has no {key}"))?)
}

impl Run {
    fn stop_bar(&self) -> f64 {
        STOP_SECONDS + STOP_SECONDS_PER_BYTE * self.heap_bytes
    }

    fn whole_bar(&self) -> f64 {
        WHOLE_SECONDS_PER_BYTE * self.heap_bytes
    }

    fn memory_bar(&self) -> f64 {
        MEMORY_BYTES + MEMORY_PER_BYTE * self.heap_bytes
    }
}

fn table(measured: &[Measured]) -> Result<String> {
    let mut table = String::from("| what | bar | measured |\n|---|---|---|\n");
    for heap in measured {
        write_rows(&mut table, heap)?;
    }
    Ok(table)
}

fn write_rows(table: &mut String, measured: &Measured) -> Result<()> {
    let Measured { megabytes, runs, undisturbed, snapshots } = measured;
    let spread = |values: Vec<f64>| Spread::of(values).context("nothing was measured");
    let of = |value: fn(&Run) -> f64, unit: f64| {
        spread(runs.iter().map(|run| value(run) / unit).collect())
    };
    let heap = of(|run| run.heap_bytes, MEGABYTE)?.median;
    let objects = of(|run| run.n_objects, 1e6)?.median;
    let rows = [
        ("target stands still, ms", of(Run::stop_bar, 1e-3)?.median, of(|run| run.stop, 1e-3)?),
        ("whole census, ms", of(Run::whole_bar, 1e-3)?.median, of(|run| run.whole, 1e-3)?),
        (
            "memory of bufwatch, MB",
            of(Run::memory_bar, MEGABYTE)?.median,
            of(|run| run.peak_rss_bytes, MEGABYTE)?,
        ),
    ];
    for (what, bar, measured) in rows {
        writeln!(
            table,
            "| {megabytes} MB ({heap:.0} MB copied, {objects:.1} M objects): {what} | ≤ {bar:.0} | {measured} |"
        )?;
    }
    let gap = of(|run| run.gap, 1e-3)?;
    let rested = of(|run| run.whole_rested, 1e-3)?;
    writeln!(table, "| {megabytes} MB: whole census after a rest, ms | | {rested} |")?;
    let undisturbed = spread(undisturbed.iter().map(|gap| gap / 1e-3).collect())?;
    writeln!(
        table,
        "| {megabytes} MB: longest gap of the target's loop during a census, ms | | {gap} |"
    )?;
    writeln!(table, "| {megabytes} MB: the same while nobody looks, ms | | {undisturbed} |")?;
    let of = |value: fn(&Snapshot) -> f64, unit: f64| {
        spread(snapshots.iter().map(|snapshot| value(snapshot) / unit).collect())
    };
    let seconds = of(|snapshot| snapshot.seconds, 1e-3)?;
    let gap = of(|snapshot| snapshot.gap, 1e-3)?;
    let growth = of(|snapshot| snapshot.rss_growth_bytes, MEGABYTE)?;
    writeln!(table, "| {megabytes} MB: `v8.writeHeapSnapshot`, ms | | {seconds} |")?;
    writeln!(
        table,
        "| {megabytes} MB: longest gap of the target's loop during it, ms | | {gap} |"
    )?;
    writeln!(
        table,
        "| {megabytes} MB: memory by which the target grows for it, MB | | {growth} |"
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_census_and_its_memory_are_read() {
        let census = json!({
            "heap_bytes": 100_000_000, "n_objects": 2_000_000, "stop_ns": 20_000_000,
            "total_ns": 150_000_000,
        });
        let run = parse(&census, "a warning\n123456\n").unwrap();
        let read = (run.stop, run.whole, run.peak_rss_bytes);
        assert_eq!(read, (0.02, 0.15, 123_456.0 * 1024.0));
        assert!(parse(&census, "a warning\n").is_err());
        assert!(parse(&json!({}), "1\n").is_err());
    }

    #[test]
    fn bars_grow_with_the_heap() {
        let run = Run {
            heap_bytes: 1e9,
            n_objects: 0.0,
            stop: 0.0,
            whole: 0.0,
            peak_rss_bytes: 0.0,
            gap: 0.0,
            whole_rested: 0.0,
        };
        let bars = (run.stop_bar(), run.whole_bar(), run.memory_bar());
        assert_eq!(bars, (0.255, 2.0, 1.25e9));
    }

    #[test]
    fn own_memory_is_found() {
        let pid = std::process::id();
        let now = status_bytes(pid, "VmRSS").unwrap();
        assert!(now > 0.0 && status_bytes(pid, "VmHWM").unwrap() >= now);
        assert!(status_bytes(pid, "VmNothing").is_err());
    }
}
