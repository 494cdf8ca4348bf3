//! The sites and groups of a snapshot: which of them, in which order, as rows.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::analysis::of_site::OfSite;
use crate::analysis::snapshot::{
    FreedRow, GROUPS_MAX, GroupRow, Heaviest, SITES_MAX, SiteRow, TallyRow,
};
use crate::base::{Bytes, FastMap};
use crate::model::Model;
use crate::model::site::{Group, GroupId, Site, SiteId};
use crate::model::tally::Tally;

/// Lines of which memory of dead stores is told.
const FREED_ROWS_MAX: usize = 20;

/// Those that are shown, of how many.
pub(super) struct Ranking<T> {
    pub(super) rows: Arc<[T]>,
    pub(super) n_total: usize,
}

/// `by_site`: what the live stores of each site add up to.
pub(super) fn sites(model: &Model, by_site: &FastMap<SiteId, OfSite>) -> Ranking<SiteRow> {
    let all: Vec<&Site> = sites_seen(model).collect();
    let n_total = all.len();
    let shown = most(all, SITES_MAX, |site| (&site.tally, site.id));
    let row = |site: &Site| site_row(site, by_site.get(&site.id).copied().unwrap_or_default());
    Ranking { rows: shown.into_iter().map(row).collect(), n_total }
}

pub(super) fn groups(model: &Model, by_site: &FastMap<SiteId, OfSite>) -> Ranking<GroupRow> {
    let mut members: FastMap<GroupId, Members<'_>> = FastMap::default();
    for site in sites_seen(model) {
        let of_site = by_site.get(&site.id).copied().unwrap_or_default();
        members.entry(site.group).or_default().add(site, of_site);
    }
    let all: Vec<&Group> = model.sites.groups().filter(|g| members.contains_key(&g.id)).collect();
    let n_total = all.len();
    let shown = most(all, GROUPS_MAX, |group| (&group.tally, group.id));
    let row = |group: &Group| members.get(&group.id).and_then(|m| m.row(group, model));
    Ranking { rows: shown.into_iter().filter_map(row).collect(), n_total }
}

/// Those that have allocated; none where stacks are not seen.
fn sites_seen(model: &Model) -> impl Iterator<Item = &Site> {
    let has_stacks = model.target.backend.sees().stacks;
    model.sites.iter().filter(move |site| has_stacks && site.tally.n_created > 0)
}

/// Half of `limit` by live bytes and, of the rest, half by allocated bytes: what never stays is worth a row
/// as well. All of them by live bytes; equal ones in the same order each time.
fn most<'a, T, I: Ord>(
    mut all: Vec<&'a T>,
    limit: usize,
    tally_of: impl Fn(&'a T) -> (&'a Tally, I),
) -> Vec<&'a T> {
    let by_live = |row: &&'a T| {
        let (tally, id) = tally_of(*row);
        (Reverse((tally.live_bytes, tally.created_bytes)), id)
    };
    all.sort_unstable_by_key(by_live);
    if all.len() > limit {
        let (_, rest) = all.split_at_mut(limit / 2);
        rest.sort_unstable_by_key(|row| {
            let (tally, id) = tally_of(*row);
            (Reverse(tally.created_bytes), id)
        });
        all.truncate(limit);
        all.sort_unstable_by_key(by_live);
    }
    all
}

/// Lines whose dead stores still have memory in RAM, the most first.
pub(super) fn freed(model: &Model) -> Arc<[FreedRow]> {
    let mut by_group: FastMap<GroupId, Bytes> = FastMap::default();
    for (site, bytes) in model.freed.resident_by_site() {
        if let Some(site) = model.sites.get(site).filter(|_| bytes > Bytes(0)) {
            *by_group.entry(site.group).or_default() += bytes;
        }
    }
    let groups = model.sites.groups();
    let mut rows: Vec<FreedRow> = groups
        .filter_map(|group| {
            let (site, via) = (Arc::clone(&group.label), group.via.clone());
            let resident = *by_group.get(&group.id)?;
            Some(FreedRow { group: group.id, site, via, resident })
        })
        .collect();
    rows.sort_unstable_by_key(|row| (Reverse(row.resident), row.group));
    rows.truncate(FREED_ROWS_MAX);
    rows.into()
}

