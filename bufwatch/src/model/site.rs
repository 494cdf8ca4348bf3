//! Sites: what allocated. Stacks whose JavaScript reads the same are one site, however often V8 recompiled
//! or moved the code between them; sites of one line and one API are a group.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::base::{Bytes, FastMap, Nanos, StackId};
use crate::event::{Frame, FrameKind};
use crate::model::limits::{SITES_MAX, STACKS_MAX};
use crate::model::origin::Origin;
use crate::model::tally::Tally;

/// Index into [`Sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(u32);

impl SiteId {
    /// Allocated where no stack could be captured, or whose record was lost.
    pub const WITHOUT_STACK: Self = Self(0);
    /// Beyond the limits.
    pub const OTHERS: Self = Self(1);
}

/// A group of sites; stays the same for the whole session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

#[derive(Clone, Debug)]
pub struct Site {
    pub id: SiteId,
    pub group: GroupId,
    /// The first of its stacks.
    pub stack: StackId,
    pub frames: Arc<[Frame]>,
    pub is_cut: bool,
    pub origin: Origin,
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
    by_stack: FastMap<StackId, SiteId>,
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
            n_beyond_limit: 0,
            ticked_at: None,
        };
        for label in ["(no stack)", "(other sites)"] {
            let origin =
                Origin { user_frame: None, app_frame: None, via: None, label: label.into() };
            sites.add(StackId::NONE, Arc::from([]), false, origin);
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
        self.by_stack.get(&stack).copied().unwrap_or(SiteId::WITHOUT_STACK)
    }

    pub fn stack_resolved(&mut self, stack: StackId, frames: &Arc<[Frame]>, is_cut: bool) {
        if self.by_stack.len() >= STACKS_MAX {
            self.n_beyond_limit += 1;
            return;
        }
        let key = SiteKey { frames: Arc::clone(frames), origin: Origin::of(frames) };
        let id = match self.by_frames.get(&key) {
            Some(id) => *id,
            None if self.all.len() >= SITES_MAX => {
                self.n_beyond_limit += 1;
                SiteId::OTHERS
            }
            None => {
                let id = self.add(stack, Arc::clone(frames), is_cut, key.origin.clone());
                self.by_frames.insert(key, id);
                id
            }
        };
        self.by_stack.insert(stack, id);
    }

    fn add(
        &mut self,
        stack: StackId,
        frames: Arc<[Frame]>,
        is_cut: bool,
        origin: Origin,
    ) -> SiteId {
        let id = SiteId(self.all.len() as u32);
        let group = self.group_of(&frames, &origin);
        self.all.push(Site { id, group, stack, frames, is_cut, origin, tally: Tally::default() });
        id
    }

    /// There are at most as many groups as sites, so the limit of those is theirs.
    fn group_of(&mut self, frames: &[Frame], origin: &Origin) -> GroupId {
        let id = match self.by_user_frame.get(&GroupKey::new(frames, origin)) {
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
                self.by_user_frame.insert(GroupKey::new(frames, origin), id);
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

/// What makes two stacks the same site: their frames of JavaScript, not those of native code and builtins,
/// which differ between compilation tiers. Without any of JavaScript, all frames.
#[derive(Debug)]
struct SiteKey {
    frames: Arc<[Frame]>,
    origin: Origin,
}

impl SiteKey {
    fn identity(&self) -> impl Iterator<Item = FrameIdentity<'_>> {
        let is_js = |frame: &Frame| matches!(frame.kind, FrameKind::Js | FrameKind::Node);
        let has_js = self.frames.iter().any(is_js);
        self.frames.iter().filter(move |frame| is_js(frame) || !has_js).map(frame_identity)
    }
}

impl PartialEq for SiteKey {
    fn eq(&self, other: &Self) -> bool {
        self.origin.via == other.origin.via
            && self.origin.label == other.origin.label
            && self.identity().eq(other.identity())
    }
}

impl Eq for SiteKey {}

impl Hash for SiteKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.origin.via.hash(state);
        self.identity().for_each(|frame| frame.hash(state));
    }
}

/// Function, script and line; not the column, which optimized code knows only roughly. A line that is only
/// about right must not hide behind the same one that is exact.
type FrameIdentity<'a> = (&'a str, Option<&'a str>, Option<u32>, bool);

fn frame_identity(frame: &Frame) -> FrameIdentity<'_> {
    (&frame.function, frame.script.as_deref(), frame.line, frame.is_approximate)
}

