//! What is attached to a workload while it is measured: bufwatch, or bpftrace on malloc and free as
//! the tool that people use otherwise. Also what a tracer itself costs, read from /proc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use nix::unistd::{SysconfVar, sysconf};
use serde_json::Value;

use crate::clock;
use crate::process::{Lines, Running, bound_to_us};
use crate::workspace::Workspace;

/// Attaching takes 45 ms; bpftrace compiles its program first.
const ATTACH_LIMIT: Duration = Duration::from_mins(1);

/// Counting bytes by stack is what the usual leak hunting scripts do. The interval fires after all
/// probes are attached.
const BPFTRACE_SCRIPT: &str = "
uprobe:LIBC:malloc { @size[tid] = arg0; }
uprobe:LIBC:calloc { @size[tid] = arg0 * arg1; }
uretprobe:LIBC:malloc, uretprobe:LIBC:calloc /@size[tid]/ {
    @bytes[ustack(16)] = sum(@size[tid]); @live[retval] = @size[tid]; delete(@size[tid]);
}
uprobe:LIBC:free /@live[arg0]/ { delete(@live[arg0]); }
interval:s:1 { printf(\"READY\\n\"); }
END { clear(@size); clear(@live); clear(@bytes); }
";

/// A tracer attached to a process.
#[derive(Debug)]
pub(super) struct Tracer {
    process: Running,
    lines: Lines,
}

impl Tracer {
    /// bufwatch without a screen; it is attached when a sample has numbers of stores.
    pub(super) fn bufwatch(workspace: &Workspace, target: u32) -> Result<Self> {
        Self::bufwatch_with(workspace, target, &[])
    }

    pub(super) fn bufwatch_with(workspace: &Workspace, target: u32, more: &[&str]) -> Result<Self> {
        let mut command = bound_to_us(workspace.bufwatch(), Signal::SIGTERM);
        command.args(["--pid", &target.to_string(), "--headless", "--json"]).args(more);
        Self::start(command, "bufwatch")
    }

    /// bufwatch with the same probes and programs that do nothing: what no tracer with uprobes can be below.
    pub(super) fn empty_probes(workspace: &Workspace, target: u32) -> Result<Self> {
        let mut command = bound_to_us(workspace.bufwatch(), Signal::SIGTERM);
        command.args(["--pid", &target.to_string(), "--headless", "--json", "--empty-probes"]);
        Self::start(command, "bufwatch with empty probes")
    }

    pub(super) fn bpftrace(target: u32) -> Result<Self> {
        let libc = libc_of(target)?;
        let script = BPFTRACE_SCRIPT.replace("LIBC", &libc.to_string_lossy());
        let mut command = bound_to_us("bpftrace", Signal::SIGTERM);
        command.args(["-p", &target.to_string(), "-e", &script]);
        // As many live blocks as the workloads have; the default of 4096 would skip most of the work.
        command.env("BPFTRACE_MAP_KEYS_MAX", "1000000").stderr(Stdio::null());
        Self::start(command, "bpftrace")
    }

    fn start(mut command: std::process::Command, name: &str) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Running::start(&mut command, name)?;
        let lines = process.lines()?;
        loop {
            let line = lines.next(ATTACH_LIMIT).with_context(|| format!("attach {name}"))?;
            if line == "READY" || counts_stores(&line) {
                return Ok(Self { process, lines });
            }
        }
    }

    pub(super) fn cost(&self) -> Result<Cost> {
        Cost::read(self.process.pid())
    }

    /// Share of one core that the tracer uses from now on, over `window`.
    pub(super) fn cpu_share(&self, window: Duration) -> Result<f64> {
        let before = self.cost()?;
        let start = clock::now();
        thread::sleep(window);
        let used = self.cost()?.cpu_seconds - before.cpu_seconds;
        Ok(used / start.elapsed().as_secs_f64())
    }

    /// Seconds that bufwatch's thread for looking at memory has run so far (/proc/PID/task/TID/schedstat, in nanoseconds).
    pub(super) fn looking_seconds(&self) -> Result<f64> {
        let tasks = format!("/proc/{}/task", self.process.pid());
        for task in fs::read_dir(&tasks).with_context(|| format!("read `{tasks}`"))? {
            let task = task?.path();
            if fs::read_to_string(task.join("comm"))?.trim() == "bw-sample" {
                let text = fs::read_to_string(task.join("schedstat"))?;
                let nanos = text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
                return Ok(nanos.context("schedstat has no time")? / 1e9);
            }
        }
        anyhow::bail!("bufwatch has no thread bw-sample")
    }

    /// Reads samples until one says that so many stores are live.
    pub(super) fn wait_for_live_stores(&self, n_live: u64) -> Result<()> {
        loop {
            let line = self.lines.next(ATTACH_LIMIT)?;
            let sample: Value =
                serde_json::from_str(&line).with_context(|| format!("read `{line}`"))?;
            let seen = sample.pointer("/stores/n_live").and_then(Value::as_u64);
            if seen.is_some_and(|seen| seen >= n_live) {
                return Ok(());
            }
        }
    }

    /// Detaches; returns the last sample if it was one.
    pub(super) fn stop(mut self) -> Option<Value> {
        self.process.stop(Signal::SIGINT);
        let last = self.lines.last(Duration::from_secs(1))?;
        serde_json::from_str(&last).ok()
    }
}

/// Until the probes are in place, a sample has no numbers of stores.
fn counts_stores(line: &str) -> bool {
    serde_json::from_str::<Value>(line)
        .is_ok_and(|sample| sample.get("stores").is_some_and(Value::is_object))
}

/// The number of events that a bufwatch sample says were lost.
pub(super) fn lost_events(sample: &Value) -> Option<u64> {
    sample.get("lost")?.get("events")?.as_u64()
}

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cost {
    /// In user space and in the kernel.
    pub(super) cpu_seconds: f64,
    pub(super) rss_bytes: u64,
}

impl Cost {
    pub(super) fn read(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| format!("read `{path}`"))?;
        let unit = |variable, default| {
            sysconf(variable).ok().flatten().and_then(|n| u64::try_from(n).ok()).unwrap_or(default)
        };
        let ticks = unit(SysconfVar::CLK_TCK, 100);
        let page = unit(SysconfVar::PAGE_SIZE, 4096);
        parse_stat(&text, ticks, page).with_context(|| format!("understand `{path}`"))
    }
}

