//! The censuses of a target, joined with the traced stores by the address of their bytes. What follows from them is asked in `analysis` and
//! `detect`.

pub(super) mod recall;

use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::sync::Arc;

use crate::base::{Bytes, FastMap, Nanos, StackId, StoreKey};
use crate::event::Frame;
use crate::event::census::{Census, ParentKind};
use crate::model::Model;
use crate::model::limits::ORPHANS_MAX;
use crate::model::live::Store;
use crate::model::site::{GroupId, SiteId, Sites};

/// What is remembered of all censuses.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CensusLog {
    /// The newest.
    pub last: Option<Arc<JoinedCensus>>,
    /// The one before it, to compare with.
    pub previous: Option<Arc<JoinedCensus>>,
    /// Why the last try failed, if it did.
    pub failure: Option<CensusFailure>,
    /// One is being taken.
    pub is_underway: bool,
    pub n_taken: u64,
    /// For how long the target stood still: the longest time, and all together.
    pub longest_stop: Nanos,
    pub total_stop: Nanos,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CensusFailure {
    pub at: Nanos,
    pub message: Arc<str>,
    pub hint: Arc<str>,
}

/// A census, and for each of its parents the traced store that it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct JoinedCensus {
    /// When the target stood still.
    pub taken_at: Nanos,
    pub census: Arc<Census>,
    /// As long as `census.parents`; `None` for stores that are older than the attach, or smaller than what is traced.
    pub traced: Vec<Option<TracedStore>>,
    /// Traced stores that no live array buffer is over, the largest first, at most [`ORPHANS_MAX`]: garbage that is not collected yet, or
    /// memory that native code holds. Empty if the census does not cover everything.
    pub orphans: Vec<Orphan>,
}

/// A store that was live when the census was taken, and in it has no array buffer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orphan {
    pub size: Bytes,
    pub store: TracedStore,
}

/// What tracing knows of a parent, as of the census.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TracedStore {
    pub key: StoreKey,
    /// Running number since attach.
    pub number: u64,
    pub age: Nanos,
    /// `None`: collections are not seen.
    pub n_major_survived: Option<u32>,
    /// `None`: stacks are not seen.
    pub site: Option<Arc<TracedSite>>,
}

/// Where a store was allocated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TracedSite {
    pub id: SiteId,
    pub group: GroupId,
    /// The user frame in short; without one, what made it.
    pub label: Arc<str>,
    /// The API that the user frame called.
    pub via: Option<Arc<str>>,
    /// Innermost first; empty: allocated without a stack.
    pub frames: Arc<[Frame]>,
    /// Index into `frames`.
    pub user_frame: Option<usize>,
    pub app_frame: Option<usize>,
}

impl JoinedCensus {
    /// The store of the parent at `index`, if it was traced.
    pub fn traced(&self, index: usize) -> Option<&TracedStore> {
        self.traced.get(index)?.as_ref()
    }
}

impl CensusLog {
    pub(super) fn failed(&mut self, at: Nanos, message: Arc<str>, hint: Arc<str>) {
        self.is_underway = false;
        self.failure = Some(CensusFailure { at, message, hint });
    }

    pub(super) fn taken(&mut self, joined: JoinedCensus) {
        let stopped = joined.census.timing.stopped;
        self.is_underway = false;
        self.failure = None;
        self.n_taken += 1;
        self.longest_stop = self.longest_stop.max(stopped);
        self.total_stop = Nanos(self.total_stop.0.saturating_add(stopped.0));
        self.previous = self.last.replace(Arc::new(joined));
    }
}

