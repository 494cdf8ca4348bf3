//! Whether a recorded session kept within limits, for continuous integration. Pure; what follows from a breach is the caller's business.

use crate::analysis::finding::{Confidence, FindingKind};
use crate::analysis::post_mortem::{PostMortem, ToldFinding};
use crate::analysis::slope::{Slope, slope};
use crate::base::text::{count, percent};
use crate::base::{Bytes, Nanos, Series};

/// A process that starts grows: the first part of a session says nothing of a leak.
const STARTING: f64 = 1.0 / 3.0;

/// What is left must last so long, or a slope is that of a moment.
const GROWTH_SPAN_MIN: Nanos = Nanos::from_secs(5);

/// Points of the curve that the slope is taken of.
const POINTS: usize = 200;

/// What is allowed; `None` and empty: anything.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// Bytes that are alive only by views that do not show them, at any census.
    pub pinned: Option<Bytes>,
    /// Of arrayBuffers, in a minute.
    pub growth_per_min: Option<Bytes>,
    /// At any time.
    pub rss: Option<Bytes>,
    pub array_buffers: Option<Bytes>,
    /// Findings that must not be told at any time.
    pub kinds: Vec<FindingKind>,
    /// Those that are less sure do not count.
    pub confidence: Option<Confidence>,
}

/// What became of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// As it is typed: `max-pinned`, `PINNED_PARENT`.
    pub name: &'static str,
    pub verdict: Verdict,
    /// In one line, with numbers.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Kept,
    Breached,
    /// Nothing is known that could tell.
    Unknown,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Breached => "breached",
            Self::Unknown => "unknown",
        }
    }
}

/// One for each limit, and for each kind of finding.
pub fn judge(told: &PostMortem, limits: &Limits) -> Vec<Judged> {
    let mut judged = Vec::new();
    judged.extend(limits.pinned.map(|limit| pinned(told, limit)));
    judged.extend(limits.growth_per_min.map(|limit| growth(told, limit)));
    let history = &told.snapshot.history;
    let of_curve =
        |name, what, series, limit| peak(name, what, series, limit, told.snapshot.elapsed);
    judged.extend(limits.rss.map(|limit| of_curve("max-rss", "RSS", &history.rss, limit)));
    let array_buffers = &history.array_buffers;
    judged.extend(
        limits
            .array_buffers
            .map(|limit| of_curve("max-array-buffers", "arrayBuffers", array_buffers, limit)),
    );
    let confidence = limits.confidence.unwrap_or(Confidence::Low);
    judged.extend(limits.kinds.iter().map(|kind| finding(told, *kind, confidence)));
    judged
}

fn pinned(told: &PostMortem, limit: Bytes) -> Judged {
    let name = "max-pinned";
    let Some(most) = told.censuses.iter().max_by_key(|census| census.pinned) else {
        return Judged { name, verdict: Verdict::Unknown, text: no_census(told) };
    };
    let at_least = if most.is_thinned { "at least " } else { "" };
    let text = format!(
        "{at_least}{} of array buffers is kept alive by views that do not show it, {} after the start; the limit is {limit}",
        most.pinned, most.at
    );
    let verdict = if most.pinned > limit { Verdict::Breached } else { Verdict::Kept };
    Judged { name, verdict, text }
}

fn no_census(told: &PostMortem) -> String {
    let why = told.snapshot.census.failure.as_ref();
    let why = why.map_or_else(String::new, |failure| format!(": {}", failure.message));
    format!("nobody looked at who holds what: there was no census{why}")
}

