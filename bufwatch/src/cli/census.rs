//! `bufwatch census`: what is pinned in a process now, and by whom, as text or JSON.

use std::io::Write;

use anyhow::Context as _;

use crate::base::Bytes;
use crate::cli::args::parse_size;
use crate::event::census::Parent;
use crate::export::census_json::{Subject, to_json};
use crate::export::census_text::to_text;
use crate::node::plan::{PlanCache, obtain};
use crate::source::census::CensusTaker;
use crate::v8::census::take::{Detail, VIEWS_LISTED_MAX};

/// Take one look at the heap of a process: which views pin which array buffers, and who holds them. Stops the process for milliseconds
#[derive(Debug, clap::Args)]
pub struct CensusArgs {
    /// Process to look at
    #[arg(long, short, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    pub pid: u32,
    /// Print one JSON object (schema bufwatch.census/1)
    #[arg(long)]
    pub json: bool,
    /// How many array buffers are listed, the largest first
    #[arg(long, value_name = "N", default_value_t = 20, conflicts_with = "all")]
    pub top: usize,
    /// List every live array buffer with every view
    #[arg(long)]
    pub all: bool,
    /// Smallest array buffer that is listed
    #[arg(long, value_name = "SIZE", default_value = "0", value_parser = parse_size)]
    pub min_size: Bytes,
}

/// Views listed of one array buffer without `--all`.
const VIEWS_SHOWN: usize = 100;

/// Array buffers whose holders are told, for the groups, also if fewer are listed.
const PARENTS_TOLD: usize = 100_000;

/// Prints the census. Errors carry a [`crate::source::census::CensusError`] or an [`crate::node::IdentityError`].
pub fn run(
    args: &CensusArgs,
    cache: Option<&PlanCache>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let pid = args.pid;
    let planned = obtain(pid, cache).with_context(|| format!("take a census of process {pid}"))?;
    let node_version = planned.plan.node_version;
    let subject = Subject {
        pid,
        node_version: node_version.map(|it| it.to_string().trim_start_matches('v').to_owned()),
    };
    let n_parents = if args.all { usize::MAX } else { PARENTS_TOLD };
    let n_views = if args.all { VIEWS_LISTED_MAX } else { VIEWS_SHOWN };
    let detail = Detail { n_parents, n_views, min_size: args.min_size };
    let census = CensusTaker::new(&planned)
        .and_then(|taker| taker.take(detail))
        .with_context(|| format!("take a census of process {pid}"))?;
    let n_shown = if args.all { usize::MAX } else { args.top };
    let parents: Vec<&Parent> =
        census.parents.iter().filter(|parent| parent.size >= args.min_size).take(n_shown).collect();
    if args.json {
        writeln!(out, "{}", to_json(&census, &subject, &parents)?)?;
    } else {
        write!(out, "{}", to_text(&census, &subject, &parents))?;
    }
    Ok(())
}
