//! `bench stacks`: what call stacks cost. Per traced store in paired runs, through one chain and through always new
//! ones; bufwatch's own processor time at a low and a high rate of new sites; and how well it keeps up then.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::NodeArgs;
use super::report::{self, Report};
use super::statistics::Spread;
use super::tracer::{Tracer, lost_events};
use super::workload::Workload;
use crate::process::say;
use crate::workspace::Workspace;

/// How stores come about in the timed runs: the workload's word for it, and what it is.
const WAYS: [(&str, &str); 2] = [("same", "one repeated site"), ("new", "always a new site")];

const SITES_PER_SECOND: [u32; 2] = [1_000, 20_000];

/// How long stores are made at a rate: the issue promises a minute.
const RATE_WINDOW: Duration = Duration::from_mins(1);

/// The share of a full run that `--quick` does, and its window.
const QUICK_SCALE: &str = "0.1";
const QUICK_WINDOW: Duration = Duration::from_secs(3);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How often each way is run, with and without bufwatch
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    pub(super) node: NodeArgs,
}

/// What bufwatch said and used while stores were made at a rate.
#[derive(Debug)]
struct AtRate {
    cpu_share: f64,
    last_sample: Option<Value>,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let mut table = String::from("| what | measured |\n|---|---|\n");
    for (way, what) in WAYS {
        let added = added_microseconds(workspace, args, way)?;
        writeln!(table, "| µs added to a store of 64 KiB, {what} | {added} |")?;
    }
    for rate in SITES_PER_SECOND {
        write_rate(&mut table, rate, &at_rate(workspace, &args.node, rate)?)?;
    }
    let mut command = format!("cargo xtask bench stacks --rounds {}", args.rounds);
    if args.node.quick {
        command.push_str(" --quick");
    }
    let report = Report {
        section: "stacks",
        command: &command,
        node: &args.node.node,
        has_bpftrace: false,
        table: &table,
    };
    report::publish(workspace, &report, !args.node.quick)
}

/// The difference of the two runs of each round, for one store.
fn added_microseconds(workspace: &Workspace, args: &Args, way: &str) -> Result<Spread> {
    let mut added = Vec::new();
    for round in 0..args.rounds {
        // What runs first finds another machine than what runs last: they take turns.
        let (alone, traced) = if round % 2 == 0 {
            let alone = microseconds(workspace, &args.node, way, false)?;
            (alone, microseconds(workspace, &args.node, way, true)?)
        } else {
            let traced = microseconds(workspace, &args.node, way, true)?;
            (microseconds(workspace, &args.node, way, false)?, traced)
        };
        say(format_args!(
            "{way} round {}/{}: {alone:.2} µs a store, traced {traced:.2} µs",
            round + 1,
            args.rounds
        ));
        added.push(traced - alone);
    }
    Spread::of(added).context("no round was run")
}

/// Of the program for one store.
fn microseconds(workspace: &Workspace, node: &NodeArgs, way: &str, traces: bool) -> Result<f64> {
    let scale = if node.quick { QUICK_SCALE } else { "1" };
    let mut workload = Workload::start(workspace, &node.node, "sites", &format!("{way}:{scale}"))?;
    let tracer = if traces { Some(Tracer::bufwatch(workspace, workload.pid())?) } else { None };
    let timed = workload.run()?;
    drop(tracer.and_then(Tracer::stop));
    workload.finish()?;
    Ok(1e6 * timed.seconds / timed.ops)
}

fn at_rate(workspace: &Workspace, node: &NodeArgs, rate: u32) -> Result<AtRate> {
    let window = if node.quick { QUICK_WINDOW } else { RATE_WINDOW };
    say(format_args!("{rate} new sites a second, {} s", window.as_secs()));
    let mut workload = Workload::start(workspace, &node.node, "sites", &format!("rate:{rate}"))?;
    let tracer = Tracer::bufwatch(workspace, workload.pid())?;
    workload.begin()?;
    let cpu_share = tracer.cpu_share(window)?;
    let last_sample = tracer.stop();
    workload.finish()?;
    Ok(AtRate { cpu_share, last_sample })
}

fn write_rate(table: &mut String, rate: u32, measured: &AtRate) -> Result<()> {
    let sample = measured.last_sample.as_ref();
    let unknown = || "unknown".to_owned();
    let milliseconds = |quantile: &str| {
        let latency = sample?.pointer("/own/resolve_latency_ns")?.get(quantile)?.as_f64()?;
        Some(format!("{:.2} ms", latency / 1e6))
    };
    let p50 = milliseconds("p50").unwrap_or_else(unknown);
    let p99 = milliseconds("p99").unwrap_or_else(unknown);
    let frames = sample.and_then(frames).map_or_else(unknown, |(n_resolved, n_frames)| {
        format!("{:.3} % of {n_frames}", 100.0 * n_resolved as f64 / n_frames as f64)
    });
    let n_stores = sample.and_then(|sample| sample.pointer("/stores/n_created")?.as_u64());
    let lost = sample.and_then(lost_events).map_or_else(unknown, |n| n.to_string());
    let n_stores = n_stores.map_or_else(unknown, |n| n.to_string());
    let at = format!("at {rate} new sites a second");
    writeln!(table, "| own CPU {at} | {:.1} % of a core |", 100.0 * measured.cpu_share)?;
    writeln!(table, "| from a stack's record to its names {at}, p50 and p99 | {p50}, {p99} |")?;
    writeln!(table, "| frames of JavaScript resolved {at}, in all stacks | {frames} |")?;
    writeln!(table, "| events lost {at} | {lost}, with {n_stores} stores seen |")?;
    Ok(())
}

/// How many frames of JavaScript are resolved, and how many there are in all distinct stacks.
fn frames(sample: &Value) -> Option<(u64, u64)> {
    let count = |kind: &str, key: &str| sample.get("frames")?.get(kind)?.get(key)?.as_u64();
    let n = count("js", "n")? + count("node", "n")?;
    let n_unresolved = count("js", "n_unresolved")? + count("node", "n_unresolved")?;
    (n > 0).then(|| (n.saturating_sub(n_unresolved), n))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resolved_frames_are_counted() {
        let of = |js: u64, node: u64, n_unresolved: u64| {
            json!({ "frames": {
                "js": { "n": js, "n_unresolved": n_unresolved },
                "node": { "n": node, "n_unresolved": 0 },
            } })
        };
        assert_eq!(frames(&of(5, 2, 1)), Some((6, 7)));
        assert_eq!(frames(&of(0, 0, 0)), None);
        assert_eq!(frames(&json!({})), None);
    }

    #[test]
    fn unknown_is_said_and_is_no_zero() {
        let mut table = String::new();
        let measured = AtRate { cpu_share: 0.5, last_sample: None };
        write_rate(&mut table, 1_000, &measured).unwrap();
        assert!(table.contains("50.0 % of a core"), "{table}");
        assert_eq!(table.matches("unknown").count(), 5, "{table}");
    }
}
