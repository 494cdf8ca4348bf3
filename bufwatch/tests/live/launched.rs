//! A scenario that an ordinary user's bufwatch starts, with breakpoints: bufwatch prints samples, and the answers of the scenario go into a
//! file.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::completeness::Watched;
use crate::harness::{ANSWER_LIMIT, Lab, Watch, holds_within, scenario_path};
use crate::sample::Sample;

/// Both of them.
#[derive(Debug)]
pub(crate) struct Launched {
    watch: Watch,
    folder: TempDir,
    n_read: usize,
    ready: Value,
    pid: u32,
}

/// Whoever runs in the test may read and write there.
pub(crate) fn open_to_all(folder: &Path) {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

impl Lab {
    /// Starts it and waits until it is ready. `more` is for bufwatch.
    pub(crate) fn launch(&self, name: &str, args: &[&str], more: &[&str]) -> Launched {
        let mut launched = self.launching(name, args, more);
        launched.ready = launched.answer();
        assert_eq!(launched.ready["ready"], true, "{name} said {}", launched.ready);
        launched
    }

    /// The same when it has said nothing yet.
    pub(crate) fn launching(&self, name: &str, args: &[&str], more: &[&str]) -> Launched {
        let folder = tempfile::tempdir().unwrap();
        open_to_all(folder.path());
        let answers = folder.path().join("answers");
        let script = scenario_path(name);
        let how = ["run", "--backend", "ptrace", "--headless", "--json", "--interval", "0.1"];
        let output = ["--output", answers.to_str().unwrap()];
        let command = ["--", self.node(), "--expose-gc", script.to_str().unwrap()];
        let args = [&how[..], &output, more, &command, args].concat();
        let watch = self.bufwatch_of_nobody(&args);
        let sample = watch.wait_for_sample("breakpoints in place", Sample::is_counting);
        let backend = (&sample.value()["backend"], &sample.value()["is_sampled"]);
        assert_eq!(backend, (&"breakpoints".into(), &false.into()));
        let pid = u32::try_from(sample.pid()).unwrap();
        Launched { watch, folder, n_read: 0, ready: Value::Null, pid }
    }
}

impl Launched {
    /// Of the scenario.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn watch_mut(&mut self) -> &mut Watch {
        &mut self.watch
    }

    pub(crate) fn send(&mut self, line: &str) {
        self.watch.send(line);
    }

    pub(crate) fn answer(&mut self) -> Value {
        let is_answered = holds_within(ANSWER_LIMIT, || self.has_answered());
        let (said, bufwatch) = (self.said(), self.watch.stderr_so_far());
        assert!(is_answered, "no answer; said:\n{said}\nbufwatch:\n{bufwatch}");
        let answer = answers(&said).nth(self.n_read).unwrap();
        self.n_read += 1;
        serde_json::from_str(answer).unwrap()
    }

    pub(crate) fn has_answered(&self) -> bool {
        answers(&self.said()).nth(self.n_read).is_some()
    }

    /// On stdout and stderr.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("answers")).unwrap_or_default()
    }

    /// To the scenario, not to bufwatch.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid.cast_signed()), signal).unwrap();
    }

    /// Of bufwatch, which passes on the code of the scenario.
    pub(crate) fn wait_for_exit(&mut self) -> Option<i32> {
        self.watch.wait_for_exit()
    }
}

/// A line that is not ended is not said yet.
fn answers(said: &str) -> impl Iterator<Item = &str> {
    said.split_inclusive('\n').filter(|line| line.starts_with('{') && line.ends_with('\n'))
}

impl Watched for Launched {
    fn tell(&mut self, line: &str) -> Value {
        self.send(line);
        self.answer()
    }

    fn ready(&self) -> &Value {
        &self.ready
    }

    fn watch(&self) -> &Watch {
        &self.watch
    }
}
