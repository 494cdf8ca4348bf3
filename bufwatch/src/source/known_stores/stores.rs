//! What follows from what was seen of stores: a census says which ones live JavaScript has, and between two the process is asked whether those
//! that are known are the same ones still. When it is asked is decided by others.

use bufwatch_common::LiveStore;

use crate::base::{
    AsyncOriginId, Bytes, FastMap, FastSet, Nanos, ReadMemory, StackId, StoreKey, Tid,
};
use crate::event::census::{Census, Parent, ParentKind};
use crate::event::{Event, Payload, StoreCreated, StoreFlagBits};
use crate::source::known_stores::StoreTarget;
use crate::v8::census::store::{StoreNow, look_again};

/// Stores that are tracked; more are counted.
pub(super) const STORES_MAX: usize = 500_000;

/// The id of a store that could not be read when its array buffer was seen. V8 counts its ids from 0 on, far below this.
const UNREAD_ID: u32 = u32::MAX;

/// What is known of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    data: u64,
    size: Bytes,
    tid: Tid,
}

/// All that are known.
#[derive(Debug, Default)]
pub(super) struct Stores {
    pub(super) known: FastMap<StoreKey, Known>,
    has_seen_census: bool,
    pub(super) n_beyond_limit: u64,
}

impl Stores {
    /// What a census shows that is new, and what is not there any more, as far as that can be asked.
    pub(super) fn seen(
        &mut self,
        of: &StoreTarget,
        at: Nanos,
        census: &Census,
        is_all: bool,
        memory: Option<&impl ReadMemory>,
        events: &mut Vec<Event>,
    ) {
        let unread = self.unread();
        let found = census.parents.iter().filter(|it| it.address.0 != 0);
        let found = found.map(|parent| created(of, census, parent, &unread));
        let found: Vec<StoreCreated> =
            found.filter(|it| it.max_size.max(it.size) >= of.min_size).collect();
        let alive: FastSet<StoreKey> = found.iter().map(|it| it.key).collect();
        // Before the births: where one was, there may be another.
        if let Some(memory) = memory {
            self.without(&alive, memory, at, events);
        }
        if is_all {
            self.n_beyond_limit = 0;
        }
        let is_there = are_there(&found, memory.filter(|_| !is_all));
        for (store, is_there) in found.into_iter().zip(is_there) {
            let is_full = self.known.len() >= STORES_MAX;
            let now = Known { data: store.data, size: store.size, tid: store.tid };
            match self.known.get_mut(&store.key) {
                Some(known) => {
                    let before = std::mem::replace(known, now);
                    events.extend(changes(at, store.key, before, now));
                }
                // It died since the census, and that was told.
                None if !is_there => {}
                None if is_full => self.n_beyond_limit += 1,
                None => {
                    self.known.insert(store.key, now);
                    let payload = if self.has_seen_census {
                        Payload::StoreCreated(store)
                    } else {
                        Payload::StoreFound(store)
                    };
                    events.push(Event { at, payload });
                }
            }
        }
        self.has_seen_census = true;
    }

    /// True for what is to be told.
    pub(super) fn is_followed(&mut self, event: &Event) -> bool {
        match &event.payload {
            Payload::StoreCreated(store) | Payload::StoreFound(store) => {
                let is_room = self.known.len() < STORES_MAX || self.known.contains_key(&store.key);
                if is_room {
                    let known = Known { data: store.data, size: store.size, tid: store.tid };
                    self.known.insert(store.key, known);
                } else {
                    self.n_beyond_limit += 1;
                }
                is_room
            }
            Payload::StoreDestroyed { key } => self.known.remove(key).is_some(),
            Payload::StoreResized { key, size, data } => {
                let known = self.known.get_mut(key);
                known.map(|known| (known.size, known.data) = (*size, *data)).is_some()
            }
            Payload::StoreReattached { key, tid, size } => {
                let known = self.known.get_mut(key);
                known.map(|known| (known.size, known.tid) = (*size, *tid)).is_some()
            }
            _ => true,
        }
    }

    /// As the kernel's live map would have it.
    pub(super) fn live_store(&self, key: StoreKey, now: StoreNow) -> LiveStore {
        LiveStore {
            data: now.data,
            size_bytes: now.size.0,
            max_size_bytes: now.size.0,
            id: key.id,
            tid: self.known.get(&key).map_or(0, |known| known.tid.0),
            is_tracked: 1,
            ..LiveStore::default()
        }
    }

    /// Where the bytes of stores are whose identity could not be read.
    fn unread(&self) -> FastMap<u64, StoreKey> {
        let unread = self.known.iter().filter(|(key, _)| key.id == UNREAD_ID);
        unread.map(|(key, known)| (known.data, *key)).collect()
    }

