//! Sites: what allocated. Stacks whose JavaScript reads the same are one site, however often V8 recompiled
//! or moved the code between them, unless what they ran for was begun by different lines (async origins). Sites of one
//! line and one API are a group.

mod key;
mod recall;

use serde::{Deserialize, Serialize};
use std::sync::Arc;

use crate::base::{AsyncOriginId, Bytes, FastMap, Nanos, StackId};
use crate::event::Frame;
use crate::model::async_origin::{AsyncOrigins, AsyncStack, Turn};
use crate::model::limits::{SITES_MAX, STACKS_MAX};
use crate::model::origin::Origin;
use crate::model::site::key::{GroupKey, SiteKey};
use crate::model::tally::Tally;

/// Index into [`Sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteId(pub(super) u32);

impl SiteId {
    /// Allocated where no stack could be captured, or whose record was lost.
    pub const WITHOUT_STACK: Self = Self(0);
    /// Beyond the limits.
    pub const OTHERS: Self = Self(1);

    /// As a recording numbers it.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A group of sites; stays the same for the whole session.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct GroupId(pub u32);

#[derive(Clone, Debug)]
pub struct Site {
    pub id: SiteId,
    pub group: GroupId,
    /// The first of its stacks; with an async stack, mixed with that one's id.
    pub stack: StackId,
    pub frames: Arc<[Frame]>,
    pub is_cut: bool,
    pub origin: Origin,
    /// Where that was begun which it ran for, if it is known.
    pub async_stack: Option<Arc<AsyncStack>>,
    pub tally: Tally,
}

/// All sites with the same user frame and API; of those without a user frame, with the same name.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: GroupId,
    pub label: Arc<str>,
    pub via: Option<Arc<str>>,
    pub n_sites: usize,
    pub tally: Tally,
}

#[derive(Debug)]
pub struct Sites {
    all: Vec<Site>,
    groups: Vec<Group>,
    by_frames: FastMap<SiteKey, SiteId>,
    by_user_frame: FastMap<GroupKey, GroupId>,
    by_stack: FastMap<StackId, (SiteId, Turn)>,
    by_async_origin: FastMap<(StackId, AsyncOriginId), SiteId>,
    pub async_origins: AsyncOrigins,
    /// Stacks that a limit kept out.
    pub n_beyond_limit: u64,
    ticked_at: Option<Nanos>,
}

impl Default for Sites {
    fn default() -> Self {
        let mut sites = Self {
            all: Vec::new(),
            groups: Vec::new(),
            by_frames: FastMap::default(),
            by_user_frame: FastMap::default(),
            by_stack: FastMap::default(),
            by_async_origin: FastMap::default(),
            async_origins: AsyncOrigins::default(),
            n_beyond_limit: 0,
            ticked_at: None,
        };
        for label in ["(no stack)", "(other sites)"] {
            let origin = Origin {
                user_frame: None,
                app_frame: None,
                via: None,
                label: label.into(),
                is_read: false,
            };
            sites.add(
                StackId::NONE,
                SiteKey { frames: Arc::from([]), origin, async_stack: None },
                false,
            );
        }
        sites
    }
}

