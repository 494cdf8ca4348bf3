//! What is told as metrics, by whatever way: the numbers of all processes by service and slot, and the daemon's own. No pid, no site and no command is a label: series stay
//! as many as there are places.

use crate::daemon::board::{Board, Row, State};
use crate::export::openmetrics::{Labelled, Page, fleet, label};
use crate::sys::{clock, procfs};

/// All that there is.
pub fn page(board: &Board) -> Page {
    let mut page = Page::new(None);
    page.set_labels(&[], board.started);
    own(&mut page, board);
    let labels = |row: &Row| {
        vec![label("service", &row.place.service), label("slot", &row.place.slot.to_string())]
    };
    let processes: Vec<Labelled> = board
        .processes
        .iter()
        .map(|row| Labelled { labels: labels(row), since: row.since, snapshot: row.snapshot() })
        .collect();
    let open: Vec<(String, Option<u64>)> = board
        .processes
        .iter()
        .map(|row| (labels(row).join(","), Some(row.open.len() as u64)))
        .collect();
    let open: Vec<(&str, Option<u64>)> = open.iter().map(|(it, n)| (it.as_str(), *n)).collect();
    page.gauge("bufwatch_open_findings", "", "Findings that were told and are not over", &open);
    fleet(&mut page, &processes);
    page
}

fn own(page: &mut Page, board: &Board) {
    let counts = &board.counts;
    let states = State::ALL.map(|state| label("state", state.name()));
    let n_in =
        |state: State| board.processes.iter().filter(|row| row.state == state).count() as u64;
    let samples: Vec<(&str, Option<u64>)> =
        states.iter().map(String::as_str).zip(State::ALL.map(|state| Some(n_in(state)))).collect();
    page.gauge("bufwatch_daemon_processes", "", "Processes by how far watching them is", &samples);
    let help = "Node processes that are left alone since there are enough";
    let over = Some(counts.n_over_limit);
    page.gauge("bufwatch_daemon_processes_over_limit", "", help, &[("", over)]);
    let counters = [
        ("bufwatch_daemon_processes_watched", "Processes attached to", counts.n_watched),
        ("bufwatch_daemon_processes_ended", "Watched processes that ended", counts.n_ended),
        (
            "bufwatch_daemon_processes_failed",
            "Processes that could not be watched",
            counts.n_failed,
        ),
        ("bufwatch_daemon_findings_opened", "Findings told", counts.n_findings_opened),
        ("bufwatch_daemon_findings_closed", "Findings that are over", counts.n_findings_closed),
        ("bufwatch_daemon_log_lines_lost", "Events that nobody read in time", counts.n_events_lost),
        (
            "bufwatch_daemon_webhook_events",
            "Events that the webhook has taken",
            counts.outgoing.n_webhook_sent,
        ),
        (
            "bufwatch_daemon_webhook_events_lost",
            "Events that the webhook has not taken",
            counts.outgoing.n_webhook_lost,
        ),
        ("bufwatch_daemon_otlp_pushes", "Pages pushed by OTLP", counts.outgoing.n_otlp_sent),
        (
            "bufwatch_daemon_otlp_failures",
            "Pages that were not taken, or in part",
            counts.outgoing.n_otlp_failed,
        ),
        (
            "bufwatch_daemon_processes_short_lived",
            "Node processes that ended before they were watched, of those that were seen to begin",
            counts.n_short_lived,
        ),
        ("bufwatch_daemon_execs", "Programs of all kinds that were seen to begin", counts.n_execs),
        ("bufwatch_daemon_censuses", "Looks at V8 heaps, failed ones included", counts.n_censuses),
        ("bufwatch_daemon_scans", "Looks for processes", counts.n_scans),
    ];
    for (name, help, n) in counters {
        page.counter(name, help, &[("", n)]);
    }
    let pid = std::process::id();
    page.seconds("process_cpu_seconds", "CPU time of bufwatch", clock::own_cpu());
    let rss = procfs::rss(pid).ok().map(|rss| rss.0);
    page.gauge("process_resident_memory_bytes", "bytes", "RSS of bufwatch", &[("", rss)]);
    let n_fds = procfs::n_open_files(pid);
    page.gauge("process_open_fds", "", "Open files of bufwatch", &[("", n_fds)]);
    let n_threads = Some(procfs::thread_ids(pid).len() as u64);
    page.gauge("bufwatch_daemon_threads", "", "Threads of bufwatch", &[("", n_threads)]);
    let help = "Duration of the last look for processes";
    page.duration("bufwatch_daemon_last_scan_seconds", help, counts.last_scan);
}
