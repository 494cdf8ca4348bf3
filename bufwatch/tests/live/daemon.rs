//! `bufwatch daemon` on real processes: two that leak and one that is fine are told apart, findings open and close once, and processes that
//! come and go leave nothing behind.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, metric, number_data_point};
use prost::Message as _;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::harness::{Lab, Scenario, holds_within};
use crate::program::Program;
use crate::receiver::{Posted, Receiver};
use crate::sample::number;

/// From a change of a process to the answer that shows it: a census is taken each second, and judged twice a second.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// Of starting and killing.
const N_ROUNDS: usize = 2;

pub(crate) struct Daemon {
    program: Program,
    address: String,
    _folder: tempfile::TempDir,
}

impl Daemon {
    /// Watches the processes of the tests only, and judges them soon.
    pub(crate) fn start(lab: &Lab, more: &str) -> Self {
        Self::start_with(lab, "", more)
    }

    /// The same with settings before the first table.
    pub(crate) fn start_with(lab: &Lab, first: &str, more: &str) -> Self {
        let text = format!(
            "{first}\n[processes]\nmin_age = \"0s\"\n{more}\n[census]\nevery = \"1s\"\nsampled_every = \"1s\"\n\
             first_after = \"0s\"\npause_budget = 50.0\n\
             [findings]\nopen_after = \"1s\"\nclose_after = \"2s\"\n\
             [[processes.include]]\ncommand = \"{}*\"\n",
            lab.node()
        );
        Self::start_as(lab, &text)
    }

