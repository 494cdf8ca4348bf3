//! `bench overhead`: each round runs a workload alone, under bufwatch and under bpftrace, in changing
//! order; the ratio to the untraced run of the same round is what counts, since a machine's speed
//! drifts.

use std::fmt::Write as _;

use anyhow::Result;

use super::NodeArgs;
use super::report::{self, Report};
use super::statistics::Spread;
use super::tracer::{Tracer, lost_events};
use super::workload::{Timed, Workload};
use crate::clock;
use crate::debian;
use crate::process::say;
use crate::workspace::Workspace;

/// The workloads, what they are, and the ratio that bufwatch must stay below.
const WORKLOADS: [(&str, &str, f64); 5] = [
    ("http256k", "HTTP server, bodies of 256 KiB", 1.02),
    ("churn64k", "churn of 64 KiB Buffers", 1.4),
    ("churn1m", "churn of 1 MiB Buffers", 1.1),
    ("small5m", "5 M small pooled Buffers", 1.02),
    ("streamcopy", "stream copy of files", 1.02),
];

/// The share of a full run that `--quick` does.
const QUICK_SCALE: &str = "0.05";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How often each workload runs in each way
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    pub(super) node: NodeArgs,
}

/// In which company a workload runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Bufwatch,
    EmptyProbes,
    Bpftrace,
}

/// One run of a workload.
#[derive(Debug)]
struct Run {
    timed: Timed,
    /// Share of one core that the tracer used meanwhile.
    tracer_cpu: f64,
    tracer_rss_bytes: u64,
    lost_events: Option<u64>,
}

/// All rounds of one workload.
#[derive(Debug, Default)]
struct Rounds {
    bufwatch: Vec<(Run, f64)>,
    empty_probes: Vec<f64>,
    bpftrace: Vec<f64>,
    ops_per_second: Vec<f64>,
}

pub(super) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let has_bpftrace = match debian::install(&["bpftrace"]) {
        Ok(()) => true,
        Err(error) => {
            say(format_args!("there is no comparison with bpftrace: {error:#}"));
            false
        }
    };
    let mut table = String::from(
        "| workload | bar | bufwatch | the same probes, empty | bpftrace, malloc and free | bufwatch's own CPU | its RSS | \
         lost events | untraced ops/s |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for (name, what, bar) in WORKLOADS {
        let rounds = measure(workspace, args, name, has_bpftrace)?;
        write_row(&mut table, what, bar, &rounds)?;
    }
    let mut command = format!("cargo xtask bench overhead --rounds {}", args.rounds);
    if args.node.quick {
        command.push_str(" --quick");
    }
    let report = Report {
        section: "overhead",
        command: &command,
        node: &args.node.node,
        has_bpftrace,
        table: &table,
    };
    report::publish(workspace, &report, !args.node.quick)
}

fn measure(workspace: &Workspace, args: &Args, name: &str, has_bpftrace: bool) -> Result<Rounds> {
    let mut rounds = Rounds::default();
    for round in 0..args.rounds {
        let mut order = vec![Company::Alone, Company::Bufwatch, Company::EmptyProbes];
        if has_bpftrace {
            order.push(Company::Bpftrace);
        }
        // What runs first finds another machine than what runs last: each goes first in turn.
        let first = round as usize % order.len();
        order.rotate_left(first);
        let mut runs = Vec::new();
        for company in order {
            runs.push((company, run_once(workspace, &args.node, name, company)?));
        }
        let alone = runs
            .iter()
            .find(|(company, _)| *company == Company::Alone)
            .map_or(f64::NAN, |(_, run)| run.timed.seconds);
        for (company, run) in runs {
            let ratio = run.timed.seconds / alone;
            say(format_args!(
                "{name} round {}/{}: {company:?} {:.3} s, ratio {ratio:.3}",
                round + 1,
                args.rounds,
                run.timed.seconds
            ));
            match company {
                Company::Alone => rounds.ops_per_second.push(run.timed.ops / run.timed.seconds),
                Company::Bufwatch => rounds.bufwatch.push((run, ratio)),
                Company::EmptyProbes => rounds.empty_probes.push(ratio),
                Company::Bpftrace => rounds.bpftrace.push(ratio),
            }
        }
    }
    Ok(rounds)
}

fn run_once(workspace: &Workspace, node: &NodeArgs, name: &str, company: Company) -> Result<Run> {
    let scale = if node.quick { QUICK_SCALE } else { "1" };
    let mut workload = Workload::start(workspace, &node.node, name, scale)?;
    let tracer = match company {
        Company::Alone => None,
        Company::Bufwatch => Some(Tracer::bufwatch(workspace, workload.pid())?),
        Company::EmptyProbes => Some(Tracer::empty_probes(workspace, workload.pid())?),
        Company::Bpftrace => Some(Tracer::bpftrace(workload.pid())?),
    };
    let before = tracer.as_ref().map(Tracer::cost).transpose()?;
    let start = clock::now();
    let timed = workload.run()?;
    let elapsed = start.elapsed().as_secs_f64();
    let after = tracer.as_ref().map(Tracer::cost).transpose()?;
    let last_sample = tracer.and_then(Tracer::stop);
    workload.finish()?;
    let used = |cost: Option<super::tracer::Cost>| cost.map_or(0.0, |cost| cost.cpu_seconds);
    Ok(Run {
        timed,
        tracer_cpu: (used(after) - used(before)) / elapsed,
        tracer_rss_bytes: after.map_or(0, |cost| cost.rss_bytes),
        lost_events: last_sample.as_ref().and_then(lost_events),
    })
}

fn write_row(table: &mut String, what: &str, bar: f64, rounds: &Rounds) -> Result<()> {
    let runs = || rounds.bufwatch.iter();
    let text = |spread: Option<Spread>| spread.map_or("not run".to_owned(), |it| it.to_string());
    let lost = runs().map(|(run, _)| run.lost_events).try_fold(0, |sum, lost| Some(sum + lost?));
    let median = |values: Vec<f64>| Spread::of(values).map_or(f64::NAN, |spread| spread.median);
    writeln!(
        table,
        "| {what} | ≤ {bar:.2} | {} | {} | {} | {:.1} % of a core | {:.0} MiB | {} | {:.0} |",
        text(Spread::of(runs().map(|(_, ratio)| *ratio))),
        text(Spread::of(rounds.empty_probes.iter().copied())),
        text(Spread::of(rounds.bpftrace.iter().copied())),
        100.0 * median(runs().map(|(run, _)| run.tracer_cpu).collect()),
        runs().map(|(run, _)| run.tracer_rss_bytes).max().unwrap_or(0) as f64 / 1_048_576.0,
        lost.map_or("unknown".to_owned(), |lost| lost.to_string()),
        median(rounds.ops_per_second.clone()),
    )?;
    Ok(())
}
