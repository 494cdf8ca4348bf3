//! The target's address space as mapping events and samples of /proc/PID/maps tell it, to say where the
//! bytes of a store lie. The kernel merges neighbouring mappings in /proc, events keep them apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::Bytes;
use crate::event::{Mapping, MappingKind, SpaceChanges};
use crate::model::Model;
use crate::model::limits::MAPPINGS_MAX;

/// Where the bytes of a store lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placement {
    #[default]
    Unknown,
    /// A mapping of its own, returned to the kernel when it is freed.
    OwnMapping { start: u64, len: Bytes },
    /// Inside the brk heap (glibc's main arena): freed memory may stay resident.
    MainHeap,
    /// Inside a mapping shared with others, such as a thread arena.
    SharedMapping { start: u64, len: Bytes },
}

impl Placement {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "–",
            Self::OwnMapping { .. } => "own mapping",
            Self::MainHeap => "malloc heap",
            Self::SharedMapping { .. } => "shared mapping",
        }
    }
}

/// glibc puts a 16-byte header before the memory it returns (malloc/malloc.c, "chunk").
const CHUNK_HEADER: u64 = 16;

const PAGE: u64 = 4_096;

#[derive(Clone, Copy, Debug)]
struct Region {
    end: u64,
    kind: MappingKind,
    /// Came from an event of its own, so its bounds are those of one mmap call.
    is_event: bool,
}

#[derive(Debug, Default)]
pub struct AddressSpace {
    regions: BTreeMap<u64, Region>,
    /// All that was asked for since the attach.
    pub changes: SpaceChanges,
    /// Mappings not kept because of the limit.
    pub n_beyond_limit: u64,
}

impl AddressSpace {
    pub fn mapped(&mut self, start: u64, len: u64) {
        self.unmapped(start, len);
        if self.regions.len() >= MAPPINGS_MAX {
            self.n_beyond_limit += 1;
            return;
        }
        let end = start.saturating_add(len.next_multiple_of(PAGE));
        self.regions.insert(start, Region { end, kind: MappingKind::Anonymous, is_event: true });
    }

    /// Malloc's heap ends here now; gives what it has lost, `start..end`.
    pub fn break_moved(&mut self, to: u64) -> Option<(u64, u64)> {
        let heap = self.regions.iter_mut().rev().find(|(_, it)| it.kind == MappingKind::Heap);
        let (_, region) = heap.filter(|(start, _)| **start <= to)?;
        let before = std::mem::replace(&mut region.end, to);
        self.changes.heap_grown += Bytes(to.saturating_sub(before));
        self.changes.heap_shrunk += Bytes(before.saturating_sub(to));
        (to < before).then_some((to, before))
    }

    /// A mapping as a placement told it.
    pub(super) fn recall(&mut self, start: u64, len: u64, kind: MappingKind) {
        if self.regions.len() < MAPPINGS_MAX {
            let end = start.saturating_add(len);
            self.regions.insert(start, Region { end, kind, is_event: false });
        }
    }

    pub fn unmapped(&mut self, start: u64, len: u64) {
        let end = start.saturating_add(len.checked_next_multiple_of(PAGE).unwrap_or(len));
        let touched: Vec<(u64, Region)> = self
            .regions
            .range(..end)
            .rev()
            .take_while(|(_, region)| region.end > start)
            .map(|(at, region)| (*at, *region))
            .collect();
        for (at, region) in touched {
            self.regions.remove(&at);
            if at < start {
                self.regions.insert(at, Region { end: start, ..region });
            }
            if region.end > end {
                self.regions.insert(end, region);
            }
        }
    }

    /// Takes /proc's word for what is mapped, and keeps the finer bounds known from events inside it.
    pub fn sampled(&mut self, mappings: &[Mapping]) {
        let old = std::mem::take(&mut self.regions);
        for mapping in mappings.iter().take(MAPPINGS_MAX) {
            let mut at = mapping.start;
            let known = old.range(mapping.start..mapping.end).filter(|(_, region)| {
                region.is_event
                    && region.end <= mapping.end
                    && mapping.kind == MappingKind::Anonymous
            });
            let sample = |end| Region { end, kind: mapping.kind, is_event: false };
            for (start, region) in known {
                if at < *start {
                    self.regions.insert(at, sample(*start));
                }
                self.regions.insert(*start, *region);
                at = region.end;
            }
            if at < mapping.end {
                self.regions.insert(at, sample(mapping.end));
            }
        }
    }

    pub fn place(&self, data: u64) -> Placement {
        let Some((start, region)) = self.regions.range(..=data).next_back() else {
            return Placement::Unknown;
        };
        if data == 0 || data >= region.end {
            return Placement::Unknown;
        }
        let (start, len) = (*start, Bytes(region.end - *start));
        match region.kind {
            MappingKind::Heap => Placement::MainHeap,
            MappingKind::Stack | MappingKind::File => Placement::SharedMapping { start, len },
            // An mmap of its own: malloc's with its header, or V8's for memory that can grow.
            MappingKind::Anonymous if data == start || data == start + CHUNK_HEADER => {
                Placement::OwnMapping { start, len }
            }
            MappingKind::Anonymous => Placement::SharedMapping { start, len },
        }
    }
}

