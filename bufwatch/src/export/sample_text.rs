//! A snapshot as text for people: one line per interval, and the summary at the end. Not for programs;
//! they read the JSON.

use crate::analysis::describe::{
    growth_noise, growth_per_min, growth_text, lifetime_quantile, state_text,
};
use crate::analysis::holding::Holdings;
use crate::analysis::snapshot::{GroupRow, Snapshot, TallyRow, TargetState};
use crate::base::text::{UNKNOWN, count, fit, known, pad, pad_left, percent, wrap};
use crate::base::{Bytes, Fidelity, sanitize};
use crate::event::place::function;
use crate::event::{Frame, FrameKind};
use crate::export::finding::to_lines;

/// Columns of the summary: fits the usual terminal.
const N_COLUMNS: usize = 80;

/// Steps of RSS in the summary.
const N_STEPS: usize = 6;

/// Sites in the summary; the dashboard and the JSON have all.
const N_TOP_SITES: usize = 10;

/// `live 3m41s  RSS 10.2 GiB  arrayBuffers 10.0 GiB  …`, without a line break.
pub fn line(snapshot: &Snapshot) -> String {
    let memory = &snapshot.memory;
    let held = format!(
        "{}  RSS {}  arrayBuffers {}",
        pad(&state_text(snapshot), 13),
        known(memory.rss),
        known(memory.array_buffers)
    );
    if snapshot.target.state == TargetState::Attaching {
        return held;
    }
    let stores = &snapshot.stores;
    format!(
        "{held}  stores {} in {}  alloc {}/s  freed {}/s  GC {}  {}",
        stores.live_bytes,
        count(stores.n_live),
        Bytes(stores.created_bytes_per_s),
        Bytes(stores.destroyed_bytes_per_s),
        gc_counts(snapshot),
        lost(snapshot),
    )
}

/// `12+3`: minor and major.
fn gc_counts(snapshot: &Snapshot) -> String {
    known(snapshot.gc.map(|gc| format!("{}+{}", count(gc.n_minor), count(gc.n_major))))
}

fn lost(snapshot: &Snapshot) -> String {
    if let Some(share) = snapshot.health.coverage {
        format!("sampled, {} of the time", percent(share))
    } else if snapshot.target.backend.sees().every_store {
        format!("lost {}", count(snapshot.health.n_lost))
    } else {
        "sampled".to_owned()
    }
}