    /// Stores of which the census has no array buffer: garbage that is not collected yet, or held by native code, unless they are gone.
    fn without(
        &mut self,
        alive: &FastSet<StoreKey>,
        memory: &impl ReadMemory,
        at: Nanos,
        events: &mut Vec<Event>,
    ) {
        let mut others: Vec<StoreKey> =
            self.known.keys().filter(|key| !alive.contains(key)).copied().collect();
        others.sort_unstable();
        self.check(&others, memory, at, events);
        for key in others.into_iter().filter(|key| key.id == UNREAD_ID) {
            self.gone(key, at, events);
        }
    }

    pub(super) fn look(&mut self, memory: &impl ReadMemory, at: Nanos, events: &mut Vec<Event>) {
        let mut keys: Vec<StoreKey> = self.known.keys().copied().collect();
        keys.sort_unstable();
        self.check(&keys, memory, at, events);
    }

    fn check(
        &mut self,
        keys: &[StoreKey],
        memory: &impl ReadMemory,
        at: Nanos,
        events: &mut Vec<Event>,
    ) {
        let keys: Vec<StoreKey> = keys.iter().filter(|it| it.id != UNREAD_ID).copied().collect();
        for (key, now) in keys.iter().zip(look_again(memory, &keys)) {
            let Some(known) = self.known.get_mut(key) else { continue };
            match now {
                Some(StoreNow { data, size }) if data == known.data => {
                    let now = Known { size, ..*known };
                    let before = std::mem::replace(known, now);
                    events.extend(changes(at, *key, before, now));
                }
                _ => self.gone(*key, at, events),
            }
        }
    }

    fn gone(&mut self, key: StoreKey, at: Nanos, events: &mut Vec<Event>) {
        if self.known.remove(&key).is_some() {
            events.push(Event { at, payload: Payload::StoreDestroyed { key } });
        }
    }
}

/// Which of these are still there, as far as that is asked.
fn are_there(found: &[StoreCreated], memory: Option<&impl ReadMemory>) -> Vec<bool> {
    let Some(memory) = memory else { return vec![true; found.len()] };
    let keys: Vec<StoreKey> = found.iter().map(|it| it.key).collect();
    let now = look_again(memory, &keys);
    now.iter().zip(keys).map(|(now, key)| now.is_some() || key.id == UNREAD_ID).collect()
}

fn changes(at: Nanos, key: StoreKey, before: Known, now: Known) -> Option<Event> {
    let payload = if before.size != now.size || before.data != now.data {
        Payload::StoreResized { key, size: now.size, data: now.data }
    } else if before.tid != now.tid {
        Payload::StoreReattached { key, tid: now.tid, size: now.size }
    } else {
        return None;
    };
    Some(Event { at, payload })
}

/// `unread`: stores of the census before whose identity was not known, by their bytes.
fn created(
    of: &StoreTarget,
    census: &Census,
    parent: &Parent,
    unread: &FastMap<u64, StoreKey>,
) -> StoreCreated {
    let data = parent.address.0;
    // One that is known by its bytes stays so: it would be another one otherwise.
    let known = unread.get(&data).copied();
    let identity = parent.store.filter(|_| known.is_none());
    let first = parent.isolates.first().and_then(|n| census.isolates.get(usize::from(*n)));
    StoreCreated {
        key: known
            .or(identity.map(|it| it.key))
            .unwrap_or(StoreKey { address: data, id: UNREAD_ID }),
        data,
        size: parent.size,
        max_size: identity.map_or(parent.size, |it| it.max_size.max(parent.size)),
        flags: identity.map_or_else(|| flags(of.flags, parent), |it| it.flags),
        tid: Tid(first.and_then(|isolate| isolate.tid).unwrap_or(of.pid)),
        stack: StackId::NONE,
        async_origin: AsyncOriginId::NONE,
    }
}

