//! `bufwatch plan`: what can be probed in a Node binary, where, at what cost, and what is missing.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::node::identity::open_file;
use crate::node::plan::{PlanCache, ProbePlan, obtain, obtain_for_image};

/// Print the probe plan of a process or binary: found, substituted, missing
#[derive(Debug, clap::Args)]
pub struct PlanArgs {
    /// Process to plan for, with its C library
    #[arg(long, short, required_unless_present = "binary", conflicts_with = "binary")]
    pub pid: Option<u32>,
    /// Node executable or libnode.so to plan for
    #[arg(long, short, value_name = "FILE")]
    pub binary: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(serde::Serialize)]
struct Document<'a> {
    schema: &'static str,
    is_usable: bool,
    #[serde(flatten)]
    plan: &'a ProbePlan,
}

/// Prints the plan. Errors carry an [`crate::node::IdentityError`].
pub fn run(args: &PlanArgs, cache: Option<&PlanCache>, out: &mut dyn Write) -> anyhow::Result<()> {
    let plan = match (args.pid, &args.binary) {
        (Some(pid), _) => {
            obtain(pid, cache).with_context(|| format!("plan probes for process {pid}"))?.plan
        }
        (None, Some(path)) => {
            let image = open_file(path)?;
            obtain_for_image(&image, cache)?.0
        }
        (None, None) => anyhow::bail!("neither a process nor a binary was named"),
    };
    if args.json {
        let document =
            Document { schema: "bufwatch.plan/1", is_usable: plan.is_usable(), plan: &plan };
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)?;
    } else {
        write!(out, "{plan}")?;
        if args.pid.is_none() {
            writeln!(
                out,
                "\nThe C library's probes (mmap, munmap, mremap, madvise, brk) need a process: --pid"
            )?;
        }
        if !plan.is_usable() {
            writeln!(out, "\nThis binary cannot be traced.")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, Command};

    #[test]
    fn one_subject_is_asked_for() {
        let parse = |words: &[&str]| {
            let command = PlanArgs::augment_args(Command::new("plan"));
            command.try_get_matches_from([&["plan"], words].concat()).is_ok()
        };
        assert!(parse(&["--pid", "1", "--json"]));
        assert!(parse(&["--binary", "node"]));
        assert!(!parse(&[]));
        assert!(!parse(&["--json"]));
        assert!(!parse(&["--pid", "1", "--binary", "node"]));
    }
}