/// Joins a census that was taken at `at` with the live stores.
pub(super) fn join(model: &Model, at: Nanos, census: &Arc<Census>) -> JoinedCensus {
    let mut by_data: FastMap<u64, &Store> = FastMap::default();
    // A store born after the stop may lie where another one was.
    let died_later = model.died_meanwhile.iter().filter(|(died, _)| *died > at);
    let known = model.live.iter().chain(died_later.map(|(_, store)| store));
    // A store born after the stop may lie where another one was.
    for store in known.filter(|store| store.data != 0 && store.birth <= at) {
        let known = by_data.entry(store.data).or_insert(store);
        // Two stores over the same bytes: one is a wrapper of a part.
        if known.size < store.size {
            *known = store;
        }
    }
    let mut sites: FastMap<SiteId, Arc<TracedSite>> = FastMap::default();
    let sees = model.target.backend.sees();
    let mut of_store = |store: &Store| {
        // What came while no probe was in place was allocated somewhere.
        let is_unseen = store.stack == StackId::NONE && model.own.is_sampled();
        let site = (sees.stacks && !is_unseen).then(|| {
            let site = || Arc::new(site_in(&model.sites, store.site));
            Arc::clone(sites.entry(store.site).or_insert_with(site))
        });
        TracedStore {
            key: store.key,
            number: store.number,
            age: at.since(store.birth),
            n_major_survived: sees.collections.then(|| store.survived(&model.gc).n_major),
            site,
        }
    };
    let read: Vec<usize> = (0..census.parents.len())
        .filter(|n| {
            let parent = census.parents.get(*n).filter(|it| it.kind == ParentKind::Own);
            let store = parent.and_then(|it| by_data.get(&it.address.0));
            let site = store.and_then(|store| model.sites.get(store.site));
            site.is_some_and(|site| site.origin.is_read)
        })
        .collect();
    let parents = census.parents.iter();
    let traced = parents.map(|it| by_data.get(&it.address.0).map(|it| of_store(it))).collect();
    let mut orphans: Vec<&Store> = if census.gaps.is_empty() {
        // What died while the census was analysed was garbage.
        let live = model.live.iter().filter(|store| store.data != 0 && store.birth <= at);
        let ranges = ranges_of(census);
        live.filter(|store| !is_within(&ranges, store.data)).collect()
    } else {
        Vec::new()
    };
    orphans.sort_unstable_by_key(|store| (Reverse(store.size), store.number));
    orphans.truncate(ORPHANS_MAX);
    let orphans = orphans.into_iter();
    let orphans =
        orphans.map(|store| Orphan { size: store.size, store: of_store(store) }).collect();
    JoinedCensus { taken_at: at, census: with_read(census, &read), traced, orphans }
}

/// Nothing in V8's heap tells what Node has read into from what the application made: the line that allocated it does.
fn with_read(census: &Arc<Census>, read: &[usize]) -> Arc<Census> {
    let mut census = Arc::clone(census);
    if !read.is_empty() {
        let told = Arc::make_mut(&mut census);
        for n in read {
            if let Some(parent) = told.parents.get_mut(*n) {
                parent.kind = ParentKind::Read;
            }
        }
    }
    census
}

/// Where parents lie, by address.
fn ranges_of(census: &Census) -> Vec<(u64, u64)> {
    let parents = census.parents.iter();
    let mut ranges: Vec<(u64, u64)> =
        parents.map(|it| (it.address.0, it.address.0.saturating_add(it.size.0))).collect();
    ranges.sort_unstable();
    ranges
}

/// A store may be a part of another one's bytes.
fn is_within(ranges: &[(u64, u64)], data: u64) -> bool {
    let n = ranges.partition_point(|(start, _)| *start <= data);
    let last = n.checked_sub(1).and_then(|at| ranges.get(at));
    last.is_some_and(|(start, end)| data < *end || data == *start)
}