/// As the store would have them, as far as its array buffers tell.
fn flags(bits: StoreFlagBits, parent: &Parent) -> u16 {
    let of_kind = match parent.kind {
        ParentKind::Own | ParentKind::Pool | ParentKind::Read => 0,
        ParentKind::Shared => bits.shared,
        ParentKind::Wasm => bits.wasm,
        ParentKind::External => bits.custom_deleter,
    };
    of_kind | if parent.is_resizable { bits.resizable } else { 0 }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::{Avma, MemoryError};
    use crate::event::census::{Isolate, StoreIdentity};

    const OF: StoreTarget = StoreTarget {
        pid: 1,
        min_size: Bytes(1_000),
        flags: StoreFlagBits { shared: 1, resizable: 2, wasm: 4, custom_deleter: 8 },
        text_start: Avma(0),
    };

    /// Stores in memory: address to bytes, length and id.
    #[derive(Default)]
    struct Fake(BTreeMap<u64, (u64, u64, u32)>);

    impl ReadMemory for Fake {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            let (data, size, id) = *self.0.get(&address.0).ok_or(MemoryError::Unmapped(address))?;
            let words = [data, size, size, size, u64::from(id)];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            out.copy_from_slice(&bytes[..out.len()]);
            Ok(())
        }
    }

    fn parent(data: u64, size: u64, store: Option<(u64, u32)>) -> Parent {
        let identity = |(address, id)| StoreIdentity {
            key: StoreKey { address, id },
            max_size: Bytes(size),
            flags: 0,
        };
        Parent {
            address: Avma(data),
            size: Bytes(size),
            store: store.map(identity),
            isolates: vec![0],
            ..Parent::default()
        }
    }

    fn census(parents: Vec<Parent>) -> Census {
        let isolates = vec![Isolate { tid: Some(7), ..Isolate::default() }];
        Census { isolates, parents, ..Census::default() }
    }

    fn told(stores: &mut Stores, memory: &Fake, parents: Vec<Parent>) -> Vec<String> {
        let mut events = Vec::new();
        stores.seen(&OF, Nanos(5), &census(parents), true, Some(memory), &mut events);
        words(&events)
    }

    fn words(events: &[Event]) -> Vec<String> {
        let word = |event: &Event| match &event.payload {
            Payload::StoreFound(it) => format!("found {:x}.{}", it.key.address, it.key.id),
            Payload::StoreCreated(it) => format!("created {:x}.{}", it.key.address, it.key.id),
            Payload::StoreDestroyed { key } => format!("destroyed {:x}.{}", key.address, key.id),
            Payload::StoreResized { key, size, .. } => format!("resized {:x} {size}", key.address),
            other => format!("{other:?}"),
        };
        events.iter().map(word).collect()
    }

    #[test]
    fn what_is_there_at_first_is_found_and_what_comes_later_created() {
        let mut memory = Fake::default();
        memory.0.insert(0x10_0010, (0xa000, 5_000, 1));
        memory.0.insert(0x10_0020, (0xb000, 5_000, 2));
        let mut stores = Stores::default();
        let first = parent(0xa000, 5_000, Some((0x10_0010, 1)));
        let small = parent(0xf000, 500, Some((0x90, 9)));
        assert_eq!(told(&mut stores, &memory, vec![first.clone(), small]), ["found 100010.1"]);
        let second = parent(0xb000, 5_000, Some((0x10_0020, 2)));
        assert_eq!(told(&mut stores, &memory, vec![first, second.clone()]), ["created 100020.2"]);
        // Not reachable any more, and not collected yet: it is memory all the same.
        assert!(told(&mut stores, &memory, vec![second.clone()]).is_empty());
        memory.0.remove(&0x10_0010);
        assert_eq!(told(&mut stores, &memory, vec![second]), ["destroyed 100010.1"]);
    }

    #[test]
    fn another_store_in_the_same_place_is_another_one() {
        let mut memory = Fake::default();
        memory.0.insert(0x10_0010, (0xa000, 5_000, 1));
        let mut stores = Stores::default();
        told(&mut stores, &memory, vec![parent(0xa000, 5_000, Some((0x10_0010, 1)))]);
        memory.0.insert(0x10_0010, (0xa000, 5_000, 2));
        let now = vec![parent(0xa000, 5_000, Some((0x10_0010, 2)))];
        assert_eq!(told(&mut stores, &memory, now), ["destroyed 100010.1", "created 100010.2"]);
    }

    #[test]
    fn between_censuses_deaths_and_sizes_are_seen() {
        let mut memory = Fake::default();
        memory.0.insert(0x10_0010, (0xa000, 5_000, 1));
        memory.0.insert(0x10_0020, (0xb000, 6_000, 2));
        let mut stores = Stores::default();
        let all = [(0xa000, 5_000, (0x10_0010, 1)), (0xb000, 6_000, (0x10_0020, 2))];
        let all = all.map(|(data, size, store)| parent(data, size, Some(store))).to_vec();
        told(&mut stores, &memory, all);
        memory.0.insert(0x10_0010, (0, 0, 1));
        memory.0.insert(0x10_0020, (0xb000, 9_000, 2));
        let mut events = Vec::new();
        stores.look(&memory, Nanos(9), &mut events);
        assert_eq!(
            words(&events),
            ["destroyed 100010.1", &format!("resized 100020 {}", Bytes(9_000))]
        );
    }

    #[test]
    fn a_store_that_could_not_be_read_is_known_by_its_bytes() {
        let memory = Fake::default();
        let mut stores = Stores::default();
        let unread = |kind| Parent { kind, ..parent(0xa000, 5_000, None) };
        let mut events = Vec::new();
        let first = census(vec![unread(ParentKind::Shared)]);
        stores.seen(&OF, Nanos(5), &first, true, Some(&memory), &mut events);
        let Payload::StoreFound(found) = &events[0].payload else { panic!("{events:?}") };
        assert_eq!((found.flags, found.tid), (1, Tid(7)));
        // The same when it can be read later.
        let read = parent(0xa000, 5_000, Some((0x10_0010, 1)));
        assert!(told(&mut stores, &memory, vec![read]).is_empty());
        assert_eq!(told(&mut stores, &memory, Vec::new()), [format!("destroyed a000.{UNREAD_ID}")]);
    }
}