/// Whole paths: files of the same name are common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    function: Arc<str>,
    script: Option<Arc<str>>,
    line: Option<u32>,
    is_approximate: bool,
    via: Option<Arc<str>>,
    has_user_frame: bool,
}

impl GroupKey {
    fn new(frames: &[Frame], origin: &Origin) -> Self {
        let via = origin.via.clone();
        match origin.user_frame.and_then(|at| frames.get(at)) {
            Some(frame) => Self {
                function: Arc::clone(&frame.function),
                script: frame.script.clone(),
                line: frame.line,
                is_approximate: frame.is_approximate,
                via,
                has_user_frame: true,
            },
            None => Self {
                function: Arc::clone(&origin.label),
                script: None,
                line: None,
                is_approximate: false,
                via,
                has_user_frame: false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: FrameKind, function: &str, line: Option<u32>) -> Frame {
        let script = line.map(|_| Arc::from("/srv/a.js"));
        let function = function.into();
        Frame { kind, function, script, line, is_resolved: true, ..Frame::default() }
    }

    fn js(function: &str, line: u32) -> Frame {
        frame(FrameKind::Js, function, Some(line))
    }

    fn sites(stacks: &[&[Frame]]) -> (Sites, Vec<SiteId>) {
        let mut sites = Sites::default();
        let mut ids = Vec::new();
        for (n, frames) in stacks.iter().enumerate() {
            let stack = StackId(n as u64 + 1);
            sites.stack_resolved(stack, &frames.to_vec().into(), false);
            ids.push(sites.of_stack(stack));
        }
        (sites, ids)
    }

    #[test]
    fn tiers_and_columns_do_not_make_another_site_but_lines_and_apis_do() {
        let native = |name| frame(FrameKind::Native, name, None);
        let builtin = |name| frame(FrameKind::Builtin, name, None);
        let column = Frame { column: Some(9), ..js("f", 1) };
        let (_, ids) = sites(&[
            &[builtin("CreateTypedArray"), js("f", 1), native("uv_run")],
            &[builtin("TypedArrayConstructor"), builtin("ConstructHandler"), column, native("x")],
            &[builtin("CreateTypedArray"), js("f", 2)],
            &[builtin("ArrayBufferConstructor"), js("f", 1)],
            &[builtin("CreateTypedArray"), js("f", 1), js("g", 5)],
            &[builtin("CreateTypedArray"), Frame { is_approximate: true, ..js("f", 1) }],
        ]);
        assert_eq!(ids[0], ids[1]);
        for other in &ids[2..] {
            assert_ne!(ids[0], *other);
        }
    }

    #[test]
    fn without_javascript_all_frames_count() {
        let native = |name| frame(FrameKind::Native, name, None);
        let (_, ids) = sites(&[&[native("a")], &[native("a")], &[native("a"), native("b")]]);
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[0], ids[2]);
    }

    #[test]
    fn what_is_not_resolved_is_told_apart_by_its_text() {
        let unknown = |text| Frame { is_resolved: false, ..frame(FrameKind::Js, text, None) };
        let (_, ids) = sites(&[
            &[unknown("js#1:2")],
            &[unknown("js#1:2")],
            &[unknown("js#1:3")],
            &[js("f", 1)],
        ]);
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[0], ids[2]);
    }

    #[test]
    fn a_group_is_a_line_and_an_api_and_knows_its_own_peak() {
        let (mut sites, ids) = sites(&[
            &[js("f", 1), js("g", 5)],
            &[js("f", 1), js("h", 7)],
            &[frame(FrameKind::Builtin, "ArrayBufferConstructor", None), js("f", 1)],
        ]);
        let group = |sites: &Sites, at: usize| sites.get(ids[at]).unwrap().group;
        assert_eq!(group(&sites, 0), group(&sites, 1));
        assert_ne!(group(&sites, 0), group(&sites, 2));
        sites.created(ids[0], Bytes(100));
        sites.destroyed(ids[0], Bytes(100), Nanos(1), 0);
        sites.created(ids[1], Bytes(60));
        let id = group(&sites, 0);
        let group = sites.groups().find(|group| group.id == id).unwrap();
        assert_eq!((group.n_sites, group.label.as_ref()), (2, "f a.js:1"));
        assert_eq!((group.tally.live_bytes, group.tally.peak_bytes), (Bytes(60), Bytes(100)));
        assert_eq!((group.tally.n_created, group.tally.lifetimes.n_dead()), (2, 1));
    }
}