    /// With these settings.
    pub(crate) fn start_as(lab: &Lab, text: &str) -> Self {
        let folder = tempdir().unwrap();
        let config = folder.path().join("bufwatch.toml");
        fs::write(&config, text).unwrap();
        let args = ["daemon", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
        let program = lab.program(&args);
        let mut daemon = Self { program, address: String::new(), _folder: folder };
        let started = daemon.wait_for_event("daemon_started", |_| true);
        daemon.address = started["listen"].as_str().unwrap().into();
        daemon
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        self.program
            .stdout
            .so_far()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(crate) fn events_of(&self, name: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["event"] == name).collect()
    }

    pub(crate) fn wait_for_event(&self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        let find = || {
            found = self.events_of(name).into_iter().find(|event| fits(event));
            found.is_some()
        };
        assert!(holds_within(LIMIT, find), "no `{name}`: {:#?}", self.events());
        found.unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.child.id()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.ask("GET", path)
    }

    fn ask(&self, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let (status, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub(crate) fn processes(&self) -> Vec<Value> {
        self.json("/v1/processes")["processes"].as_array().unwrap().clone()
    }

    /// The value of a metric with these labels.
    pub(crate) fn metric(&self, name: &str, labels: &[String]) -> Option<f64> {
        let (_, text) = self.get("/metrics");
        let is_it = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        text.lines().find(is_it).map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    }

    pub(crate) fn wait_until_watched(&self, pid: u32) -> Value {
        let mut row = None;
        let is_watched = || {
            let mut rows = self.processes().into_iter();
            row = rows.find(|row| row["pid"] == pid && row["state"] == "watched");
            row.is_some()
        };
        assert!(holds_within(LIMIT, is_watched), "{pid} is not watched: {:#?}", self.events());
        row.unwrap()
    }

    pub(crate) fn stop(mut self) {
        self.program.signal(Signal::SIGTERM);
        assert_eq!(self.program.wait(LIMIT).code(), Some(0));
    }
}

pub(crate) fn labels(row: &Value) -> Vec<String> {
    vec![
        format!("service=\"{}\"", row["service"].as_str().unwrap()),
        format!("slot=\"{}\"", row["slot"]),
    ]
}

pub(crate) fn is_of(pid: u32) -> impl Fn(&Value) -> bool {
    move |event| event["pid"] == pid && event["finding"]["kind"] == "PINNED_PARENT"
}

fn is_of_findings(event: &Value) -> bool {
    event["event"].as_str().unwrap().starts_with("finding_")
}

/// The RSS of a process and the births of its stores are in what was pushed by OTLP.
fn is_pushed(posted: &Posted, row: &Value) -> bool {
    let said = (posted.path.as_str(), posted.content_type.as_str());
    assert_eq!(said, ("/v1/metrics", "application/x-protobuf"));
    let request = ExportMetricsServiceRequest::decode(posted.body.as_slice()).unwrap();
    let scopes = request.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
    let points: Vec<(String, NumberDataPoint)> = scopes
        .flat_map(|scope| scope.metrics)
        .flat_map(|metric| {
            let points = match metric.data.unwrap() {
                metric::Data::Gauge(gauge) => gauge.data_points,
                metric::Data::Sum(sum) => sum.data_points,
                other => panic!("{other:?} is not told"),
            };
            points.into_iter().map(move |point| (metric.name.clone(), point))
        })
        .collect();
    let slot = row["slot"].to_string();
    let place = [("service", row["service"].as_str().unwrap()), ("slot", &slot)];
    let is_here = |point: &NumberDataPoint| {
        let text = |value: &str| Some(any_value::Value::StringValue(value.to_owned()));
        place.iter().all(|(key, value)| {
            let is_it =
                |it: &KeyValue| it.key == *key && it.value.as_ref().unwrap().value == text(value);
            point.attributes.iter().any(is_it)
        })
    };
    ["bufwatch_resident_memory_bytes", "bufwatch_backing_store_created_bytes"].iter().all(|name| {
        let is_large = |point: &NumberDataPoint| matches!(point.value, Some(number_data_point::Value::AsInt(n)) if n > 1_000_000);
        points.iter().any(|(of, point)| of == name && is_here(point) && is_large(point))
    })
}

/// Two processes that pin parents, and one that copies.
pub(crate) fn leaks_are_told(lab: &Lab) {
    let mut leaking =
        [lab.scenario("findings/pinned.mjs", &[]), lab.scenario("findings/pinned.mjs", &[])];
    let mut fine = lab.scenario("findings/pinned.mjs", &[]);
    let (webhook, otlp) = (Receiver::start(&["200 OK"]), Receiver::start(&["200 OK"]));
    let daemon = Daemon::start(
        lab,
        &format!(
            "[events]\nwebhook = \"http://{}\"\n[otlp]\nendpoint = \"http://{}\"\nevery = 1\n",
            webhook.address, otlp.address
        ),
    );
    let rows: Vec<Value> = leaking.iter().map(|it| daemon.wait_until_watched(it.pid())).collect();
    let fine_row = daemon.wait_until_watched(fine.pid());
    assert!(holds_within(LIMIT, || daemon.get("/readyz").0 == 200));
    for row in rows.iter().chain([&fine_row]) {
        assert_eq!(row["service"], "pinned");
        assert_eq!(row["node_version"], lab.version());
    }
    for scenario in &mut leaking {
        scenario.tell("map fault");
    }
    fine.tell("map twin");
    for (scenario, row) in leaking.iter().zip(&rows) {
        let opened = daemon.wait_for_event("finding_opened", is_of(scenario.pid()));
        let path = format!("/v1/processes/{}", scenario.pid());
        let open = daemon.json(&format!("{path}/findings"));
        assert_eq!(open["findings"][0]["id"], opened["id"], "{open:#}");
        let verdict = [labels(row), vec!["verdict=\"PINNED_PARENT\"".to_owned()]].concat();
        assert_eq!(daemon.metric("bufwatch_verdict", &verdict), Some(1.0));
        assert!(daemon.metric("bufwatch_pinned_bytes", &labels(row)) > Some(1e6));
        let census = daemon.json(&format!("{path}/census"));
        assert_eq!(census["schema"], "bufwatch.census/1");
        assert!(number(&census["n_parents_total"]) > 0, "{census:#}");
        assert_eq!(daemon.json(&format!("{path}/snapshot"))["pid"], scenario.pid());
    }
    let verdict = [labels(&fine_row), vec!["verdict=\"PINNED_PARENT\"".to_owned()]].concat();
    assert_eq!(daemon.metric("bufwatch_verdict", &verdict), Some(0.0));

    let [first, second] = &mut leaking;
    first.kill();
    let closed = daemon.wait_for_event("finding_closed", is_of(first.pid()));
    assert_eq!(closed["reason"], "process_ended");
    daemon.wait_for_event("process_ended", |event| event["pid"] == first.pid());
    second.tell("map twin");
    let closed = daemon.wait_for_event("finding_closed", is_of(second.pid()));
    assert_eq!(closed["reason"], "gone");
    for pid in [first.pid(), second.pid()] {
        let opened = daemon.events_of("finding_opened");
        assert_eq!(opened.into_iter().filter(is_of(pid)).count(), 1, "opened once");
    }
    let of_fine = daemon.events_of("finding_opened").into_iter().filter(is_of(fine.pid()));
    assert_eq!(of_fine.count(), 0);
    let told: Vec<Value> = daemon.events().into_iter().filter(is_of_findings).collect();
    let posted = told.iter().map(|_| serde_json::from_slice(&webhook.next().body).unwrap());
    assert_eq!(posted.collect::<Vec<Value>>(), told);
    for row in rows.iter().chain([&fine_row]) {
        let has_come = || otlp.try_next().is_some_and(|posted| is_pushed(&posted, row));
        assert!(holds_within(LIMIT, has_come), "{row} is not pushed");
    }
    daemon.stop();
    second.assert_lives();
}

/// A folder for recordings, and the settings that name it.
pub(crate) fn recordings(more: &str) -> (tempfile::TempDir, String) {
    let folder = tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let text = format!("[recordings]\ndirectory = \"{}\"\n{more}", folder.path().display());
    (folder, text)
}

pub(crate) fn files(folder: &tempfile::TempDir) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|it| it == "bufwatch")).collect()
}

