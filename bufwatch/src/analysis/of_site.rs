//! What the live stores of one site add up to, in the one pass over all of them.

use crate::analysis::residency::{LiveFacts, OLD};
use crate::base::{Bytes, Nanos};
use crate::event::StoreKind;
use crate::model::live::Store;

/// What the live stores of a site add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfSite {
    /// Those that lived through two major collections.
    pub(super) n_survivors: u64,
    /// Of those whose pages were looked at.
    pub(super) resident: Option<Bytes>,
    pub(super) live: LiveFacts,
}

impl OfSite {
    pub(super) fn add_live(&mut self, store: &Store, n_major_survived: u32, now: Nanos) {
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
