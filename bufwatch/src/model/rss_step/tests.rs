//! Steps of made-up processes.

use std::sync::Arc;

use super::*;
use crate::base::{AsyncOriginId, StackId, StoreKey, Tid};
use crate::event::residency::{
    PageBytes, RangeResidency, ResidencyScanned, RssSplit, StoreResidency,
};
use crate::event::{Event, Payload, StoreCreated};

const MIB: u64 = 1 << 20;

/// Kind, mebibytes and number of stores of each.
type Causes = Vec<(CauseKind, i64, u64)>;

/// A process and what is in its memory.
struct Process {
    model: Model,
    now: u64,
    /// Number, size and resident bytes of each store.
    stores: Vec<(u64, u64, u64)>,
    freed: Vec<(u64, u64)>,
    split: RssSplit,
}

impl Process {
    fn new() -> Self {
        let mut process = Self {
            model: Model::new(Nanos(0)),
            now: 1,
            stores: Vec::new(),
            freed: Vec::new(),
            split: RssSplit::default(),
        };
        process.split.add(RssPart::Binaries, Bytes(50 * MIB));
        process.scan();
        process
    }

    fn apply(&mut self, payload: Payload) {
        self.now += 1;
        self.model.apply(&Event { at: Nanos::from_secs(self.now), payload });
    }

    fn data(number: u64) -> u64 {
        number << 32
    }

    fn make(&mut self, number: u64, mib: u64) {
        self.stores.push((number, mib * MIB, 0));
        self.apply(Payload::StoreCreated(StoreCreated {
            key: StoreKey { address: number, id: 1 },
            data: Self::data(number),
            size: Bytes(mib * MIB),
            max_size: Bytes(mib * MIB),
            flags: 0,
            tid: Tid(1),
            stack: StackId::NONE,
            async_origin: AsyncOriginId::default(),
        }));
    }

    fn write(&mut self, number: u64, mib: u64) {
        let store = self.stores.iter_mut().find(|store| store.0 == number).unwrap();
        store.2 = mib * MIB;
    }

    /// `keeps`: its memory stays with the allocator.
    fn free(&mut self, number: u64, keeps: bool) {
        let at = self.stores.iter().position(|store| store.0 == number).unwrap();
        let (_, size, resident) = self.stores.remove(at);
        if keeps {
            self.freed.push((Self::data(number), size));
            self.split.add(RssPart::AllocatorOther, Bytes(resident));
        }
        self.apply(Payload::StoreDestroyed { key: StoreKey { address: number, id: 1 } });
        if !keeps {
            self.apply(Payload::Unmapped { start: Self::data(number), len: Bytes(size) });
        }
    }

    fn grow(&mut self, part: RssPart, mib: u64) {
        self.split.add(part, Bytes(mib * MIB));
    }

    /// Looks at everything but these stores; `beyond`: RSS that is in no part.
    fn scan_but(&mut self, unseen: &[u64], beyond: u64) {
        self.now += 1;
        let started_at = Nanos::from_secs(self.now);
        let seen = self.stores.iter().filter(|store| !unseen.contains(&store.0));
        let stores = seen.map(|(number, size, resident)| StoreResidency {
            key: StoreKey { address: *number, id: 1 },
            start: Self::data(*number),
            len: Bytes(*size),
            pages: PageBytes { resident: Bytes(*resident), ..PageBytes::default() },
        });
        let freed = self.freed.iter().map(|(start, size)| RangeResidency {
            start: *start,
            end: start + size,
            resident: Bytes(*size),
        });
        let mut split = self.split;
        split.add(RssPart::StoresMapped, Bytes(self.stores.iter().map(|store| store.2).sum()));
        split.rss = split.total() + Bytes(beyond * MIB);
        let scan = ResidencyScanned {
            started_at,
            cpu: Nanos(0),
            is_full: true,
            stores: stores.collect(),
            freed: freed.collect::<Arc<[_]>>(),
            split: Some(Box::new(split)),
            map: None,
        };
        self.apply(Payload::ResidencyScanned(Box::new(scan)));
    }

    fn scan(&mut self) {
        self.scan_but(&[], 0);
    }

    /// Of each step, in mebibytes: what it is, and its causes.
    fn steps(&self) -> Vec<(i64, Causes)> {
        let mib = |bytes: i64| bytes / MIB.cast_signed();
        let steps = self.model.rss_steps.steps.iter();
        steps
            .map(|step| {
                let causes = step.causes.iter();
                (
                    mib(step.delta()),
                    causes.map(|it| (it.kind, mib(it.bytes), it.stores.n)).collect(),
                )
            })
            .collect()
    }
}

#[test]
fn the_end_of_a_step_belongs_to_it_and_what_comes_later_does_not() {
    let mut process = Process::new();
    process.make(1, 60);
    process.scan();
    process.write(1, 50);
    process.scan();
    process.write(1, 57);
    process.scan();
    assert_eq!(process.steps(), [(57, vec![(CauseKind::FirstWrite, 57, 1)])]);
    // One is little, one is of something else, one comes when all had been quiet.
    process.write(1, 58);
    process.scan();
    process.make(2, 60);
    process.write(2, 50);
    process.scan();
    process.grow(RssPart::Binaries, 5);
    process.scan();
    process.write(2, 55);
    process.scan();
    let steps = process.steps();
    assert_eq!(steps.len(), 2, "{steps:?}");
    assert_eq!((steps[1].0, steps[1].1[0]), (51, (CauseKind::Born, 50, 1)));
}

