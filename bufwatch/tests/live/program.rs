//! A program that a test has started, and the lines that it prints; it ends with the test. What the lines mean is not known here.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{EXIT_LIMIT, holds_within, now};

/// A started program with the lines that it has printed so far.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) name: String,
    pub(crate) stdout: Arc<Output>,
    pub(crate) stderr: Arc<Output>,
}

#[derive(Debug, Default)]
pub(crate) struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<String>,
    is_closed: bool,
}

impl Program {
    pub(crate) fn start(mut command: Command, name: &str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Output::collect(child.stdout.take().unwrap());
        let stderr = Output::collect(child.stderr.take().unwrap());
        Self { child, name: name.to_owned(), stdout, stderr }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        holds_within(limit, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("{} does not end{}", self.name, self.said()))
    }

    /// What a failure shows: the end of both outputs.
    pub(crate) fn said(&self) -> String {
        let last = |output: &Output| {
            let lines = &output.lines.lock().unwrap().lines;
            lines[lines.len().saturating_sub(5)..].join("\n")
        };
        format!("; stdout:\n{}\nstderr:\n{}", last(&self.stdout), last(&self.stderr))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and was waited for.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Output {
    fn collect(pipe: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let writer = Arc::clone(&output);
        let read = move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                writer.lines.lock().unwrap().lines.push(line);
                writer.changed.notify_all();
            }
            writer.lines.lock().unwrap().is_closed = true;
            writer.changed.notify_all();
        };
        // It ends with the pipe, and the pipe with the program.
        drop(thread::Builder::new().name("read output".to_owned()).spawn(read).unwrap());
        output
    }

    /// Waits until `find` finds something in the lines so far; none at the deadline or the end.
    pub(crate) fn wait_for<T>(
        &self,
        limit: Duration,
        mut find: impl FnMut(&[String]) -> Option<T>,
    ) -> Option<T> {
        let start = now();
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = find(&lines.lines) {
                return Some(found);
            }
            let left = limit.checked_sub(start.elapsed())?;
            if lines.is_closed {
                return None;
            }
            lines = self.changed.wait_timeout(lines, left).unwrap().0;
        }
    }

    pub(crate) fn n_lines(&self) -> usize {
        self.lines.lock().unwrap().lines.len()
    }

    /// What was printed until now.
    pub(crate) fn so_far(&self) -> Vec<String> {
        self.lines.lock().unwrap().lines.clone()
    }

    pub(crate) fn text(&self) -> String {
        self.wait_for(EXIT_LIMIT, |_| None::<()>);
        self.lines.lock().unwrap().lines.join("\n")
    }
}
