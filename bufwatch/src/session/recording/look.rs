//! What looks at memory bring into a recording: where stores are, their pages, steps of RSS and what dead stores have left. Rows are made for
//! what has changed since it was last written.

use std::collections::BTreeMap;

use crate::analysis::step_text;
use crate::base::{Bytes, FastMap, Nanos, StoreKey};
use crate::event::recorded::RecordedPages;
use crate::event::residency::{ResidencyScanned, StoreTouch};
use crate::model::Model;
use crate::model::site::SiteId;
use crate::recording::Batch;
use crate::session::recording::rows;

/// Stores whose placement is looked up again.
const UNPLACED_MAX: usize = 100_000;

/// What was last written.
#[derive(Default)]
pub(super) struct Looks {
    /// Stores that were written without a placement, and whether there is news of the address space.
    unplaced: Vec<StoreKey>,
    pub(super) is_space_sampled: bool,
    /// Stores whose pages were looked at since the last flush, and what was written of pages.
    scanned: Vec<StoreKey>,
    pages: FastMap<u64, RecordedPages>,
    /// Steps of RSS written, and what was last written of dead stores.
    n_steps: u64,
    /// How far the last of them went.
    last_step_to: Nanos,
    freed: BTreeMap<SiteId, Bytes>,
}

impl Looks {
    /// A look at pages; `at` is a moment after the last flush.
    pub(super) fn scanned(
        &mut self,
        model: &Model,
        scan: &ResidencyScanned,
        at: Nanos,
        batch: &mut Batch,
    ) {
        self.scanned.extend(scan.stores.iter().map(|store| store.key));
        if let Some(split) = &scan.split {
            batch.splits.push((at, scan.started_at, **split));
            self.steps(model, at, batch);
        }
    }

    /// What a look at all pages says of RSS.
    fn steps(&mut self, model: &Model, at: Nanos, batch: &mut Batch) {
        let log = &model.rss_steps;
        let n_steps = log.n_forgotten + log.steps.len() as u64;
        let n_new = n_steps.saturating_sub(std::mem::replace(&mut self.n_steps, n_steps));
        // The last one may have gone on meanwhile.
        let last_to = log.steps.back().map_or(Nanos(0), |step| step.to);
        let has_grown = n_new == 0 && self.last_step_to != last_to;
        self.last_step_to = last_to;
        let n_written = n_new as usize + usize::from(has_grown);
        let n_known = log.steps.len().saturating_sub(n_written);
        for step in log.steps.iter().skip(n_known) {
            batch.steps.push(rows::step(step, at, step_text(model, step)));
        }
    }

    /// Any look at pages may find that memory of dead stores has gone.
    fn memory_of_dead_stores(&mut self, model: &Model, at: Nanos, batch: &mut Batch) {
        let now = model.freed.resident_by_site();
        let gone = self.freed.keys().filter(|site| !now.contains_key(site));
        let gone: Vec<(SiteId, Bytes)> = gone.map(|site| (*site, Bytes(0))).collect();
        for (site, resident) in now.iter().map(|(site, bytes)| (*site, *bytes)).chain(gone) {
            if self.freed.get(&site) != Some(&resident) {
                batch.freed.push((at, site.number(), resident));
            }
        }
        self.freed = now;
    }

    /// What page faults say of stores, those included that have no row yet; `at` is a moment after the last flush.
    pub(super) fn touched(model: &Model, touches: &[StoreTouch], at: Nanos, batch: &mut Batch) {
        for told in touches {
            let store = model.live.find(told.key.address).filter(|store| store.key == told.key);
            batch.first_touches.extend(store.map(|store| (at, store.number, told.touch)));
        }
    }

    /// Nothing of a dead store is written again.
    pub(super) fn died(&mut self, number: u64) {
        self.pages.remove(&number);
    }

    /// Rows of a flush, when those of its new stores are made.
    pub(super) fn flush(&mut self, model: &Model, at: Nanos, batch: &mut Batch) {
        self.memory_of_dead_stores(model, at, batch);
        let unplaced = batch.stores.iter().filter(|store| store.placement.is_none());
        self.unplaced.extend(unplaced.map(|store| store.key));
        self.unplaced.truncate(UNPLACED_MAX);
        let find = |key: StoreKey| model.live.find(key.address).filter(|store| store.key == key);
        if std::mem::take(&mut self.is_space_sampled) {
            let placements = &mut batch.placements;
            self.unplaced.retain(|key| {
                let Some(store) = find(*key) else { return false };
                let placement = rows::placement(model, store);
                placements.extend(placement.map(|placement| (store.number, placement)));
                placement.is_none()
            });
        }
        for key in std::mem::take(&mut self.scanned) {
            let Some((store, pages)) = find(key).and_then(|it| Some((it, rows::pages(it)?))) else {
                continue;
            };
            let known = self.pages.insert(store.number, pages);
            if known.is_none_or(|known| known.pages != pages.pages) {
                batch.pages.push((at, store.number, pages));
            }
        }
    }
}
