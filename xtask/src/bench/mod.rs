//! `cargo xtask bench`: what bufwatch costs its target and itself, as ratios within one run. The
//! results go to docs/benchmarks.md with the command that made them.

mod census;
mod overhead;
mod own_cost;
mod report;
mod residency;
mod seed;
mod stacks;
mod statistics;
mod tracer;
mod workload;

use anyhow::{Result, bail};

use crate::process::is_root;
use crate::workspace::{NODE_DEFAULT, Workspace};
use crate::{build, setup};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// How much slower a target is while it is traced, in paired runs
    Overhead(overhead::Args),
    /// The processor time and the memory of bufwatch itself, and its time to the first screen
    #[command(name = "self")]
    OwnCost(NodeArgs),
    /// How long a census stops its target, how long it takes and how much memory, on small and large heaps
    Census(census::Args),
    /// What it costs to know what of many stores is in RAM
    Residency(residency::Args),
    /// Views of one large Buffer against copies, on every Node version, as Node and as bufwatch see them
    Seed,
    /// What call stacks cost the target and bufwatch, and how well bufwatch keeps up with new ones
    Stacks(stacks::Args),
}

#[derive(Debug, clap::Args)]
struct NodeArgs {
    /// The Node version that the targets run on
    #[arg(long, value_name = "VERSION", default_value = NODE_DEFAULT)]
    node: String,
    /// Small runs that show that everything works; the report is printed but not written
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    if !is_root() {
        bail!("a benchmark attaches probes: run this as root");
    }
    if matches!(&args.what, What::Seed) {
        build::build(workspace, true, true)?;
        return seed::run(workspace);
    }
    let node = match &args.what {
        What::Overhead(args) => &args.node,
        What::OwnCost(args) => args,
        What::Census(args) => &args.node,
        What::Residency(args) => &args.node,
        What::Seed => return Ok(()),
        What::Stacks(args) => &args.node,
    };
    setup::for_node(workspace, &node.node)?;
    build::build(workspace, true, true)?;
    match &args.what {
        What::Overhead(args) => overhead::run(workspace, args),
        What::OwnCost(args) => own_cost::run(workspace, args),
        What::Census(args) => census::run(workspace, args),
        What::Residency(args) => residency::run(workspace, args),
        What::Seed => Ok(()),
        What::Stacks(args) => stacks::run(workspace, args),
    }
}
