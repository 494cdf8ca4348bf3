//! `bench overhead`: laps of one workload in one process, alone, twice in company of a tracer, and alone
//! again; the ratio of both pairs is what counts. No other process's start-up is in it, and a drift of
//! the machine's speed, or of the program's, counts for both.

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

/// A workload under bufwatch.
struct Row {
    name: &'static str,
    what: &'static str,
    /// The ratio that bufwatch must stay below.
    bar: f64,
    /// How long a lap is, as a multiple of the workload's own.
    scale: &'static str,
    /// More arguments of bufwatch; with these there is nothing to compare it with.
    more: &'static [&'static str],
}

/// What `--max-overhead` allows is spent at once each two to three seconds, which is as long as a lap of `churn64k`.
const LAPS_OF_BUDGET: &str = "5";

const ROWS: [Row; 6] = [
    Row::plain("http256k", "HTTP server, bodies of 256 KiB", 1.02),
    Row::plain("churn64k", "churn of 64 KiB Buffers", 1.4),
    Row {
        name: "churn64k",
        what: "the same, `--max-overhead 2`, laps five times as long",
        bar: 1.05,
        scale: LAPS_OF_BUDGET,
        more: &["--max-overhead", "2"],
    },
    Row::plain("churn1m", "churn of 1 MiB Buffers", 1.1),
    Row::plain("small5m", "5 M small pooled Buffers", 1.02),
    Row::plain("streamcopy", "stream copy of files", 1.02),
];

impl Row {
    const fn plain(name: &'static str, what: &'static str, bar: f64) -> Self {
        Self { name, what, bar, scale: "1", more: &[] }
    }
}

/// The share of a full run that `--quick` does.
const QUICK_SCALE: &str = "0.05";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How often each workload runs in each way
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Measure this workload only; the report is printed but not written
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    #[command(flatten)]
    pub(super) node: NodeArgs,
}

/// Who traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Bufwatch,
    EmptyProbes,
    Bpftrace,
}

/// Laps in one process: alone, twice in company, alone.
#[derive(Debug)]
struct Laps {
    /// In company to alone.
    ratio: f64,
    /// Of the processor time of the target, likewise.
    cpu_ratio: f64,
    untraced_ops_per_second: f64,
    /// Share of one core that the tracer used meanwhile.
    tracer_cpu: f64,
    tracer_rss_bytes: u64,
    lost_events: Option<u64>,
}

/// All rounds of one workload.
#[derive(Debug, Default)]
struct Rounds {
    bufwatch: Vec<Laps>,
    empty_probes: Vec<Laps>,
    bpftrace: Vec<Laps>,
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
        "| workload | bar | bufwatch | of the target's CPU time | the same probes, empty | of CPU time | bpftrace, malloc and free | \
         bufwatch's own CPU | its RSS | lost events | untraced ops/s |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let is_wanted = |row: &&Row| args.only.as_ref().is_none_or(|only| only == row.name);
    for row in ROWS.iter().filter(is_wanted) {
        let rounds = measure(workspace, args, row, has_bpftrace)?;
        write_row(&mut table, row, &rounds)?;
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
    report::publish(workspace, &report, !args.node.quick && args.only.is_none())
}

fn measure(workspace: &Workspace, args: &Args, row: &Row, has_bpftrace: bool) -> Result<Rounds> {
    /// It takes ten times as long as the others, and nothing hangs on its last per cent.
    const BPFTRACE_ROUNDS: u32 = 2;
    let mut rounds = Rounds::default();
    for round in 0..args.rounds {
        let mut companies = vec![Company::Bufwatch];
        if row.more.is_empty() {
            companies.push(Company::EmptyProbes);
        }
        if row.more.is_empty() && has_bpftrace && round < BPFTRACE_ROUNDS {
            companies.push(Company::Bpftrace);
        }
        for company in companies {
            let laps = run_laps(workspace, &args.node, row, company)?;
            say(format_args!(
                "{} round {}/{}: {company:?}: {:.3} of the time alone, {:.3} of the CPU time",
                row.what,
                round + 1,
                args.rounds,
                laps.ratio,
                laps.cpu_ratio
            ));
            match company {
                Company::Bufwatch => rounds.bufwatch.push(laps),
                Company::EmptyProbes => rounds.empty_probes.push(laps),
                Company::Bpftrace => rounds.bpftrace.push(laps),
            }
        }
    }
    Ok(rounds)
}

fn run_laps(workspace: &Workspace, node: &NodeArgs, row: &Row, company: Company) -> Result<Laps> {
    let scale = if node.quick { QUICK_SCALE } else { row.scale };
    let mut workload = Workload::start(workspace, &node.node, row.name, scale)?;
    // Compilers and file caches warm up.
    workload.run()?;
    let first = workload.run()?;
    let tracer = match company {
        Company::Bufwatch => Tracer::bufwatch_with(workspace, workload.pid(), row.more)?,
        Company::EmptyProbes => Tracer::empty_probes(workspace, workload.pid())?,
        Company::Bpftrace => Tracer::bpftrace(workload.pid())?,
    };
    let before = tracer.cost()?;
    let start = clock::now();
    let traced = [workload.run()?, workload.run()?];
    let elapsed = start.elapsed().as_secs_f64();
    let after = tracer.cost()?;
    let last_sample = tracer.stop();
    let alone = [first, workload.run()?];
    workload.finish()?;
    let sum = |laps: &[Timed; 2], of: fn(&Timed) -> f64| laps.iter().map(of).sum::<f64>();
    let ratio = |of: fn(&Timed) -> f64| sum(&traced, of) / sum(&alone, of);
    Ok(Laps {
        ratio: ratio(|lap| lap.seconds),
        cpu_ratio: ratio(|lap| lap.cpu_seconds),
        untraced_ops_per_second: sum(&alone, |lap| lap.ops) / sum(&alone, |lap| lap.seconds),
        tracer_cpu: (after.cpu_seconds - before.cpu_seconds) / elapsed,
        tracer_rss_bytes: after.rss_bytes,
        lost_events: last_sample.as_ref().and_then(lost_events),
    })
}

fn write_row(table: &mut String, row: &Row, rounds: &Rounds) -> Result<()> {
    let text = |laps: &[Laps], of: fn(&Laps) -> f64| {
        let spread = Spread::of(laps.iter().map(of));
        spread.map_or("not run".to_owned(), |it| it.to_string())
    };
    let median = |of: fn(&Laps) -> f64| {
        Spread::of(rounds.bufwatch.iter().map(of)).map_or(f64::NAN, |spread| spread.median)
    };
    let runs = || rounds.bufwatch.iter();
    let lost = runs().map(|laps| laps.lost_events).try_fold(0, |sum, lost| Some(sum + lost?));
    writeln!(
        table,
        "| {} | ≤ {:.2} | {} | {} | {} | {} | {} | {:.1} % of a core | {:.0} MiB | {} | {:.0} |",
        row.what,
        row.bar,
        text(&rounds.bufwatch, |laps| laps.ratio),
        text(&rounds.bufwatch, |laps| laps.cpu_ratio),
        text(&rounds.empty_probes, |laps| laps.ratio),
        text(&rounds.empty_probes, |laps| laps.cpu_ratio),
        text(&rounds.bpftrace, |laps| laps.ratio),
        100.0 * median(|laps| laps.tracer_cpu),
        runs().map(|laps| laps.tracer_rss_bytes).max().unwrap_or(0) as f64 / 1_048_576.0,
        lost.map_or("unknown".to_owned(), |lost| lost.to_string()),
        median(|laps| laps.untraced_ops_per_second),
    )?;
    Ok(())
}
