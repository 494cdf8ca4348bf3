//! A Node program that is talked with line by line. Every answer has a deadline; what a failure shows is what was said so far.

use std::io::Write as _;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::harness::{ANSWER_LIMIT, EXIT_LIMIT, state_of};
use crate::program::Program;

/// A Node program that waits for the word before each step.
#[derive(Debug)]
pub(crate) struct Scenario {
    program: Program,
    n_read: usize,
    ready: Value,
}

impl Scenario {
    /// It may not be ready yet.
    pub(crate) fn start(command: Command, name: &str) -> Self {
        Self { program: Program::start(command, name), n_read: 0, ready: Value::Null }
    }

    pub(crate) fn when_ready(mut self) -> Self {
        self.ready = self.answer();
        self
    }

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

    /// It was neither stopped nor is it traced. Asked when nobody looks at its heap any more: that holds it for a moment.
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
