//! `bufwatch doctor`: what of this host, user and process lets bufwatch work, and what to do where it does
//! not. Judges facts that `sys` and `node` report; changes nothing.

mod backend;
mod host;

use std::fs::File;
use std::io::Write;

use crate::base::sanitize;
use crate::cli::doctor::host::Host;
use crate::event::Backend;
use crate::node::plan::{PlanCache, obtain};
use crate::session::BackendChoice;
use crate::sys::procfs;

/// Check what works here and why not
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Also check access to this process
    #[arg(long, short)]
    pub pid: Option<u32>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How much a check matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Ok,
    /// Something is lost; the consequence says what.
    Limited,
    /// Live tracing cannot work.
    Failed,
}

/// One thing looked at.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    pub found: String,
    pub consequence: Option<String>,
    pub remedy: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), consequence: None, remedy: None }
    }

    fn bad(
        name: &'static str,
        verdict: Verdict,
        found: impl Into<String>,
        consequence: &str,
        remedy: &str,
    ) -> Self {
        Self {
            name,
            verdict,
            found: found.into(),
            consequence: Some(consequence.to_owned()),
            remedy: Some(remedy.to_owned()),
        }
    }
}

#[derive(serde::Serialize)]
struct Document<'a> {
    schema: &'static str,
    /// Every store can be seen, with its line.
    can_trace: bool,
    /// What `--backend auto` comes to; null if nothing works.
    backend: Option<&'static str>,
    checks: &'a [Check],
}

/// Prints the checks. False: nothing can be watched here (or not the process named).
pub fn run(
    args: &DoctorArgs,
    cache: Option<&PlanCache>,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let host = Host::read();
    let mut checks = host::check(&host);
    if let Some(pid) = args.pid {
        check_process(pid, cache, &mut checks);
    }
    let can_trace = checks.iter().all(|check| check.verdict != Verdict::Failed);
    let chosen = BackendChoice::Auto.choose();
    let backend = backend::backend(&chosen, args.pid, host.may_ptrace_all());
    checks.push(backend::check(&chosen, backend, host.may_ptrace_all()));
    let can_watch = can_trace || backend == Some(Backend::Ptrace);
    if args.json {
        let backend = backend.map(Backend::name);
        let document =
            Document { schema: "bufwatch.doctor/1", can_trace, backend, checks: &checks };
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)?;
        return Ok(can_watch);
    }
    for check in &checks {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Limited => "limited",
            Verdict::Failed => "FAILED",
        };
        writeln!(out, "{verdict:8} {:24} {}", check.name, sanitize(&check.found))?;
        if let Some(consequence) = &check.consequence {
            writeln!(out, "{:8} consequence: {consequence}", "")?;
        }
        if let Some(remedy) = &check.remedy {
            writeln!(out, "{:8} remedy: {remedy}", "")?;
        }
    }
    let summary = match backend {
        _ if can_trace => "live tracing works here",
        Some(Backend::Ptrace) => {
            "live tracing cannot work here; looks at the heap can (--backend ptrace, docs/backends.md)"
        }
        _ => "live tracing cannot work here",
    };
    writeln!(out, "\n{summary}")?;
    Ok(can_watch)
}

fn check_process(pid: u32, cache: Option<&PlanCache>, checks: &mut Vec<Check>) {
    let planned = match obtain(pid, cache) {
        Ok(planned) => planned,
        Err(error) => {
            checks.push(Check::bad(
                "process",
                Verdict::Failed,
                error.to_string(),
                "it cannot be watched",
                error.hint(),
            ));
            return;
        }
    };
    let version =
        planned.plan.node_version.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    checks.push(Check::ok("process", format!("{pid}: Node {version}")));
    checks.push(if planned.plan.is_usable() {
        let n = planned.plan.probes.len();
        let n_missing = planned.plan.missing.len();
        Check::ok("probes", format!("{n} found, {n_missing} missing; `bufwatch plan --pid {pid}`"))
    } else {
        Check::bad(
            "probes",
            Verdict::Failed,
            "creation or destruction of stores is missing",
            "it cannot be traced",
            "`bufwatch plan` says which probes are missing",
        )
    });
    // Opening makes the kernel check ptrace access; nothing is read.
    checks.push(match File::open(procfs::process_path(pid, "mem")) {
        Ok(_) => Check::ok("memory of the process", "readable"),
        Err(error) => Check::bad(
            "memory of the process",
            Verdict::Limited,
            error.to_string(),
            "no census, arrayBuffers unknown",
            "run as root, or with CAP_SYS_PTRACE",
        ),
    });
    if let Some(tracer) = procfs::status(pid).ok().and_then(|status| status.tracer) {
        checks.push(Check::bad(
            "debugger",
            Verdict::Limited,
            format!("process {tracer} traces it"),
            "it cannot be stopped for a census; probes work",
            "detach the debugger",
        ));
    }
}