fn site_in(sites: &Sites, id: SiteId) -> TracedSite {
    let Some(site) = sites.get(id) else {
        return TracedSite {
            id,
            group: GroupId::default(),
            label: sites.label(id),
            via: None,
            frames: Arc::from([]),
            user_frame: None,
            app_frame: None,
        };
    };
    TracedSite {
        id,
        group: site.group,
        label: Arc::clone(&site.origin.label),
        via: site.origin.via.clone(),
        frames: Arc::clone(&site.frames),
        user_frame: site.origin.user_frame,
        app_frame: site.origin.app_frame,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AsyncOriginId, Avma, Bytes, StackId, Tid};
    use crate::event::census::Parent;
    use crate::event::{Event, Payload, StoreCreated};

    fn created(address: u64, data: u64, size: u64) -> Payload {
        Payload::StoreCreated(StoreCreated {
            key: StoreKey { address, id: 1 },
            data,
            size: Bytes(size),
            max_size: Bytes(size),
            flags: 0,
            tid: Tid(1),
            stack: StackId::NONE,
            async_origin: AsyncOriginId::NONE,
        })
    }

    #[test]
    fn parents_find_their_stores_by_their_bytes_and_only_older_ones() {
        let mut model = Model::new(Nanos(0));
        let mut at = |at, payload| model.apply(&Event { at: Nanos(at), payload });
        at(10, created(0x10, 0xa000, 4096));
        at(20, created(0x20, 0xb000, 8192));
        at(40, created(0x30, 0xc000, 8192));
        let parent = |address| Parent { address: Avma(address), ..Parent::default() };
        let parents = [0xa000, 0xb000, 0xc000, 0xd000].map(parent).to_vec();
        at(30, Payload::CensusTaken(Arc::new(Census { parents, ..Census::default() })));
        let joined = model.census.last.unwrap();
        let orphans: Vec<_> = joined.orphans.iter().map(|it| it.store.key.address).collect();
        assert!(orphans.is_empty(), "the third one is younger than the census");
        let numbers: Vec<_> =
            joined.traced.iter().map(|it| it.as_ref().map(|it| (it.key.address, it.age))).collect();
        assert_eq!(numbers, [Some((0x10, Nanos(20))), Some((0x20, Nanos(10))), None, None]);
    }

    #[test]
    fn what_dies_while_the_census_is_analysed_was_alive_in_it() {
        let mut model = Model::new(Nanos(0));
        let mut at = |at, payload| model.apply(&Event { at: Nanos(at), payload });
        at(10, created(0x10, 0xa000, 4096));
        at(11, created(0x20, 0xb000, 4096));
        at(20, Payload::CensusStarted);
        at(21, Payload::StoreDestroyed { key: StoreKey { address: 0x20, id: 1 } });
        at(31, Payload::StoreDestroyed { key: StoreKey { address: 0x10, id: 1 } });
        let parent = |address| Parent { address: Avma(address), ..Parent::default() };
        let parents = [0xa000, 0xb000].map(parent).to_vec();
        at(30, Payload::CensusTaken(Arc::new(Census { parents, ..Census::default() })));
        let joined = model.census.last.unwrap();
        assert_eq!(joined.traced.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false]);
        assert!(model.died_meanwhile.is_empty());
    }

    #[test]
    fn stores_without_array_buffer_are_told_unless_the_census_has_gaps() {
        let orphans = |gaps: &[&str]| {
            let mut model = Model::new(Nanos(0));
            let mut at = |at, payload| model.apply(&Event { at: Nanos(at), payload });
            at(10, created(0x10, 0xa000, 8192));
            at(11, created(0x20, 0xa800, 1024));
            at(12, created(0x30, 0xf000, 4096));
            at(13, created(0x40, 0x20000, 9000));
            at(14, created(0x50, 0x9000, 4096));
            let parents =
                vec![Parent { address: Avma(0xa000), size: Bytes(8192), ..Parent::default() }];
            let gaps = gaps.iter().map(|gap| (*gap).to_owned()).collect();
            let census = Census { parents, gaps, ..Census::default() };
            at(30, Payload::CensusTaken(Arc::new(census)));
            let joined = model.census.last.unwrap();
            joined.orphans.iter().map(|it| it.store.key.address).collect::<Vec<_>>()
        };
        assert_eq!(orphans(&[]), [0x40, 0x30, 0x50], "the second is a part of the first");
        assert!(orphans(&["3 pages could not be read"]).is_empty());
    }

    #[test]
    fn a_failure_is_told_until_the_next_census() {
        let mut model = Model::new(Nanos(0));
        let mut at = |at, payload| model.apply(&Event { at: Nanos(at), payload });
        at(1, Payload::CensusStarted);
        at(2, Payload::CensusFailed { message: "no".into(), hint: "try".into() });
        assert!(model.census.failure.is_some() && !model.census.is_underway);
        let mut at = |at, payload| model.apply(&Event { at: Nanos(at), payload });
        at(3, Payload::CensusTaken(Arc::default()));
        assert!(model.census.failure.is_none());
        assert_eq!(model.census.n_taken, 1);
    }
}
