//! The fold, checked on small event lists.

use bufwatch_common::LiveStore;

use super::*;
use crate::base::StackId;
use crate::event::{Creates, Frame, FrameKind, GcKind, StoreFlagBits};

const MAIN: Tid = Tid(7);

fn at(ms: u64, payload: Payload) -> Event {
    Event { at: Nanos::from_millis(ms), payload }
}

fn created(address: u64, id: u32, size: u64) -> Payload {
    Payload::StoreCreated(StoreCreated {
        key: StoreKey { address, id },
        data: address << 8,
        size: Bytes(size),
        max_size: Bytes(size),
        flags: 0,
        tid: MAIN,
        stack: StackId(3),
        async_origin: AsyncOriginId::NONE,
    })
}

fn destroyed(address: u64, id: u32) -> Payload {
    Payload::StoreDestroyed { key: StoreKey { address, id } }
}

fn fold(events: impl IntoIterator<Item = Event>) -> Model {
    let mut model = Model::new(Nanos(0));
    for event in events {
        model.apply(&event);
    }
    model
}

fn resolved(id: u64, function: &str) -> Payload {
    let frame = Frame {
        kind: FrameKind::Native,
        function: function.into(),
        is_resolved: true,
        ..Frame::default()
    };
    Payload::StackResolved {
        id: StackId(id),
        creates: Creates::Store,
        latency: Nanos(0),
        frames: [frame].into(),
        is_cut: false,
    }
}

#[test]
fn births_and_deaths_add_up() {
    let model = fold([
        at(1, resolved(3, "f")),
        at(2, created(1, 1, 100)),
        at(3, created(2, 2, 50)),
        at(5, destroyed(1, 1)),
    ]);
    let site = model.sites.get(model.sites.of_stack(StackId(3))).unwrap();
    assert_eq!((model.live.len(), model.totals.live_bytes), (1, Bytes(50)));
    assert_eq!((model.totals.n_created, model.totals.n_destroyed), (2, 1));
    let tally = &site.tally;
    assert_eq!((tally.n_live, tally.live_bytes, tally.peak_bytes), (1, Bytes(50), Bytes(150)));
    assert_eq!(tally.lifetimes.n_dead(), 1);
}

#[test]
fn reuse_of_an_address_closes_the_older_store() {
    let model = fold([at(1, created(1, 1, 100)), at(2, created(1, 2, 30)), at(3, destroyed(1, 1))]);
    assert_eq!((model.live.len(), model.totals.live_bytes), (1, Bytes(30)));
    assert_eq!((model.totals.n_created, model.totals.n_destroyed), (2, 1));
}

#[test]
fn a_resize_moves_the_totals() {
    let key = StoreKey { address: 1, id: 1 };
    let model = fold([
        at(1, created(1, 1, 100)),
        at(2, Payload::StoreResized { key, size: Bytes(700), data: 5 }),
    ]);
    assert_eq!(model.totals.live_bytes, Bytes(700));
    assert_eq!(model.live.find(1).unwrap().data, 5);
}

#[test]
fn collections_survived_are_counted_on_the_thread_of_the_store() {
    let gc = |ms, tid, kind| {
        [at(ms, Payload::GcStarted { tid, kind }), at(ms, Payload::GcFinished { tid })]
    };
    let mut events = vec![at(0, created(1, 1, 100))];
    events.extend(gc(1, MAIN, GcKind::Major));
    events.extend(gc(2, Tid(99), GcKind::Major));
    events.extend(gc(3, MAIN, GcKind::Minor));
    let mut model = fold(events);
    let survived = model.live.find(1).unwrap().survived(&model.gc);
    assert_eq!((survived.n_minor, survived.n_major), (1, 1));

    // Handed to another thread, it keeps what it survived.
    let key = StoreKey { address: 1, id: 1 };
    model.apply(&at(4, Payload::StoreReattached { key, tid: Tid(99), size: Bytes(100) }));
    for event in gc(5, Tid(99), GcKind::Major) {
        model.apply(&event);
    }
    let survived = model.live.find(1).unwrap().survived(&model.gc);
    assert_eq!((survived.n_minor, survived.n_major), (1, 2));
}

#[test]
fn the_collection_that_kills_is_not_survived() {
    let mut model = fold([
        at(1, resolved(3, "f")),
        at(2, created(1, 1, 100)),
        at(3, Payload::GcStarted { tid: MAIN, kind: GcKind::Major }),
        at(4, Payload::GcFinished { tid: MAIN }),
    ]);
    model.apply(&at(5, destroyed(1, 1)));
    let site = model.sites.get(model.sites.of_stack(StackId(3))).unwrap();
    assert_eq!(site.tally.lifetimes.by_majors[0], 1);
}

#[test]
fn after_a_loss_the_live_set_is_the_kernels() {
    let mut model = fold([at(1, created(1, 1, 100)), at(2, created(2, 2, 100))]);
    let alive = |id| LiveStore { birth_ns: 2_500_000, size_bytes: 10, id, ..LiveStore::default() };
    // 1 died and 3 was born unseen; 4 was born after the reading began, its record is under way.
    let stores = [(2u64, LiveStore { id: 2, ..alive(2) }), (3, alive(3))];
    model.apply(&at(3, created(4, 4, 40)));
    let read = LiveSetRead { started_at: Nanos(2_900_000), stores: stores.into() };
    model.apply(&at(4, Payload::LiveSetRead(read)));
    let mut alive: Vec<u64> = model.live.iter().map(|store| store.key.address).collect();
    alive.sort_unstable();
    assert_eq!(alive, [2, 3, 4]);
    assert_eq!(model.own.n_closed_by_reconcile, 1);

    // The late records of both change nothing.
    model.apply(&at(3, created(3, 3, 10)));
    model.apply(&at(3, destroyed(1, 1)));
    assert_eq!(model.live.len(), 3);
    assert_eq!((model.totals.n_created, model.totals.n_destroyed), (4, 1));
}

#[test]
fn nothing_of_a_new_program_touches_the_last_state() {
    let model = fold([at(1, created(1, 1, 100)), at(2, Payload::Execed), at(3, destroyed(1, 1))]);
    assert_eq!((model.phase, model.live.len()), (Phase::Execed, 1));
}

#[test]
fn what_a_process_frees_at_its_end_stays_in_its_last_state() {
    let target = TargetIdentified { pid: MAIN.0, ..TargetIdentified::default() };
    let mut model = fold([
        at(0, Payload::TargetIdentified(target)),
        at(1, created(1, 1, 100)),
        at(2, Payload::TearingDown { tid: Tid(99) }),
        at(3, created(2, 2, 100)),
        at(4, Payload::TearingDown { tid: MAIN }),
        at(5, destroyed(1, 1)),
    ]);
    model.apply(&at(6, Payload::Exited { code: None }));
    assert_eq!((model.phase, model.live.len()), (Phase::Exited { code: None }, 2));
}

#[test]
fn kinds_follow_the_flags() {
    let bits = StoreFlagBits { shared: 1, resizable: 2, wasm: 4, custom_deleter: 0x80 };
    let kinds = [
        (0x10, StoreKind::Plain),
        (0x11, StoreKind::Shared),
        (0x12, StoreKind::Resizable),
        (0x13, StoreKind::GrowableShared),
        (0x34, StoreKind::Wasm),
        (0x35, StoreKind::SharedWasm),
        (0x90, StoreKind::External),
    ];
    for (flags, kind) in kinds {
        assert_eq!(StoreKind::from_flags(flags, bits), kind, "{flags:#x}");
    }
}
