//! What is answered over HTTP, above all to requests that are not as they should be: none of them ends the daemon or keeps others waiting.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use tempfile::tempdir;

use crate::daemon::Daemon;
use crate::export::openmetrics::parse;

fn daemon() -> (tempfile::TempDir, Daemon) {
    let folder = tempdir().unwrap();
    let daemon = Daemon::start(folder.path(), "", "127.0.0.1:0");
    (folder, daemon)
}

#[test]
fn a_host_without_processes_is_answered_for() {
    let (_folder, daemon) = daemon();
    assert_eq!(daemon.get("/healthz"), (200, "ok\n".to_owned()));
    assert!((0..10_000).any(|_| daemon.get("/readyz").0 == 200), "it does not get ready");
    let (status, text) = daemon.get("/v1/processes");
    let listed: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &listed["schema"]), (200, &Value::from("bufwatch.processes/1")));
    assert_eq!(listed["processes"], Value::Array(Vec::new()));
    let accept = "Host: localhost\r\nAccept: application/openmetrics-text;version=1.0.0\r\n";
    let (status, text) = daemon.ask("GET", "/metrics", accept);
    let samples = parse(&text, None);
    assert_eq!(status, 200);
    assert_eq!(samples["bufwatch_daemon_processes"].len(), 3);
    assert!(samples["process_open_fds"][0].1 > 3.0, "{text}");
    let (_, plain) = daemon.get("/metrics");
    assert!(plain.contains("\n# TYPE bufwatch_daemon_scans_total counter\n"), "{plain}");
    assert!(!plain.contains("# EOF") && !plain.contains("# UNIT"), "{plain}");
}

#[test]
fn what_is_not_there_is_said_as_json() {
    let (_folder, daemon) = daemon();
    for (method, path, status) in [
        ("GET", "/", 404),
        ("GET", "/v1/processes/1/snapshot", 404),
        ("GET", "/v1/processes/99999999999999999999/snapshot", 400),
        ("GET", "/v1/processes/-1/findings", 400),
        ("GET", "/v1/processes/%00/census", 400),
        ("GET", "/v1/processes/../../etc/passwd", 404),
        ("POST", "/metrics", 405),
        ("DELETE", "/v1/processes", 405),
        ("POST", "/v1/processes/1/census", 404),
        ("POST", "/v1/processes/1/recording", 404),
        ("POST", "/v1/processes/1/recording?duration=10m", 404),
        ("DELETE", "/v1/processes/1/recording", 404),
        ("GET", "/v1/processes/1/recording", 405),
        ("POST", "/v1/processes/x/recording", 400),
        ("POST", "/v1/processes/1/recording?duration=0", 400),
        ("POST", "/v1/processes/1/recording?duration=25h", 400),
        ("POST", "/v1/processes/1/recording?duration=long", 400),
        ("POST", "/v1/processes/1/recording?path=/etc/passwd", 400),
        ("BREW", "/healthz", 405),
    ] {
        let (answered, body) = daemon.ask(method, path, "Host: localhost\r\n");
        assert_eq!(answered, status, "{method} {path}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(body["error"].is_string(), "{method} {path}: {body}");
    }
}

#[test]
fn a_page_in_a_browser_gets_nothing() {
    let (_folder, daemon) = daemon();
    assert_eq!(daemon.ask("GET", "/v1/processes", "Host: evil.example\r\n").0, 421);
    let page = "Host: localhost\r\nOrigin: http://evil.example\r\n";
    assert_eq!(daemon.ask("POST", "/v1/processes/1/census", page).0, 403);
}

#[test]
fn bad_requests_do_no_harm() {
    let (_folder, daemon) = daemon();
    let long = "x".repeat(1 << 20);
    let many = "A: b\r\n".repeat(10_000);
    for request in [
        String::new(),
        "\r\n\r\n".to_owned(),
        "GET".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{many}\r\n"),
        "POST /v1/processes/1/census HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ] {
        let answer = daemon.send(request.as_bytes());
        let start = request.chars().take(40).collect::<String>();
        assert!(answer.len() < 10_000, "{start}");
        assert_eq!(daemon.get("/healthz").0, 200, "after {start}");
    }
}

#[test]
fn random_bytes_do_no_harm() {
    let (_folder, daemon) = daemon();
    let mut runner = TestRunner::new(Config { cases: 200, ..Config::default() });
    let line = "(GET|POST|PUT|[A-Z]{1,9}) /(metrics|v1/processes)?[ -~]{0,40}( HTTP/1.[01])?(\r\n[ -~]{0,60}){0,4}(\r\n\r\n)?";
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..2_000),
        line.prop_map(String::into_bytes),
    ];
    let check = |request: Vec<u8>| {
        daemon.send(&request);
        prop_assert_eq!(daemon.get("/healthz").0, 200);
        Ok(())
    };
    runner.run(&bytes, check).unwrap();
}

#[test]
fn connections_that_say_nothing_are_not_waited_for() {
    let (_folder, daemon) = daemon();
    let mut idle: Vec<TcpStream> =
        (0..64).map(|_| TcpStream::connect(&daemon.address).unwrap()).collect();
    for stream in &mut idle {
        stream.write_all(b"GET /heal").unwrap();
    }
    // One too many is closed at once.
    let mut more = TcpStream::connect(&daemon.address).unwrap();
    let mut rest = Vec::new();
    assert!(matches!(more.read_to_end(&mut rest), Ok(0) | Err(_)));
    // In the end it gives them up by itself.
    for stream in &mut idle {
        rest.clear();
        drop(stream.read_to_end(&mut rest));
    }
    assert_eq!(daemon.get("/healthz").0, 200);
}
