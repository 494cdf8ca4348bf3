//! What changed between two censuses: which holders came, grew, shrank and went, and which array buffers of the same process stayed. The
//! three-snapshot technique without snapshots; where the censuses come from does not matter.

use crate::base::{Avma, Bytes, FastMap, FastSet};
use crate::event::census::{Census, HolderGroup};

/// As much of a census as a comparison needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    pub groups: Vec<Group>,
    /// Address and size of each; `None` if not all of them are known.
    pub parents: Option<Vec<(Avma, Bytes)>>,
    pub n_parents: u64,
    pub bytes: Bytes,
}

/// Parents with the same holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub path: Vec<String>,
    pub n_parents: u64,
    pub n_views: u64,
    pub bytes: Bytes,
    pub covered: Bytes,
}

/// What a holder holds in each of the censuses; `None` in the one that does not have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupChange {
    pub path: Vec<String>,
    pub before: Option<Group>,
    pub after: Option<Group>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Appeared,
    Grew,
    Stayed,
    Shrank,
    Went,
}

/// Array buffers of one process in two censuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParentChanges {
    pub n_appeared: u64,
    pub appeared: Bytes,
    /// At the same address with the same size: nearly always the same one.
    pub n_stayed: u64,
    pub stayed: Bytes,
    pub n_went: u64,
    pub went: Bytes,
}

/// The comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CensusDiff {
    /// By how much they changed, the largest first.
    pub groups: Vec<GroupChange>,
    /// `None` for two processes, or if not all array buffers are known.
    pub parents: Option<ParentChanges>,
    /// Live array buffers and their bytes, before and after.
    pub n_parents: (u64, u64),
    pub bytes: (Bytes, Bytes),
}

impl Change {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appeared => "appeared",
            Self::Grew => "grew",
            Self::Stayed => "stayed",
            Self::Shrank => "shrank",
            Self::Went => "went",
        }
    }
}

impl GroupChange {
    pub fn change(&self) -> Change {
        match (&self.before, &self.after) {
            (None, _) => Change::Appeared,
            (_, None) => Change::Went,
            (Some(before), Some(after)) => match after.bytes.cmp(&before.bytes) {
                std::cmp::Ordering::Greater => Change::Grew,
                std::cmp::Ordering::Equal => Change::Stayed,
                std::cmp::Ordering::Less => Change::Shrank,
            },
        }
    }

    /// Bytes more after than before; negative if less.
    pub fn growth(&self) -> i64 {
        let bytes = |group: &Option<Group>| group.as_ref().map_or(0, |group| group.bytes.0);
        bytes(&self.after).cast_signed().wrapping_sub(bytes(&self.before).cast_signed())
    }

    /// Array buffers more after than before.
    pub fn n_parents_growth(&self) -> i64 {
        let n = |group: &Option<Group>| group.as_ref().map_or(0, |group| group.n_parents);
        n(&self.after).cast_signed().wrapping_sub(n(&self.before).cast_signed())
    }
}

impl From<&HolderGroup> for Group {
    fn from(group: &HolderGroup) -> Self {
        Self {
            path: group.path.clone(),
            n_parents: group.n_parents,
            n_views: group.n_views,
            bytes: group.bytes,
            covered: group.covered,
        }
    }
}

impl From<&Census> for Outline {
    fn from(census: &Census) -> Self {
        Self {
            groups: census.holders.iter().map(Group::from).collect(),
            parents: Some(census.parents.iter().map(|it| (it.address, it.size)).collect()),
            n_parents: census.parents.len() as u64,
            bytes: census.parents.iter().map(|parent| parent.size).sum(),
        }
    }
}

