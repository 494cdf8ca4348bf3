//! The rows of a census against the census before it: which holders hold more, and which parents are new. Of the same process only, so a
//! traced store is known by its number; two censuses from anywhere are `census_diff`'s. Pure.

use crate::analysis::snapshot::{JoinedCensus, TracedStore};
use crate::base::{Bytes, FastMap, Nanos};
use crate::event::census::{HolderGroup, Parent, RootKind};

/// What became of a group of holders since the older census.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderChange {
    /// It held nothing.
    New,
    /// It holds this much more; negative is less.
    By { n_parents: i64, bytes: i64 },
    /// The older census had no room for all groups, and this one may be among those left out.
    Unknown,
}

/// The newer census against the older.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// From one to the other.
    pub between: Nanos,
    /// As long as the newer one's holders.
    pub holders: Vec<HolderChange>,
    /// As long as the newer one's parents.
    pub is_new: Vec<bool>,
    pub n_new: u64,
    pub new_bytes: Bytes,
    /// Parents of the older one that are gone.
    pub n_gone: u64,
    pub gone_bytes: Bytes,
}

pub fn compare(newer: &JoinedCensus, older: &JoinedCensus) -> Comparison {
    let is_complete = has_all_groups(older);
    let groups: FastMap<_, &HolderGroup> =
        older.census.holders.iter().map(|group| (key(group), group)).collect();
    let holders = newer.census.holders.iter().map(|group| match groups.get(&key(group)) {
        Some(before) => HolderChange::By {
            n_parents: difference(group.n_parents, before.n_parents),
            bytes: difference(group.bytes.0, before.bytes.0),
        },
        None if is_complete => HolderChange::New,
        None => HolderChange::Unknown,
    });
    let known: FastMap<u64, usize> =
        older.census.parents.iter().enumerate().map(|(n, it)| (it.address.0, n)).collect();
    let (mut n_same, mut same_bytes) = (0_u64, Bytes(0));
    let is_new: Vec<bool> = newer
        .census
        .parents
        .iter()
        .enumerate()
        .map(|(index, parent)| {
            let before = known.get(&parent.address.0).and_then(|at| {
                let it = older.census.parents.get(*at)?;
                is_same((parent, newer.traced(index)), (it, older.traced(*at))).then_some(it)
            });
            if let Some(before) = before {
                n_same += 1;
                same_bytes += before.size;
            }
            before.is_none()
        })
        .collect();
    let new = newer.census.parents.iter().zip(&is_new).filter(|(_, is_new)| **is_new);
    let all_bytes: Bytes = older.census.parents.iter().map(|parent| parent.size).sum();
    Comparison {
        between: newer.taken_at.since(older.taken_at),
        holders: holders.collect(),
        n_new: is_new.iter().filter(|is_new| **is_new).count() as u64,
        new_bytes: new.map(|(parent, _)| parent.size).sum(),
        n_gone: (older.census.parents.len() as u64).saturating_sub(n_same),
        gone_bytes: all_bytes.saturating_sub(same_bytes),
        is_new,
    }
}

fn key(group: &HolderGroup) -> (RootKind, &[String]) {
    (group.root, &group.path)
}

/// Each parent that has holders counts in one group; fewer in the groups means that groups were left out.
fn has_all_groups(joined: &JoinedCensus) -> bool {
    let n_held = joined.census.parents.iter().filter(|it| !it.holders.is_empty()).count() as u64;
    let n_in_groups =
        joined.census.holders.iter().fold(0_u64, |sum, it| sum.saturating_add(it.n_parents));
    n_in_groups >= n_held
}

/// An address is used again; the number of a traced store is not. One that may grow is the same at any size.
fn is_same(
    (newer, newer_store): (&Parent, Option<&TracedStore>),
    (older, older_store): (&Parent, Option<&TracedStore>),
) -> bool {
    match (newer_store, older_store) {
        (Some(newer), Some(older)) => newer.number == older.number,
        _ => newer.size == older.size || newer.is_resizable,
    }
}

