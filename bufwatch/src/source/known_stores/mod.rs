//! Stores of a target that are known by what was seen of them: when the process is asked whether they are still there, and whether it is the
//! same program still. What follows from what is seen is said by `stores`; what else tells of stores is the backend's part.

mod stores;

use bufwatch_common::LiveStore;

use crate::base::{Avma, Bytes, FastSet, Nanos, ReadMemory as _, StoreKey};
use crate::event::census::Census;
use crate::event::{Event, StoreFlagBits, key_of};
use crate::source::known_stores::stores::{STORES_MAX, Stores};
use crate::sys::clock;
use crate::sys::memory::ProcessMemory;
use crate::v8::census::store::look_again;

/// Between two looks at whether known stores are still there; what one finds is told with the next, …
const LOOK_EVERY: Nanos = Nanos::from_millis(500);

/// … and so many times what the last one took: at most half a percent of a core.
const LOOK_FACTOR: u64 = 200;

/// What to track of whom.
#[derive(Clone, Copy, Debug)]
pub struct StoreTarget {
    pub pid: u32,
    pub min_size: Bytes,
    pub flags: StoreFlagBits,
    /// Where its program is: what can be read there as long as it is this program.
    pub text_start: Avma,
}

/// The stores of one target.
#[derive(Debug)]
pub(super) struct KnownStores {
    of: StoreTarget,
    stores: Stores,
    memory: ProcessMemory,
    look_due: Nanos,
    /// What the last look found. Told with the next one, if the process is still there: what frees its stores because it ends has not let go
    /// of them.
    pending: Vec<Event>,
    /// Looks in a row that met another program, or none.
    n_absent: u32,
}

impl KnownStores {
    pub(super) fn new(of: StoreTarget) -> Self {
        let memory = ProcessMemory::new(of.pid);
        Self {
            of,
            stores: Stores::default(),
            memory,
            look_due: Nanos(0),
            pending: Vec::new(),
            n_absent: 0,
        }
    }

    /// Neither has it ended nor does it run another program.
    fn is_there(&self) -> bool {
        self.memory.read_u64(self.of.text_start).is_ok()
    }

    /// Deaths and changed sizes, when it is time to look. Returns how many looks in a row did not find the program.
    pub(super) fn look_if_due(&mut self, events: &mut Vec<Event>) -> u32 {
        let now = clock::now();
        if now < self.look_due || self.stores.known.is_empty() {
            return 0;
        }
        if self.is_there() {
            self.n_absent = 0;
            events.append(&mut self.pending);
            self.stores.look(&self.memory, now, &mut self.pending);
        } else {
            self.n_absent = self.n_absent.saturating_add(1);
        }
        let took = clock::now().since(now);
        let pause = LOOK_EVERY.max(Nanos(took.0.saturating_mul(LOOK_FACTOR)));
        self.look_due = Nanos(now.0.saturating_add(pause.0));
        self.n_absent
    }

    /// What a census of `at` says that was not known. `is_all`: what was not there before was not known because it was not there.
    pub(super) fn census_taken(
        &mut self,
        at: Nanos,
        census: &Census,
        is_all: bool,
        events: &mut Vec<Event>,
    ) {
        events.append(&mut self.pending);
        // Of one that has ended meanwhile nothing is there, and nobody has let go of it.
        let memory = self.is_there().then_some(&self.memory);
        self.stores.seen(&self.of, at, census, is_all, memory, events);
    }

    /// Events of a backend that sees stores come and go, which are known from then on; those of stores that are not are taken out.
    pub(super) fn follow(&mut self, events: &mut Vec<Event>, first: usize) {
        let mut n = 0_usize;
        events.retain(|event| {
            n += 1;
            n <= first || self.stores.is_followed(event)
        });
    }

    /// All that are known and still there.
    pub(super) fn alive(&self, is_known: impl Fn(StoreKey) -> bool) -> Vec<(u64, LiveStore)> {
        let mut keys: Vec<StoreKey> =
            self.stores.known.keys().filter(|key| !is_known(**key)).copied().collect();
        keys.sort_unstable();
        let now = look_again(&self.memory, &keys);
        let alive = keys.into_iter().zip(now).filter_map(|(key, now)| now.map(|now| (key, now)));
        alive.map(|(key, now)| (key.address, self.stores.live_store(key, now))).collect()
    }

    /// Those that are not there any more.
    pub(super) fn gone(&self, stores: &[(u64, LiveStore)]) -> FastSet<StoreKey> {
        let keys: Vec<StoreKey> =
            stores.iter().map(|(address, store)| key_of(*address, store)).collect();
        let now = look_again(&self.memory, &keys);
        keys.into_iter().zip(now).filter(|(_, now)| now.is_none()).map(|(key, _)| key).collect()
    }

    /// A limit that was reached, in words.
    pub(super) fn limits(&self) -> Option<String> {
        let n = self.stores.n_beyond_limit;
        (n > 0).then(|| format!("more than {STORES_MAX} stores: {n} are not tracked"))
    }
}