/// Compares two censuses; array buffers only if they are of the same process.
pub fn diff(before: &Outline, after: &Outline, is_same_process: bool) -> CensusDiff {
    let mut changes: Vec<GroupChange> = Vec::new();
    let mut by_path: FastMap<&[String], usize> = FastMap::default();
    for group in &before.groups {
        let at = *by_path.entry(&group.path).or_insert(changes.len());
        if at == changes.len() {
            changes.push(GroupChange { path: group.path.clone(), ..GroupChange::default() });
        }
        if let Some(change) = changes.get_mut(at) {
            change.before = Some(sum(change.before.take(), group));
        }
    }
    for group in &after.groups {
        let at = *by_path.entry(&group.path).or_insert(changes.len());
        if at == changes.len() {
            changes.push(GroupChange { path: group.path.clone(), ..GroupChange::default() });
        }
        if let Some(change) = changes.get_mut(at) {
            change.after = Some(sum(change.after.take(), group));
        }
    }
    changes.sort_by(|a, b| {
        let by_growth = b.growth().unsigned_abs().cmp(&a.growth().unsigned_abs());
        by_growth.then_with(|| a.path.cmp(&b.path))
    });
    let parents = before.parents.as_ref().zip(after.parents.as_ref());
    let parents = parents.filter(|_| is_same_process);
    CensusDiff {
        groups: changes,
        parents: parents.map(|(before, after)| parent_changes(before, after)),
        n_parents: (before.n_parents, after.n_parents),
        bytes: (before.bytes, after.bytes),
    }
}

/// The same path may begin at roots of different kinds.
fn sum(known: Option<Group>, group: &Group) -> Group {
    let Some(known) = known else { return group.clone() };
    Group {
        n_parents: known.n_parents.saturating_add(group.n_parents),
        n_views: known.n_views.saturating_add(group.n_views),
        bytes: known.bytes + group.bytes,
        covered: known.covered + group.covered,
        path: known.path,
    }
}

fn parent_changes(before: &[(Avma, Bytes)], after: &[(Avma, Bytes)]) -> ParentChanges {
    let known: FastSet<&(Avma, Bytes)> = before.iter().collect();
    let now: FastSet<&(Avma, Bytes)> = after.iter().collect();
    let total = |parents: &mut dyn Iterator<Item = &(Avma, Bytes)>| {
        parents.fold((0, Bytes(0)), |(n, sum), (_, size)| (n + 1, sum + *size))
    };
    let mut changes = ParentChanges::default();
    (changes.n_appeared, changes.appeared) =
        total(&mut after.iter().filter(|it| !known.contains(it)));
    (changes.n_stayed, changes.stayed) = total(&mut after.iter().filter(|it| known.contains(it)));
    (changes.n_went, changes.went) = total(&mut before.iter().filter(|it| !now.contains(it)));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, n_parents: u64, bytes: u64) -> Group {
        Group { path: vec![name.to_owned()], n_parents, bytes: Bytes(bytes), ..Group::default() }
    }

    fn outline(groups: Vec<Group>, parents: &[(u64, u64)]) -> Outline {
        let parents: Vec<_> = parents.iter().map(|(a, b)| (Avma(*a), Bytes(*b))).collect();
        let n_parents = parents.len() as u64;
        Outline { groups, parents: Some(parents), n_parents, bytes: Bytes(0) }
    }

    #[test]
    fn holders_come_grow_shrink_and_go() {
        let before =
            vec![group("a", 1, 10), group("b", 2, 20), group("c", 3, 30), group("e", 1, 5)];
        let after = vec![group("b", 3, 90), group("c", 1, 10), group("d", 1, 1), group("e", 2, 5)];
        let diff = diff(&outline(before, &[]), &outline(after, &[]), true);
        let told: Vec<_> =
            diff.groups.iter().map(|it| (it.path[0].as_str(), it.change(), it.growth())).collect();
        assert_eq!(
            told,
            [
                ("b", Change::Grew, 70),
                ("c", Change::Shrank, -20),
                ("a", Change::Went, -10),
                ("d", Change::Appeared, 1),
                ("e", Change::Stayed, 0),
            ]
        );
    }

    #[test]
    fn the_same_path_twice_is_added_up() {
        let before = vec![group("a", 1, 10), group("a", 2, 30)];
        let diff = diff(&outline(before, &[]), &outline(vec![group("a", 1, 1)], &[]), true);
        assert_eq!((diff.groups.len(), diff.groups[0].growth()), (1, -39));
    }

    #[test]
    fn array_buffers_are_compared_within_a_process_only() {
        let before = outline(Vec::new(), &[(1, 10), (2, 20), (3, 30)]);
        let after = outline(Vec::new(), &[(2, 20), (3, 31), (4, 40)]);
        let changes = diff(&before, &after, true).parents.unwrap();
        assert_eq!((changes.n_appeared, changes.appeared), (2, Bytes(71)));
        assert_eq!((changes.n_stayed, changes.stayed), (1, Bytes(20)));
        assert_eq!((changes.n_went, changes.went), (2, Bytes(40)));
        assert!(diff(&before, &after, false).parents.is_none());
    }
}