fn difference(newer: u64, older: u64) -> i64 {
    let size = i64::try_from(newer.abs_diff(older)).unwrap_or(i64::MAX);
    if newer < older { -size } else { size }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Avma, StoreKey};
    use crate::event::census::{Census, Holder};
    use crate::model::census::TracedSite;
    use crate::model::site::{GroupId, SiteId};

    fn traced(number: u64) -> TracedStore {
        let site = TracedSite {
            id: SiteId::WITHOUT_STACK,
            group: GroupId(0),
            label: Arc::from(""),
            via: None,
            frames: Arc::from([]),
            user_frame: None,
            app_frame: None,
        };
        TracedStore {
            key: StoreKey { address: number, id: 1 },
            number,
            age: Nanos(0),
            n_major_survived: Some(0),
            site: Some(Arc::new(site)),
        }
    }

    /// Parents of (address, size, number), groups of (path, parents, bytes).
    fn census(
        at: u64,
        parents: &[(u64, u64, Option<u64>)],
        groups: &[(&str, u64, u64)],
    ) -> JoinedCensus {
        let holders = vec![Holder { path: vec!["x".to_owned()], ..Holder::default() }];
        JoinedCensus {
            taken_at: Nanos(at),
            orphans: Vec::new(),
            traced: parents.iter().map(|(_, _, number)| number.map(traced)).collect(),
            census: Arc::new(Census {
                parents: parents
                    .iter()
                    .map(|(address, size, _)| Parent {
                        address: Avma(*address),
                        size: Bytes(*size),
                        holders: holders.clone(),
                        ..Parent::default()
                    })
                    .collect(),
                holders: groups
                    .iter()
                    .map(|(path, n_parents, bytes)| HolderGroup {
                        path: vec![(*path).to_owned()],
                        n_parents: *n_parents,
                        bytes: Bytes(*bytes),
                        ..HolderGroup::default()
                    })
                    .collect(),
                ..Census::default()
            }),
        }
    }

    #[test]
    fn what_came_and_what_went() {
        let older = census(
            100,
            &[(1, 10, Some(1)), (2, 20, Some(2)), (3, 30, None), (4, 40, None)],
            &[("a", 3, 60), ("b", 1, 40)],
        );
        let newer = census(
            350,
            // The second address was used again, the third kept its store, the fourth has another size.
            &[(1, 10, Some(1)), (2, 20, Some(7)), (3, 30, None), (4, 44, None), (9, 90, Some(8))],
            &[("a", 2, 40), ("c", 3, 100)],
        );
        let comparison = compare(&newer, &older);
        assert_eq!(comparison.between, Nanos(250));
        let changes = [HolderChange::By { n_parents: -1, bytes: -20 }, HolderChange::New];
        assert_eq!(comparison.holders, changes);
        assert_eq!(comparison.is_new, [false, true, false, true, true]);
        assert_eq!((comparison.n_new, comparison.new_bytes), (3, Bytes(154)));
        assert_eq!((comparison.n_gone, comparison.gone_bytes), (2, Bytes(60)));
    }

    #[test]
    fn a_group_that_may_have_been_left_out_is_not_called_new() {
        let older = census(1, &[(1, 10, None), (2, 20, None)], &[("a", 1, 10)]);
        let newer = census(2, &[(1, 10, None)], &[("b", 1, 10)]);
        assert_eq!(compare(&newer, &older).holders, [HolderChange::Unknown]);
    }

    #[test]
    fn a_census_does_not_differ_from_itself() {
        let it = census(1, &[(1, 10, None), (2, 20, Some(3))], &[("a", 2, 30)]);
        let comparison = compare(&it, &it);
        assert_eq!(comparison.holders, [HolderChange::By { n_parents: 0, bytes: 0 }]);
        assert_eq!((comparison.n_new, comparison.n_gone), (0, 0));
    }
}
