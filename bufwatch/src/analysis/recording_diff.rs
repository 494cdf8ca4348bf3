//! What differs between two states of a process, or of two runs of a program: lines and holders that came, grew, shrank and went, and whether
//! a change of the program helped. Holders alone are compared by `census_diff`. Pure.

use crate::analysis::census_diff::{self, CensusDiff, Change, Outline};
use crate::analysis::post_mortem::PostMortem;
use crate::base::{Bytes, FastMap, Nanos};

/// Runs that differ in length by no more than this share are compared as they are.
const SAME_LENGTH: f64 = 0.1;

/// The same for what they allocated.
const SAME_WORK: f64 = 0.25;

/// Less than this share, or so many bytes, is no difference: two runs of one program are not alike.
const NOISE_SHARE: f64 = 0.1;
const NOISE: Bytes = Bytes(1 << 20);

/// What a line has must change by this share to be told.
const SITE_NOISE_SHARE: f64 = 0.02;
const SITE_NOISE: Bytes = Bytes(64 << 10);

/// One of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Since tracing began.
    pub elapsed: Nanos,
    pub rss: Option<Bytes>,
    pub array_buffers: Option<Bytes>,
    pub live: Bytes,
    pub n_live: u64,
    pub created: Bytes,
    pub n_created: u64,
    /// Alive only by views that do not show it, in the last census.
    pub pinned: Option<Bytes>,
}

/// What numbers were divided by before they were compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// By nothing: the same time, or two moments of one process.
    #[default]
    AsTheyAre,
    PerMinute,
}

/// What the verdict is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Measure {
    /// Bytes that are pinned, where both sides had a census that found some.
    Pinned,
    #[default]
    Live,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verdict {
    Less,
    #[default]
    Same,
    More,
    /// By time it is one and by work another.
    Unclear,
}

