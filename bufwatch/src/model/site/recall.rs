//! Takes sites over from a recording, in the order of their numbers, so that they get the same numbers again.

use std::sync::Arc;

use crate::base::{Bytes, FastMap};
use crate::event::recorded::RecordedSite;
use crate::model::async_origin::AsyncStack;
use crate::model::origin::Origin;
use crate::model::site::key::SiteKey;
use crate::model::site::{SiteId, Sites};
use crate::model::tally::Tally;

impl Sites {
    /// The sites, and which number of the recording is which of them.
    pub(in crate::model) fn recalled(recorded: &[RecordedSite]) -> (Self, FastMap<u32, SiteId>) {
        let mut sites = Self::default();
        let always = [SiteId::WITHOUT_STACK, SiteId::OTHERS].map(|id| (id.number(), id));
        let mut by_number: FastMap<u32, SiteId> = always.into_iter().collect();
        for site in recorded.iter().filter(|site| site.number > SiteId::OTHERS.number()) {
            let (key, is_cut) = (key_of(site), site.is_cut);
            let id = sites.find_or_add(site.stack, key, is_cut);
            by_number.insert(site.number, id);
        }
        (sites, by_number)
    }

    /// Sets what came from a site. A peak of its group is no sum of those of its sites.
    pub(in crate::model) fn recall_tally(
        &mut self,
        id: SiteId,
        tally: Tally,
        group_peak_bytes: Bytes,
    ) {
        let Some(site) = self.all.get_mut(id.0 as usize) else { return };
        if let Some(group) = self.groups.get_mut(site.group.0 as usize) {
            group.tally.add(&tally);
            group.tally.peak_bytes = group.tally.peak_bytes.max(group_peak_bytes);
        }
        site.tally = tally;
    }
}

fn key_of(site: &RecordedSite) -> SiteKey {
    let (frames, begun_by) = match site.stacks.split_first() {
        Some((own, begun_by)) => (Arc::clone(own), begun_by),
        None => (Arc::from([]), [].as_slice()),
    };
    let origin = Origin::of(&frames);
    match async_stack(begun_by) {
        Some(async_stack) => SiteKey {
            frames,
            origin: origin.in_turn_of(&async_stack),
            async_stack: Some(Arc::new(async_stack)),
        },
        None => SiteKey { frames, origin, async_stack: None },
    }
}

fn async_stack(stacks: &[Arc<[crate::event::Frame]>]) -> Option<AsyncStack> {
    let found = Origin::of(stacks.last()?);
    let user_frame = found.user_frame?;
    Some(AsyncStack { stacks: stacks.to_vec(), user_frame, app_frame: found.app_frame })
}
