//! Steps of RSS in words: one line each, with the causes that matter. What they are is `model::rss_step`'s business.

use std::sync::Arc;

use crate::analysis::snapshot::{RssStepRow, StepCauseRow};
use crate::base::text::count;
use crate::base::{Bytes, Nanos};
use crate::event::SpaceChanges;
use crate::model::Model;
use crate::model::rss_step::{Cause, CauseKind, RssStep};
use crate::model::site::SiteId;

/// Causes in a line.
const SHOWN_MAX: usize = 3;

/// A cause that is less than this share of the largest is not worth a word.
const SHOWN_SHARE: u64 = 8;

/// An unexplained rest that is less than this share of the step is not worth a word.
const REST_SHARE: u64 = 10;

pub(super) fn rss_steps(model: &Model, now: Nanos) -> Arc<[RssStepRow]> {
    let label = |site: SiteId| model.site_label(site);
    model.rss_steps.steps.iter().map(|step| row(step, &label, now)).collect()
}

/// In one line.
pub fn step_text(model: &Model, step: &RssStep) -> String {
    text(step, &|site| model.site_label(site))
}

fn row(step: &RssStep, label: &dyn Fn(SiteId) -> Arc<str>, now: Nanos) -> RssStepRow {
    let causes = step.causes.iter().map(|cause| StepCauseRow {
        kind: cause.kind,
        bytes: cause.bytes,
        site: cause.site.map(label),
        n_stores: cause.site.map(|_| cause.stores.n),
        store: (cause.stores.n > 0).then_some(cause.stores.largest.number),
    });
    RssStepRow {
        ago: now.since(step.to),
        took: step.to.since(step.from),
        rss: step.rss_after,
        delta: step.delta(),
        text: text(step, label),
        causes: causes.collect(),
        unexplained: step.unexplained,
        created: step.created,
        asked: step.asked,
    }
}

/// `+48.0 MiB: first write to store #812 (50.0 MiB, made 3m01s before by alloc server.js:41)`
fn text(step: &RssStep, label: &dyn Fn(SiteId) -> Arc<str>) -> String {
    let delta = step.delta();
    let largest = step.causes.first().map_or(0, |cause| cause.bytes.unsigned_abs());
    let is_shown = |cause: &&Cause| cause.bytes.unsigned_abs() > largest / SHOWN_SHARE;
    let shown: Vec<&Cause> = step.causes.iter().filter(is_shown).take(SHOWN_MAX).collect();
    let rest = step.unexplained;
    let most = delta.unsigned_abs().max(largest);
    let is_rest_shown = rest.unsigned_abs() > most / REST_SHARE;
    let words = |cause: &Cause| words(cause, step, label);
    let mut parts: Vec<String> = match shown.as_slice() {
        [only] if !is_rest_shown && is_about(only.bytes, delta) => vec![words(only)],
        several => several
            .iter()
            .map(|cause| format!("{} {}", signed(cause.bytes), words(cause)))
            .collect(),
    };
    let n_shown: i64 = shown.iter().map(|cause| cause.bytes).sum();
    let smaller = delta.saturating_sub(n_shown).saturating_sub(rest);
    if parts.len() != 1 || !is_about(n_shown, delta) {
        let is_worth_it = smaller.unsigned_abs() > most / REST_SHARE;
        parts.extend(is_worth_it.then(|| format!("{} in smaller parts", signed(smaller))));
    }
    if is_rest_shown {
        parts.push(format!("{} not explained", signed(rest)));
    }
    if parts.is_empty() {
        parts.push("not explained".to_owned());
    }
    let of_heap = heap_words(step).map_or_else(String::new, |words| format!(" ({words})"));
    format!("{}: {}{of_heap}", signed(delta), parts.join("; "))
}

/// What malloc's heap was moved by, if that is most of the step.
fn heap_words(step: &RssStep) -> Option<String> {
    let (delta, heap) = (step.delta(), step.asked.heap());
    let is_most = heap.signum() == delta.signum() && heap.unsigned_abs() > delta.unsigned_abs() / 2;
    let verb = if heap > 0 { "grew" } else { "shrank" };
    is_most.then(|| format!("malloc's heap {verb} by {}", Bytes(heap.unsigned_abs())))
}

