//! Programs that xtask starts: to completion, or in the background with the promise that they end
//! when xtask ends. What the programs mean is the business of the callers.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

use crate::clock;

/// How long a program may take to end after it was asked to, before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Talk goes to stderr; stdout is left to the programs that are run.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    let line = writeln!(io::stderr().lock(), "xtask: {message}");
    // A closed stderr leaves nobody to tell.
    drop(line);
}

/// Runs a program to its end with inherited streams; a failure names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let text = describe(command);
    let status = command.status().with_context(|| format!("start `{text}`"))?;
    if !status.success() {
        bail!("`{text}` ended with {status}");
    }
    Ok(())
}

/// Runs a program quietly and returns what it printed; a failure carries its stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let text = describe(command);
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("start `{text}`"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("");
        bail!("`{text}` ended with {}: {last}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it, for messages.
fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// The first executable of that name in a list of folders as in PATH.
pub(crate) fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path).map(|folder| folder.join(name)).find(|file| is_executable(file))
}

pub(crate) fn has_program(name: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| find_program(name, &path).is_some())
}

fn is_executable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

pub(crate) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// A command whose process is sent `signal` by the kernel when the thread that started it is gone,
/// so that also a killed xtask leaves nothing running. `setpriv` becomes the program by exec: the
/// pid is the program's.
pub(crate) fn bound_to_us(program: impl AsRef<OsStr>, signal: Signal) -> Command {
    if !has_program("setpriv") {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal.as_str().trim_start_matches("SIG"), "--"]).arg(program);
    command
}

/// A started program that is stopped when this value goes.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    name: String,
}

impl Running {
    pub(crate) fn start(command: &mut Command, name: &str) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { child, name: name.to_owned() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines that the program prints from now on; its stdout must be a pipe.
    pub(crate) fn lines(&mut self) -> Result<Lines> {
        let stdout = self.child.stdout.take();
        let stdout = stdout.with_context(|| format!("the stdout of {} is no pipe", self.name))?;
        Lines::read(stdout, &self.name)
    }

    /// Sends a line to the program; its stdin must be a pipe.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let stdin: &mut ChildStdin =
            self.child.stdin.as_mut().with_context(|| format!("{} takes no input", self.name))?;
        writeln!(stdin, "{line}").with_context(|| format!("write to {}", self.name))
    }

    /// The program reads the end of its input.
    pub(crate) fn close_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for the program to end by itself; a failure of it is an error.
    pub(crate) fn wait(&mut self) -> Result<()> {
        let status = self.child.wait().with_context(|| format!("wait for {}", self.name))?;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// Asks the program to end and waits for it; kills it when it takes too long.
    pub(crate) fn stop(&mut self, signal: Signal) {
        let asked = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
        let is_gone = || (!self.is_running()).then_some(());
        if asked.is_err() || clock::wait_for(STOP_LIMIT, is_gone).is_none() {
            self.kill();
        }
    }

    fn kill(&mut self) {
        // Both fail only for a process that is already gone and reaped.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill();
        }
    }
}

/// Lines of a pipe, read by a thread so that waiting for one can have a limit.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: mpsc::Receiver<String>,
    name: String,
}

impl Lines {
    fn read(pipe: impl Read + Send + 'static, name: &str) -> Result<Self> {
        let (sender, lines) = mpsc::channel();
        let reader = thread::Builder::new().name(format!("read {name}")).spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(io::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        // The thread ends with the pipe, and the pipe with the program.
        drop(reader.with_context(|| format!("start the reader of {name}"))?);
        Ok(Self { lines, name: name.to_owned() })
    }

    pub(crate) fn next(&self, limit: Duration) -> Result<String> {
        self.lines.recv_timeout(limit).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => {
                anyhow!("{} printed nothing for {} s", self.name, limit.as_secs())
            }
            mpsc::RecvTimeoutError::Disconnected => anyhow!("{} ended too early", self.name),
        })
    }

    /// The last line before the end; for a program that is ending or has ended.
    pub(crate) fn last(&self, limit: Duration) -> Option<String> {
        let mut last = None;
        while let Ok(line) = self.lines.recv_timeout(limit) {
            last = Some(line);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_command_is_named() {
        let error = run(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 3` ended with exit status: 3");
    }

    #[test]
    fn output_keeps_the_last_line_of_stderr() {
        let error = output(Command::new("sh").args(["-c", "echo one >&2; echo two >&2; exit 1"]));
        assert!(error.unwrap_err().to_string().ends_with("two"));
    }

    #[test]
    fn dropped_program_is_gone() {
        let mut command = bound_to_us("sleep", Signal::SIGKILL);
        let running = Running::start(command.arg("60"), "sleep").unwrap();
        let pid = Pid::from_raw(running.pid().cast_signed());
        assert!(kill(pid, None).is_ok());
        drop(running);
        assert!(kill(pid, None).is_err());
    }

    #[test]
    fn program_is_found_only_when_executable() {
        assert!(find_program("sh", OsStr::new("/nonexistent:/bin")).is_some());
        assert!(find_program("passwd", OsStr::new("/etc")).is_none());
    }
}
