//! `bench self`: what bufwatch costs itself, namely processor time at 1,000 stores a second, memory at 100,000
//! live stores, and the time until a user sees the first full screen.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::NodeArgs;
use super::report::{self, Report};
use super::statistics::Spread;
use super::tracer::Tracer;
use super::workload::Workload;
use crate::process::{output, say};
use crate::workspace::Workspace;
use crate::{clock, debian};

const N_LIVE: u32 = 100_000;

/// Long against the tick of 10 ms in which the kernel counts processor time.
const CPU_WINDOW: Duration = Duration::from_secs(10);

const N_STARTS: u32 = 7;

const SCREEN_LIMIT: Duration = Duration::from_secs(20);

pub(super) fn run(workspace: &Workspace, args: &NodeArgs) -> Result<()> {
    let (window, n_live, n_starts) = if args.quick {
        (Duration::from_secs(2), N_LIVE / 100, 2)
    } else {
        (CPU_WINDOW, N_LIVE, N_STARTS)
    };
    let cpu = cpu_share(workspace, args, window)?;
    let rss_bytes = rss_with_live_stores(workspace, args, n_live)?;
    let screen = first_screens(workspace, args, n_starts);
    let mut table = String::from("| what | bar | measured |\n|---|---|---|\n");
    writeln!(
        table,
        "| own CPU at 1,000 stores of 64 KiB a second | < 2 % of a core | {:.2} % |",
        100.0 * cpu
    )?;
    writeln!(
        table,
        "| RSS with {n_live} live stores, created while attached | < 60 MiB | {:.1} MiB |",
        rss_bytes as f64 / 1_048_576.0
    )?;
    let screen = screen.map_or_else(|error| format!("not measured: {error:#}"), |s| s.to_string());
    writeln!(table, "| seconds from start to the first full screen | < 0.5 s | {screen} |")?;
    let report = Report {
        section: "self",
        command: if args.quick {
            "cargo xtask bench self --quick"
        } else {
            "cargo xtask bench self"
        },
        node: &args.node,
        has_bpftrace: false,
        table: &table,
    };
    report::publish(workspace, &report, !args.quick)
}

fn cpu_share(workspace: &Workspace, args: &NodeArgs, window: Duration) -> Result<f64> {
    say(format_args!("own CPU at 1,000 stores a second, {} s", window.as_secs()));
    let mut workload = Workload::start(workspace, &args.node, "steady", "0")?;
    let tracer = Tracer::bufwatch(workspace, workload.pid())?;
    workload.begin()?;
    let share = tracer.cpu_share(window)?;
    drop(tracer.stop());
    workload.finish()?;
    Ok(share)
}

/// The stores are made while bufwatch looks, so that it knows each with its site.
fn rss_with_live_stores(workspace: &Workspace, args: &NodeArgs, n_live: u32) -> Result<u64> {
    say(format_args!("own RSS with {n_live} live stores"));
    let mut workload = Workload::start(workspace, &args.node, "hold", &n_live.to_string())?;
    let tracer = Tracer::bufwatch(workspace, workload.pid())?;
    workload.run()?;
    tracer.wait_for_live_stores(u64::from(n_live))?;
    let rss_bytes = tracer.cost()?.rss_bytes;
    drop(tracer.stop());
    workload.finish()?;
    Ok(rss_bytes)
}

fn first_screens(workspace: &Workspace, args: &NodeArgs, n_starts: u32) -> Result<Spread> {
    debian::install(&["tmux"])?;
    let workload = Workload::start(workspace, &args.node, "steady", "0")?;
    let mut seconds = Vec::new();
    for start in 0..n_starts {
        say(format_args!("first full screen, start {}/{n_starts}", start + 1));
        seconds.push(first_screen(workspace, workload.pid(), start)?);
    }
    workload.finish()?;
    Spread::of(seconds).context("no start was measured")
}

/// Seconds until the dashboard in a terminal of its own shows how much memory the target has.
fn first_screen(workspace: &Workspace, target: u32, number: u32) -> Result<f64> {
    let tmux = Tmux::start(number)?;
    let bufwatch = workspace.bufwatch();
    let start = clock::now();
    tmux.call(&["send-keys", &format!("exec {} --pid {target}", bufwatch.display()), "Enter"])?;
    let seen = clock::wait_for(SCREEN_LIMIT, || {
        let screen = tmux.call(&["capture-pane", "-p"]).ok()?;
        shows_rss(&screen).then(|| start.elapsed().as_secs_f64())
    });
    match seen {
        Some(seconds) => Ok(seconds),
        None => bail!("no RSS on the screen after {} s", SCREEN_LIMIT.as_secs()),
    }
}

/// A line with the word and a number with a unit of bytes.
fn shows_rss(screen: &str) -> bool {
    screen.lines().filter_map(|line| line.split_once("RSS")).any(|(_, value)| {
        value.contains(|character: char| character.is_ascii_digit())
            && ["KiB", "MiB", "GiB", "kB", "MB", "GB"].iter().any(|unit| value.contains(unit))
    })
}

/// A terminal multiplexer with its own server, which ends with this value.
#[derive(Debug)]
struct Tmux {
    socket: String,
}

impl Tmux {
    /// A server that is just ending would refuse the next one on its socket: each has its own.
    fn start(number: u32) -> Result<Self> {
        let tmux = Self { socket: format!("bufwatch-bench-{}-{number}", std::process::id()) };
        tmux.call(&["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", "sh"])?;
        // The shell has to be up, or its start would be measured as well.
        clock::wait_for(SCREEN_LIMIT, || {
            let screen = tmux.call(&["capture-pane", "-p"]).ok()?;
            (!screen.trim().is_empty()).then_some(())
        })
        .context("the shell in tmux does not start")?;
        Ok(tmux)
    }

    fn call(&self, arguments: &[&str]) -> Result<String> {
        output(Command::new("tmux").args(["-L", &self.socket]).args(arguments))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // It fails only when the server has ended with its last program.
        drop(self.call(&["kill-server"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rss_is_seen_only_with_a_value() {
        assert!(shows_rss("│ RSS      412.3 MiB │"));
        assert!(!shows_rss("│ RSS      … │"));
        assert!(!shows_rss("$ exec bufwatch --pid 12"));
    }
}