/// A line of the application and the API that it called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteState {
    pub live: Bytes,
    pub n_live: u64,
    pub created: Bytes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteChange {
    /// As the later one says it: a line moves when code before it changes.
    pub label: String,
    pub via: Option<String>,
    pub before: Option<SiteState>,
    pub after: Option<SiteState>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct RecordingDiff {
    pub before: Totals,
    pub after: Totals,
    /// Two moments of one recording.
    pub is_same_process: bool,
    pub scale: Scale,
    pub measure: Measure,
    pub verdict: Verdict,
    /// What is measured for each byte that was allocated, before and after; `None` if nothing was.
    pub by_work: Option<(f64, f64)>,
    /// By how much they changed, the largest first; those that did not are left out.
    pub sites: Vec<SiteChange>,
    /// `None` unless both had a census.
    pub holders: Option<CensusDiff>,
}

impl SiteChange {
    pub fn growth(&self) -> i64 {
        let live =
            |state: &Option<SiteState>| state.as_ref().map_or(0, |it| it.live.0).cast_signed();
        live(&self.after).wrapping_sub(live(&self.before))
    }

    pub fn change(&self) -> Change {
        let live = |state: &Option<SiteState>| state.as_ref().map_or(0, |it| it.live.0);
        let (before, after) = (live(&self.before), live(&self.after));
        let noise = SITE_NOISE.0.max((before.max(after) as f64 * SITE_NOISE_SHARE) as u64);
        match (before, after) {
            _ if before.abs_diff(after) < noise => Change::Stayed,
            (0, _) => Change::Appeared,
            (_, 0) => Change::Went,
            _ if after > before => Change::Grew,
            _ => Change::Shrank,
        }
    }
}

impl RecordingDiff {
    /// As it is compared: `None` if it is not known.
    pub fn scaled(&self, bytes: Bytes, totals: &Totals) -> Bytes {
        scaled(bytes, totals, self.scale)
    }

    pub fn measured(&self, totals: &Totals) -> Bytes {
        measured(totals, self.measure)
    }
}

fn scaled(bytes: Bytes, totals: &Totals, scale: Scale) -> Bytes {
    match scale {
        Scale::AsTheyAre => bytes,
        Scale::PerMinute => {
            Bytes((bytes.0 as f64 * 60.0 / totals.elapsed.as_secs_f64().max(1e-3)) as u64)
        }
    }
}

fn measured(totals: &Totals, measure: Measure) -> Bytes {
    match measure {
        Measure::Pinned => totals.pinned.unwrap_or_default(),
        Measure::Live => totals.live,
    }
}

/// `is_same_process`: two moments of one recording.
pub fn diff(before: &PostMortem, after: &PostMortem, is_same_process: bool) -> RecordingDiff {
    let (a, b) = (totals(before), totals(after));
    let is_close = |x: f64, y: f64, share: f64| (x - y).abs() <= share * x.max(y);
    let lengths = (a.elapsed.as_secs_f64(), b.elapsed.as_secs_f64());
    let is_as_long = is_same_process || is_close(lengths.0, lengths.1, SAME_LENGTH);
    let scale = if is_as_long { Scale::AsTheyAre } else { Scale::PerMinute };
    let pinned = a.pinned.zip(b.pinned).filter(|(x, y)| *x.max(y) >= NOISE);
    let measure = if pinned.is_some() { Measure::Pinned } else { Measure::Live };
    let (x, y) = (measured(&a, measure), measured(&b, measure));
    let by_time = compare(scaled(x, &a, scale), scaled(y, &b, scale));
    let by_work = work(x, &a).zip(work(y, &b));
    let created = (scaled(a.created, &a, scale).0 as f64, scaled(b.created, &b, scale).0 as f64);
    let is_as_much_work = is_same_process || is_close(created.0, created.1, SAME_WORK);
    // What would be left if the later one had done the work of the earlier.
    let as_work = by_work.map(|(_, per_byte)| Bytes((per_byte * a.created.0 as f64) as u64));
    let verdict = match as_work.map(|after| compare(x, after)) {
        Some(by_work) if !is_as_much_work && by_work != by_time => Verdict::Unclear,
        _ => by_time,
    };
    let outline = |told: &PostMortem| {
        told.snapshot.census.last.as_ref().map(|joined| Outline::from(&*joined.census))
    };
    let holders = outline(before).zip(outline(after));
    RecordingDiff {
        before: a,
        after: b,
        is_same_process,
        scale,
        measure,
        verdict,
        by_work,
        sites: sites(before, after),
        holders: holders.map(|(x, y)| census_diff::diff(&x, &y, is_same_process)),
    }
}

fn work(bytes: Bytes, totals: &Totals) -> Option<f64> {
    (totals.created.0 > 0).then(|| bytes.0 as f64 / totals.created.0 as f64)
}

fn compare(before: Bytes, after: Bytes) -> Verdict {
    let noise = NOISE.0.max((before.max(after).0 as f64 * NOISE_SHARE) as u64);
    match before.0.abs_diff(after.0) {
        off if off < noise => Verdict::Same,
        _ if after < before => Verdict::Less,
        _ => Verdict::More,
    }
}

fn totals(told: &PostMortem) -> Totals {
    let snapshot = &told.snapshot;
    Totals {
        elapsed: snapshot.elapsed,
        rss: snapshot.memory.rss,
        array_buffers: snapshot.memory.array_buffers,
        live: snapshot.stores.live_bytes,
        n_live: snapshot.stores.n_live,
        created: snapshot.stores.created_bytes,
        n_created: snapshot.stores.n_created,
        pinned: told.censuses.last().map(|census| census.pinned),
    }
}

type Key = (String, Option<String>);

fn sites(before: &PostMortem, after: &PostMortem) -> Vec<SiteChange> {
    let mut older = states(before);
    let newer = states(after);
    let mut changes = Vec::new();
    let mut unmatched = Vec::new();
    for (key, state) in newer {
        let found = older.iter().position(|(known, _)| *known == key);
        match found.map(|at| older.swap_remove(at)) {
            Some((_, known)) => changes.push(change(key, Some(known), Some(state))),
            None => unmatched.push((key, state)),
        }
    }
    // The same function and file at another line is the same, where there is only one.
    let places = |all: &[(Key, SiteState)]| {
        let mut n: FastMap<Key, u32> = FastMap::default();
        for (key, _) in all {
            *n.entry(without_line(key)).or_default() += 1;
        }
        n
    };
    let (n_older, n_newer) = (places(&older), places(&unmatched));
    for (key, state) in unmatched {
        let place = without_line(&key);
        let is_only = n_older.get(&place) == Some(&1) && n_newer.get(&place) == Some(&1);
        let at = older.iter().position(|(known, _)| is_only && without_line(known) == place);
        let known = at.map(|at| older.swap_remove(at).1);
        changes.push(change(key, known, Some(state)));
    }
    changes.extend(older.into_iter().map(|(key, state)| change(key, Some(state), None)));
    changes.retain(|it| it.change() != Change::Stayed);
    changes.sort_by(|a, b| {
        (b.growth().unsigned_abs(), &a.label).cmp(&(a.growth().unsigned_abs(), &b.label))
    });
    changes
}

fn change((label, via): Key, before: Option<SiteState>, after: Option<SiteState>) -> SiteChange {
    SiteChange { label, via, before, after }
}

fn states(told: &PostMortem) -> Vec<(Key, SiteState)> {
    let groups = told.snapshot.groups.iter();
    groups
        .map(|group| {
            let tally = &group.tally;
            let state = SiteState {
                live: tally.live_bytes,
                n_live: tally.n_live,
                created: tally.created_bytes,
            };
            ((group.label.to_string(), group.via.as_ref().map(ToString::to_string)), state)
        })
        .collect()
}

/// `load app.js:12` → `load app.js`.
fn without_line((label, via): &Key) -> Key {
    let place = label.trim_end_matches(|c: char| c.is_ascii_digit());
    let place = place.strip_suffix(":~").or_else(|| place.strip_suffix(':')).unwrap_or(label);
    (place.to_owned(), via.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_moved_is_the_same() {
        let key = |label: &str| without_line(&(label.to_owned(), None)).0;
        assert_eq!(key("load app.js:12"), "load app.js");
        assert_eq!(key("load app.js:~12"), "load app.js");
        assert_eq!(key("http data 7"), "http data 7");
        assert_eq!(key("(no stack)"), "(no stack)");
    }

    #[test]
    fn little_is_no_difference() {
        let mib = |n: u64| Bytes(n << 20);
        assert_eq!(compare(mib(100), mib(95)), Verdict::Same);
        assert_eq!(compare(mib(100), mib(80)), Verdict::Less);
        assert_eq!(compare(Bytes(10), Bytes(1_000_000)), Verdict::Same);
        assert_eq!(compare(mib(0), mib(2)), Verdict::More);
    }

    #[test]
    fn what_a_site_has_is_told_as_it_changed() {
        let site = |before: u64, after: u64| {
            let state = |live| SiteState { live: Bytes(live), ..SiteState::default() };
            let it = SiteChange {
                before: Some(state(before)),
                after: Some(state(after)),
                ..SiteChange::default()
            };
            it.change()
        };
        assert_eq!(site(0, 1 << 20), Change::Appeared);
        assert_eq!(site(1 << 20, 0), Change::Went);
        assert_eq!(site(1 << 20, 2 << 20), Change::Grew);
        assert_eq!(site(3 << 20, 2 << 20), Change::Shrank);
        assert_eq!(site(100 << 20, 101 << 20), Change::Stayed);
    }
}
