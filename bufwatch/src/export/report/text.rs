//! The report for a terminal: findings first, then when, what, who and how far it can be trusted.

use crate::analysis::finding::Finding;
use crate::analysis::post_mortem::{PostMortem, ToldFinding};
use crate::analysis::snapshot::{Snapshot, TargetState};
use crate::base::sanitize;
use crate::base::text::{count, percent, wrap};
use crate::export::finding::to_lines;
use crate::export::report::{in_short, parts, place_of, span, subject, timeline};

/// Columns of a line but for code and commands, which are not broken.
const N_COLUMNS: usize = 100;

/// Findings that were told earlier and are no more.
const GONE_SHOWN: usize = 10;

/// The text; ends with a line break. `file` is the name of the recording.
pub fn to_text(told: &PostMortem, file: &str) -> String {
    let snapshot = &told.snapshot;
    let mut out = Lines::default();
    out.say(&format!("bufwatch report  {}", sanitize(file)));
    out.wrapped("  ", &sanitize(&snapshot.target.command));
    for line in subject(told) {
        out.wrapped("  ", &line);
    }
    out.say("");
    out.wrapped("", &in_short(told));
    findings(told, &mut out);
    gone(told, &mut out);
    if snapshot.target.state != TargetState::Attaching {
        out.section("Timeline", &timeline::lines(told, N_COLUMNS));
    }
    let when = if told.is_of_a_moment() { "then" } else { "at the end" };
    out.table(&format!("RSS by what it is for, {when}"), &parts::rss(snapshot));
    let steps = parts::steps(snapshot);
    if !steps.is_empty() {
        out.section("Steps of RSS", &[]);
        for step in &steps {
            out.wrapped("  ", step);
        }
    }
    sites(snapshot, &mut out);
    holding(told, &mut out);
    out.table(
        "Memory of dead stores that is still in RAM, by line",
        &parts::freed(snapshot, N_COLUMNS),
    );
    out.section("How far this can be trusted", &[]);
    for line in trust(told) {
        out.wrapped("  ", &line);
    }
    out.text
}

fn findings(told: &PostMortem, out: &mut Lines) {
    let findings = &told.snapshot.findings;
    if findings.is_empty() {
        return;
    }
    out.section(&format!("Findings ({})", findings.len()), &[]);
    for (n, finding) in findings.iter().enumerate() {
        if n > 0 {
            out.say("");
        }
        for line in to_lines(std::slice::from_ref(finding), N_COLUMNS) {
            out.say(&line);
        }
        for (label, text) in where_and_who(told, finding) {
            out.wrapped("    ", &format!("{label} {text}"));
        }
    }
}

/// Where it was allocated, who holds it, and since when it is told.
fn where_and_who(told: &PostMortem, finding: &Finding) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    let place = place_of(&told.snapshot, finding);
    let site = finding.site.as_ref().map(|site| sanitize(site));
    facts.extend(place.or(site).map(|place| ("line:", place)));
    if !finding.holder.is_empty() {
        facts.push(("holder:", sanitize(&finding.holder.join(" "))));
    }
    let first = told.first_told(finding);
    facts.extend(first.map(|first| ("told:", format!("first {first} after the start"))));
    facts
}

fn gone(told: &PostMortem, out: &mut Lines) {
    let gone: Vec<&ToldFinding> = told.gone().collect();
    if gone.is_empty() {
        return;
    }
    out.section(&format!("Told earlier, and no more ({})", count(gone.len() as u64)), &[]);
    for it in gone.iter().take(GONE_SHOWN) {
        let kind = it.worst.kind.name();
        let text = format!(
            "{kind}  {} at most, {}: {}",
            it.worst.bytes,
            span(it.first, it.gone),
            sanitize(&it.worst.summary)
        );
        out.wrapped("  ", &text);
    }
    let n_more = gone.len().saturating_sub(GONE_SHOWN);
    if n_more > 0 {
        out.say(&format!("  and {} more", count(n_more as u64)));
    }
}

fn sites(snapshot: &Snapshot, out: &mut Lines) {
    if snapshot.target.state == TargetState::Attaching {
        return;
    }
    if snapshot.groups.is_empty() {
        let title = if snapshot.target.backend.sees().stacks {
            "Lines: no store was allocated since the attach"
        } else {
            "Lines: not known, stacks were not seen"
        };
        out.section(title, &[]);
        return;
    }
    let n = snapshot.groups.len().min(parts::SITES_SHOWN);
    let n_all = count(snapshot.n_groups_total.max(n) as u64);
    out.section(
        &format!("Lines by live bytes ({n} of {n_all})"),
        &parts::sites(snapshot, N_COLUMNS),
    );
}