/// Fields are counted behind the name, which may contain anything.
fn parse_stat(text: &str, ticks_per_second: u64, page_bytes: u64) -> Option<Cost> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let field = |n: usize| fields.get(n)?.parse::<u64>().ok();
    let ticks = field(11)? + field(12)?;
    Some(Cost {
        cpu_seconds: ticks as f64 / ticks_per_second as f64,
        rss_bytes: field(21)? * page_bytes,
    })
}

/// The C library that the target has mapped.
fn libc_of(pid: u32) -> Result<PathBuf> {
    let path = format!("/proc/{pid}/maps");
    let maps = fs::read_to_string(&path).with_context(|| format!("read `{path}`"))?;
    maps.lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .map(Path::new)
        .find(|file| file.file_name().is_some_and(|name| name == "libc.so.6"))
        .map(Path::to_path_buf)
        .context("the target maps no libc.so.6")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_hostile_name() {
        let text = "7 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 1 0 99 1000 3 0";
        let cost = parse_stat(text, 100, 4096).unwrap();
        assert_eq!(cost, Cost { cpu_seconds: 2.0, rss_bytes: 3 * 4096 });
    }

    #[test]
    fn own_cost_can_be_read() {
        assert!(Cost::read(std::process::id()).unwrap().rss_bytes > 0);
        assert!(libc_of(std::process::id()).unwrap().is_file());
    }

    #[test]
    fn sample_without_numbers_is_not_attached() {
        assert!(counts_stores(r#"{"stores":{"n_live":0}}"#));
        assert!(!counts_stores(r#"{"stores":null}"#));
        assert!(!counts_stores("Attaching 6 probes..."));
    }

    #[test]
    fn lost_events_are_found() {
        let sample = serde_json::json!({"lost": {"events": 3}});
        assert_eq!(lost_events(&sample), Some(3));
        assert_eq!(lost_events(&Value::Null), None);
    }
}
