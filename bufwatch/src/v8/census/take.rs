//! From a copied heap and its roots to a census: walk, mark, read buffers, test itself, join views with parents, tell who holds them.
//! Refuses with a reason where the numbers contradict what is known of every Node process.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Bytes, ReadMemory};
use crate::event::census::{Census, Counts, Isolate, Parent, ParentKind, Timing};
use crate::v8::census::buffer::{BufferFacts, Buffers, ViewFacts};
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::mark::HeapView;
use crate::v8::census::parent::{Assembly, Groups};
use crate::v8::census::retained;
use crate::v8::census::roots::{IsolatePlace, Roots};
use crate::v8::census::store::{self, StoreFacts, StoreRead};
use crate::v8::census::traced;
use crate::v8::census::walk::Walk;
use crate::v8::metadata::Layout;

/// Maps of a Node that runs nothing: measured 3,000 to 4,000.
const MAPS_MIN: usize = 500;

/// Views outside of V8's heap in a Node that runs nothing: measured 40 and more.
const VIEWS_MIN: usize = 8;

/// Of those that marking reaches, most must withstand the checks: one in this many may not.
const REJECTED_SHARE: u64 = 8;

/// What may hold memory that the allocator does not count: external memory of addons, memory that is on its way.
const UNCOUNTED_BYTES: u64 = 16 << 20;

/// Views listed of one parent.
pub const VIEWS_LISTED_MAX: usize = 100_000;

/// A process as it was at one moment.
#[derive(Debug)]
pub struct Moment {
    pub heap: HeapCopy,
    pub roots: Roots,
    pub isolates: Vec<IsolatePlace>,
}

/// Why there is no census.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "V8's objects do not look as expected: {n_maps} kinds of objects were recognised in {heap_bytes}"
    )]
    NoMaps { n_maps: usize, heap_bytes: Bytes },
    #[error(
        "array buffers do not look as expected: only {n_views} live views could be read, {n_rejected} contradict themselves"
    )]
    NoViews { n_views: usize, n_rejected: u64 },
    #[error(
        "live array buffers add up to {found}, but Node's allocators have handed out {counted}"
    )]
    Sum { found: Bytes, counted: Bytes },
    #[error("what keeps objects alive was not found: {0}")]
    Roots(&'static str),
}

impl Refusal {
    pub const fn hint(&self) -> &'static str {
        "this version of V8 is laid out differently than the ones bufwatch knows; `bufwatch plan` says what it took for granted"
    }
}

/// How many views of each parent are listed, and of how many parents.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// Parents with views and holders; the others are only counted.
    pub n_parents: usize,
    pub n_views: usize,
    pub min_size: Bytes,
}

/// Analyses a moment. `allocated` is what Node's allocators count; `live` is the process, for what its heap does not say.
pub fn analyse(
    moment: &Moment,
    layout: &Layout,
    allocated: Option<Bytes>,
    detail: Detail,
    live: &impl ReadMemory,
    stores: Option<StoreFacts>,
) -> Result<Census, Refusal> {
    let heap = &moment.heap;
    let mut walk = Walk::take(heap, layout);
    walk.end_at_tops(heap, &moment.roots.areas, layout);
    if walk.n_maps < MAPS_MIN {
        return Err(Refusal::NoMaps { n_maps: walk.n_maps, heap_bytes: Bytes(heap.n_bytes()) });
    }
    if moment.roots.isolates.iter().all(|isolate| !isolate.has_global_handles) {
        return Err(Refusal::Roots("no isolate has global handles"));
    }
    let ephemeron_kind = walk.ephemeron_kind(heap, layout);
    let view = HeapView { heap, walk: &walk, layout, ephemeron_kind };
    let (marks, n_unfollowed) = traced::mark(view, &moment.roots);
    let buffers = Buffers::read(view, live);
    let is_live = |index: usize| marks.is_marked(&walk, index);
    let live_buffers: Vec<bool> = buffers.buffers.iter().map(|it| is_live(it.index)).collect();
    let live_views: Vec<ViewFacts> =
        buffers.views.iter().filter(|it| !it.is_on_heap && is_live(it.index)).copied().collect();
    let n_marked = walk.views.iter().filter(|it| is_live(**it)).count();
    let n_accepted = buffers.views.iter().filter(|it| is_live(it.index)).count();
    let n_rejected = n_marked.saturating_sub(n_accepted) as u64;
    if live_views.len() < VIEWS_MIN || n_rejected > n_marked as u64 / REJECTED_SHARE {
        return Err(Refusal::NoViews { n_views: live_views.len(), n_rejected });
    }
    let stores = stores.map(|facts| stores_of_live(live, facts, &buffers, &live_buffers));
    let stores = stores.unwrap_or_default();
    let assembly = Assembly {
        view,
        marks: &marks,
        buffers: &buffers,
        stores: &stores,
        detail,
        isolates: &moment.isolates,
    };
    let mut parents = assembly.parents(&live_buffers, &live_views);
    let counted = check_sum(&parents, allocated)?;
    parents.sort_by_key(|(parent, _)| (std::cmp::Reverse(parent.size), parent.address));
    let n_live_objects = marks.n_marked;
    let (parents, holders, gap) = retained::fill(view, marks, &buffers.buffers, parents);
    let mut gaps = gaps(moment, &walk);
    if n_unfollowed > 0 {
        gaps.push(format!("what {n_unfollowed} objects of C++ refer to by traced handles"));
    }
    gaps.extend(gap);
    Ok(Census {
        isolates: isolates(moment),
        parents,
        holders,
        timing: Timing::default(),
        counts: Counts {
            heap_bytes: Bytes(heap.n_bytes()),
            n_pages: heap.pages().len() as u64,
            n_objects: walk.n_objects,
            n_live_objects,
            n_rejected: buffers.n_buffers_rejected.saturating_add(buffers.n_views_rejected),
            n_retries: 0,
            allocator_bytes: allocated,
            live_bytes: counted,
        },
        gaps,
    })
}

