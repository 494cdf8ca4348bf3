//! The live stores: compact, found by address, in no order. Does not know sites or totals.

use crate::base::{Bytes, FastMap, Nanos, StackId, StoreKey, Tid};
use crate::event::StoreKind;
use crate::model::gc::{GcCounts, GcLog};
use crate::model::residency::Residency;
use crate::model::site::SiteId;

/// One live store.
#[derive(Clone, Debug)]
pub struct Store {
    pub key: StoreKey,
    /// Running number since attach.
    pub number: u64,
    pub data: u64,
    pub size: Bytes,
    pub max_size: Bytes,
    pub birth: Nanos,
    pub stack: StackId,
    pub site: SiteId,
    /// Thread that attached it last.
    pub tid: Tid,
    /// Collections of its thread when it was born, so that the difference to now is what it survived.
    pub gc_at_birth: GcCounts,
    pub kind: StoreKind,
    pub residency: Residency,
}

impl Store {
    #[cfg(test)]
    pub fn blank() -> Self {
        Self {
            key: StoreKey::default(),
            number: 1,
            data: 0,
            size: Bytes(0),
            max_size: Bytes(0),
            birth: Nanos(0),
            stack: StackId::NONE,
            site: SiteId::WITHOUT_STACK,
            tid: Tid(0),
            gc_at_birth: GcCounts::default(),
            kind: StoreKind::Plain,
            residency: Residency::default(),
        }
    }

    pub fn survived(&self, gc: &GcLog) -> GcCounts {
        gc.counts(self.tid).since(self.gc_at_birth)
    }

    /// Moves it to another thread: what it survived so far is kept.
    pub fn hand_over(&mut self, tid: Tid, counts: GcCounts, gc: &GcLog) {
        let survived = self.survived(gc);
        self.tid = tid;
        self.gc_at_birth = counts.before(survived);
    }
}

/// Stores in slots, so that a million of them are one allocation and an index.
#[derive(Debug, Default)]
pub struct LiveSet {
    slots: Vec<Option<Store>>,
    free: Vec<u32>,
    by_address: FastMap<u64, u32>,
}

impl LiveSet {
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Store> {
        self.slots.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Store> {
        self.slots.iter_mut().flatten()
    }

    pub fn find(&self, address: u64) -> Option<&Store> {
        let slot = *self.by_address.get(&address)?;
        self.slots.get(slot as usize)?.as_ref()
    }

    pub fn find_mut(&mut self, key: StoreKey) -> Option<&mut Store> {
        let slot = *self.by_address.get(&key.address)?;
        self.slots.get_mut(slot as usize)?.as_mut().filter(|store| store.key == key)
    }

    /// Whoever was at its address before has been removed by the caller.
    pub fn insert(&mut self, store: Store) {
        let address = store.key.address;
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(store);
        }
        self.by_address.insert(address, slot);
    }

    pub fn remove(&mut self, key: StoreKey) -> Option<Store> {
        self.find(key.address).filter(|store| store.key == key)?;
        let slot = self.by_address.remove(&key.address)?;
        self.free.push(slot);
        self.slots.get_mut(slot as usize)?.take()
    }
}