/// Findings that a recording tells of at any moment.
fn findings_in(file: &Path) -> Vec<String> {
    let recording = Connection::open(file).unwrap();
    let mut findings =
        recording.prepare("SELECT DISTINCT kind FROM finding WHERE rank >= 0").unwrap();
    let kinds = findings.query_map([], |row| row.get(0)).unwrap();
    kinds.map(Result::unwrap).collect()
}

fn path_of(event: &Value) -> PathBuf {
    event["path"].as_str().unwrap().into()
}

/// Nothing is recorded until a finding opens, or somebody asks; and no longer than it is wanted.
pub(crate) fn recorded_when_wanted(lab: &Lab) {
    let (folder, settings) = recordings("when = \"findings\"\nkeep_before = 0\nkeep_after = 1\n");
    let mut leaking = lab.scenario("findings/pinned.mjs", &[]);
    let fine = lab.scenario("idle.mjs", &[]);
    let daemon = Daemon::start(lab, &settings);
    for pid in [leaking.pid(), fine.pid()] {
        daemon.wait_until_watched(pid);
    }
    assert_eq!(files(&folder), Vec::<PathBuf>::new());
    let is_of = |pid: u32| move |event: &Value| event["pid"] == pid;

    let path = format!("/v1/processes/{}/recording", fine.pid());
    let (status, asked) = daemon.ask("POST", &format!("{path}?duration=1h"));
    let asked: Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(status, 202, "{asked}");
    let started = daemon.wait_for_event("recording_started", is_of(fine.pid()));
    assert_eq!((&started["by"], &started["path"]), (&json!("request"), &asked["recording"]));

    leaking.tell("map fault");
    let started = daemon.wait_for_event("recording_started", is_of(leaking.pid()));
    assert_eq!(started["by"], "finding");
    daemon.wait_for_event("finding_opened", self::is_of(leaking.pid()));
    leaking.tell("map twin");
    let closed = daemon.wait_for_event("finding_closed", self::is_of(leaking.pid()));
    assert_eq!(closed["reason"], "gone");
    let stopped = daemon.wait_for_event("recording_stopped", is_of(leaking.pid()));
    assert_eq!(stopped["path"], started["path"]);

    let (status, answer) = daemon.ask("DELETE", &path);
    assert_eq!(status, 200, "{answer}");
    let stopped = daemon.wait_for_event("recording_stopped", is_of(fine.pid()));
    assert_eq!(stopped["path"], asked["recording"]);
    let mut row = daemon.processes().into_iter();
    assert_eq!(row.find(|row| row["pid"] == fine.pid()).unwrap()["recording"], Value::Null);
    daemon.stop();
    assert_eq!(files(&folder).len(), 2);
    // What made it begin is in it, though it was seen before.
    assert_eq!(findings_in(&path_of(&started)), ["PINNED_PARENT"]);
    assert!(findings_in(&path_of(&stopped)).is_empty());
}

/// All is recorded, and what is around a finding stays.
pub(crate) fn kept_around_findings(lab: &Lab) {
    let (folder, settings) = recordings("when = \"findings\"\nkeep_before = 4\nkeep_after = 1\n");
    let mut leaking = lab.scenario("findings/pinned.mjs", &[]);
    let fine = lab.scenario("idle.mjs", &[]);
    let daemon = Daemon::start(lab, &settings);
    for pid in [leaking.pid(), fine.pid()] {
        let row = daemon.wait_until_watched(pid);
        assert!(row["recording"].is_string(), "{row}");
    }
    let of = |pid: u32| {
        let mut files = files(&folder);
        files.retain(|path| path.to_str().unwrap().contains(&format!("-{pid}-")));
        files.sort();
        files
    };
    // A file comes a moment after the process is watched.
    let are_there = || [leaking.pid(), fine.pid()].iter().all(|pid| !of(*pid).is_empty());
    assert!(holds_within(LIMIT, are_there), "nothing is recorded");
    let first = of(fine.pid()).remove(0);
    let before = of(leaking.pid()).pop().unwrap();
    leaking.tell("map fault");
    let kept = daemon.wait_for_event("recording_kept", |event| event["pid"] == leaking.pid());
    assert!(path_of(&kept) >= before, "{kept}");
    assert!(holds_within(LIMIT, || !first.exists()), "what nobody wants is still there");
    assert!(path_of(&kept).exists());
    assert!(of(fine.pid()).len() < 8, "{:?}", of(fine.pid()));
    let kept = daemon.events_of("recording_kept");
    assert!(kept.iter().all(|event| event["pid"] == leaking.pid()), "{kept:#?}");
    daemon.stop();
}