#[test]
fn a_first_write_is_told_from_a_birth_and_from_more() {
    let mut process = Process::new();
    process.make(1, 60);
    process.scan();
    assert_eq!(process.steps(), []);
    process.write(1, 30);
    process.make(2, 20);
    process.write(2, 20);
    process.scan();
    process.make(3, 80);
    process.write(3, 80);
    process.scan();
    process.write(1, 60);
    process.scan();
    assert_eq!(
        process.steps(),
        [
            (50, vec![(CauseKind::FirstWrite, 30, 1), (CauseKind::Born, 20, 1)]),
            (80, vec![(CauseKind::Born, 80, 1)]),
            (30, vec![(CauseKind::MoreWritten, 30, 1)]),
        ]
    );
}

#[test]
fn one_thing_over_several_scans_is_one_step() {
    let mut process = Process::new();
    process.make(1, 200);
    process.scan();
    for mib in [50, 100, 150, 200] {
        process.write(1, mib);
        process.scan();
    }
    assert_eq!(process.steps(), [(200, vec![(CauseKind::FirstWrite, 200, 1)])]);
}

#[test]
fn freed_memory_goes_or_is_kept() {
    let mut process = Process::new();
    for number in 1..=4 {
        process.make(number, 50);
        process.write(number, 50);
    }
    process.scan();
    process.free(1, false);
    process.scan();
    // A calm scan, or both would be one step.
    process.scan();
    process.free(2, true);
    process.free(3, true);
    process.scan();
    let steps = process.steps();
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[1], (-50, vec![(CauseKind::Freed, -50, 1)]));
    // RSS has not moved, and that is what is to be told.
    assert_eq!(steps[2], (0, vec![(CauseKind::Freed, -100, 2), (CauseKind::Kept, 100, 0)]));
}

#[test]
fn growth_too_slow_for_a_step_becomes_one_in_the_end() {
    let mut process = Process::new();
    for _ in 0..40 {
        process.grow(RssPart::V8Old, 1);
        process.scan();
    }
    let steps = process.steps();
    assert_eq!(steps.iter().map(|step| step.0).sum::<i64>(), 32);
    assert!(steps.iter().all(|step| step.1[0].0 == CauseKind::V8));
}

#[test]
fn what_was_allocated_before_rss_stood_still_is_not_of_the_step() {
    let mut process = Process::new();
    process.make(1, 100);
    process.grow(RssPart::V8Old, 5);
    for _ in 0..=STILL_LOOKS {
        process.scan();
    }
    process.write(1, 100);
    process.scan();
    let step = &process.model.rss_steps.steps[0];
    assert_eq!(step.causes[0].kind, CauseKind::FirstWrite);
    assert_eq!(step.created, Bytes(0));

    // It never stood still.
    let mut process = Process::new();
    process.make(1, 100);
    process.grow(RssPart::V8Old, 3);
    for _ in 0..=STILL_LOOKS {
        process.grow(RssPart::V8Old, 1);
        process.scan();
    }
    process.write(1, 100);
    process.scan();
    assert_eq!(process.model.rss_steps.steps[0].created, Bytes(100 * MIB));
}

#[test]
fn other_parts_and_what_nobody_knows_are_told_as_that() {
    let mut process = Process::new();
    process.grow(RssPart::Files, 30);
    process.scan_but(&[], 40);
    assert_eq!(process.steps(), [(70, vec![(CauseKind::Part(RssPart::Files), 30, 0)])]);
    assert_eq!(process.model.rss_steps.steps[0].unexplained, 40 * MIB.cast_signed());
}

#[test]
fn stores_that_were_not_looked_at_put_a_step_off_but_not_for_ever() {
    let mut process = Process::new();
    process.make(1, 100);
    process.write(1, 100);
    process.scan_but(&[1], 0);
    assert_eq!(process.steps(), []);
    process.scan();
    assert_eq!(process.steps(), [(100, vec![(CauseKind::Born, 100, 1)])]);
    process.make(2, 100);
    process.write(2, 100);
    for _ in 0..=PUT_OFF_MAX {
        process.scan_but(&[2], 0);
    }
    assert_eq!(process.steps().len(), 2);
    assert_eq!(process.model.rss_steps.steps[1].unexplained, 100 * MIB.cast_signed());
}

#[test]
fn only_the_newest_steps_are_remembered() {
    let mut process = Process::new();
    for n in 0..RSS_STEPS_MAX as u64 + 5 {
        // A step has to be some percent of RSS.
        process.make(n + 1, 100 * (n + 1));
        process.write(n + 1, 100 * (n + 1));
        process.scan();
        process.scan();
    }
    assert_eq!(process.model.rss_steps.steps.len(), RSS_STEPS_MAX);
    assert_eq!(process.model.rss_steps.n_forgotten, 5);
}
