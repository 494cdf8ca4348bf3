//! Starts Node scenarios and bufwatch, in the ways that tests need, and stops them whatever happens. Talking with them is the part of
//! `scenario` and `watch`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::Uid;

use crate::program::Program;
use crate::sample::Sample;
pub(crate) use crate::scenario::Scenario;
pub(crate) use crate::watch::Watch;

/// A scenario's answer to a step; the longest one collects garbage until everything dropped is dead.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(40);

/// From the start of bufwatch to its first sample, or from a change of the target to the sample that
/// shows it.
pub(crate) const SAMPLE_LIMIT: Duration = Duration::from_secs(15);

/// A program that was asked to end.
pub(crate) const EXIT_LIMIT: Duration = Duration::from_secs(10);

/// Of the clock in which the kernel tells when a program began, and one more for rounding.
const TICK: Duration = Duration::from_millis(20);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How often bufwatch prints, in seconds.
const INTERVAL: &str = "0.1";

/// What the tests run with.
#[derive(Debug)]
pub(crate) struct Lab {
    bufwatch: PathBuf,
    node: PathBuf,
    version: String,
}

/// Runs a check on one major version of Node, or says why not.
pub(crate) fn with_node(major: &str, check: fn(&Lab)) {
    match Lab::new(major) {
        Ok(lab) => check(&lab),
        Err(reason) => println!("skipped: {reason}"),
    }
}

/// Runs a check on one version, for what does not depend on it.
pub(crate) fn with_any_node(check: fn(&Lab)) {
    with_node("24", check);
}

impl Lab {
    fn new(major: &str) -> Result<Self, String> {
        if !Uid::effective().is_root() {
            return Err("only root may attach probes".to_owned());
        }
        if cfg!(bufwatch_no_ebpf) {
            return Err("bufwatch was built without its eBPF programs".to_owned());
        }
        let folder = from_env("BUFWATCH_NODES", || workspace().join(".tools/node"));
        let versions = fs::read_dir(&folder).map_err(|error| {
            format!("no Node in `{}` ({error}): run `cargo xtask setup`", folder.display())
        })?;
        let prefix = format!("{major}.");
        versions
            .flatten()
            .filter(|entry| entry.path().join("node").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|version| version.starts_with(&prefix))
            .map(|version| Self {
                bufwatch: from_env("BUFWATCH_BIN", || env!("CARGO_BIN_EXE_bufwatch").into()),
                node: folder.join(&version).join("node"),
                version,
            })
            .ok_or_else(|| format!("no Node {major} in `{}`", folder.display()))
    }

    pub(crate) fn node(&self) -> &str {
        self.node.to_str().unwrap()
    }

    pub(crate) fn bufwatch_path(&self) -> &Path {
        &self.bufwatch
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Runs a script that writes files into a folder, and waits until they are older than any program started from now
    /// on: the kernel counts start times in ticks of 10 ms.
    pub(crate) fn write_files(&self, script: &str, folder: &Path) {
        let mut command = bound_to_us(&self.node);
        command.arg(scenario_path(script)).arg(folder);
        let status = Program::start(command, script).wait(ANSWER_LIMIT);
        assert!(status.success(), "{script} ended with {status}");
        let written = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let is_older = || SystemTime::UNIX_EPOCH.elapsed().unwrap() > written + TICK;
        assert!(holds_within(SAMPLE_LIMIT, is_older), "the clock stands still");
    }

    /// Starts a scenario and waits until it is ready to be told to go.
    pub(crate) fn scenario(&self, name: &str, args: &[&str]) -> Scenario {
        self.scenario_in(&[], name, args)
    }

    /// The same with variables of the environment.
    pub(crate) fn scenario_in(
        &self,
        environment: &[(&str, &str)],
        name: &str,
        args: &[&str],
    ) -> Scenario {
        let scenario = self.starting(environment, name, args).when_ready();
        assert_eq!(scenario.ready()["ready"], true, "{name} said {}", scenario.ready());
        scenario
    }

    /// A scenario that has said nothing yet; its process may still be on its way to become Node.
    pub(crate) fn starting(
        &self,
        environment: &[(&str, &str)],
        name: &str,
        args: &[&str],
    ) -> Scenario {
        let script = scenario_path(name);
        let mut command = bound_to_us(&self.node);
        command.arg("--expose-gc").arg(script).args(args).envs(environment.iter().copied());
        let express = from_env("BUFWATCH_EXPRESS", || workspace().join(".tools/express"));
        if express.join("node_modules/express").is_dir() {
            command.env("BUFWATCH_EXPRESS", express);
        } else {
            command.env_remove("BUFWATCH_EXPRESS");
        }
        command.env_remove("BUFWATCH_ADDON").envs(addon().map(|path| ("BUFWATCH_ADDON", path)));
        Scenario::start(command, name)
    }

    /// A scenario in namespaces of its own, as `unshare` (util-linux) makes them; its process is the child of the one that is started.
    pub(crate) fn scenario_unshared(
        &self,
        namespaces: &[&str],
        name: &str,
        args: &[&str],
    ) -> Scenario {
        let script = scenario_path(name);
        let mut command = bound_to_us(Path::new("unshare"));
        command
            .args(namespaces)
            .arg("--")
            .arg(&self.node)
            .arg("--expose-gc")
            .arg(script)
            .args(args);
        Scenario::start(command, name).when_ready()
    }

    /// `bufwatch run` of a scenario, both in the same namespaces.
    pub(crate) fn run_unshared(&self, namespaces: &[&str], name: &str, record: &str) -> Watch {
        let script = scenario_path(name);
        let mut command = bound_to_us(Path::new("unshare"));
        command.args(namespaces).arg("--").arg(&self.bufwatch);
        command.args(["run", "--headless", "--json", "--interval", INTERVAL]);
        command.args(["--record", record, "--"]).arg(&self.node).arg(script);
        Watch::start(command)
    }

    /// A scenario that belongs to an ordinary user, ready to be told to go.
    pub(crate) fn scenario_of_nobody(&self, name: &str, args: &[&str]) -> Scenario {
        let script = scenario_path(name);
        let mut command = of_nobody(&self.node);
        command.arg("--expose-gc").arg(script).args(args);
        Scenario::start(command, name).when_ready()
    }

    /// Starts bufwatch as an ordinary user, who may not load BPF programs.
    pub(crate) fn bufwatch_of_nobody<A: AsRef<OsStr>>(&self, args: &[A]) -> Watch {
        let mut command = of_nobody(&self.bufwatch);
        command.args(args);
        command.env_remove("BUFWATCH_ADDON").envs(addon().map(|path| ("BUFWATCH_ADDON", path)));
        Watch::start(command)
    }

    /// As root without one of its capabilities.
    pub(crate) fn bufwatch_without<A: AsRef<OsStr>>(&self, capability: &str, args: &[A]) -> Watch {
        let mut command = Command::new("setpriv");
        let set = format!("--bounding-set=-{capability}");
        command.args([&set, "--pdeathsig", "KILL", "--"]).arg(&self.bufwatch).args(args);
        Watch::start(command)
    }

    /// Starts bufwatch with any arguments.
    pub(crate) fn bufwatch<A: AsRef<OsStr>>(&self, args: &[A]) -> Watch {
        Watch::start(self.command(args))
    }

    /// The same with a log on stderr.
    pub(crate) fn bufwatch_logging<A: AsRef<OsStr>>(&self, filter: &str, args: &[A]) -> Watch {
        let mut command = self.command(args);
        command.env("BUFWATCH_LOG", filter);
        Watch::start(command)
    }

    /// Starts bufwatch, of which nobody expects samples.
    pub(crate) fn program<A: AsRef<OsStr>>(&self, args: &[A]) -> Program {
        Program::start(self.command(args), "bufwatch")
    }

    fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = bound_to_us(&self.bufwatch);
        command.args(args);
        command
    }