/// Processes that are started and killed, again and again, leave neither descriptors nor threads nor places behind.
pub(crate) fn nothing_is_left(lab: &Lab) {
    let daemon = Daemon::start(lab, "");
    let count = |name: &str| daemon.metric(name, &[]).unwrap();
    let is_empty = || daemon.processes().is_empty();
    let round = || {
        let mut scenarios: Vec<Scenario> = (0..3).map(|_| lab.scenario("idle.mjs", &[])).collect();
        let slots: Vec<Value> = scenarios
            .iter()
            .map(|scenario| daemon.wait_until_watched(scenario.pid())["slot"].clone())
            .collect();
        assert!(slots.iter().all(|slot| number(slot) < 3), "{slots:?}");
        scenarios.iter_mut().for_each(Scenario::kill);
        assert!(holds_within(LIMIT, is_empty), "{:#?}", daemon.processes());
    };
    // The first round brings what stays: threads of the runtime, tables of symbols.
    round();
    let n_fds = count("process_open_fds");
    for _ in 0..N_ROUNDS {
        round();
    }
    let n_missed = 3.0 * (N_ROUNDS + 1) as f64 - count("bufwatch_daemon_processes_watched_total");
    assert!(n_missed.abs() < 0.5, "{n_missed} processes were not watched");
    let is_as_before = || count("process_open_fds") <= n_fds + 2.0;
    assert!(holds_within(LIMIT, is_as_before), "{n_fds} → {}", count("process_open_fds"));
    let is_idle = || count("bufwatch_daemon_threads") < 7.0;
    assert!(holds_within(LIMIT, is_idle), "{} threads", count("bufwatch_daemon_threads"));
    daemon.stop();
}

/// A dashboard elsewhere is shown what the daemon knows, and says what is wrong when it is not.
pub(crate) fn shown_elsewhere(lab: &Lab) {
    let mut leaking = lab.scenario("findings/pinned.mjs", &[]);
    let daemon = Daemon::start(lab, "");
    daemon.wait_until_watched(leaking.pid());
    let truth = leaking.tell("map fault");
    let pid = leaking.pid().to_string();
    let to = ["--connect", &daemon.address, "--headless"];
    let lines = ["--json", "--interval", "0.2", "--pid", &pid];
    let watch = lab.bufwatch(&[&to[..], &lines].concat());
    let sample = watch.wait_for_sample_within(LIMIT, "the leak", |sample| {
        let mut findings = sample.findings().iter();
        findings.any(|it| it["kind"] == "PINNED_PARENT" && it["n_parents"] == truth["n_parents"])
    });
    // What the daemon itself says of the same moment is the same.
    let mut same = None;
    let is_same = || {
        let here = watch.next_sample();
        let there = daemon.json(&format!("/v1/processes/{pid}/snapshot"));
        same = (here.value()["t_ns"] == there["t_ns"]).then_some((here.value().clone(), there));
        same.is_some()
    };
    assert!(holds_within(LIMIT, is_same), "no two samples of one moment: {}", sample.value());
    let (here, there) = same.unwrap();
    assert_eq!(here, there);
    drop(watch);

    for (args, code, said) in [
        (vec!["--connect", &daemon.address, "--headless"], 2, "no process was named"),
        (
            vec!["--connect", &daemon.address, "--headless", "--pid", "4194304"],
            3,
            "no such process",
        ),
        (vec!["--connect", "127.0.0.1:1", "--headless", "--pid", &pid], 2, "no daemon answers"),
        (vec!["--connect", "unix:/nowhere", "--headless", "--pid", &pid], 2, "no daemon answers"),
        (vec!["--connect", &daemon.address, "--faults"], 2, "cannot be used with"),
    ] {
        let mut program = lab.program(&args);
        assert_eq!(program.wait(LIMIT).code(), Some(code), "{args:?}");
        let told = program.stderr.text();
        assert!(told.contains(said) && !told.contains("panicked"), "{args:?}: {told}");
    }

    // It ends with the process.
    let mut watch = lab.bufwatch(&[&to[..], &lines].concat());
    watch.wait_for_sample("a sample", |sample| sample.state() == "live");
    drop(leaking);
    assert_eq!(watch.wait_for_exit(), Some(0), "{}", watch.stderr());
    daemon.stop();
}
