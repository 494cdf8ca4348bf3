//! `bufwatch census`: what is pinned in a process now, and by whom, as text or JSON.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::analysis::census_diff::diff;
use crate::analysis::finding::Finding;
use crate::analysis::snapshot::JoinedCensus;
use crate::analysis::{Interest, take};
use crate::base::Bytes;
use crate::cli::args::parse_size;
use crate::detect::detect;
use crate::event::census::Census;
use crate::event::{Event, Payload, TargetIdentified};
use crate::export::census_diff;
use crate::export::census_file::CensusFile;
use crate::export::census_json::{Subject, to_json};
use crate::export::census_text::to_text;
use crate::model::Model;
use crate::node::plan::{PlanCache, obtain};
use crate::source::census::CensusTaker;
use crate::source::residency::look_at_parents;
use crate::v8::census::take::{Detail, VIEWS_LISTED_MAX};

/// Take one look at the heap of a process: which views pin which array buffers, and who holds them. Stops the process for milliseconds
#[derive(Debug, clap::Args)]
pub struct CensusArgs {
    /// Process to look at
    #[arg(long, short, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=4_194_304), required_unless_present = "diff")]
    pub pid: Option<u32>,
    /// Compare two censuses that were written with --json: who holds more or less in B than in A. With --all in both and the same
    /// process, also which array buffers appeared, stayed and went
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["pid", "top", "all", "min_size"])]
    pub diff: Option<Vec<PathBuf>>,
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
    /// File for all that is read; for tests
    #[arg(long, value_name = "FILE", hide = true)]
    pub record_reads: Option<PathBuf>,
}

/// Views listed of one array buffer without `--all`.
const VIEWS_SHOWN: usize = 100;

/// Array buffers whose holders are told, for the groups, also if fewer are listed.
const PARENTS_TOLD: usize = 100_000;

/// What the detectors say, by the same way as in a session: an event for the model, whose snapshot they judge.
fn judge(census: Census, subject: &Subject) -> (Arc<JoinedCensus>, Vec<Finding>) {
    let at = census.timing.stopped_at;
    let mut model = Model::new(at);
    let identified = TargetIdentified {
        pid: subject.pid,
        node_version: subject.node_version.clone(),
        ..TargetIdentified::default()
    };
    model.apply(&Event { at, payload: Payload::TargetIdentified(identified) });
    model.apply(&Event { at, payload: Payload::CensusTaken(Arc::new(census)) });
    let snapshot = take(&model, &Interest::default(), at);
    let findings = detect(&snapshot);
    (snapshot.census.last.unwrap_or_default(), findings)
}

/// Prints what changed between two files.
fn compare(before: &Path, after: &Path, is_json: bool, out: &mut dyn Write) -> anyhow::Result<()> {
    let read = |path: &Path| {
        let text = fs::read_to_string(path)
            .with_context(|| format!("read the census in `{}`", path.display()))?;
        CensusFile::parse(&text).with_context(|| format!("read the census in `{}`", path.display()))
    };
    let (before, after) = (read(before)?, read(after)?);
    let diff = diff(&before.outline, &after.outline, before.is_same_process(&after));
    if is_json {
        writeln!(out, "{}", census_diff::to_value(&diff))?;
    } else {
        write!(out, "{}", census_diff::to_text(&diff))?;
    }
    Ok(())
}

/// Prints the census. Errors carry a [`crate::source::census::CensusError`] or an [`crate::node::IdentityError`].
pub fn run(
    args: &CensusArgs,
    cache: Option<&PlanCache>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if let Some([before, after]) = args.diff.as_deref() {
        return compare(before, after, args.json, out);
    }
    // clap asks for one of the two.
    let pid = args.pid.context("no process was named")?;
    let planned = obtain(pid, cache).with_context(|| format!("take a census of process {pid}"))?;
    let node_version = planned.plan.node_version;
    let subject = Subject {
        pid,
        start_ticks: planned.identity.key.start_ticks,
        node_version: node_version.map(|it| it.to_string().trim_start_matches('v').to_owned()),
    };
    let n_parents = if args.all { usize::MAX } else { PARENTS_TOLD };
    let n_views = if args.all { VIEWS_LISTED_MAX } else { VIEWS_SHOWN };
    let detail = Detail { n_parents, n_views, min_size: args.min_size };
    let mut census = CensusTaker::new(&planned)
        .map(|taker| match &args.record_reads {
            Some(path) => taker.recording_to(path),
            None => taker,
        })
        .and_then(|taker| taker.take(detail))
        .with_context(|| format!("take a census of process {pid}"))?;
    look_at_parents(pid, &mut census);
    let (joined, findings) = judge(census, &subject);
    let n_shown = if args.all { usize::MAX } else { args.top };
    let parents = joined.census.parents.iter().enumerate();
    let wanted = parents.filter(|(_, parent)| parent.size >= args.min_size);
    let shown: Vec<usize> = wanted.map(|(index, _)| index).take(n_shown).collect();
    if args.json {
        writeln!(out, "{}", to_json(&joined, &findings, &subject, &shown)?)?;
    } else {
        write!(out, "{}", to_text(&joined, &findings, &subject, &shown))?;
    }
    Ok(())
}
