//! The unit as it is shipped, under a systemd of its own: with its capabilities, its filter of system calls and its namespace the daemon
//! watches, finds, reloads, is started again, and ends as it is told to.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::daemon::LIMIT;
use crate::harness::{
    Lab, Scenario, bound_to_us, child_of, holds_within, scenario_path, workspace,
};
use crate::program::Program;

const SYSTEMD: &str = "/usr/lib/systemd/systemd";
const UNIT: &str = "bufwatch.service";

/// Settings of deploy/bufwatch.toml after which a finding takes minutes, and what a test waits for instead.
const SOONER: [(&str, &str); 4] = [
    ("\nevery = \"5m\"", "\nevery = \"1s\""),
    ("first_after = \"30s\"", "first_after = \"0s\""),
    ("pause_budget = 0.5", "pause_budget = 50.0"),
    ("open_after = \"10s\"", "open_after = \"1s\""),
];

/// What the daemon keeps where probes are no business of `CAP_SYS_ADMIN`: to read all files, trace, be urgent, probes, BPF, open mapped
/// files; and by its number what it gives up then.
const KEPT: u64 = 1 << 2 | 1 << 19 | 1 << 23 | 1 << 38 | 1 << 39 | 1 << 40;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Asks as another process of the host does; answers with the first line.
const READY: &str = r"exec 3<>/dev/tcp/127.0.0.1/9478
printf 'GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
read -r line <&3; echo ${line%$'\r'}";

/// A systemd in namespaces of its own; all that runs there ends with it.
struct Host {
    program: Program,
    group: PathBuf,
    _folder: TempDir,
}

impl Host {
    fn boot(lab: &Lab) -> Result<Self, String> {
        if !Path::new(SYSTEMD).is_file() {
            return Err(format!("there is no `{SYSTEMD}`"));
        }
        let groups = unified_groups().ok_or("there are no control groups of the second version")?;
        let folder = tempdir().unwrap();
        let deploy = workspace().join("deploy");
        fs::copy(deploy.join("systemd").join(UNIT), folder.path().join(UNIT)).unwrap();
        let mut settings = fs::read_to_string(deploy.join("bufwatch.toml")).unwrap();
        for (shipped, sooner) in SOONER {
            assert!(settings.contains(shipped), "deploy/bufwatch.toml has no {shipped:?}");
            settings = settings.replace(shipped, sooner);
        }
        fs::create_dir(folder.path().join("etc-bufwatch")).unwrap();
        let file = folder.path().join("etc-bufwatch/bufwatch.toml");
        fs::write(&file, settings).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let group = groups.join(format!("bufwatch-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let mut command = bound_to_us(Path::new("bash"));
        command.arg(scenario_path("boot-systemd.sh")).arg(folder.path()).arg(&group);
        command.arg(lab.bufwatch_path()).arg(lab.node()).arg(scenario_path(""));
        let program = Program::start(command, "systemd");
        Ok(Self { program, group, _folder: folder })
    }

    /// A command as it would be given on that host.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = bound_to_us(Path::new("nsenter"));
        let pid = child_of(self.program.child.id()).to_string();
        command.args(["--target", &pid, "--all", "--root", "--wd", "--"]).args(words);
        command
    }

    /// What a command prints; nothing if it fails, as they do until the host is up.
    fn ask(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() { text } else { String::new() }
    }

    fn property(&self, name: &str) -> String {
        self.ask(&["systemctl", "show", UNIT, "--value", "--property", name])
    }

    #[track_caller]
    fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let said = || {
            let journal =
                self.ask(&["journalctl", "--no-pager", "--lines", "30", "--output", "cat"]);
            format!("{journal}\n{}", self.ask(&["systemctl", "status", "--no-pager", UNIT]))
        };
        assert!(holds_within(LIMIT, || holds(self)), "{what}: {}{}", said(), self.program.said());
    }

    /// What the daemon has told the journal.
    fn events(&self) -> Vec<Value> {
        let text = self.ask(&["journalctl", "--unit", UNIT, "--output", "cat", "--no-pager"]);
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn n_events(&self, name: &str, fits: impl Fn(&Value) -> bool) -> usize {
        self.events().iter().filter(|event| event["event"] == name && fits(event)).count()
    }

    fn is_active(&self) -> bool {
        self.property("ActiveState") == "active"
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Its first process ends with the one that waits for it, and all others with that.
        drop(self.program.child.kill());
        drop(self.program.child.wait());
        let is_gone = || remove_groups(&self.group).is_ok();
        if !holds_within(LIMIT, is_gone) {
            println!("`{}` stays", self.group.display());
        }
    }
}

/// Where groups of the second version are mounted.
fn unified_groups() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    mounts.find(|fields| fields[2] == "cgroup2").map(|fields| fields[1].into())
}

/// A group with those in it, as soon as nothing runs there.
fn remove_groups(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// From its start to its end, and once more when it was killed.
pub(crate) fn the_unit_as_it_is_shipped(lab: &Lab) {
    let host = match Host::boot(lab) {
        Ok(host) => host,
        Err(reason) => return println!("skipped: {reason}"),
    };
    host.wait_for("it does not start", Host::is_active);
    let has = capabilities(&host);
    assert_eq!(has & !CAP_SYS_ADMIN, KEPT, "{has:#x}");

    let node = host.command(&[
        lab.node(),
        "--expose-gc",
        scenario_path("findings/pinned.mjs").to_str().unwrap(),
    ]);
    let mut leaking = Scenario::start(node, "pinned.mjs").when_ready();
    // Lines are known of what is made from then on.
    host.wait_for("it is not watched", |host| host.n_events("process_watched", |_| true) == 1);
    leaking.tell("map fault");
    let is_pinned = |event: &Value| event["finding"]["kind"] == "PINNED_PARENT";
    let says_so = |host: &Host| host.n_events("finding_opened", is_pinned) == 1;
    host.wait_for("no finding", says_so);
    let events = host.events();
    let opened = events.iter().find(|event| is_pinned(event)).unwrap();
    assert_eq!(opened["service"], "pinned", "{opened:#}");
    let text = opened["finding"].to_string();
    assert!(text.contains("pinned.mjs:"), "no line: {text}");
    host.wait_for("no status", |host| host.property("StatusText").starts_with("1 Node process"));
    assert_eq!(host.ask(&["bash", "-c", READY]), "HTTP/1.0 200 OK");

    assert_eq!(host.n_events("config_reloaded", |_| true), 0);
    host.ask(&["systemctl", "reload", UNIT]);
    host.wait_for("no reload", |host| host.n_events("config_reloaded", |_| true) == 1);

    host.ask(&["systemctl", "kill", "--signal", "KILL", UNIT]);
    host.wait_for("it is not started again", |host| host.property("NRestarts") == "1");
    host.wait_for("it finds nothing any more", |host| {
        host.n_events("finding_opened", is_pinned) == 2 && host.is_active()
    });
    let woken = host.property("WatchdogTimestampMonotonic");
    assert_ne!(woken, "0", "the watchdog is not told");

    host.ask(&["systemctl", "stop", UNIT]);
    host.wait_for("it does not end", |host| host.property("ActiveState") == "inactive");
    assert_eq!(host.property("Result"), "success");
    leaking.assert_lives();
}

/// What its process may do.
fn capabilities(host: &Host) -> u64 {
    let status = host.ask(&["cat", &format!("/proc/{}/status", host.property("MainPID"))]);
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().to_owned()
    };
    assert_eq!((of("NoNewPrivs:").as_str(), of("Seccomp:").as_str()), ("1", "2"));
    u64::from_str_radix(&of("CapEff:"), 16).unwrap()
}
