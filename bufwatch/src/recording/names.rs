//! How a recording spells what is one of a few; a name that is not known is read as nothing.

use crate::event::census::{ParentKind, RootKind};
use crate::event::recorded::PlacementKind;
use crate::event::residency::{Allocator, Obstacle};
use crate::event::{FrameKind, GcKind, StoreKind};

pub(super) const fn gc_kind(kind: GcKind) -> &'static str {
    match kind {
        GcKind::Minor => "minor",
        GcKind::Major => "major",
    }
}

pub(super) fn read_gc_kind(name: &str) -> GcKind {
    if name == "major" { GcKind::Major } else { GcKind::Minor }
}

pub(super) fn read_store_kind(name: &str) -> StoreKind {
    StoreKind::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or_default()
}

pub(super) fn read_frame_kind(name: &str) -> FrameKind {
    FrameKind::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or_default()
}

pub(super) const fn placement(kind: PlacementKind) -> &'static str {
    match kind {
        PlacementKind::Own => "own mapping",
        PlacementKind::MainHeap => "malloc heap",
        PlacementKind::Shared => "shared mapping",
    }
}

pub(super) fn read_placement(name: &str) -> Option<PlacementKind> {
    [PlacementKind::Own, PlacementKind::MainHeap, PlacementKind::Shared]
        .into_iter()
        .find(|kind| placement(*kind) == name)
}

pub(super) fn read_parent_kind(name: &str) -> ParentKind {
    ParentKind::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or_default()
}

pub(super) fn read_root(name: &str) -> RootKind {
    RootKind::ALL.into_iter().find(|kind| kind.name() == name).unwrap_or_default()
}

pub(super) fn read_allocator(name: &str) -> Option<Allocator> {
    [
        Allocator::Glibc,
        Allocator::Jemalloc,
        Allocator::Mimalloc,
        Allocator::Tcmalloc,
        Allocator::Other,
    ]
    .into_iter()
    .find(|it| it.name() == name)
}

pub(super) fn read_obstacle(name: &str) -> Option<Obstacle> {
    [
        Obstacle::OtherAllocator,
        Obstacle::Changing,
        Obstacle::TooLarge,
        Obstacle::Swapped,
        Obstacle::UnknownForm,
    ]
    .into_iter()
    .find(|it| it.name() == name)
}
