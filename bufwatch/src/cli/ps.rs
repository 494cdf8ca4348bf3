//! `bufwatch ps`: the Node processes of this host, as text or JSON.

use std::io::Write;

use anyhow::Context as _;

use crate::base::sanitize;
use crate::node::plan::PlanCache;
use crate::node::processes::{NodeProcess, list};

/// List the Node processes of this host
#[derive(Debug, clap::Args)]
pub struct PsArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    processes: Vec<Row>,
}

#[derive(serde::Serialize)]
struct Row {
    pid: u32,
    inner_pid: Option<u32>,
    container: Option<String>,
    pod: Option<String>,
    node_version: Option<String>,
    rss_bytes: Option<u64>,
    command: String,
    /// Null if it can be watched.
    obstacle: Option<String>,
    hint: Option<&'static str>,
}

impl From<NodeProcess> for Row {
    fn from(process: NodeProcess) -> Self {
        Self {
            pid: process.pid,
            inner_pid: process.inner_pid,
            container: process.container.as_ref().map(|it| it.id.clone()),
            pod: process.container.and_then(|it| it.pod),
            node_version: process.node_version.map(|version| version.to_string()),
            rss_bytes: process.rss.map(|rss| rss.0),
            command: sanitize(&process.command),
            obstacle: process.obstacle.as_ref().map(|error| sanitize(&error.to_string())),
            hint: process.obstacle.as_ref().map(|error| error.hint()),
        }
    }
}

/// Prints one line per process.
pub fn run(args: &PsArgs, cache: Option<&PlanCache>, out: &mut dyn Write) -> anyhow::Result<()> {
    let processes = list(cache).context("list the processes in /proc")?;
    if args.json {
        let processes = processes.into_iter().map(Row::from).collect();
        let document = Document { schema: "bufwatch.ps/1", processes };
        serde_json::to_writer_pretty(&mut *out, &document)?;
        writeln!(out)?;
        return Ok(());
    }
    if processes.is_empty() {
        writeln!(out, "no Node process is running that this user can see")?;
        return Ok(());
    }
    writeln!(out, "{:>8}  {:10}  {:>9}  COMMAND", "PID", "NODE", "RSS")?;
    for process in processes {
        let version = process.node_version.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let rss = process.rss.map_or_else(|| "?".to_owned(), |it| it.to_string());
        let command = sanitize(&process.command);
        writeln!(out, "{:>8}  {version:10}  {rss:>9}  {command}", process.pid)?;
        let inner = process.inner_pid.filter(|pid| *pid != process.pid);
        let inside = inner.map(|pid| format!("pid {pid} inside")).into_iter();
        let container = process.container.map(|it| format!("container {it}"));
        let facts: Vec<String> = inside.chain(container).collect();
        if !facts.is_empty() {
            writeln!(out, "{:>8}  {}", "", facts.join(", "))?;
        }
        if let Some(obstacle) = process.obstacle {
            let obstacle = sanitize(&obstacle.to_string());
            writeln!(out, "{:>8}  cannot be watched: {obstacle}", "")?;
        }
    }
    Ok(())
}
