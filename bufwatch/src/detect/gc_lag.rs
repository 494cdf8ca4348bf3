//! `GC_LAG`: much of what is counted is dead and waits for V8's next collection: a peak, not a leak.
//!
//! The shape: live bytes rise and fall like a saw. Memory of array buffers goes only when V8 has collected, so what falls at once was dead
//! before. V8 decides when by what it counts, 32 MB of young array buffers in older versions and 128 MB in newer ones (prior-art.md §4).
//!
//! Not accused: one fall (somebody let go of something), small teeth, falls below a fifth of RSS.

use crate::analysis::Snapshot;
use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::snapshot::StoresAt;
use crate::base::Bytes;
use crate::base::text::count;
use crate::detect::process::{self, is_share};

/// Falls at least: one may be a cache that was dropped.
const FALLS_MIN: usize = 3;

/// Smaller falls are V8's everyday work: up to version 12 it collects when 32 MB of young array buffers are there.
const FALL_MIN: Bytes = Bytes(48 << 20);

/// Of RSS, one to this.
const SHARE: u64 = 5;

pub(super) fn find(snapshot: &Snapshot) -> Option<Finding> {
    let mut falls = falls(&snapshot.recent.stores);
    falls.sort_unstable();
    let bytes = *falls.get(falls.len() / 2)?;
    let rss = snapshot.memory.rss?;
    if falls.len() < FALLS_MIN || !is_share(bytes, rss, SHARE) {
        return None;
    }
    let group = snapshot.groups.iter().max_by_key(|group| group.tally.created_bytes_per_s);
    let group = group.filter(|group| group.tally.created_bytes_per_s > 0);
    let mut finding = process::finding(FindingKind::GcLag, Confidence::High, bytes);
    let at = group.map_or_else(String::new, |group| format!(", most from {}", group.text()));
    finding.summary = format!(
        "about {bytes} of dead stores pile up until V8 collects, and go then: not a leak{at}"
    );
    finding.evidence = vec![format!(
        "live bytes fell by {} to {} at once, {} times in the last minute",
        falls.first().copied().unwrap_or_default(),
        falls.last().copied().unwrap_or_default(),
        count(falls.len() as u64)
    )];
    if let Some(group) = group {
        let rate = Bytes(group.tally.created_bytes_per_s);
        finding.evidence.push(format!("{} allocates {rate}/s", group.text()));
        process::at(&mut finding, group);
    }
    finding.remedy = Remedy {
        words: "Nothing holds them. Plan memory limits with the peak. To lower it, allocate less: use one Buffer again and again where it does \
                not leave the function, or read in smaller chunks."
            .to_owned(),
        code: Some("const scratch = Buffer.allocUnsafeSlow(MOST); // once, outside of the function".to_owned()),
    };
    Some(finding)
}

/// From each peak to the trough behind it, where that is much.
fn falls(samples: &[StoresAt]) -> Vec<Bytes> {
    let mut falls = Vec::new();
    // The highest since the last fall was over, and the lowest since then.
    let (mut peak, mut trough) = (Bytes(0), Bytes(0));
    let moments = samples.iter().flat_map(|sample| {
        let [first, second] = sample.between;
        [first, second, sample.live]
    });
    for live in moments {
        let fell = peak.saturating_sub(trough);
        // It rises again by half: the fall is over.
        if fell >= FALL_MIN && live.saturating_sub(trough).0 > fell.0 / 2 {
            falls.push(fell);
            (peak, trough) = (live, live);
        } else if live >= peak {
            // What was lower before was no fall from here.
            (peak, trough) = (live, live);
        } else {
            trough = trough.min(live);
        }
    }
    falls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use crate::detect::made_up::{MIB, group};

    fn find_in(mib: impl Iterator<Item = u64>, rss_mib: u64) -> Option<Finding> {
        let stores = mib.enumerate().map(|(n, mib)| StoresAt {
            at: Nanos::from_millis(250 * n as u64),
            live: Bytes(mib * MIB),
            between: [Bytes(mib * MIB); 2],
            ..StoresAt::default()
        });
        let mut snapshot = Snapshot::blank();
        snapshot.recent.stores = stores.collect();
        snapshot.memory.rss = Some(Bytes(rss_mib * MIB));
        let mut line = group("work (app.js:7)");
        line.tally.created_bytes_per_s = 100 * MIB;
        snapshot.groups = [line].into();
        find(&snapshot)
    }

    #[test]
    fn a_saw_is_told_by_its_teeth() {
        let found = find_in((0..60).map(|n| 20 + n % 10 * 12), 200).unwrap();
        assert_eq!(found.bytes, Bytes(108 * MIB));
        assert_eq!(found.site.as_deref(), Some("work (app.js:7)"));
        let fast = (0..60).map(|n| if n % 2 == 0 { 20 } else { 128 });
        assert_eq!(find_in(fast, 200).unwrap().bytes, Bytes(108 * MIB));
    }

    #[test]
    fn teeth_between_two_looks_are_told() {
        let stores = (0..10).map(|n| StoresAt {
            at: Nanos::from_millis(250 * n),
            live: Bytes(60 * MIB),
            between: [Bytes(84 * MIB), Bytes(20 * MIB)],
            ..StoresAt::default()
        });
        assert_eq!(falls(&stores.collect::<Vec<_>>()), [Bytes(64 * MIB); 10]);
    }

    #[test]
    fn what_is_no_saw_is_not_accused() {
        assert_eq!(find_in((0..200).map(|n| n * 10), 2_000), None, "a leak");
        assert_eq!(find_in((0..20).map(|n| n * 100), 2_000), None, "a fast leak");
        assert_eq!(find_in((0..60).map(|n| if n < 30 { 900 } else { 20 }), 1_000), None);
        assert_eq!(find_in((0..60).map(|n| 20 + n % 10 * 3), 60), None, "small teeth");
        assert_eq!(find_in((0..60).map(|n| 20 + n % 10 * 12), 2_000), None, "of little weight");
        assert_eq!(find_in(std::iter::empty(), 100), None);
    }
}