impl Sites {
    pub fn iter(&self) -> impl Iterator<Item = &Site> {
        self.all.iter()
    }

    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter()
    }

    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.0 as usize)
    }

    /// Including the two that are always there.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn get(&self, id: SiteId) -> Option<&Site> {
        self.all.get(id.0 as usize)
    }

    pub fn label(&self, id: SiteId) -> Arc<str> {
        self.get(id).map_or_else(|| Arc::from("?"), |site| Arc::clone(&site.origin.label))
    }

    pub fn of_stack(&self, stack: StackId) -> SiteId {
        self.by_stack.get(&stack).map_or(SiteId::WITHOUT_STACK, |(id, _)| *id)
    }

    /// The site of a store that was made in a turn of an async resource.
    pub fn of_store(&mut self, stack: StackId, origin: AsyncOriginId) -> SiteId {
        let own = self.of_stack(stack);
        if origin == AsyncOriginId::NONE {
            return own;
        }
        if let Some(id) = self.by_async_origin.get(&(stack, origin)) {
            return *id;
        }
        let id = self.with_async_origin(stack, origin).unwrap_or(own);
        if self.by_async_origin.len() < STACKS_MAX {
            self.by_async_origin.insert((stack, origin), id);
        } else {
            self.n_beyond_limit += 1;
        }
        id
    }

    fn with_async_origin(&mut self, stack: StackId, origin: AsyncOriginId) -> Option<SiteId> {
        let (own, turn) = *self.by_stack.get(&stack)?;
        let async_stack = self.async_origins.trace(turn, origin)?;
        // That of the stacks that were too many has no frames.
        let site = self.get(own).filter(|site| site.id != SiteId::OTHERS)?;
        let key = SiteKey {
            frames: Arc::clone(&site.frames),
            origin: site.origin.in_turn_of(&async_stack),
            async_stack: Some(Arc::new(async_stack)),
        };
        let is_cut = site.is_cut;
        Some(self.find_or_add(StackId(stack.0 ^ origin.0.rotate_left(32)), key, is_cut))
    }

    pub fn stack_resolved(&mut self, stack: StackId, frames: &Arc<[Frame]>, is_cut: bool) {
        if self.by_stack.len() >= STACKS_MAX {
            self.n_beyond_limit += 1;
            return;
        }
        let key =
            SiteKey { frames: Arc::clone(frames), origin: Origin::of(frames), async_stack: None };
        let id = self.find_or_add(stack, key, is_cut);
        self.by_stack.insert(stack, (id, Turn::of(frames)));
    }

    fn find_or_add(&mut self, stack: StackId, key: SiteKey, is_cut: bool) -> SiteId {
        if let Some(id) = self.by_frames.get(&key) {
            return *id;
        }
        if self.all.len() >= SITES_MAX {
            self.n_beyond_limit += 1;
            return SiteId::OTHERS;
        }
        let id = self.add(stack, key.clone(), is_cut);
        self.by_frames.insert(key, id);
        id
    }

    fn add(&mut self, stack: StackId, key: SiteKey, is_cut: bool) -> SiteId {
        let id = SiteId(self.all.len() as u32);
        let group = self.group_of(&key);
        let SiteKey { frames, origin, async_stack } = key;
        let tally = Tally::default();
        self.all.push(Site { id, group, stack, frames, is_cut, origin, async_stack, tally });
        id
    }

    /// There are at most as many groups as sites, so the limit of those is theirs.
    fn group_of(&mut self, site: &SiteKey) -> GroupId {
        let origin = &site.origin;
        let key = GroupKey::new(site);
        let id = match self.by_user_frame.get(&key) {
            Some(id) => *id,
            None => {
                let id = GroupId(self.groups.len() as u32);
                self.groups.push(Group {
                    id,
                    label: Arc::clone(&origin.label),
                    via: origin.via.clone(),
                    n_sites: 0,
                    tally: Tally::default(),
                });
                self.by_user_frame.insert(key, id);
                id
            }
        };
        if let Some(group) = self.groups.get_mut(id.0 as usize) {
            group.n_sites += 1;
        }
        id
    }

    pub fn created(&mut self, id: SiteId, size: Bytes) {
        self.each_tally(id, |tally| tally.created(size));
    }

    pub fn found(&mut self, id: SiteId, size: Bytes) {
        self.each_tally(id, |tally| tally.found(size));
    }

    pub fn resized(&mut self, id: SiteId, old: Bytes, new: Bytes) {
        self.each_tally(id, |tally| tally.resized(old, new));
    }

    pub fn destroyed(&mut self, id: SiteId, size: Bytes, lifetime: Nanos, n_majors: u32) {
        self.each_tally(id, |tally| tally.destroyed(size, lifetime, n_majors));
    }

    /// Of the site and of its group.
    fn each_tally(&mut self, id: SiteId, change: impl Fn(&mut Tally)) {
        let Some(site) = self.all.get_mut(id.0 as usize) else { return };
        change(&mut site.tally);
        if let Some(group) = self.groups.get_mut(site.group.0 as usize) {
            change(&mut group.tally);
        }
    }

    pub fn tick(&mut self, at: Nanos) {
        if let Some(before) = self.ticked_at {
            let elapsed = at.since(before);
            self.all.iter_mut().for_each(|site| site.tally.tick(elapsed));
            self.groups.iter_mut().for_each(|group| group.tally.tick(elapsed));
        }
        self.ticked_at = Some(at);
    }
}

#[cfg(test)]
mod tests;
