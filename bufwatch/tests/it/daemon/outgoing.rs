//! What the daemon tells others by itself: a webhook that takes events, or does not, and a receiver of OTLP that has the numbers of `/metrics`.

use std::collections::{BTreeMap, BTreeSet};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, metric, number_data_point,
};
use prost::Message as _;
use serde_json::Value;
use tempfile::tempdir;

use crate::daemon::receiver::{Posted, Receiver};
use crate::daemon::{Daemon, NOTHING, write};
use crate::export::openmetrics::parse;

const OPENMETRICS: &str = "Host: localhost\r\nAccept: application/openmetrics-text\r\n";

fn webhook(receiver: &Receiver, events: &str) -> String {
    format!("[events]\nwebhook = \"http://{}/hook?a=b\"\n{events}\n", receiver.address)
}

fn event(posted: &Posted) -> Value {
    assert_eq!(
        (posted.path.as_str(), posted.content_type.as_str()),
        ("/hook?a=b", "application/json")
    );
    serde_json::from_slice(&posted.body).unwrap()
}

/// The value of a counter of the daemon, by the name of its samples.
fn counter(daemon: &Daemon, name: &str) -> u64 {
    let (_, text) = daemon.get("/metrics");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().parse().unwrap()
}

/// Until the daemon says so, or it never does.
fn wait_for(daemon: &Daemon, name: &str, n: u64) {
    assert!((0..100_000).any(|_| counter(daemon, name) >= n), "{name} never is {n}");
}

#[test]
fn a_webhook_gets_what_it_asks_for_and_again_if_it_fails() {
    let folder = tempdir().unwrap();
    let receiver = Receiver::start(&["503 Service Unavailable", "204 No Content"]);
    let asked = "webhook_events = [\"config_reloaded\", \"daemon_stopping\"]";
    let mut daemon = Daemon::start(folder.path(), &webhook(&receiver, asked), "127.0.0.1:0");
    daemon.signal(Signal::SIGHUP);
    let told = daemon.event("config_reloaded");
    assert_eq!([event(&receiver.next()), event(&receiver.next())], [told.clone(), told]);
    wait_for(&daemon, "bufwatch_daemon_webhook_events_total", 1);
    assert_eq!(counter(&daemon, "bufwatch_daemon_webhook_events_lost_total"), 0);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait(), Some(0));
    assert_eq!(event(&receiver.next())["event"], "daemon_stopping");
    assert!(receiver.try_next().is_none(), "nothing else was asked for");
}

#[test]
fn what_a_webhook_refuses_is_counted_and_not_sent_again() {
    let folder = tempdir().unwrap();
    let receiver = Receiver::start(&["400 Bad Request", "200 OK"]);
    let asked = "webhook_events = [\"config_reloaded\"]";
    let settings = webhook(&receiver, asked);
    let mut daemon = Daemon::start(folder.path(), &settings, "127.0.0.1:0");
    daemon.signal(Signal::SIGHUP);
    let first = daemon.event("config_reloaded");
    assert_eq!(event(&receiver.next()), first);
    daemon.signal(Signal::SIGHUP);
    let second = daemon.event("config_reloaded");
    assert_eq!(event(&receiver.next()), second);
    wait_for(&daemon, "bufwatch_daemon_webhook_events_lost_total", 1);
    wait_for(&daemon, "bufwatch_daemon_webhook_events_total", 1);

    // Without a webhook nothing is told, and nothing is lost, also when all of it has been counted.
    write(folder.path(), "bufwatch.toml", NOTHING, 0o600);
    daemon.signal(Signal::SIGHUP);
    daemon.event("config_reloaded");
    daemon.signal(Signal::SIGHUP);
    daemon.event("config_reloaded");
    let n_scans = counter(&daemon, "bufwatch_daemon_scans_total");
    wait_for(&daemon, "bufwatch_daemon_scans_total", n_scans + 1);
    assert_eq!(counter(&daemon, "bufwatch_daemon_webhook_events_lost_total"), 1);
    assert!(receiver.try_next().is_none());
}

#[test]
fn a_webhook_that_does_not_answer_keeps_nobody_waiting() {
    let folder = tempdir().unwrap();
    // Connections are taken by the kernel, and nobody reads.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!(
        "[events]\nwebhook = \"http://{}/\"\nwebhook_events = [\"config_reloaded\"]\n",
        silent.local_addr().unwrap()
    );
    let mut daemon = Daemon::start(folder.path(), &settings, "127.0.0.1:0");
    for _ in 0..5 {
        daemon.signal(Signal::SIGHUP);
        daemon.event("config_reloaded");
        assert_eq!(daemon.get("/healthz").0, 200);
    }
    drop(silent);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.event("daemon_stopped")["all_probes_removed"], true);
    assert_eq!(daemon.wait(), Some(0));
}

