//! `bufwatch daemon` without a process to watch: its settings, its socket, its signals, and what it answers to requests that are not as they
//! should be.

mod http;
mod life;
mod outgoing;
mod receiver;
mod settings;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// No process has such a command line.
pub(crate) const NOTHING: &str =
    "[[processes.include]]\ncommand = \"there is no such command line\"\n";

const LIMIT: Duration = Duration::from_secs(20);

/// A daemon that has said that it runs; ends with the test.
pub(crate) struct Daemon {
    child: Child,
    events: BufReader<ChildStdout>,
    pub(crate) address: String,
}

pub(crate) fn write(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

pub(crate) fn command(config: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bufwatch"));
    command.arg("daemon").arg("--config").arg(config).args(more);
    for name in ["BUFWATCH_CONFIG", "BUFWATCH_LISTEN", "BUFWATCH_TOKEN_FILE", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Daemon {
    /// Its settings are those of `text`, in a file of `folder`.
    pub(crate) fn start(folder: &Path, text: &str, listen: &str) -> Self {
        let config = write(folder, "bufwatch.toml", &format!("{text}{NOTHING}"), 0o600);
        Self::start_command(command(&config, &["--listen", listen]))
    }

    pub(crate) fn start_command(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        let mut daemon = Self { child, events, address: String::new() };
        daemon.address = daemon.event("daemon_started")["listen"].as_str().unwrap().into();
        daemon
    }

    /// The next event of this name.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        let mut line = String::new();
        while self.events.read_line(&mut line).unwrap() > 0 {
            let event: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(event["schema"], "bufwatch.event/1");
            if event["event"] == name {
                return event;
            }
            line.clear();
        }
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.is_empty(), "no `{name}` is told; stderr: {said}");
        Value::Null
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end and returns the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Sends bytes and returns all that comes back until it closes.
    pub(crate) fn send(&self, request: &[u8]) -> Vec<u8> {
        let mut answer = Vec::new();
        // Who sends nonsense may find the connection closed at any moment.
        if let Some(path) = self.address.strip_prefix("unix:") {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            drop(stream.write_all(request));
            drop(stream.shutdown(std::net::Shutdown::Write));
            drop(stream.read_to_end(&mut answer));
        } else {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            drop(stream.write_all(request));
            drop(stream.shutdown(std::net::Shutdown::Write));
            drop(stream.read_to_end(&mut answer));
        }
        answer
    }

    /// Status and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path, "Host: localhost\r\n")
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> (u16, String) {
        let request = format!("{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        let answer = String::from_utf8(self.send(request.as_bytes())).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
