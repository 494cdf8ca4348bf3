//! What the live stores of one site add up to, in the one pass over all of them.

use crate::analysis::residency::{Counted, LiveFacts, OLD, ResidencyTotals};
use crate::base::{Bytes, FastMap, Nanos};
use crate::event::StoreKind;
use crate::event::recorded::SiteLive;
use crate::model::Model;
use crate::model::live::Store;
use crate::model::site::SiteId;

/// What the live stores of a site add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfSite {
    /// Those that lived through two major collections.
    pub(super) n_survivors: u64,
    /// Of those whose pages were looked at.
    pub(super) residency: ResidencyTotals,
    pub(super) live: LiveFacts,
}

/// Of all sites with live stores, for a recording.
pub fn live_by_site(model: &Model, now: Nanos) -> FastMap<SiteId, SiteLive> {
    let mut by_site: FastMap<SiteId, OfSite> = FastMap::default();
    for store in model.live.iter() {
        let n_major_survived = store.survived(&model.gc).n_major;
        by_site.entry(store.site).or_default().add_live(store, n_major_survived, now);
    }
    by_site.into_iter().map(|(site, of_site)| (site, of_site.recorded())).collect()
}

impl OfSite {
    /// `None` if no store was looked at.
    pub(super) fn resident(&self) -> Option<Bytes> {
        (self.residency.n_known > 0).then_some(self.residency.pages.resident)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.n_survivors += other.n_survivors;
        self.residency.merge(&other.residency);
        self.live.merge(&other.live);
    }

    pub(super) fn recalled(live: &SiteLive) -> Self {
        let counted = |n, bytes| Counted { n, bytes };
        Self {
            n_survivors: live.n_survivors,
            residency: ResidencyTotals {
                n_known: live.n_known,
                known_bytes: live.known_bytes,
                pages: live.pages,
            },
            live: LiveFacts {
                shared: counted(live.n_shared, live.shared_bytes),
                old: counted(live.n_old, live.old_bytes),
                old_held: live.old_held,
                young: counted(live.n_young, live.young_bytes),
            },
        }
    }

    fn recorded(&self) -> SiteLive {
        let (residency, live) = (&self.residency, &self.live);
        SiteLive {
            n_survivors: self.n_survivors,
            n_known: residency.n_known,
            known_bytes: residency.known_bytes,
            pages: residency.pages,
            n_shared: live.shared.n,
            shared_bytes: live.shared.bytes,
            n_old: live.old.n,
            old_bytes: live.old.bytes,
            old_held: live.old_held,
            n_young: live.young.n,
            young_bytes: live.young.bytes,
        }
    }

    pub(super) fn add_live(&mut self, store: &Store, n_major_survived: u32, now: Nanos) {
        self.n_survivors += u64::from(n_major_survived >= 2);
        if let Some(known) = store.residency.known() {
            self.residency.add(store.size, known.pages);
        }
        let live = &mut self.live;
        match store.kind {
            StoreKind::Shared | StoreKind::GrowableShared => live.shared.add(store.size),
            StoreKind::Plain
            | StoreKind::Resizable
            | StoreKind::Wasm
            | StoreKind::SharedWasm
            | StoreKind::External => {}
        }
        if n_major_survived == 0 {
            live.young.add(store.size);
        }
        let is_fixed = matches!(store.kind, StoreKind::Plain | StoreKind::Shared);
        if let Some(known) = store.residency.known()
            && is_fixed
            && now.since(store.birth) > OLD
        {
            live.old.add(store.size);
            live.old_held += known.pages.held();
        }
    }
}
