//! What changed between two full scans, by kind and by line of the application. When it is worth telling is not decided here.

use std::collections::BTreeMap;

use crate::base::{Bytes, FastMap};
use crate::event::residency::{RssPart, RssSplit};
use crate::model::Model;
use crate::model::live::Store;
use crate::model::residency::Residency;
use crate::model::rss_step::{Baseline, Cause, CauseKind, StoresOf, difference};
use crate::model::site::{GroupId, SiteId};

/// All that changed between the baseline and now.
pub(super) fn causes(
    model: &Model,
    baseline: &Baseline,
    split: &RssSplit,
    kept: &BTreeMap<SiteId, Bytes>,
) -> Vec<Cause> {
    let lines = Lines::new(model);
    let mut sums: FastMap<(CauseKind, Option<SiteId>), (i64, StoresOf)> = FastMap::default();
    let mut add = |kind, store: &Store, bytes: i64| {
        let (sum, stores) = sums.entry((kind, Some(lines.of(store.site)))).or_default();
        *sum += bytes;
        stores.add(store, Bytes(bytes.unsigned_abs()));
    };
    for store in model.live.iter() {
        let Some(known) = store.residency.known() else { continue };
        let bytes = difference(known.pages.resident, known.at_baseline);
        let is_new = store.birth >= baseline.at;
        let kind = if is_new && !known.was_untouched {
            CauseKind::Born
        } else if bytes > 0 && Residency::is_untouched(known.at_baseline) {
            CauseKind::FirstWrite
        } else if bytes > 0 {
            CauseKind::MoreWritten
        } else if known.is_advised {
            CauseKind::Advised
        } else {
            CauseKind::Reclaimed
        };
        if bytes != 0 {
            add(kind, store, bytes);
        }
    }
    for (site, (bytes, stores)) in &model.rss_steps.freed {
        let of_line = sums.entry((CauseKind::Freed, Some(lines.of(*site)))).or_default();
        of_line.0 -= bytes.signed();
        of_line.1 = of_line.1.with(*stores, CauseKind::Freed);
    }
    let mut n_kept = 0;
    let sites = kept.keys().chain(baseline.kept.keys().filter(|site| !kept.contains_key(site)));
    for site in sites {
        let of = |map: &BTreeMap<SiteId, Bytes>| map.get(site).copied().unwrap_or_default();
        let bytes = difference(of(kept), of(&baseline.kept));
        n_kept += bytes;
        sums.entry((CauseKind::Kept, Some(lines.of(*site)))).or_default().0 += bytes;
    }
    let change = |part: RssPart| difference(split.get(part), baseline.split.get(part));
    let v8 = difference(split.v8(), baseline.split.v8());
    sums.insert((CauseKind::V8, None), (v8, StoresOf::default()));
    let holder = part_of_kept(split, baseline);
    for part in RssPart::ALL {
        if part.is_v8() || part.is_of_stores() {
            continue;
        }
        // What is kept is somewhere among these as well.
        let bytes = change(part) - if part == holder { n_kept } else { 0 };
        sums.insert((CauseKind::Part(part), None), (bytes, StoresOf::default()));
    }
    let causes =
        sums.into_iter().map(|((kind, site), (bytes, stores))| Cause { kind, site, bytes, stores });
    causes.filter(|cause| cause.bytes != 0).collect()
}

/// Which sites are one line of the application: the first of each stands for all.
struct Lines<'a> {
    model: &'a Model,
    first: FastMap<GroupId, SiteId>,
}

impl<'a> Lines<'a> {
    fn new(model: &'a Model) -> Self {
        let mut first: FastMap<GroupId, SiteId> = FastMap::default();
        for site in model.sites.iter() {
            let known = first.entry(site.group).or_insert(site.id);
            *known = site.id.min(*known);
        }
        Self { model, first }
    }

    fn of(&self, site: SiteId) -> SiteId {
        let group = self.model.sites.get(site).map(|known| known.group);
        group.and_then(|group| self.first.get(&group)).copied().unwrap_or(site)
    }
}

/// Where memory of dead stores is counted: if the allocator's own records are known, with what it has free.
fn part_of_kept(split: &RssSplit, baseline: &Baseline) -> RssPart {
    let change = |part: RssPart| difference(split.get(part), baseline.split.get(part));
    if split.is_allocator_known && baseline.split.is_allocator_known {
        RssPart::AllocatorFree
    } else if change(RssPart::Other) > change(RssPart::AllocatorOther) {
        RssPart::Other
    } else {
        RssPart::AllocatorOther
    }
}
