//! Starts Node scenarios and bufwatch, talks with them line by line, and stops them whatever happens.
//! Every wait is for a condition and has a deadline; what a failure shows is what was seen so far.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde_json::Value;
use tempfile::TempDir;

use crate::parts_of_rss;
use crate::program::Program;
use crate::recordings;
use crate::sample::Sample;

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
        let mut scenario = self.starting(environment, name, args);
        scenario.ready = scenario.answer();
        assert_eq!(scenario.ready["ready"], true, "{name} said {}", scenario.ready);
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
        let program = Program::start(command, name);
        Scenario { program, n_read: 0, ready: Value::Null }
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
        let program = Program::start(command, name);
        let mut scenario = Scenario { program, n_read: 0, ready: Value::Null };
        scenario.ready = scenario.answer();
        scenario
    }

    /// `bufwatch run` of a scenario, both in the same namespaces.
    pub(crate) fn run_unshared(&self, namespaces: &[&str], name: &str, record: &str) -> Watch {
        let script = scenario_path(name);
        let mut command = bound_to_us(Path::new("unshare"));
        command.args(namespaces).arg("--").arg(&self.bufwatch);
        command.args(["run", "--headless", "--json", "--interval", INTERVAL]);
        command.args(["--record", record, "--"]).arg(&self.node).arg(script);
        Watch { program: Program::start(command, "bufwatch"), recorded: None }
    }

    /// A scenario that belongs to an ordinary user, ready to be told to go.
    pub(crate) fn scenario_of_nobody(&self, name: &str, args: &[&str]) -> Scenario {
        let script = scenario_path(name);
        let mut command = of_nobody(&self.node);
        command.arg("--expose-gc").arg(script).args(args);
        let mut scenario =
            Scenario { program: Program::start(command, name), n_read: 0, ready: Value::Null };
        scenario.ready = scenario.answer();
        scenario
    }

    /// Starts bufwatch as an ordinary user, who may not load BPF programs.
    pub(crate) fn bufwatch_of_nobody<A: AsRef<OsStr>>(&self, args: &[A]) -> Watch {
        let mut command = of_nobody(&self.bufwatch);
        command.args(args);
        command.env_remove("BUFWATCH_ADDON").envs(addon().map(|path| ("BUFWATCH_ADDON", path)));
        Watch { program: Program::start(command, "bufwatch"), recorded: None }
    }

    /// As root without one of its capabilities.
    pub(crate) fn bufwatch_without<A: AsRef<OsStr>>(&self, capability: &str, args: &[A]) -> Watch {
        let mut command = Command::new("setpriv");
        let set = format!("--bounding-set=-{capability}");
        command.args([&set, "--pdeathsig", "KILL", "--"]).arg(&self.bufwatch).args(args);
        Watch { program: Program::start(command, "bufwatch"), recorded: None }
    }

    /// Starts bufwatch with any arguments.
    pub(crate) fn bufwatch<A: AsRef<OsStr>>(&self, args: &[A]) -> Watch {
        Watch { program: self.program(args), recorded: None }
    }

    /// The same with a log on stderr.
    pub(crate) fn bufwatch_logging<A: AsRef<OsStr>>(&self, filter: &str, args: &[A]) -> Watch {
        let mut command = bound_to_us(&self.bufwatch);
        command.env("BUFWATCH_LOG", filter).args(args);
        Watch { program: Program::start(command, "bufwatch"), recorded: None }
    }

    /// Starts bufwatch, of which nobody expects samples.
    pub(crate) fn program<A: AsRef<OsStr>>(&self, args: &[A]) -> Program {
        let mut command = bound_to_us(&self.bufwatch);
        command.args(args);
        Program::start(command, "bufwatch")
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

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The kernel kills the program when the test's thread is gone, however it went.
fn bound_to_us(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
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

/// A Node program that waits for the word before each step.
#[derive(Debug)]
pub(crate) struct Scenario {
    program: Program,
    n_read: usize,
    ready: Value,
}

impl Scenario {
    pub(crate) fn pid(&self) -> u32 {
        self.program.child.id()
    }

    /// What it said when it was ready.
    pub(crate) fn ready(&self) -> &Value {
        &self.ready
    }

    /// Sends a line and returns what the scenario says about it.
    pub(crate) fn tell(&mut self, line: &str) -> Value {
        self.send(line);
        self.answer()
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.program.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn answer(&mut self) -> Value {
        let n_read = self.n_read;
        let line = self.program.stdout.wait_for(ANSWER_LIMIT, |lines| lines.get(n_read).cloned());
        let Some(line) = line else {
            panic!("{} does not answer{}", self.program.name, self.program.said());
        };
        self.n_read += 1;
        serde_json::from_str(&line).unwrap()
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.program.stdout.n_lines() > self.n_read
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    pub(crate) fn kill(&mut self) {
        self.program.signal(Signal::SIGKILL);
        self.program.wait(EXIT_LIMIT);
    }

    pub(crate) fn wait_for_exit(&mut self) -> Option<i32> {
        self.program.wait(EXIT_LIMIT).code()
    }

    /// It was neither stopped nor is it traced.
    pub(crate) fn assert_lives(&self) {
        let state = state_of(self.pid());
        assert!(!matches!(state, None | Some('T' | 't' | 'Z')), "the target is in {state:?}");
    }

    /// The target must run on: neither stopped nor traced, and able to answer.
    pub(crate) fn assert_runs(&mut self) {
        self.assert_lives();
        let answer = self.tell("alloc 1 65536");
        assert!(answer["n_live"].as_u64() > Some(0), "{answer}");
    }
}

/// A bufwatch that was started, with the samples it has printed so far.
#[derive(Debug)]
pub(crate) struct Watch {
    program: Program,
    /// The bufwatch that replays, and where `a.bufwatch` is.
    recorded: Option<(PathBuf, TempDir)>,
}

impl Drop for Watch {
    /// Whatever a test is about: what bufwatch said of RSS while it ran adds up.
    fn drop(&mut self) {
        if !thread::panicking() {
            if let Some((bufwatch, folder)) = self.recorded.take() {
                self.assert_replays(&bufwatch, &folder.path().join("a.bufwatch"));
            }
            parts_of_rss::assert_sums(&self.program.stdout.so_far());
        }
    }
}

impl Watch {
    /// Ends it, if it has not ended.
    fn assert_replays(&mut self, bufwatch: &Path, file: &Path) {
        if !self.has_ended() {
            self.signal(Signal::SIGINT);
        }
        self.wait_for_exit();
        let mut command = bound_to_us(bufwatch);
        command.args(["replay", file.to_str().unwrap(), "--headless", "--json"]);
        let mut replay = Self { program: Program::start(command, "replay"), recorded: None };
        assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
        recordings::assert_same_tables(&self.last_sample(), &replay.last_sample());
    }

    /// The first sample that is printed from now on, or was the last one, and fits.
    pub(crate) fn wait_for_sample(&self, what: &str, fits: impl Fn(&Sample) -> bool) -> Sample {
        let n_old = self.n_samples().saturating_sub(1);
        let found = self.program.stdout.wait_for(SAMPLE_LIMIT, |lines| {
            lines.iter().skip(n_old).map(|line| Sample::parse(line)).find(|sample| fits(sample))
        });
        found.unwrap_or_else(|| {
            panic!("bufwatch prints no sample with {what}{}", self.program.said())
        })
    }

    /// A sample that was taken after this call.
    pub(crate) fn next_sample(&self) -> Sample {
        // The one after next: the next may have been taken already and not yet printed.
        let n_known = self.n_samples();
        let found = self
            .program
            .stdout
            .wait_for(SAMPLE_LIMIT, |lines| lines.get(n_known + 1).map(|line| Sample::parse(line)));
        found.unwrap_or_else(|| panic!("bufwatch prints no more samples{}", self.program.said()))
    }

    /// All that were printed until now.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.program.stdout.so_far().iter().map(|line| Sample::parse(line)).collect()
    }

    fn n_samples(&self) -> usize {
        self.program.stdout.n_lines()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for the end and returns the exit code; a signal has none.
    pub(crate) fn wait_for_exit(&mut self) -> Option<i32> {
        self.program.wait(EXIT_LIMIT).code()
    }

    /// Of bufwatch.
    pub(crate) fn pid(&self) -> u32 {
        self.program.child.id()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.program.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn stdout(&self) -> String {
        self.program.stdout.text()
    }

    pub(crate) fn stderr(&self) -> String {
        self.program.stderr.text()
    }

    /// What it has said until now.
    pub(crate) fn stderr_so_far(&self) -> String {
        self.program.stderr.so_far().join("\n")
    }

    /// Waits until it, or a program that it started, says something on stderr.
    pub(crate) fn wait_for_word(&self, word: &str) {
        let has_said =
            |lines: &[String]| lines.iter().any(|line| line.contains(word)).then_some(());
        let found = self.program.stderr.wait_for(SAMPLE_LIMIT, has_said);
        assert!(found.is_some(), "`{word}` is not said{}", self.program.said());
    }

    /// Sends a line to the program that it started.
    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.program.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// That program has no more to expect.
    pub(crate) fn close_stdin(&mut self) {
        drop(self.program.child.stdin.take());
    }

    /// After the end: the last sample.
    pub(crate) fn last_sample(&self) -> Sample {
        let text = self.stdout();
        Sample::parse(text.lines().next_back().unwrap_or_default())
    }
}
