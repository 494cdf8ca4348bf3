//! The Node programs that are measured: starting one, letting it run, reading what it says about
//! itself. The programs are in xtask/workloads.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::{Lines, Running, bound_to_us};
use crate::workspace::Workspace;

/// A workload prepares files, stores or a heap before it is ready.
const READY_LIMIT: Duration = Duration::from_mins(3);

/// The slowest known run is `churn64k` under bpftrace, about a minute.
const RUN_LIMIT: Duration = Duration::from_mins(10);

/// A running workload that waits for the word to begin.
#[derive(Debug)]
pub(super) struct Workload {
    node: Running,
    lines: Lines,
}

/// What a workload says about its timed part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timed {
    pub(super) ops: f64,
    pub(super) seconds: f64,
    /// Of all threads of the program, the kernel's work for them included.
    pub(super) cpu_seconds: f64,
}

impl Workload {
    pub(super) fn start(
        workspace: &Workspace,
        version: &str,
        name: &str,
        argument: &str,
    ) -> Result<Self> {
        let script = workspace.root().join("xtask/workloads").join(format!("{name}.mjs"));
        let mut command = bound_to_us(workspace.node(version), Signal::SIGKILL);
        command.arg(script).arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut node = Running::start(&mut command, &format!("the workload {name}"))?;
        let lines = node.lines()?;
        let first = lines.next(READY_LIMIT)?;
        if first != "READY" {
            bail!("the workload {name} said `{first}` instead of READY");
        }
        Ok(Self { node, lines })
    }

    pub(super) fn pid(&self) -> u32 {
        self.node.pid()
    }

    pub(super) fn begin(&mut self) -> Result<()> {
        self.node.tell("go")
    }

    /// Begins and waits for the end of the timed part; the process stays, and can be asked for another.
    pub(super) fn run(&mut self) -> Result<Timed> {
        self.begin()?;
        let line = self.lines.next(RUN_LIMIT)?;
        parse(&line).with_context(|| format!("read `{line}`"))
    }

    /// Sends a word and reads the line of JSON that answers it.
    pub(super) fn ask(&mut self, word: &str) -> Result<Value> {
        self.node.tell(word)?;
        let line = self.lines.next(RUN_LIMIT)?;
        serde_json::from_str(&line).with_context(|| format!("read `{line}`"))
    }

    /// Lets the program end by itself, so that it removes its files.
    pub(super) fn finish(mut self) -> Result<()> {
        self.node.close_input();
        self.node.wait()
    }
}

fn parse(line: &str) -> Result<Timed> {
    let value: Value = serde_json::from_str(line)?;
    Ok(Timed {
        ops: number(&value, "ops")?,
        seconds: number(&value, "seconds")?,
        cpu_seconds: number(&value, "cpu_seconds")?,
    })
}

/// The value of a key of an answer.
pub(super) fn number(answer: &Value, key: &str) -> Result<f64> {
    answer.get(key).and_then(Value::as_f64).with_context(|| format!("`{key}` is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timed_line_is_parsed() {
        let timed = parse(r#"{"ops":20000,"seconds":0.25,"cpu_seconds":0.5}"#).unwrap();
        assert_eq!((timed.ops, timed.seconds, timed.cpu_seconds), (20000.0, 0.25, 0.5));
    }

    #[test]
    fn other_lines_are_refused() {
        assert!(parse("READY").is_err());
        assert!(parse(r#"{"ops":1}"#).is_err());
    }
}