/// Where something was mapped or is no more, there is no memory of dead stores.
impl Model {
    pub(super) fn mapped(&mut self, start: u64, len: Bytes) {
        self.address_space.changes.mapped += len;
        self.address_space.mapped(start, len.0);
        self.freed.remove(start, start.saturating_add(len.0));
    }

    pub(super) fn unmapped(&mut self, start: u64, len: Bytes) {
        self.address_space.changes.unmapped += len;
        self.address_space.unmapped(start, len.0);
        self.freed.remove(start, start.saturating_add(len.0));
    }

    /// From one range to another. Only by what it grew or shrank is there more or less.
    pub(super) fn remapped(&mut self, old: (u64, Bytes), new: (u64, Bytes)) {
        let before = self.address_space.changes;
        self.unmapped(old.0, old.1);
        self.mapped(new.0, new.1);
        self.address_space.changes = SpaceChanges {
            mapped: before.mapped + new.1.saturating_sub(old.1),
            unmapped: before.unmapped + old.1.saturating_sub(new.1),
            ..before
        };
    }

    pub(super) fn break_moved(&mut self, to: u64) {
        if let Some((start, end)) = self.address_space.break_moved(to) {
            self.freed.remove(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Nanos;
    use crate::event::{Event, Payload};

    fn anonymous(start: u64, end: u64) -> Mapping {
        Mapping { start, end, kind: MappingKind::Anonymous }
    }

    #[test]
    fn unmapping_the_middle_leaves_both_ends() {
        let mut space = AddressSpace::default();
        space.mapped(0x10_000, 0x10_000);
        space.unmapped(0x14_000, 0x1000);
        assert_eq!(space.place(0x14_010), Placement::Unknown);
        assert_eq!(
            space.place(0x10_010),
            Placement::OwnMapping { start: 0x10_000, len: Bytes(0x4000) }
        );
        assert!(matches!(space.place(0x1f_fff), Placement::SharedMapping { start: 0x15_000, .. }));
    }

    #[test]
    fn a_sample_keeps_the_bounds_of_events() {
        let mut space = AddressSpace::default();
        space.mapped(0x20_000, 0x5000);
        space.sampled(&[anonymous(0x10_000, 0x40_000)]);
        assert!(matches!(space.place(0x20_010), Placement::OwnMapping { start: 0x20_000, .. }));
        assert!(matches!(space.place(0x1f_000), Placement::SharedMapping { start: 0x10_000, .. }));
        assert!(matches!(space.place(0x25_020), Placement::SharedMapping { start: 0x25_000, .. }));
    }

    #[test]
    fn what_is_moved_counts_by_what_it_grew() {
        let mut model = Model::new(Nanos(0));
        let apply = |model: &mut Model, payload| model.apply(&Event { at: Nanos(1), payload });
        let len = Bytes(0x4000);
        apply(&mut model, Payload::Mapped { start: 0x10_000, len });
        let moved = |start, len| Payload::Remapped {
            old_start: 0x10_000,
            old_len: Bytes(0x4000),
            start,
            len,
        };
        apply(&mut model, moved(0x90_000, Bytes(0x6000)));
        let changes = model.address_space.changes;
        assert_eq!((changes.mapped, changes.unmapped), (Bytes(0x6000), Bytes(0)));
        assert_eq!(model.address_space.place(0x10_010), Placement::Unknown);
        apply(&mut model, Payload::Unmapped { start: 0x90_000, len });
        apply(&mut model, Payload::Advised { start: 0x94_000, len: Bytes(0x1000), advice: 4 });
        // What it will need, it keeps.
        apply(&mut model, Payload::Advised { start: 0x94_000, len: Bytes(0x1000), advice: 3 });
        let changes = model.address_space.changes;
        assert_eq!((changes.unmapped, changes.advised), (len, Bytes(0x1000)));
    }

    #[test]
    fn the_heap_grows_and_shrinks_at_its_end() {
        let mut space = AddressSpace::default();
        assert_eq!(space.break_moved(0x30_000), None, "nobody knows where it was");
        assert_eq!(space.changes, SpaceChanges::default());
        let heap = Mapping { start: 0x10_000, end: 0x20_000, kind: MappingKind::Heap };
        space.sampled(&[heap, anonymous(0x100_000, 0x200_000)]);
        assert_eq!(space.break_moved(0x50_000), None);
        assert_eq!(space.place(0x4f_000), Placement::MainHeap);
        assert_eq!(space.break_moved(0x18_000), Some((0x18_000, 0x50_000)));
        assert_eq!(space.place(0x18_000), Placement::Unknown);
        let changes = space.changes;
        assert_eq!((changes.heap_grown, changes.heap_shrunk), (Bytes(0x30_000), Bytes(0x38_000)));
    }

    #[test]
    fn what_a_sample_does_not_confirm_is_gone() {
        let mut space = AddressSpace::default();
        space.mapped(0x20_000, 0x5000);
        space.sampled(&[anonymous(0x100_000, 0x200_000)]);
        assert_eq!(space.place(0x20_010), Placement::Unknown);
    }
}
