//! Made-up snapshots for the tests of detectors.

use std::sync::Arc;

use crate::analysis::Snapshot;
use crate::analysis::snapshot::{
    GroupId, GroupRow, Heaviest, History, JoinedCensus, SiteId, TallyRow, TracedSite, TracedStore,
};
use crate::base::{Avma, Bytes, Nanos, StackId, StoreKey};
use crate::event::GcKind;
use crate::event::census::{Census, Holder, Isolate, Parent, ParentKind, RootKind, View};
use crate::event::residency::RssSplit;

/// When the census of a scene was taken, in seconds after the attach.
const TAKEN_AT: u64 = 100;

/// A parent in the making.
#[derive(Clone, Debug)]
pub(super) struct MadeUp(Parent);

pub(super) fn parent(size: u64) -> MadeUp {
    MadeUp(Parent { size: Bytes(size), ..Parent::default() })
}

impl MadeUp {
    pub(super) fn view(mut self, type_name: &str, offset: u64, length: u64) -> Self {
        let parent = &mut self.0;
        parent.views.push(View { type_name: type_name.into(), offset, length: Bytes(length) });
        parent.views.sort_by_key(|view| (view.offset, view.length));
        parent.n_views += 1;
        parent.views_bytes += Bytes(length);
        let mut end = 0;
        parent.covered = Bytes(0);
        parent.has_overlaps = false;
        for view in &parent.views {
            let view_end = view.offset + view.length.0;
            parent.has_overlaps |= view.offset < end;
            parent.covered += Bytes(view_end.saturating_sub(view.offset.max(end)));
            end = end.max(view_end);
        }
        parent.has_aliases = parent.has_overlaps
            && parent.views.iter().any(|view| view.type_name != parent.views[0].type_name);
        self
    }

    pub(super) fn held_by(self, path: &[&str]) -> Self {
        self.rooted(RootKind::Isolate, path)
    }

    pub(super) fn by_node(self, path: &[&str]) -> Self {
        let mut held = self.held_by(path);
        if let Some(last) = held.0.holders.last_mut() {
            last.is_by_application = false;
        }
        held
    }

    pub(super) fn rooted(mut self, root: RootKind, path: &[&str]) -> Self {
        self.0.holders.push(Holder {
            path: path.iter().map(|step| (*step).to_owned()).collect(),
            root,
            is_by_application: true,
            n_views: 1,
        });
        self
    }

    pub(super) fn kind(mut self, kind: ParentKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(super) fn held_itself(mut self) -> Self {
        self.0.is_held_itself = true;
        self
    }

    pub(super) fn at(mut self, address: u64) -> Self {
        self.0.address = Avma(address);
        self
    }

    pub(super) fn done(self) -> Parent {
        self.0
    }
}

pub(super) const MIB: u64 = 1 << 20;

/// A session of which these looks are the last, one a second.
pub(super) fn splits(looks: &[RssSplit]) -> Snapshot {
    let mut snapshot = Snapshot::blank();
    let looks = (100_u64..).zip(looks);
    snapshot.recent.splits = looks.map(|(at, look)| (Nanos::from_secs(at), *look)).collect();
    let last = snapshot.recent.splits.last().copied();
    snapshot.memory.split = last.map(|(_, split)| (Nanos(0), split));
    snapshot.memory.rss = last.map(|(_, split)| split.rss);
    snapshot
}

/// A line of the application that has allocated nothing yet.
pub(super) fn group(label: &str) -> GroupRow {
    GroupRow {
        id: GroupId(label.len() as u32),
        label: label.into(),
        via: None,
        n_sites: 1,
        tally: TallyRow::default(),
        heaviest: Heaviest {
            stack: StackId::NONE,
            frames: Arc::from([]),
            is_cut: false,
            user_frame: None,
            app_frame: None,
            async_stack: None,
        },
        survivors: Arc::from([]),
    }
}

/// A snapshot in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    parents: Vec<Parent>,
    traced: Vec<Option<TracedStore>>,
    before: Option<(u64, Vec<Parent>)>,
    majors: Vec<u64>,
    isolates: Vec<Isolate>,
    rss: Option<Bytes>,
}

/// Addresses as they follow each other, where a parent has none.
fn placed(mut parents: Vec<Parent>) -> Vec<Parent> {
    for (n, parent) in (1_u64..).zip(&mut parents) {
        if parent.address.0 == 0 {
            parent.address = Avma(n << 32);
        }
    }
    parents
}