fn holding(told: &PostMortem, out: &mut Lines) {
    let log = &told.snapshot.census;
    let Some(joined) = &log.last else { return };
    let at = told.censuses.last().map(|census| census.at);
    let at = at.map_or_else(String::new, |at| format!(", as of the census {at} after the start"));
    out.table(&format!("Who holds the memory{at}"), &parts::holders(joined, N_COLUMNS));
    out.table("Array buffers that views keep alive", &parts::pinned(joined, N_COLUMNS));
    let gaps = &joined.census.gaps;
    if !gaps.is_empty() {
        out.section("The census does not cover", &[]);
        for gap in gaps {
            out.wrapped("  ", &sanitize(gap));
        }
    }
}

/// Losses, limits, notices: what of all this may be missing.
pub(super) fn trust(told: &PostMortem) -> Vec<String> {
    let health = &told.snapshot.health;
    let mut lines = Vec::new();
    if told.snapshot.target.state == TargetState::Attaching {
        lines.push("nothing was traced".to_owned());
    } else if let Some(share) = health.coverage {
        lines.push(format!(
            "sampled: probes were in place {} of the time (--max-overhead); births, deaths and rates are of that time, what came at others was found by censuses, without a line",
            percent(share)
        ));
    } else if health.n_lost == 0 {
        lines.push("no record was lost".to_owned());
    } else {
        lines.push(format!(
            "{} records were lost; the live set was read again {} times, which found {} stores dead at a time that is not known",
            count(health.n_lost),
            count(health.n_reconciled),
            count(health.n_closed_by_reconcile)
        ));
    }
    for (reason, n) in health.drops.iter().filter(|(reason, _)| reason.is_loss()) {
        lines.push(format!("{} {}: {}", reason.name(), count(*n), reason.consequence()));
    }
    let frames = health.all_frames();
    if frames.n_unresolved + frames.n_approximate > 0 {
        lines.push(format!(
            "of {} frames {} have no name and {} a line that is only about right (~)",
            count(frames.n),
            count(frames.n_unresolved),
            count(frames.n_approximate)
        ));
    }
    lines.push(census_trust(told));
    if let Some(before) = told.snapshot.memory.before_attach.filter(|bytes| bytes.0 > 0) {
        lines.push(format!("about {before} is older than the recording: its lines are not known"));
    }
    lines.extend(health.limits.iter().map(|limit| format!("limit reached: {}", sanitize(limit))));
    lines.extend(health.notices.iter().map(|notice| format!("notice: {}", sanitize(notice))));
    if told.is_told_cut {
        lines.push("limit reached: not all findings over time were read".to_owned());
    }
    lines
}

fn census_trust(told: &PostMortem) -> String {
    let log = &told.snapshot.census;
    let last = told.censuses.last();
    let mut text = match (log.n_taken, last) {
        (0, _) | (_, None) => {
            "no census: nobody looked at who holds what (bufwatch record --census-every SECONDS)"
                .to_owned()
        }
        (n, Some(last)) => format!(
            "{} of the V8 heap, the last {} before; the process stood still for {} in all, {} at most",
            if n == 1 { "one census".to_owned() } else { format!("{} censuses", count(n)) },
            told.snapshot.elapsed.since(last.at),
            log.total_stop,
            log.longest_stop
        ),
    };
    if last.is_some_and(|last| last.is_thinned) {
        text.push_str("; of the last one not all array buffers are kept");
    }
    if let Some(failure) = &log.failure {
        text.push_str("; the next one failed: ");
        text.push_str(&sanitize(&failure.message));
    }
    text
}

/// Lines without blanks at their ends.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn say(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// What does not fit goes on in a line that is indented more.
    fn wrapped(&mut self, indent: &str, text: &str) {
        for (n, line) in wrap(text, N_COLUMNS.saturating_sub(indent.len() + 2)).iter().enumerate() {
            self.say(&format!("{indent}{}{line}", if n == 0 { "" } else { "  " }));
        }
    }

    /// Left out if it has no lines.
    fn table(&mut self, title: &str, lines: &[String]) {
        if !lines.is_empty() {
            self.section(title, lines);
        }
    }

    /// A title with a blank line before it, and the first lines below it.
    fn section(&mut self, title: &str, lines: &[String]) {
        self.say("");
        self.say(title);
        for line in lines {
            self.say(line);
        }
    }
}
