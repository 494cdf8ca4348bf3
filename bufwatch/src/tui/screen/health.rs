//! "Can I trust these numbers, and what do they cost?": losses, limits, what could not be done. Builds a
//! page; the frame draws it.

use crate::analysis::snapshot::{FrameCounts, Health, Snapshot};
use crate::base::sanitize;
use crate::base::text::{UNKNOWN, count, known, percent, wrap};
use crate::event::FrameKind;
use crate::tui::screen::census::intro::failure_text;
use crate::tui::screen::census::summary::orphans;
use crate::tui::text::{Line, Page, Role, fact, heading, span};

pub fn page(snapshot: &Snapshot, n_columns: usize) -> Page {
    let health = &snapshot.health;
    let mut page = losses(health, n_columns);
    page.push(Line::new());
    page.push(heading("What the probes dropped, and what is lost by it", n_columns));
    if health.drops.is_empty() {
        page.push(vec![span(Role::Healthy, "  nothing")]);
    }
    for (reason, n) in &health.drops {
        let role = if reason.is_loss() { Role::Accused } else { Role::Neutral };
        let value = format!("{}: {}", count(*n), reason.consequence());
        page.extend(fact(reason.name(), &value, role, n_columns));
    }
    page.push(Line::new());
    page.extend(list("Limits reached", "none", &health.limits, n_columns));
    page.push(Line::new());
    page.extend(list("Not possible here", "everything works", &health.notices, n_columns));
    page.push(Line::new());
    page.extend(coverage(snapshot, n_columns));
    page.push(Line::new());
    page.extend(census(snapshot, n_columns));
    page
}

fn losses(health: &Health, n_columns: usize) -> Page {
    let mut page = vec![heading("Records", n_columns)];
    let mut say = |label: &str, value: String, role| {
        page.extend(fact(label, &value, role, n_columns));
    };
    if health.n_lost == 0 {
        say("lost", "0: every store above the minimum size was seen".to_owned(), Role::Healthy);
    } else {
        say("lost", count(health.n_lost), Role::Accused);
        say(
            "read again",
            format!(
                "{} times the live set was read from the kernel; {} stores were found dead by it",
                count(health.n_reconciled),
                count(health.n_closed_by_reconcile)
            ),
            Role::Neutral,
        );
    }
    let cpu = health
        .cpu_share
        .map_or_else(|| UNKNOWN.to_owned(), |share| format!("{} of a core", percent(share)));
    say("own cpu", cpu, Role::Neutral);
    say("own memory", known(health.rss), Role::Neutral);
    page
}

fn list(title: &str, none: &str, items: &[String], n_columns: usize) -> Page {
    let mut page = vec![heading(title, n_columns)];
    if items.is_empty() {
        page.push(vec![span(Role::Healthy, format!("  {none}"))]);
    }
    for item in items {
        for (n, line) in wrap(&sanitize(item), n_columns.saturating_sub(4)).into_iter().enumerate()
        {
            let mark = if n == 0 { "▲ " } else { "  " };
            page.push(vec![span(Role::Accused, format!("  {mark}")), span(Role::Neutral, line)]);
        }
    }
    page
}