fn text_of(attribute: &KeyValue) -> (String, String) {
    let value = attribute.value.as_ref().and_then(|it| it.value.as_ref());
    let text = match value {
        Some(any_value::Value::StringValue(text)) => Some(text.clone()),
        _ => None,
    };
    assert!(text.is_some(), "{value:?} is no text");
    (attribute.key.clone(), text.unwrap())
}

fn value_of(point: &NumberDataPoint) -> f64 {
    match point.value.unwrap() {
        number_data_point::Value::AsInt(n) => n as f64,
        number_data_point::Value::AsDouble(n) => n,
    }
}

/// The points of a metric; those of a sum are checked to be as a counter of Prometheus.
fn points(metric: &Metric) -> (bool, &[NumberDataPoint]) {
    match metric.data.as_ref().unwrap() {
        metric::Data::Gauge(gauge) => (false, &gauge.data_points),
        metric::Data::Sum(sum) => {
            let cumulative = AggregationTemporality::Cumulative as i32;
            assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (cumulative, true));
            assert!(
                sum.data_points
                    .iter()
                    .all(|it| it.start_time_unix_nano > 1_700_000_000_000_000_000)
            );
            (true, &sum.data_points)
        }
        // Told by nobody: it fits no metric of the page.
        _ => (false, &[]),
    }
}

#[test]
fn a_receiver_of_otlp_has_the_numbers_of_the_metrics() {
    let folder = tempdir().unwrap();
    let receiver = Receiver::start(&["503 Service Unavailable", "200 OK"]);
    let settings = format!("[otlp]\nendpoint = \"http://{}\"\nevery = 1\n", receiver.address);
    let daemon = Daemon::start(folder.path(), &settings, "127.0.0.1:0");
    receiver.next();
    let posted = receiver.next();
    assert_eq!(posted.path, "/v1/metrics");
    assert_eq!(posted.content_type, "application/x-protobuf");
    wait_for(&daemon, "bufwatch_daemon_otlp_pushes_total", 1);
    assert_eq!(counter(&daemon, "bufwatch_daemon_otlp_failures_total"), 1);

    let request = ExportMetricsServiceRequest::decode(posted.body.as_slice()).unwrap();
    let [of_daemon] = request.resource_metrics.as_slice() else { panic!("{request:?}") };
    let resource = of_daemon.resource.as_ref().unwrap();
    let resource: BTreeMap<String, String> = resource.attributes.iter().map(text_of).collect();
    assert_eq!(resource["service.name"], "bufwatch");
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(resource["host.name"], host.trim_end());
    let [scope] = of_daemon.scope_metrics.as_slice() else { panic!("{of_daemon:?}") };

    let (_, text) = daemon.ask("GET", "/metrics", OPENMETRICS);
    let mut names = BTreeSet::new();
    let samples = parse(&text, None);
    for metric in &scope.metrics {
        assert!(names.insert(metric.name.clone()), "{} twice", metric.name);
        let (is_counter, points) = points(metric);
        let kind = if is_counter { "counter" } else { "gauge" };
        assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
        let unit = match metric.unit.as_str() {
            "By" => "bytes",
            "s" => "seconds",
            unit => unit,
        };
        let says_unit = text.contains(&format!("# UNIT {} {unit}\n", metric.name));
        assert_eq!(says_unit, !unit.is_empty(), "{}", metric.name);
        assert!(text.contains(&format!("# HELP {} {}.\n", metric.name, metric.description)));
        let labels: Vec<BTreeMap<String, String>> =
            points.iter().map(|it| it.attributes.iter().map(text_of).collect()).collect();
        let wanted: Vec<_> = samples[&metric.name].iter().map(|it| it.0.clone()).collect();
        assert_eq!(labels, wanted, "{}", metric.name);
        // What does not change in a daemon without processes.
        if metric.name.starts_with("bufwatch_daemon_processes") {
            let values: Vec<f64> = points.iter().map(value_of).collect();
            let wanted: Vec<f64> = samples[&metric.name].iter().map(|it| it.1).collect();
            assert_eq!(values, wanted, "{}", metric.name);
        }
        if metric.name == "process_resident_memory_bytes" {
            assert!(value_of(&points[0]) > 1e6);
        }
    }
    assert_eq!(names, samples.into_keys().collect());
}
