//! Sites: what allocated. Stacks whose frames read the same are one site, however often V8 recompiled or
//! moved the code between them.

use std::sync::Arc;

use crate::base::{Bytes, FastMap, Nanos, StackId};
use crate::event::{Frame, FrameKind};
use crate::model::lifetime::Lifetimes;
use crate::model::limits::{SITES_MAX, STACKS_MAX};
use crate::model::rate::Rate;

/// Index into [`Sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SiteId(u32);

impl SiteId {
    /// Allocated where no stack could be captured, or whose record was lost.
    pub const WITHOUT_STACK: Self = Self(0);
    /// Beyond the limits.
    pub const OTHERS: Self = Self(1);
}

#[derive(Clone, Debug)]
pub struct Site {
    pub id: SiteId,
    /// The first of its stacks.
    pub stack: StackId,
    pub frames: Arc<[Frame]>,
    pub is_cut: bool,
    pub label: Arc<str>,
    pub via: Option<Arc<str>>,
    pub n_live: u64,
    pub live_bytes: Bytes,
    pub peak_bytes: Bytes,
    pub n_created: u64,
    pub created_bytes: Bytes,
    pub lifetimes: Lifetimes,
    pub created_rate: Rate,
    pub n_created_rate: Rate,
}

#[derive(Debug)]
pub struct Sites {
    all: Vec<Site>,
    by_frames: FastMap<Arc<[Frame]>, SiteId>,
    by_stack: FastMap<StackId, SiteId>,
    /// Stacks that a limit kept out.
    pub n_beyond_limit: u64,
    ticked_at: Option<Nanos>,
}

impl Default for Sites {
    fn default() -> Self {
        let mut sites = Self {
            all: Vec::new(),
            by_frames: FastMap::default(),
            by_stack: FastMap::default(),
            n_beyond_limit: 0,
            ticked_at: None,
        };
        for label in ["(no stack)", "(other sites)"] {
            let site =
                Site::new(sites.next_id(), StackId::NONE, Arc::from([]), false, label.into(), None);
            sites.all.push(site);
        }
        sites
    }
}

impl Site {
    fn new(
        id: SiteId,
        stack: StackId,
        frames: Arc<[Frame]>,
        is_cut: bool,
        label: Arc<str>,
        via: Option<Arc<str>>,
    ) -> Self {
        Self {
            id,
            stack,
            frames,
            is_cut,
            label,
            via,
            n_live: 0,
            live_bytes: Bytes(0),
            peak_bytes: Bytes(0),
            n_created: 0,
            created_bytes: Bytes(0),
            lifetimes: Lifetimes::default(),
            created_rate: Rate::default(),
            n_created_rate: Rate::default(),
        }
    }
}

impl Sites {
    fn next_id(&self) -> SiteId {
        SiteId(self.all.len() as u32)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Site> {
        self.all.iter()
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
        self.get(id).map_or_else(|| Arc::from("?"), |site| Arc::clone(&site.label))
    }

    pub fn of_stack(&self, stack: StackId) -> SiteId {
        self.by_stack.get(&stack).copied().unwrap_or(SiteId::WITHOUT_STACK)
    }

    pub fn stack_resolved(&mut self, stack: StackId, frames: &Arc<[Frame]>, is_cut: bool) {
        if self.by_stack.len() >= STACKS_MAX {
            self.n_beyond_limit += 1;
            return;
        }
        let id = match self.by_frames.get(frames) {
            Some(id) => *id,
            None if self.all.len() >= SITES_MAX => {
                self.n_beyond_limit += 1;
                SiteId::OTHERS
            }
            None => {
                let id = self.next_id();
                let (label, via) = name(frames);
                self.all.push(Site::new(id, stack, Arc::clone(frames), is_cut, label, via));
                self.by_frames.insert(Arc::clone(frames), id);
                id
            }
        };
        self.by_stack.insert(stack, id);
    }

    pub fn created(&mut self, id: SiteId, size: Bytes) {
        let Some(site) = self.all.get_mut(id.0 as usize) else { return };
        site.n_live += 1;
        site.n_created += 1;
        site.created_bytes += size;
        site.live_bytes += size;
        site.peak_bytes = site.peak_bytes.max(site.live_bytes);
    }

    pub fn resized(&mut self, id: SiteId, old: Bytes, new: Bytes) {
        let Some(site) = self.all.get_mut(id.0 as usize) else { return };
        site.live_bytes = site.live_bytes.saturating_sub(old) + new;
        site.peak_bytes = site.peak_bytes.max(site.live_bytes);
    }

    pub fn destroyed(&mut self, id: SiteId, size: Bytes, lifetime: Nanos, n_majors: u32) {
        let Some(site) = self.all.get_mut(id.0 as usize) else { return };
        site.n_live = site.n_live.saturating_sub(1);
        site.live_bytes = site.live_bytes.saturating_sub(size);
        site.lifetimes.add(lifetime, n_majors);
    }

    pub fn tick(&mut self, at: Nanos) {
        if let Some(before) = self.ticked_at {
            let elapsed = at.since(before);
            for site in &mut self.all {
                site.created_rate.tick(site.created_bytes.0, elapsed);
                site.n_created_rate.tick(site.n_created, elapsed);
            }
        }
        self.ticked_at = Some(at);
    }
}

/// What to call a stack: its first JavaScript frame, else its first frame of Node, else its innermost; and
/// the API it went through: the frame of Node or of V8's builtins that the JavaScript called.
fn name(frames: &[Frame]) -> (Arc<str>, Option<Arc<str>>) {
    let first_js = frames.iter().position(|f| matches!(f.kind, FrameKind::Js | FrameKind::Node));
    let Some(at) = first_js else {
        let named = frames.iter().find(|f| f.function.starts_with("node::")).or(frames.first());
        return (named.map_or_else(|| "(empty stack)".into(), |f| Arc::clone(&f.function)), None);
    };
    let label = frames.get(at).map_or_else(|| "?".into(), describe);
    let callees = frames.get(..at).unwrap_or_default();
    let is_api = |f: &&Frame| f.kind == FrameKind::Builtin || f.function.starts_with("node::");
    let via = callees.iter().rev().find(is_api).or(callees.last());
    (label, via.map(|frame| Arc::clone(&frame.function)))
}

fn describe(frame: &Frame) -> Arc<str> {
    match (&frame.script, frame.line) {
        (Some(script), Some(line)) => format!("{} {script}:{line}", frame.function).into(),
        (Some(script), None) => format!("{} {script}", frame.function).into(),
        (None, _) => Arc::clone(&frame.function),
    }
}