/// The sites of a group, as far as its row needs them.
#[derive(Default)]
struct Members<'a> {
    n: usize,
    sum: OfSite,
    heaviest: Option<&'a Site>,
}

impl<'a> Members<'a> {
    fn add(&mut self, site: &'a Site, of_site: OfSite) {
        self.n += 1;
        self.sum.merge(&of_site);
        let weight =
            |site: &Site| -> (Bytes, Bytes) { (site.tally.live_bytes, site.tally.created_bytes) };
        if self.heaviest.is_none_or(|heaviest| weight(heaviest) < weight(site)) {
            self.heaviest = Some(site);
        }
    }

    fn row(&self, group: &Group, model: &Model) -> Option<GroupRow> {
        let heaviest = self.heaviest?;
        Some(GroupRow {
            id: group.id,
            label: Arc::clone(&group.label),
            via: group.via.clone(),
            n_sites: self.n,
            tally: tally_row(&group.tally, self.sum),
            heaviest: Heaviest {
                stack: heaviest.stack,
                frames: Arc::clone(&heaviest.frames),
                is_cut: heaviest.is_cut,
                user_frame: heaviest.origin.user_frame,
                app_frame: heaviest.origin.app_frame,
                async_stack: heaviest.async_stack.clone(),
            },
            survivors: model.survivors.of(group.id).into(),
        })
    }
}

fn site_row(site: &Site, of_site: OfSite) -> SiteRow {
    SiteRow {
        id: site.id,
        stack: site.stack,
        frames: Arc::clone(&site.frames),
        is_cut: site.is_cut,
        async_stack: site.async_stack.clone(),
        group: site.group,
        user_frame: site.origin.user_frame,
        app_frame: site.origin.app_frame,
        label: Arc::clone(&site.origin.label),
        via: site.origin.via.clone(),
        tally: tally_row(&site.tally, of_site),
    }
}

fn tally_row(tally: &Tally, of_site: OfSite) -> TallyRow {
    let (n_survivors, resident, live) = (of_site.n_survivors, of_site.resident(), of_site.live);
    let n_survived = tally.lifetimes.n_survived(2) + n_survivors;
    let n_judged = tally.lifetimes.n_dead() + n_survivors;
    TallyRow {
        n_live: tally.n_live,
        live_bytes: tally.live_bytes,
        peak_bytes: tally.peak_bytes,
        n_created: tally.n_created,
        created_bytes: tally.created_bytes,
        created_bytes_per_s: tally.created_rate.per_s() as u64,
        n_created_per_s: tally.n_created_rate.per_s(),
        lifetimes: tally.lifetimes.by_time,
        majors_survived: tally.lifetimes.by_majors,
        survival: (n_judged > 0).then(|| n_survived as f64 / n_judged as f64),
        resident,
        live,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(live: u64, created: u64) -> Tally {
        Tally { live_bytes: Bytes(live), created_bytes: Bytes(created), ..Tally::default() }
    }

    #[test]
    fn both_what_stays_and_what_only_passes_has_a_row() {
        let all = [tally(9, 9), tally(0, 100), tally(5, 5), tally(8, 8), tally(1, 50)];
        let shown = |limit| {
            let rows: Vec<&Tally> = all.iter().collect();
            let shown = most(rows, limit, |tally| (tally, 0));
            shown.iter().map(|tally| tally.live_bytes.0).collect::<Vec<_>>()
        };
        assert_eq!(shown(5), [9, 8, 5, 1, 0]);
        assert_eq!(shown(4), [9, 8, 1, 0]);
        assert_eq!(shown(2), [9, 0]);
    }
}
