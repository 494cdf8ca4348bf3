//! Which backing stores die with which array buffers: as in a heap snapshot of V8, a store is held by all array buffers over it
//! (`system / JSArrayBufferData`, `V8HeapExplorer::ExtractJSArrayBufferReferences`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::base::{Avma, Bytes, FastMap};
use crate::v8::census::buffer::BufferFacts;
use crate::v8::census::retained::by_region::ByRegion;
use crate::v8::census::retained::region::{Place, Regions};

/// An array buffer in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    store: Avma,
    buffer: usize,
    size: u64,
    /// Live array buffers over the same store.
    n_buffers: u32,
}

#[derive(Debug)]
pub(super) struct Stores {
    parts: ByRegion<Part>,
}

impl Stores {
    pub(super) fn new(buffers: &[BufferFacts], regions: &Regions<'_>) -> Self {
        let mut stores: FastMap<Avma, (u32, u64)> = FastMap::default();
        let is_alive =
            |it: &&BufferFacts| it.has_store() && regions.place(it.index) != Place::Nowhere;
        for buffer in buffers.iter().filter(is_alive) {
            let (n, size) = stores.entry(buffer.store).or_default();
            *n = n.saturating_add(1);
            *size = buffer.byte_length.0.max(*size);
        }
        let part = |buffer: &BufferFacts| {
            let Place::Region(region) = regions.place(buffer.index) else { return None };
            let (n_buffers, size) = *stores.get(&buffer.store)?;
            let store = buffer.store;
            Some((region, Part { store, buffer: buffer.index, size, n_buffers }))
        };
        let parts = buffers.iter().filter(is_alive).filter_map(part).collect();
        Self { parts: ByRegion::new(parts) }
    }

    /// Bytes of the stores all of whose array buffers are in these regions and die.
    pub(super) fn bytes_of(&self, regions: &[u32], dies: impl Fn(usize) -> bool) -> Bytes {
        let mut bytes = 0_u64;
        let mut shared: FastMap<Avma, u32> = FastMap::default();
        let parts = regions.iter().flat_map(|region| self.parts.of(*region));
        for part in parts.filter(|part| dies(part.buffer)) {
            let n = if part.n_buffers == 1 {
                1
            } else {
                let n = shared.entry(part.store).or_default();
                *n = n.saturating_add(1);
                *n
            };
            if n == part.n_buffers {
                bytes = bytes.saturating_add(part.size);
            }
        }
        Bytes(bytes)
    }
}
