//! The life of a daemon: one on a socket, signals, systemd.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::tempdir;

use crate::daemon::{Daemon, NOTHING, command, write};

/// A second one on `listen` is refused with a word on why.
fn assert_refused(folder: &std::path::Path, listen: &str) {
    let config = write(folder, "second.toml", NOTHING, 0o600);
    let output = command(&config, &["--listen", listen]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("another bufwatch daemon listens on"), "{said}");
}

#[test]
fn a_second_one_on_the_same_socket_is_refused() {
    let folder = tempdir().unwrap();
    let listen = format!("unix:{}", folder.path().join("socket").display());
    let mut first = Daemon::start(folder.path(), "", &listen);
    assert_refused(folder.path(), &listen);
    assert_eq!(first.get("/healthz"), (200, "ok\n".to_owned()));
    first.signal(Signal::SIGTERM);
    assert_eq!(first.wait(), Some(0));
    assert!(!folder.path().join("socket").exists(), "the socket is left behind");

    let tcp = Daemon::start(folder.path(), "", "127.0.0.1:0");
    assert_refused(folder.path(), &tcp.address);
}

#[test]
fn the_socket_of_one_that_was_killed_is_taken_over() {
    let folder = tempdir().unwrap();
    let listen = format!("unix:{}", folder.path().join("socket").display());
    let mut first = Daemon::start(folder.path(), "", &listen);
    first.signal(Signal::SIGKILL);
    assert_eq!(first.wait(), None);
    assert!(folder.path().join("socket").exists());
    let second = Daemon::start(folder.path(), "", &listen);
    assert_eq!(second.get("/healthz").0, 200);
}

#[test]
fn what_is_not_a_socket_is_left_as_it_is() {
    let folder = tempdir().unwrap();
    let file = write(folder.path(), "socket", "precious", 0o600);
    let config = write(folder.path(), "bufwatch.toml", NOTHING, 0o600);
    let listen = format!("unix:{}", file.display());
    let output = command(&config, &["--listen", &listen]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(file).unwrap(), "precious");
}

#[test]
fn settings_are_read_again() {
    let folder = tempdir().unwrap();
    let token = write(folder.path(), "token", "0123456789abcdef", 0o600);
    let mut daemon = Daemon::start(folder.path(), "", "127.0.0.1:0");
    assert_eq!(daemon.get("/v1/processes").0, 200);
    // The address is another setting than the one it listens on.
    let config = format!("token_file = \"{}\"\n{NOTHING}", token.display());
    write(folder.path(), "bufwatch.toml", &config, 0o600);
    daemon.signal(Signal::SIGHUP);
    daemon.event("config_reloaded");
    assert_eq!(daemon.get("/v1/processes").0, 401);
    let bearer = "Host: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\n";
    assert_eq!(daemon.ask("GET", "/v1/processes", bearer).0, 200);
    assert_eq!(daemon.get("/healthz").0, 200, "health needs no token");

    write(folder.path(), "bufwatch.toml", "scan_every = 0\n", 0o600);
    daemon.signal(Signal::SIGHUP);
    let refused = daemon.event("config_refused");
    assert!(refused["error"].as_str().unwrap().contains("scan_every"), "{refused}");
    assert_eq!(daemon.get("/v1/processes").0, 401, "the old settings hold on");
    daemon.signal(Signal::SIGINT);
    assert_eq!(daemon.event("daemon_stopped")["all_probes_removed"], true);
    assert_eq!(daemon.wait(), Some(0));
}

#[test]
fn systemd_is_told() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("notify");
    let listener = UnixDatagram::bind(&path).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let config = write(folder.path(), "bufwatch.toml", NOTHING, 0o600);
    let mut command = command(&config, &["--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", &path);
    let mut daemon = Daemon::start_command(command);
    let wait_for = |wanted: &str| {
        let mut bytes = [0; 256];
        loop {
            let n = listener.recv(&mut bytes).unwrap();
            if String::from_utf8_lossy(&bytes[..n]).starts_with(wanted) {
                return;
            }
        }
    };
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    daemon.signal(Signal::SIGHUP);
    wait_for("RELOADING=1\nMONOTONIC_USEC=");
    wait_for("READY=1");
    daemon.signal(Signal::SIGTERM);
    wait_for("STOPPING=1");
    assert_eq!(daemon.wait(), Some(0));
}