fn growth(told: &PostMortem, limit: Bytes) -> Judged {
    let name = "max-growth";
    let history = &told.snapshot.history;
    let is_known = !history.array_buffers.values().is_empty();
    let (what, series) = if is_known {
        ("arrayBuffers", &history.array_buffers)
    } else {
        ("live stores", &history.live_bytes)
    };
    let elapsed = told.snapshot.elapsed;
    let points = settled(series, elapsed);
    let span = points.last().zip(points.first()).map_or(0.0, |(last, first)| last.0 - first.0);
    let found = slope(&points).filter(|_| span * 60.0 >= GROWTH_SPAN_MIN.as_secs_f64());
    let Some(Slope { median, least, most }) = found else {
        let text = format!(
            "{elapsed} is too short to tell growth: without the first third, {GROWTH_SPAN_MIN} are needed"
        );
        return Judged { name, verdict: Verdict::Unknown, text };
    };
    let text = format!(
        "{what} grew by {} (between {} and {} with 95 %), without the first third of {elapsed}; the limit is {limit}/min",
        per_min(median),
        per_min(least),
        per_min(most)
    );
    // What may as well be within the limit is no breach.
    let verdict = if least > limit.0 as f64 { Verdict::Breached } else { Verdict::Kept };
    Judged { name, verdict, text }
}

/// The curve after the start, in minutes and bytes.
fn settled(series: &Series, elapsed: Nanos) -> Vec<(f64, f64)> {
    let step = series.step_ns() as f64;
    let from = elapsed.0 as f64 * STARTING;
    let values = series.values().iter().enumerate();
    let points: Vec<(f64, f64)> = values
        .map(|(n, value)| (n as f64 * step, *value as f64))
        .filter(|(at, _)| *at >= from)
        .map(|(at, value)| (at / 60e9, value))
        .collect();
    points.iter().step_by(points.len().div_ceil(POINTS).max(1)).copied().collect()
}

fn per_min(bytes: f64) -> String {
    let sign = if bytes < 0.0 { "-" } else { "" };
    format!("{sign}{}/min", Bytes(bytes.abs() as u64))
}

fn peak(name: &'static str, what: &str, series: &Series, limit: Bytes, elapsed: Nanos) -> Judged {
    let Some(most) = series.values().iter().max().map(|most| Bytes(*most)) else {
        let text = format!("{what} is not known at any time of {elapsed}");
        return Judged { name, verdict: Verdict::Unknown, text };
    };
    let verdict = if most > limit { Verdict::Breached } else { Verdict::Kept };
    let share = most.0 as f64 / limit.0.max(1) as f64;
    let text = format!("{what} was {most} at most, {} of the limit of {limit}", percent(share));
    Judged { name, verdict, text }
}

fn finding(told: &PostMortem, kind: FindingKind, confidence: Confidence) -> Judged {
    let name = kind.name();
    let is_it = |it: &&ToldFinding| it.worst.kind == kind && it.worst.confidence >= confidence;
    let mut found = told.told.iter().filter(is_it);
    if let Some(worst) = found.next() {
        let n_more = found.count();
        let more = match n_more {
            0 => String::new(),
            n => format!("; and {} more", count(n as u64)),
        };
        let until = worst.gone.map_or_else(String::new, |gone| format!(" until {gone}"));
        let text = format!(
            "{} (told {} after the start{until}, confidence {}){more}",
            worst.worst.summary,
            worst.first,
            worst.worst.confidence.name()
        );
        return Judged { name, verdict: Verdict::Breached, text };
    }
    if needs_census(kind) && told.censuses.is_empty() {
        return Judged { name, verdict: Verdict::Unknown, text: no_census(told) };
    }
    let text = match told.censuses.len() {
        n if needs_census(kind) => {
            format!(
                "not found in {} {}",
                count(n as u64),
                if n == 1 { "census" } else { "censuses" }
            )
        }
        _ => format!("not found in {}", told.snapshot.elapsed),
    };
    Judged { name, verdict: Verdict::Kept, text }
}

/// Only a look at V8's heap can tell.
const fn needs_census(kind: FindingKind) -> bool {
    matches!(
        kind,
        FindingKind::PinnedParent
            | FindingKind::PoolSlabPin
            | FindingKind::GrowOnlyPool
            | FindingKind::NativeRetained
            | FindingKind::AliasedViews
    )
}

/// What no census saw: from the last one to the end.
pub fn not_covered(told: &PostMortem) -> Option<String> {
    let last = told.censuses.last()?;
    let after = told.snapshot.elapsed.since(last.at);
    (after >= Nanos::from_millis(100)).then(|| {
        format!("the last census was {after} before the end: what was held after it is not covered")
    })
}