/// Of buffers that are not alive, `None`.
fn stores_of_live(
    memory: &impl ReadMemory,
    facts: StoreFacts,
    buffers: &Buffers,
    live: &[bool],
) -> Vec<Option<StoreRead>> {
    let all = buffers.buffers.iter().zip(live);
    let of_live: Vec<BufferFacts> =
        all.filter(|(_, is_live)| **is_live).map(|(buffer, _)| *buffer).collect();
    let mut found = store::stores(memory, facts, &of_live).into_iter();
    live.iter().map(|is_live| if *is_live { found.next().flatten() } else { None }).collect()
}

/// Stores of the allocator cannot be more than it has handed out.
fn check_sum(parents: &[(Parent, Groups)], allocated: Option<Bytes>) -> Result<Bytes, Refusal> {
    let of_allocator = parents
        .iter()
        .filter(|(parent, _)| matches!(parent.kind, ParentKind::Own | ParentKind::Pool))
        .filter(|(parent, _)| !parent.is_resizable);
    let found: Bytes = of_allocator.map(|(parent, _)| parent.size).sum();
    match allocated {
        Some(counted) if found.0 / 2 > counted.0.saturating_add(UNCOUNTED_BYTES) => {
            Err(Refusal::Sum { found, counted })
        }
        _ => Ok(found),
    }
}

fn isolates(moment: &Moment) -> Vec<Isolate> {
    moment
        .isolates
        .iter()
        .zip(&moment.roots.isolates)
        .map(|(place, found)| {
            let pages = moment.heap.pages().iter().filter(|it| it.page.heap == Some(place.heap));
            Isolate {
                tid: found.tid,
                address: place.isolate,
                heap_bytes: pages.map(|it| Bytes(it.page.size)).sum(),
                is_in_javascript: found.is_in_javascript,
            }
        })
        .collect()
}

/// What a reader must know to believe the right amount.
fn gaps(moment: &Moment, walk: &Walk) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut say = |is_so: bool, what: String| {
        if is_so {
            gaps.push(what);
        }
    };
    let heap = &moment.heap;
    say(heap.n_pages_lost > 0, format!("{} pages could not be read", heap.n_pages_lost));
    say(heap.is_cut, "the time for the stop was up before all was read".to_owned());
    say(walk.is_list_cut, "there are more array buffers than bufwatch lists".to_owned());
    for isolate in &moment.roots.isolates {
        let of = isolate
            .tid
            .map_or_else(|| "an isolate of no thread".to_owned(), |tid| format!("thread {tid}"));
        say(!isolate.has_global_handles, format!("global handles of {of} were not found"));
        say(!isolate.has_handle_scopes, format!("handle scopes of {of} were not found"));
        say(!isolate.has_eternal_handles, format!("eternal handles of {of} were not found"));
        say(!isolate.has_microtasks, format!("waiting jobs of {of} were not found"));
        say(isolate.is_collecting, format!("a garbage collection was running in {of}"));
    }
    // Where threads are found, an isolate without one has no stack.
    let is_any_entered = moment.roots.isolates.iter().any(|isolate| isolate.tid.is_some());
    say(
        !is_any_entered,
        "what only the stacks of threads hold: no thread runs an isolate".to_owned(),
    );
    gaps
}