/// What was seen, in some twenty lines; ends with a line break.
pub fn summary(snapshot: &Snapshot) -> String {
    let mut lines = vec![heading_line(snapshot)];
    lines.push(String::new());
    lines.extend(memory_lines(snapshot));
    lines.push(String::new());
    lines.extend(step_lines(snapshot));
    lines.extend(site_lines(snapshot));
    lines.push(String::new());
    lines.extend(finding_lines(snapshot));
    lines.extend(trust_lines(snapshot));
    let mut out = String::new();
    for line in lines {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn heading_line(snapshot: &Snapshot) -> String {
    let target = &snapshot.target;
    let mut parts = vec!["bufwatch".to_owned()];
    if !target.command.is_empty() {
        parts.push(fit(&sanitize(&target.command), 40));
    }
    let inside = target.inner_pid.map(|pid| format!(" ({pid} inside)")).unwrap_or_default();
    parts.push(format!("pid {}{inside}", known((target.pid != 0).then_some(target.pid))));
    parts.extend(target.container.as_ref().map(|it| format!("container {}", sanitize(it))));
    if let Some(version) = &target.node_version {
        parts.push(format!("node {}", sanitize(version).trim_start_matches('v')));
    }
    parts.push(state_text(snapshot));
    parts.join("  ")
}

fn memory_lines(snapshot: &Snapshot) -> Vec<String> {
    let memory = &snapshot.memory;
    let stores = &snapshot.stores;
    let history = &snapshot.history;
    let holdings = Holdings::of(snapshot);
    let is_counting = snapshot.target.state != TargetState::Attaching;
    let row = |label: &str, value: String, note: String| {
        format!("  {} {}  {note}", pad(label, 14), pad_left(&value, 10))
    };
    let growth = |series, value: Option<Bytes>| match (growth_per_min(series), value) {
        (Some(growth), Some(value)) => growth_text(growth, growth_noise(value)),
        _ => String::new(),
    };
    let before_sign = if holdings.before_attach_fidelity == Fidelity::Exact { "" } else { "~" };
    let mut lines = vec![
        row("RSS", known(memory.rss), growth(&history.rss, memory.rss)),
        row(
            "arrayBuffers",
            known(memory.array_buffers),
            growth(&history.array_buffers, memory.array_buffers),
        ),
        row("V8 heap", known(memory.v8_heap), "resident, sampled".to_owned()),
    ];
    if is_counting {
        lines.push(row(
            "live stores",
            stores.live_bytes.to_string(),
            format!(
                "in {} of {} and more; peak {}",
                count(stores.n_live),
                snapshot.target.min_size,
                stores.peak_bytes
            ),
        ));
        lines.push(row(
            "small stores",
            known(stores.small.map(|it| it.live_bytes)),
            stores.small.map_or_else(String::new, |it| format!("in {}", count(it.n_live))),
        ));
    }
    let before = memory
        .before_attach
        .map_or_else(|| UNKNOWN.to_owned(), |bytes| format!("{before_sign}{bytes}"));
    lines.push(row("before attach", before, "stores older than bufwatch".to_owned()));
    if is_counting {
        lines.push(row(
            "allocated",
            stores.created_bytes.to_string(),
            format!("in {} stores since the attach", count(stores.n_created)),
        ));
        lines.push(row(
            "freed",
            stores.destroyed_bytes.to_string(),
            format!("in {} stores", count(stores.n_destroyed)),
        ));
    }
    if let Some(bytes) = holdings.not_resident_at_least {
        lines.push(format!("  at least ~{bytes} of the stores is not in RAM"));
    }
    lines.push(row(
        "GC",
        gc_counts(snapshot),
        snapshot.gc.map_or_else(
            || "not seen".to_owned(),
            |gc| format!("minor + major, {} in all, longest {}", gc.total, known(gc.longest)),
        ),
    ));
    lines
}

/// What the detectors say, if somebody looked at who holds what.
fn finding_lines(snapshot: &Snapshot) -> Vec<String> {
    let log = &snapshot.census;
    let mut lines = Vec::new();
    if !snapshot.findings.is_empty() {
        lines.push("Findings".to_owned());
        lines.extend(to_lines(&snapshot.findings, N_COLUMNS));
    } else if log.n_taken > 0 {
        lines.push(format!(
            "Findings: none, after {} of the V8 heap",
            if log.n_taken == 1 {
                "one census".to_owned()
            } else {
                format!("{} censuses", count(log.n_taken))
            }
        ));
    }
    if let Some(failure) = &log.failure {
        lines.push(format!("no census: {}", sanitize(&failure.message)));
    }
    if log.n_taken > 0 {
        lines.push(format!(
            "  censuses stopped the process for {} in all, {} at most",
            log.total_stop, log.longest_stop
        ));
    }
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines
}

/// The last steps of RSS, and a blank line behind them.
fn step_lines(snapshot: &Snapshot) -> Vec<String> {
    let steps = &snapshot.rss_steps;
    if steps.is_empty() {
        return Vec::new();
    }
    let last = steps.get(steps.len().saturating_sub(N_STEPS)..).unwrap_or_default();
    let mut lines = vec!["Steps of RSS".to_owned()];
    for step in last {
        let text = format!("{} ago  {}", step.ago, sanitize(&step.text));
        for (n, line) in wrap(&text, N_COLUMNS - 4).into_iter().enumerate() {
            lines.push(format!("  {}{line}", if n == 0 { "" } else { "  " }));
        }
    }
    lines.push(String::new());
    lines
}

fn site_lines(snapshot: &Snapshot) -> Vec<String> {
    if snapshot.target.state == TargetState::Attaching {
        return vec!["Sites: none, the probes are not in place".to_owned()];
    }
    if !snapshot.target.backend.sees().stacks {
        return vec!["Sites: not known, stacks are not seen".to_owned()];
    }
    if snapshot.groups.is_empty() {
        return vec!["Sites: no store has been allocated since the attach".to_owned()];
    }
    let n_shown = snapshot.groups.len().min(N_TOP_SITES);
    let mut lines = vec![format!(
        "Sites by live bytes ({} of {})",
        n_shown,
        count(snapshot.n_groups_total.max(n_shown) as u64)
    )];
    for row in snapshot.groups.iter().take(N_TOP_SITES) {
        lines.push(format!("  {}", fit(&sanitize(&row.text()), N_COLUMNS - 2)));
        lines.push(format!("    {}", site_facts(&row.tally)));
        let called_from = callers(row);
        if !called_from.is_empty() {
            lines.push(format!("    {}", fit(&called_from, N_COLUMNS - 4)));
        }
    }
    lines
}

fn site_facts(row: &TallyRow) -> String {
    let mut facts = vec![
        format!("{} live in {}", row.live_bytes, count(row.n_live)),
        format!("{} allocated in {}", row.created_bytes, count(row.n_created)),
    ];
    facts.extend(row.survival.map(|survival| format!("{} survived", percent(survival))));
    facts.extend(lifetime_quantile(&row.lifetimes, 0.99).map(|p99| format!("p99 {p99}")));
    facts.join(", ")
}

/// The application's frames that called the one which names it.
fn callers(row: &GroupRow) -> String {
    let from = row.heaviest.user_frame.map_or(0, |at| at + 1);
    let outer = row.heaviest.frames.get(from..).unwrap_or_default();
    let is_telling = |frame: &&Frame| frame.kind == FrameKind::Js && frame.is_resolved;
    let mut names: Vec<String> = outer.iter().filter(is_telling).map(function).collect();
    // A function that calls itself.
    names.dedup();
    names.truncate(4);
    if names.is_empty() { String::new() } else { format!("← {}", names.join(" ← ")) }
}

fn trust_lines(snapshot: &Snapshot) -> Vec<String> {
    let health = &snapshot.health;
    let mut lines = Vec::new();
    let mut say = |text: &str| {
        for (n, line) in wrap(text, N_COLUMNS - 2).into_iter().enumerate() {
            lines.push(if n == 0 { line } else { format!("  {line}") });
        }
    };
    if snapshot.target.state == TargetState::Attaching {
        say("nothing was traced");
    } else if !snapshot.target.backend.sees().every_store {
        say("sampled: what lives between two censuses only was not seen");
    } else if let Some(share) = health.coverage {
        say(&format!(
            "sampled, {} of the time: births, deaths and rates are of that time; what came at others is found by censuses, without a line",
            percent(share)
        ));
    } else if health.n_lost == 0 {
        say("lost 0");
    } else {
        say(&format!(
            "lost {} records; the live set was read again {} times, which found {} stores dead",
            count(health.n_lost),
            count(health.n_reconciled),
            count(health.n_closed_by_reconcile)
        ));
    }
    for (reason, n) in health.drops.iter().filter(|(reason, _)| reason.is_loss()) {
        say(&format!("{} {}: {}", reason.name(), count(*n), reason.consequence()));
    }
    for limit in &health.limits {
        say(&format!("limit reached: {}", sanitize(limit)));
    }
    for notice in &health.notices {
        say(&format!("notice: {}", sanitize(notice)));
    }
    lines
}