    /// Attaches a headless bufwatch to a process and waits for its first sample.
    pub(crate) fn attach(&self, pid: u32, more: &[&str]) -> Watch {
        self.attach_printing(INTERVAL, pid, more)
    }

    /// The same with another time between samples, for tests whose samples are large.
    pub(crate) fn attach_printing(&self, interval: &str, pid: u32, more: &[&str]) -> Watch {
        let pid = pid.to_string();
        let mut args = vec!["--pid", &pid, "--headless", "--json", "--interval", interval];
        args.extend(more);
        let watch = self.bufwatch(&args);
        watch.wait_for_sample("the probes in place", Sample::is_counting);
        watch
    }

    /// Records beside, and compares when the watch is dropped: what the session said last is what a replay of its recording says.
    pub(crate) fn attach_recorded(&self, interval: &str, pid: u32, more: &[&str]) -> Watch {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.bufwatch");
        let recorded = ["--record", file.to_str().unwrap()];
        let mut watch = self.attach_printing(interval, pid, &[more, &recorded].concat());
        watch.recorded = Some((self.bufwatch.clone(), folder));
        watch
    }
}

/// The native addon, if it was built.
pub(crate) fn addon() -> Option<PathBuf> {
    let path = from_env("BUFWATCH_ADDON", || workspace().join(".tools/addon/external.node"));
    path.is_file().then_some(path)
}

fn from_env(name: &str, default: impl FnOnce() -> PathBuf) -> PathBuf {
    env::var_os(name).map_or_else(default, PathBuf::from)
}

/// A script of `scenarios`.
pub(crate) fn scenario_path(name: &str) -> PathBuf {
    workspace().join("bufwatch/tests/live/scenarios").join(name)
}

pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The kernel kills the program when the test's thread is gone, however it went.
pub(crate) fn bound_to_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The only child of a process that has one.
pub(crate) fn child_of(pid: u32) -> u32 {
    let mut child = None;
    holds_within(EXIT_LIMIT, || {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        child = text.ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
        child.is_some()
    });
    child.unwrap()
}

/// The same as the user `nobody`, without any capability or group.
fn of_nobody(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let who = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    command.args(who).args(["--pdeathsig", "KILL", "--"]).arg(program);
    // Plans are kept below it.
    command.env_remove("HOME").env_remove("XDG_CACHE_HOME");
    command
}

#[expect(clippy::disallowed_methods, reason = "deadlines of tests are real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Looks until a condition holds; false when it does not in time.
pub(crate) fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = now();
    while !condition() {
        if start.elapsed() > limit {
            return false;
        }
        thread::sleep(POLL_INTERVAL);
    }
    true
}

/// The letter of a process's state in /proc; none when there is no such process.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
