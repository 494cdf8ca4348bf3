//! Puts live buffers and views together: each backing store once, what its views show of it, and who holds them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::sync::Arc;

use crate::base::{Avma, Bytes, FastMap};
use crate::event::census::{Holder, HolderGroup, Parent, ParentKind, RootKind, View};
use crate::v8::census::buffer::{BufferFacts, Buffers, ViewFacts};
use crate::v8::census::mark::{HeapView, Marks};
use crate::v8::census::path::{Path, Paths};
use crate::v8::census::roots::IsolatePlace;
use crate::v8::census::store::{Owner, StoreRead};
use crate::v8::census::take::Detail;

/// Holders told of one parent; the rest are counted in the views.
const HOLDERS_MAX: usize = 16;

/// Groups of holders told.
const GROUPS_MAX: usize = 1_000;

/// Property of a slab that Node marks as not to be transferred (lib/buffer.js, `markAsUntransferable(allocPool)`).
const POOL_MARK: &str = "untransferable";

/// Who holds a parent, for questions that are asked when all parents are known.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_key: Vec<KeyViews>,
    /// Indices of what holds the store: its views, without any its array buffers. Empty if the parent is not told.
    pub(super) held_by: Vec<u32>,
}

/// What holders of one group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct GroupKey {
    /// Without keys.
    path: Vec<String>,
    root: RootKind,
    is_by_application: bool,
}

/// Views of one parent in the same group.
#[derive(Debug)]
struct KeyViews {
    key: GroupKey,
    n: u64,
    /// One of each container.
    some: Vec<u32>,
}

/// What parents are put together from.
pub(super) struct Assembly<'a> {
    pub(super) view: HeapView<'a>,
    pub(super) marks: &'a Marks,
    pub(super) buffers: &'a Buffers,
    /// As long as `buffers`; empty if nothing is known.
    pub(super) stores: &'a [Option<StoreRead>],
    pub(super) detail: Detail,
    pub(super) isolates: &'a [IsolatePlace],
}

impl Assembly<'_> {
    /// All stores that are alive, each once.
    pub(super) fn parents(&self, live: &[bool], views: &[ViewFacts]) -> Vec<(Parent, Groups)> {
        // Buffers of several isolates may share one store.
        let mut by_store: FastMap<Avma, Store> = FastMap::default();
        let mut stores: Vec<Option<Avma>> = Vec::with_capacity(self.buffers.buffers.len());
        let read = self.stores.iter().copied().chain(std::iter::repeat(None));
        for ((buffer, is_live), read) in self.buffers.buffers.iter().zip(live).zip(read) {
            let is_store = *is_live && buffer.has_store();
            stores.push(is_store.then_some(buffer.store));
            if is_store {
                let store = by_store.entry(buffer.store).or_default();
                store.buffers.push(*buffer);
                store.read = store.read.or(read);
            }
        }
        for facts in views {
            let store = stores.get(facts.buffer).copied().flatten();
            if let Some(store) = store.and_then(|store| by_store.get_mut(&store)) {
                store.views.push(*facts);
            }
        }
        let mut all: Vec<Store> = by_store.into_values().collect();
        all.sort_by_key(|store| (std::cmp::Reverse(store.size()), store.address()));
        let mut paths = Paths::new(self.view, self.marks);
        all.iter()
            .enumerate()
            .map(|(rank, store)| {
                let is_told = rank < self.detail.n_parents && store.size() >= self.detail.min_size;
                self.parent(store, &mut paths, is_told)
            })
            .collect()
    }

    fn parent(&self, store: &Store, paths: &mut Paths<'_>, is_told: bool) -> (Parent, Groups) {
        let mut views: Vec<ViewFacts> = store.views.clone();
        views.sort_unstable_by_key(|view| (view.offset, view.byte_length, view.index));
        let cover = Cover::of(&views);
        let mut type_names: Vec<Arc<str>> = Vec::new();
        let mut listed = Vec::new();
        if is_told {
            for view in &views {
                let name = paths.names.class_of(view.index);
                if !type_names.contains(&name) {
                    type_names.push(Arc::clone(&name));
                }
                if listed.len() < self.detail.n_views {
                    listed.push(View {
                        type_name: name,
                        offset: view.offset,
                        length: view.byte_length,
                    });
                }
            }
        }
        let (holders, groups) =
            if is_told { told_holders(store, &views, paths) } else { Default::default() };
        let mut isolates: Vec<u16> = Vec::new();
        for buffer in &store.buffers {
            if let Some(isolate) = self.isolate_of(buffer.index)
                && !isolates.contains(&isolate)
            {
                isolates.push(isolate);
            }
        }
        let is_pool =
            store.buffers.iter().any(|it| paths.names.properties.has_like(it.index, POOL_MARK));
        let any = |is: fn(&BufferFacts) -> bool| store.buffers.iter().any(is);
        // Memory of native code may have the pool's mark as well.
        let kind = match store.read.map(|it| it.owner) {
            Some(Owner::Native) => ParentKind::External,
            Some(Owner::Wasm) => ParentKind::Wasm,
            _ if any(|it| it.is_shared) => ParentKind::Shared,
            None if any(|it| !it.is_detachable) => ParentKind::Wasm,
            _ if is_pool => ParentKind::Pool,
            _ => ParentKind::Own,
        };
        let parent = Parent {
            address: store.address(),
            size: store.size(),
            kind,
            store: store.read.map(|it| it.identity),
            is_resizable: any(|it| it.is_resizable),
            is_held_itself: store
                .buffers
                .iter()
                .any(|it| self.marks.is_held_itself(self.view.walk, it.index)),
            isolates,
            n_views: views.len() as u64,
            views_bytes: views.iter().map(|view| view.byte_length).sum(),
            covered: cover.bytes,
            has_aliases: cover.has_overlaps && type_names.len() > 1,
            has_overlaps: cover.has_overlaps,
            pages: None,
            views: listed,
            holders,
            retained: None,
        };
        (parent, groups)
    }

    fn isolate_of(&self, index: usize) -> Option<u16> {
        let heap = self.view.heap.page_at(index)?.page.heap?;
        let number = self.isolates.iter().position(|place| place.heap == heap)?;
        u16::try_from(number).ok()
    }
}

