//! How much of what each line allocated outlives major collections, from one collection to the next: growth of that is what a leak looks
//! like. Judges nothing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::base::{Bytes, Nanos};
use crate::model::Model;
use crate::model::limits::{SURVIVOR_GROUPS_MAX, SURVIVOR_POINTS_MAX};
use crate::model::site::GroupId;

/// Major collections that a survivor has seen: the last one may have found it dead, V8 frees memory only later; the one before may have
/// begun to mark before it was dropped.
const MAJORS_MIN: u32 = 3;

/// At least this long between two looks …
const EVERY: Nanos = Nanos::SECOND;

/// … and this for each live store, 500 times what it costs: 0.2 % of a core.
const PER_STORE: Nanos = Nanos(10_000);

/// A line with less is not followed.
const BYTES_MIN: Bytes = Bytes(1 << 20);

/// After one collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SurvivorPoint {
    pub at: Nanos,
    /// Major collections of all threads so far.
    pub n_major: u64,
    pub n: u64,
    pub bytes: Bytes,
}

#[derive(Clone, Debug, Default)]
pub struct Survivors {
    by_group: BTreeMap<GroupId, Vec<SurvivorPoint>>,
    looked_at: Nanos,
}

impl Survivors {
    /// Of one line, oldest first.
    pub fn of(&self, group: GroupId) -> &[SurvivorPoint] {
        self.by_group.get(&group).map_or(&[], Vec::as_slice)
    }
}

/// A major collection has ended.
pub(super) fn collected(model: &mut Model, at: Nanos) {
    let pause = EVERY.max(Nanos(PER_STORE.0.saturating_mul(model.live.len() as u64)));
    if model.survivors.looked_at.0 != 0 && at.since(model.survivors.looked_at) < pause {
        return;
    }
    model.survivors.looked_at = at;
    let mut sums: BTreeMap<GroupId, SurvivorPoint> = BTreeMap::new();
    for store in model.live.iter() {
        if store.survived(&model.gc).n_major < MAJORS_MIN {
            continue;
        }
        let Some(site) = model.sites.get(store.site) else { continue };
        let sum = sums.entry(site.group).or_default();
        sum.n += 1;
        sum.bytes += store.size;
    }
    let known = &mut model.survivors.by_group;
    for (group, points) in &mut *known {
        let sum = sums.remove(group).unwrap_or_default();
        push(points, SurvivorPoint { at, n_major: model.gc.n_major, ..sum });
    }
    for (group, sum) in sums {
        if sum.bytes >= BYTES_MIN && known.len() < SURVIVOR_GROUPS_MAX {
            known.insert(group, vec![SurvivorPoint { at, n_major: model.gc.n_major, ..sum }]);
        }
    }
}

/// When there are too many, every second one goes: they always span the whole session.
fn push(points: &mut Vec<SurvivorPoint>, point: SurvivorPoint) {
    if points.len() >= SURVIVOR_POINTS_MAX {
        let mut is_kept = false;
        points.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
    }
    points.push(point);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{AsyncOriginId, StackId, StoreKey, Tid};
    use crate::event::{Event, GcKind, Payload, StoreCreated};

    fn apply(model: &mut Model, second: u64, payload: Payload) {
        model.apply(&Event { at: Nanos::from_secs(second), payload });
    }

    fn collect(model: &mut Model, second: u64) {
        apply(model, second, Payload::GcStarted { tid: Tid(1), kind: GcKind::Major });
        apply(model, second, Payload::GcFinished { tid: Tid(1) });
    }

    fn make(model: &mut Model, second: u64, address: u64) {
        let created = StoreCreated {
            key: StoreKey { address, id: address as u32 },
            data: address << 32,
            size: Bytes(2 << 20),
            max_size: Bytes(2 << 20),
            flags: 0,
            tid: Tid(1),
            stack: StackId::NONE,
            async_origin: AsyncOriginId::NONE,
        };
        apply(model, second, Payload::StoreCreated(created));
    }

    #[test]
    fn only_what_has_outlived_collections_counts() {
        let mut model = Model::new(Nanos(0));
        for second in 1..=10 {
            make(&mut model, second, second);
            collect(&mut model, second);
        }
        let group = model.sites.groups().next().unwrap().id;
        let n: Vec<u64> = model.survivors.of(group).iter().map(|it| it.n).collect();
        assert_eq!(n, [1, 2, 3, 4, 5, 6, 7, 8]);
        for address in 1..=8 {
            let key = StoreKey { address, id: address as u32 };
            apply(&mut model, 11, Payload::StoreDestroyed { key });
        }
        collect(&mut model, 12);
        assert_eq!(model.survivors.of(group).last().unwrap().n, 1);
    }

    #[test]
    fn points_stay_few_and_span_all() {
        let mut points = Vec::new();
        for n in 0..10_000 {
            push(&mut points, SurvivorPoint { n, ..SurvivorPoint::default() });
        }
        assert!(points.len() <= SURVIVOR_POINTS_MAX && points.len() > SURVIVOR_POINTS_MAX / 2);
        assert_eq!((points[0].n, points.last().unwrap().n), (0, 9_999));
        assert!(points.is_sorted_by_key(|it| it.n));
    }
}
