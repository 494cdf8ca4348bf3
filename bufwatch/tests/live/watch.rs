//! A bufwatch that runs, and what it has printed. Every wait is for a condition and has a deadline.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;
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
            parts_of_rss::assert_sums(&self.program.stdout.so_far());
        }
    }
}

impl Watch {
    pub(crate) fn start(command: Command) -> Self {
        Self { program: Program::start(command, "bufwatch"), recorded: None }
    }

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