/// By container first: of thousands of views in one array, the path is told once.
fn told_holders(
    store: &Store,
    views: &[ViewFacts],
    paths: &mut Paths<'_>,
) -> (Vec<Holder>, Groups) {
    // A buffer without views is held itself.
    let held: Vec<usize> = if views.is_empty() {
        store.buffers.iter().map(|buffer| buffer.index).collect()
    } else {
        views.iter().map(|view| view.index).collect()
    };
    let mut by_container: FastMap<Option<usize>, (usize, u64)> = FastMap::default();
    for object in &held {
        let container = paths.container_of(*object);
        let entry = by_container.entry(container).or_insert((*object, 0));
        entry.1 = entry.1.saturating_add(1);
    }
    let mut containers: Vec<(usize, u64)> = by_container.into_values().collect();
    containers.sort_unstable_by_key(|(first, n)| (std::cmp::Reverse(*n), *first));
    let mut holders: Vec<Holder> = Vec::new();
    let held_by = held.iter().map(|object| *object as u32).collect();
    let mut groups = Groups { by_key: Vec::new(), held_by };
    for (first, n) in containers.into_iter().take(HOLDERS_MAX) {
        let Path { steps, root, is_by_application } = paths.to(first);
        let pattern: Vec<String> = steps.iter().map(|step| step.pattern.clone()).collect();
        let text = if n > 1 {
            pattern.clone()
        } else {
            steps.iter().map(|step| step.text.clone()).collect()
        };
        let key = GroupKey { path: pattern, root, is_by_application };
        match groups.by_key.iter_mut().find(|known| known.key == key) {
            Some(known) => {
                known.n = known.n.saturating_add(n);
                known.some.push(first as u32);
            }
            None => groups.by_key.push(KeyViews { key, n, some: vec![first as u32] }),
        }
        match holders.iter_mut().find(|holder| holder.path == text && holder.root == root) {
            Some(holder) => holder.n_views = holder.n_views.saturating_add(n),
            None => holders.push(Holder { path: text, root, is_by_application, n_views: n }),
        }
    }
    (holders, groups)
}

/// A backing store, as all buffers over it see it.
#[derive(Debug, Default)]
struct Store {
    buffers: Vec<BufferFacts>,
    views: Vec<ViewFacts>,
    read: Option<StoreRead>,
}

impl Store {
    fn size(&self) -> Bytes {
        self.buffers.iter().map(|buffer| buffer.byte_length).max().unwrap_or_default()
    }

    fn address(&self) -> Avma {
        self.buffers.first().map(|buffer| buffer.store).unwrap_or_default()
    }
}

/// Which bytes of a store views show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cover {
    bytes: Bytes,
    has_overlaps: bool,
}

impl Cover {
    /// Of views sorted by offset.
    fn of(views: &[ViewFacts]) -> Self {
        let mut cover = Self::default();
        let mut end = 0_u64;
        for view in views {
            let view_end = view.offset.saturating_add(view.byte_length.0);
            if view.byte_length.0 == 0 {
                continue;
            }
            if view.offset < end {
                cover.has_overlaps = true;
            }
            let new = view_end.saturating_sub(view.offset.max(end));
            cover.bytes = Bytes(cover.bytes.0.saturating_add(new));
            end = end.max(view_end);
        }
        cover
    }
}

/// Parents of the same path together; a parent that several hold counts for the one with the most views. With each group some of its
/// views.
pub(super) fn groups(parents: &[(Parent, Groups)]) -> Vec<(HolderGroup, Vec<u32>)> {
    let mut by_key: FastMap<&GroupKey, (HolderGroup, Vec<u32>)> = FastMap::default();
    for (parent, groups) in parents {
        let Some(views) = groups.by_key.iter().max_by_key(|views| views.n) else { continue };
        let (group, some) = by_key.entry(&views.key).or_insert_with(|| {
            let group = HolderGroup {
                path: views.key.path.clone(),
                root: views.key.root,
                is_by_application: views.key.is_by_application,
                ..HolderGroup::default()
            };
            (group, Vec::new())
        });
        group.n_parents = group.n_parents.saturating_add(1);
        group.n_views = group.n_views.saturating_add(parent.n_views);
        group.bytes = Bytes(group.bytes.0.saturating_add(parent.size.0));
        group.covered = Bytes(group.covered.0.saturating_add(parent.covered.0));
        some.extend_from_slice(&views.some);
    }
    let mut groups: Vec<(HolderGroup, Vec<u32>)> = by_key.into_values().collect();
    groups.sort_by(|(a, _), (b, _)| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    groups.truncate(GROUPS_MAX);
    groups
}