/// `mmap 48.0 MiB, munmap 12.0 MiB`; `None` if nothing was asked for, or it is not known.
pub fn asked_text(asked: &SpaceChanges) -> Option<String> {
    let words = ["mmap", "munmap", "brk up", "brk down", "madvise, given back"];
    let parts = words.into_iter().zip(asked.as_array()).filter(|(_, bytes)| bytes.0 > 0);
    let parts: Vec<String> = parts.map(|(word, bytes)| format!("{word} {bytes}")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The whole step, but for noise.
fn is_about(bytes: i64, delta: i64) -> bool {
    bytes.abs_diff(delta) <= delta.unsigned_abs() / REST_SHARE
}

fn words(cause: &Cause, step: &RssStep, label: &dyn Fn(SiteId) -> Arc<str>) -> String {
    let by = cause.site.map_or_else(String::new, |site| label(site).to_string());
    let stores = || {
        let stores = &cause.stores;
        let largest = stores.largest;
        let age = step.to.since(largest.birth);
        if stores.n == 1 {
            format!("store #{} ({}, made {age} before by {by})", largest.number, largest.size)
        } else {
            format!(
                "{} stores of {by} (the largest #{} of {}, made {age} before)",
                count(stores.n),
                largest.number,
                largest.size
            )
        }
    };
    match cause.kind {
        CauseKind::FirstWrite => format!("first write to {}", stores()),
        CauseKind::MoreWritten => format!("more written of {}", stores()),
        CauseKind::Born => {
            let s = if cause.stores.n == 1 { "" } else { "s" };
            format!("{} new store{s} of {by}, written", count(cause.stores.n))
        }
        CauseKind::Freed => format!("{} freed", stores()),
        CauseKind::Advised => format!("pages given back with madvise, of {}", stores()),
        CauseKind::Reclaimed => format!("pages swapped out or given back, of {}", stores()),
        CauseKind::Kept if cause.bytes > 0 => {
            format!("memory of freed stores of {by} that was not given back to the kernel")
        }
        CauseKind::Kept => format!("memory of stores of {by} freed before, gone or used again"),
        CauseKind::V8 if cause.bytes > 0 => "V8 heap grew".to_owned(),
        CauseKind::V8 => "V8 heap shrank".to_owned(),
        CauseKind::Part(part) => part.title().to_owned(),
    }
}

/// `+48.0 MiB`, `−100 MiB`.
fn signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "\u{2212}" } else { "+" };
    format!("{sign}{}", Bytes(bytes.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::residency::RssPart;
    use crate::model::rss_step::{StoreFacts, StoresOf};

    const MIB: i64 = 1 << 20;

    fn cause(kind: CauseKind, mib: i64, n: u64) -> Cause {
        let birth = Nanos::from_secs(5);
        let largest = StoreFacts { number: 812, size: Bytes(50 << 20), birth };
        let mut stores = StoresOf::default();
        (stores.n, stores.largest) = (n, largest);
        let site = (n > 0).then_some(SiteId::OTHERS);
        Cause { kind, site, bytes: mib * MIB, stores }
    }

    fn line(delta_mib: i64, causes: &[Cause], unexplained_mib: i64) -> String {
        let before = 1_000 << 20;
        let step = RssStep {
            from: Nanos::from_secs(185),
            to: Nanos::from_secs(186),
            rss_before: Bytes(before),
            rss_after: Bytes(before.saturating_add_signed(delta_mib * MIB)),
            causes: causes.to_vec(),
            unexplained: unexplained_mib * MIB,
            created: Bytes(0),
            asked: SpaceChanges::default(),
        };
        row(&step, &|_| Arc::from("alloc server.js:41"), Nanos::from_secs(200)).text
    }

    #[test]
    fn one_cause_is_the_whole_line() {
        let lines = [
            line(48, &[cause(CauseKind::FirstWrite, 48, 1), cause(CauseKind::V8, 1, 0)], -1),
            line(-100, &[cause(CauseKind::Freed, -100, 1)], 0),
            line(-300, &[cause(CauseKind::Freed, -300, 6)], 0),
            line(40, &[cause(CauseKind::V8, 40, 0)], 0),
            line(120, &[cause(CauseKind::Part(RssPart::Files), 119, 0)], 1),
        ];
        assert_eq!(
            lines,
            [
                "+48.0 MiB: first write to store #812 (50.0 MiB, made 3m01s before by alloc server.js:41)",
                "\u{2212}100 MiB: store #812 (50.0 MiB, made 3m01s before by alloc server.js:41) freed",
                "\u{2212}300 MiB: 6 stores of alloc server.js:41 (the largest #812 of 50.0 MiB, made 3m01s before) freed",
                "+40.0 MiB: V8 heap grew",
                "+120 MiB: mapped files",
            ]
        );
    }

    #[test]
    fn several_causes_have_their_bytes() {
        let kept =
            line(-10, &[cause(CauseKind::Freed, -400, 360), cause(CauseKind::Kept, 390, 360)], 0);
        assert!(kept.contains("\u{2212}400 MiB 360 stores of"), "{kept}");
        assert!(kept.contains("; +390 MiB memory of freed stores of alloc"), "{kept}");
    }

    #[test]
    fn what_was_asked_of_the_kernel_is_told() {
        let asked = |heap_grown: u64, heap_shrunk: u64| SpaceChanges {
            mapped: Bytes(48 << 20),
            heap_grown: Bytes(heap_grown << 20),
            heap_shrunk: Bytes(heap_shrunk << 20),
            ..SpaceChanges::default()
        };
        let words = |delta_mib: i64, asked| {
            let rss_after = (1_000_u64 << 20).saturating_add_signed(delta_mib * MIB);
            heap_words(&RssStep {
                from: Nanos(0),
                to: Nanos(1),
                rss_before: Bytes(1_000 << 20),
                rss_after: Bytes(rss_after),
                causes: Vec::new(),
                unexplained: 0,
                created: Bytes(0),
                asked,
            })
        };
        assert_eq!(words(-400, asked(2, 392)).unwrap(), "malloc's heap shrank by 390 MiB");
        assert_eq!(words(40, asked(40, 0)).unwrap(), "malloc's heap grew by 40.0 MiB");
        assert_eq!(words(400, asked(40, 0)), None, "not most of it");
        assert_eq!(words(-400, asked(390, 0)), None, "the other way");
        assert_eq!(asked_text(&asked(0, 12)).unwrap(), "mmap 48.0 MiB, brk down 12.0 MiB");
        assert_eq!(asked_text(&SpaceChanges::default()), None);
    }

    #[test]
    fn what_is_not_explained_says_so() {
        assert_eq!(line(64, &[], 64), "+64.0 MiB: +64.0 MiB not explained");
        let half = line(64, &[cause(CauseKind::V8, 40, 0)], 24);
        assert_eq!(half, "+64.0 MiB: +40.0 MiB V8 heap grew; +24.0 MiB not explained");
    }
}