/// What the censuses cost the target, and what the last one does not cover.
fn census(snapshot: &Snapshot, n_columns: usize) -> Page {
    let log = &snapshot.census;
    let mut page = vec![heading("Census", n_columns)];
    let mut say = |label: &str, value: &str, role| {
        page.extend(fact(label, value, role, n_columns));
    };
    if let Some(failure) = &log.failure {
        say("failed", &failure_text(failure, snapshot), Role::Accused);
        say("hint", &sanitize(&failure.hint), Role::Neutral);
    }
    let Some(last) = &log.last else {
        page.push(vec![span(Role::Neutral, "  none was taken")]);
        return page;
    };
    let timing = last.census.timing;
    let ago = snapshot.taken_at.since(last.taken_at);
    let text = format!("{ago} ago, in {}", timing.total);
    say("last", &text, Role::Neutral);
    let text = format!(
        "{}, longest {}, all {} together {}",
        timing.stopped,
        log.longest_stop,
        count(log.n_taken),
        log.total_stop
    );
    say("process stopped", &text, Role::Neutral);
    let counts = &last.census.counts;
    let text = format!(
        "{} objects alive of {} in {}",
        count(counts.n_live_objects),
        count(counts.n_objects),
        counts.heap_bytes
    );
    say("read", &text, Role::Neutral);
    if let Some(text) = orphans(last) {
        let n = count(last.orphans.len() as u64);
        let text = format!("{text}: {n} traced stores, garbage or held by native code");
        say("beside", &text, Role::Neutral);
    }
    if counts.n_rejected > 0 {
        say(
            "contradictory",
            &format!("{} objects left out", count(counts.n_rejected)),
            Role::Accused,
        );
    }
    page.push(Line::new());
    page.extend(list(
        "The census does not cover",
        "nothing is left out",
        &last.census.gaps,
        n_columns,
    ));
    page
}

/// `12,044, 9.3 % without a name, 0.4 % with an approximate line`.
fn frames_text(counts: FrameCounts) -> String {
    let share = |n: u64| percent(n as f64 / counts.n.max(1) as f64);
    if counts.n == 0 {
        return "none yet".to_owned();
    }
    let approximate = match counts.n_approximate {
        0 => String::new(),
        n => format!(", {} with an approximate line (~)", share(n)),
    };
    format!("{}, {} without a name{approximate}", count(counts.n), share(counts.n_unresolved))
}

fn coverage(snapshot: &Snapshot, n_columns: usize) -> Page {
    let health = &snapshot.health;
    let stores = &snapshot.stores;
    let mut page = vec![heading("Coverage", n_columns)];
    let mut say = |label: &str, value: String| {
        page.extend(fact(label, &value, Role::Neutral, n_columns));
    };
    say(
        "tracked one by one",
        format!(
            "{} stores of {} and more; {}",
            count(stores.n_created),
            snapshot.target.min_size,
            stores.small.map_or_else(
                || "smaller ones are not counted".to_owned(),
                |it| format!("{} smaller ones counted by size class", count(it.n_created))
            )
        ),
    );
    let backend = snapshot.target.backend;
    let loss = backend.loss().map_or_else(String::new, |loss| format!(": {loss}"));
    say("backend", format!("{}{loss}", backend.name()));
    if let Some(share) = snapshot.health.coverage {
        let text =
            "probes were in place (--max-overhead): births, deaths and rates are of that time";
        say("sampled", format!("{} of the time {text}", percent(share)));
    }
    if backend.sees().every_store {
        let n = count(stores.n_destroyed_unknown);
        let text =
            "stores were freed whose creation was not seen (older than the attach, or scratch)";
        say("unknown deaths", format!("{n} {text}"));
    }
    for (label, kind) in [
        ("frames of yours", FrameKind::Js),
        ("frames of Node", FrameKind::Node),
        ("frames of V8", FrameKind::Builtin),
        ("native frames", FrameKind::Native),
    ] {
        say(label, frames_text(health.frames_of(kind)));
    }
    let shown =
        |n: usize, n_total: usize| format!("{} of {}", count(n as u64), count(n_total as u64));
    say("sites", shown(snapshot.groups.len(), snapshot.n_groups_total));
    say("their stacks", shown(snapshot.sites.len(), snapshot.n_sites_total));
    say("isolates", count(snapshot.memory.n_isolates.into()));
    say("V8", known(snapshot.target.v8_version.as_deref()));
    let pauses = snapshot.gc.map(|gc| {
        let (n_minor, n_major) = (count(gc.n_minor), count(gc.n_major));
        let longest = known(gc.longest);
        format!("{} in all, longest {longest}, {n_minor} minor, {n_major} major", gc.total)
    });
    say("GC pauses", known(pauses));
    page
}