impl Scene {
    pub(super) fn new() -> Self {
        Self { isolates: vec![Isolate::default()], ..Self::default() }
    }

    pub(super) fn parent(mut self, parent: Parent) -> Self {
        self.parents.push(parent);
        self.traced.push(None);
        self
    }

    pub(super) fn parents(mut self, n: usize, parent: &Parent) -> Self {
        self.parents.extend(std::iter::repeat_n(parent.clone(), n));
        self.traced.resize(self.parents.len(), None);
        self
    }

    /// The last parent was allocated at a line and survived so many major collections.
    pub(super) fn traced(mut self, site: &str, n_major_survived: u32) -> Self {
        let group =
            GroupId(site.bytes().fold(7, |sum: u32, byte| sum.rotate_left(5) ^ u32::from(byte)));
        let site = Arc::new(TracedSite {
            id: SiteId::WITHOUT_STACK,
            group,
            label: site.into(),
            via: Some("fs.readFileSync".into()),
            frames: Arc::from([]),
            user_frame: None,
            app_frame: None,
        });
        let number = self.parents.len() as u64;
        if let Some(last) = self.traced.last_mut() {
            let key = StoreKey { address: number << 20, id: self.parents.len() as u32 };
            let age = Nanos::from_secs(60);
            *last = Some(TracedStore {
                key,
                number,
                age,
                n_major_survived: Some(n_major_survived),
                site: Some(site),
            });
        }
        self
    }

    /// The last parent is so many seconds old instead of a minute.
    pub(super) fn aged(mut self, seconds: u64) -> Self {
        if let Some(Some(last)) = self.traced.last_mut() {
            last.age = Nanos::from_secs(seconds);
        }
        self
    }

    /// As a backend tells it that sees neither collections nor stacks.
    pub(super) fn collections_are_not_seen(&mut self) {
        for traced in self.traced.iter_mut().flatten() {
            (traced.n_major_survived, traced.site) = (None, None);
        }
    }

    /// All parents so far.
    pub(super) fn all_traced(mut self, site: &str, n_major_survived: u32) -> Self {
        for _ in 0..self.traced.len() {
            self = self.traced(site, n_major_survived);
            self.traced.rotate_right(1);
        }
        self
    }

    /// A census so many seconds earlier.
    pub(super) fn before(mut self, seconds: u64, parents: Vec<Parent>) -> Self {
        self.before = Some((seconds, parents));
        self
    }

    /// Major collections, in seconds after the attach.
    pub(super) fn majors(mut self, at: &[u64]) -> Self {
        self.majors = at.to_vec();
        self
    }

    pub(super) fn isolates(mut self, isolates: Vec<Isolate>) -> Self {
        self.isolates = isolates;
        self
    }

    pub(super) fn rss(mut self, rss: u64) -> Self {
        self.rss = Some(Bytes(rss));
        self
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let began = Nanos::from_secs(1_000);
        let after = |seconds| Nanos(began.0 + Nanos::from_secs(seconds).0);
        let joined = |at, parents: Vec<Parent>, traced: Vec<Option<TracedStore>>| JoinedCensus {
            taken_at: at,
            census: Arc::new(Census {
                parents: placed(parents),
                isolates: self.isolates.clone(),
                ..Census::default()
            }),
            traced,
            orphans: Vec::new(),
        };
        let mut snapshot = Snapshot::blank();
        snapshot.taken_at = after(TAKEN_AT + 1);
        snapshot.elapsed = snapshot.taken_at.since(began);
        snapshot.memory.rss = self.rss;
        let last = joined(after(TAKEN_AT), self.parents.clone(), self.traced.clone());
        snapshot.census.last = Some(Arc::new(last));
        snapshot.census.previous = self.before.clone().map(|(seconds, parents)| {
            let traced = vec![None; parents.len()];
            Arc::new(joined(after(TAKEN_AT - seconds), parents, traced))
        });
        let gcs = self.majors.iter().map(|at| (Nanos::from_secs(*at), GcKind::Major));
        let blank = Arc::clone(&snapshot.history);
        snapshot.history = Arc::new(History { gcs: gcs.collect(), ..History::clone(&blank) });
        snapshot
    }
}
