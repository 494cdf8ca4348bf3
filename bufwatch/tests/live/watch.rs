//! A bufwatch that runs, and what it has printed. Every wait is for a condition and has a deadline.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use crate::harness::{EXIT_LIMIT, SAMPLE_LIMIT, bound_to_us};
use crate::parts_of_rss;
use crate::program::Program;
use crate::recordings;
use crate::sample::Sample;

/// A bufwatch that was started, with the samples it has printed so far.
#[derive(Debug)]
pub(crate) struct Watch {
    program: Program,
    /// Of RSS, how much need not be explained; what is usual if it is not said.
    unexplained_max: Option<f64>,
    /// The bufwatch that replays, and where `a.bufwatch` is.
    pub(crate) recorded: Option<(PathBuf, TempDir)>,
}

impl Drop for Watch {
    /// Whatever a test is about: what bufwatch said of RSS while it ran adds up.
    fn drop(&mut self) {
        if !thread::panicking() {
            if let Some((bufwatch, folder)) = self.recorded.take() {
                self.assert_replays(&bufwatch, &folder.path().join("a.bufwatch"));
            }
            parts_of_rss::assert_sums(&self.program.stdout.so_far(), self.unexplained_max);
        }
    }
}

impl Watch {
    pub(crate) fn start(command: Command) -> Self {
        let program = Program::start(command, "bufwatch");
        Self { program, unexplained_max: None, recorded: None }
    }

    /// Of a program that changes all the time, so that the parts are not of one moment.
    pub(crate) fn with_unexplained(mut self, share: f64) -> Self {
        self.unexplained_max = Some(share);
        self
    }

    /// Ends it, if it has not ended.
    fn assert_replays(&mut self, bufwatch: &Path, file: &Path) {
        if !self.has_ended() {
            self.signal(Signal::SIGINT);
        }
        self.wait_for_exit();
        let mut command = bound_to_us(bufwatch);
        command.args(["replay", file.to_str().unwrap(), "--headless", "--json"]);
        let mut replay = Self::start(command);
        assert_eq!(replay.wait_for_exit(), Some(0), "{}", replay.stderr());
        recordings::assert_same_tables(&self.last_sample(), &replay.last_sample());
    }

    /// The first sample that is printed from now on, or was the last one, and fits.
    pub(crate) fn wait_for_sample(&self, what: &str, fits: impl Fn(&Sample) -> bool) -> Sample {
        self.wait_for_sample_within(SAMPLE_LIMIT, what, fits)
    }

    /// The same for what takes its time.
    pub(crate) fn wait_for_sample_within(
        &self,
        limit: Duration,
        what: &str,
        fits: impl Fn(&Sample) -> bool,
    ) -> Sample {
        let n_old = self.n_samples().saturating_sub(1);
        let found = self.program.stdout.wait_for(limit, |lines| {
            lines.iter().skip(n_old).map(|line| Sample::parse(line)).find(|sample| fits(sample))
        });
        found.unwrap_or_else(|| {
            panic!("bufwatch prints no sample with {what}{}", self.program.said())
        })
    }

    /// A sample of which all that is in it was read after this call. A sample is printed as often as it takes until there is a newer one,
    /// and what is read for one is read before its time: so it is the second of those whose times are later than this.
    pub(crate) fn next_sample(&self) -> Sample {
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap();
        let now = u64::try_from(Duration::from(now).as_nanos()).unwrap();
        let time = |sample: &Sample| sample.value()["t_ns"].as_u64().unwrap_or(0);
        let n_known = self.n_samples();
        let found = self.program.stdout.wait_for(SAMPLE_LIMIT, |lines| {
            let mut later = lines.iter().skip(n_known).map(|line| Sample::parse(line));
            let first = time(&later.find(|sample| time(sample) > now)?);
            later.find(|sample| time(sample) > first)
        });
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
