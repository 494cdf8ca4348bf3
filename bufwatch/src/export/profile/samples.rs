//! Splits what a snapshot knows of its sites into samples that add up to its totals: by kind and thread where single stores are listed,
//! without them where only sums are known.

use std::collections::BTreeMap;

use crate::analysis::snapshot::{SiteId, SiteRow, Snapshot, StoreRow, TargetState};
use crate::analysis::tree::FrameLevel;
use crate::base::{FastMap, StackId, sanitize};
use crate::event::Frame;
use crate::event::census::Parent;
use crate::export::profile::frames::{Frames, ProfileFrame};
use crate::export::profile::{Measure, Sample, Thread};

type Values = [u64; Measure::COUNT];

/// Stores of one site that have the same labels.
type Labels = (usize, &'static str, Thread);

pub(super) fn samples(snapshot: &Snapshot, level: FrameLevel) -> (Vec<ProfileFrame>, Vec<Sample>) {
    let mut frames = Frames::default();
    if snapshot.target.state == TargetState::Attaching {
        // Nothing was counted: that is not zero.
        return (frames.all, Vec::new());
    }
    let (pinned_by_site, pinned_elsewhere) = pinned(snapshot);
    let (listed, sums) = listed(snapshot);
    let mut samples: Vec<Sample> = Vec::new();
    let mut in_sites = Values::default();
    for (index, site) in snapshot.sites.iter().enumerate() {
        let whole = of_site(site, pinned_by_site.get(&site.id).copied().unwrap_or(0));
        add(&mut in_sites, &whole);
        let rest = less(&whole, &sums.get(&index).copied().unwrap_or_default());
        let stack = stack(&mut frames, site, level);
        let api = site.via.as_deref().map(sanitize);
        if rest != Values::default() {
            let stack = stack.clone();
            samples.push(Sample { stack, values: rest, api: api.clone(), ..Sample::default() });
        }
        let labelled = listed.range((index, "", FIRST)..).take_while(|(key, _)| key.0 == index);
        for ((_, kind, thread), values) in labelled {
            let (kind, thread) = (Some(*kind), Some(thread.clone()));
            let (stack, api) = (stack.clone(), api.clone());
            samples.push(Sample { stack, values: *values, kind, thread, api });
        }
    }
    let mut add_words = |words: &str, values: Values| {
        if values != Values::default() {
            let stack = vec![frames.add_words(words)];
            samples.push(Sample { stack, values, ..Sample::default() });
        }
    };
    let stores = &snapshot.stores;
    let total = of(
        [stores.n_created, stores.created_bytes.0, stores.n_live, stores.live_bytes.0],
        snapshot.memory.residency.pages.resident.0,
        pinned_by_site.values().fold(0, |sum: u64, n| sum.saturating_add(*n)),
    );
    add_words("(sites that are not listed)", less(&total, &in_sites));
    let small = stores.small.unwrap_or_default();
    let small = [small.n_created, small.created_bytes.0, small.n_live, small.live_bytes.0];
    let min_size = snapshot.target.min_size;
    add_words(&format!("(stores below {min_size}, counted without stacks)"), of(small, 0, 0));
    add_words("(stores that were not traced)", of([0; 4], 0, pinned_elsewhere));
    (frames.all, samples)
}

const FIRST: Thread = Thread { tid: 0, name: None };

/// Values in the order of [`Measure`].
fn of(counted: [u64; 4], resident: u64, pinned: u64) -> Values {
    let [n_created, created_bytes, n_live, live_bytes] = counted;
    [n_created, created_bytes, n_live, live_bytes, resident, pinned]
}

fn of_site(site: &SiteRow, pinned: u64) -> Values {
    let tally = &site.tally;
    let counted = [tally.n_created, tally.created_bytes.0, tally.n_live, tally.live_bytes.0];
    of(counted, tally.resident.map_or(0, |bytes| bytes.0), pinned)
}

fn add(sum: &mut Values, values: &Values) {
    sum.iter_mut().zip(values).for_each(|(sum, n)| *sum = sum.saturating_add(*n));
}

fn less(whole: &Values, part: &Values) -> Values {
    let mut rest = *whole;
    rest.iter_mut().zip(part).for_each(|(rest, n)| *rest = rest.saturating_sub(*n));
    rest
}

/// The live stores of the table by their labels, and their sums by site.
fn listed(snapshot: &Snapshot) -> (BTreeMap<Labels, Values>, FastMap<usize, Values>) {
    // Sites without stack have one id of a stack between them, but not one label.
    let key = |site: &'_ SiteRow| (site.stack, site.label.to_string());
    let sites = snapshot.sites.iter().enumerate().map(|(index, site)| (key(site), index));
    let by_stack: FastMap<(StackId, String), usize> = sites.collect();
    let mut listed: BTreeMap<Labels, Values> = BTreeMap::new();
    let mut sums: FastMap<usize, Values> = FastMap::default();
    for row in snapshot.table.rows.iter() {
        let Some(index) = by_stack.get(&(row.stack, row.site.to_string())) else { continue };
        let resident = row.residency.map_or(0, |it| it.pages.resident.0);
        let values = of([0, 0, 1, row.size.0], resident, 0);
        add(sums.entry(*index).or_default(), &values);
        add(listed.entry((*index, row.kind.name(), thread(row))).or_default(), &values);
    }
    (listed, sums)
}

fn thread(row: &StoreRow) -> Thread {
    Thread { tid: row.tid.0, name: row.thread.as_deref().map(sanitize) }
}

/// Pinned bytes by site, and those of stores that were not traced.
fn pinned(snapshot: &Snapshot) -> (FastMap<SiteId, u64>, u64) {
    let (mut by_site, mut elsewhere) = (FastMap::default(), 0_u64);
    if let Some(census) = &snapshot.census.last {
        for (index, parent) in census.census.parents.iter().enumerate() {
            let site = census.traced(index).and_then(|store| store.site.as_ref());
            let sum = match site {
                Some(site) => by_site.entry(site.id).or_default(),
                None => &mut elsewhere,
            };
            *sum = sum.saturating_add(pinned_bytes(parent));
        }
    }
    (by_site, elsewhere)
}

/// Bytes that only views keep alive, and that none of them shows.
pub(crate) fn pinned_bytes(parent: &Parent) -> u64 {
    if parent.is_held_itself || parent.n_views == 0 {
        return 0;
    }
    parent.size.saturating_sub(parent.covered).0
}

/// Innermost first: its own frames, and below those what began it. A stack of which nothing is shown goes by the name of its site.
fn stack(frames: &mut Frames, site: &SiteRow, level: FrameLevel) -> Vec<usize> {
    let is_shown = |frame: &&Frame| level.has(frame.kind);
    let own = site.frames.iter().filter(is_shown);
    let mut stack: Vec<usize> = own.map(|frame| frames.add(frame)).collect();
    if stack.is_empty() {
        stack.push(frames.add_words(&site.label));
    }
    if site.is_cut {
        stack.push(frames.add_words("(cut: deeper than bufwatch looks)"));
    }
    if let Some(begun_by) = &site.async_stack {
        stack.push(frames.add_words("(async)"));
        stack.extend(begun_by.frames().filter(is_shown).map(|frame| frames.add(frame)));
    }
    stack
}
