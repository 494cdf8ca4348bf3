//! What belongs together: parents of the same holder, keys left out, and the same allocation site are one group, so that 12,000 of them
//! make one finding.

use std::borrow::Cow;
use std::sync::Arc;

use crate::analysis::snapshot::{GroupId, TracedSite};
use crate::base::{Bytes, FastMap};
use crate::detect::holder::{main_of, name_of, pattern};
use crate::detect::look::Look;
use crate::event::census::Parent;

/// So many properties of one object that hold the same kind of thing: it is used as a map, and their names are keys. Classes with as many
/// fields that each hold a Buffer are rarer.
const SIBLINGS_MIN: usize = 8;

/// A property whose name is a key.
pub(super) const ANY_NAME: &str = ".…";

/// Parents of one holder and site.
#[derive(Clone, Debug)]
pub(super) struct Group<'a> {
    /// From the root on, without keys.
    pub(super) holder: Vec<String>,
    pub(super) site: Option<&'a Arc<TracedSite>>,
    /// Numbers in the census.
    pub(super) members: Vec<usize>,
}

impl Group<'_> {
    pub(super) fn sum(&self, look: &Look<'_>, of: impl Fn(&Parent) -> Bytes) -> Bytes {
        self.members.iter().filter_map(|index| look.parent(*index)).map(of).sum()
    }

    /// Members of which something is so.
    pub(super) fn count(&self, is_so: impl Fn(usize) -> bool) -> u64 {
        self.members.iter().filter(|index| is_so(**index)).count() as u64
    }
}

/// The groups of some parents, the one of the first parent first. Parents that nobody holds for long belong to none.
pub(super) fn group<'a>(look: &Look<'a>, members: &[usize]) -> Vec<Group<'a>> {
    let mut groups = siblings_together(by_holder(look, members));
    untraced_to_traced(&mut groups);
    groups.sort_by_key(|group| group.members.first().copied());
    groups
}

fn by_holder<'a>(look: &Look<'a>, members: &[usize]) -> Vec<Group<'a>> {
    let mut numbers: FastMap<(Vec<Cow<'a, str>>, Option<GroupId>), usize> = FastMap::default();
    let mut groups: Vec<Group<'a>> = Vec::new();
    for index in members {
        let Some(holder) = look.parent(*index).and_then(main_of) else { continue };
        let site = look.traced(*index).and_then(|traced| traced.site.as_ref());
        let key = (pattern(&holder.path), site.map(|site| site.group));
        let number = *numbers.entry(key).or_insert_with_key(|(steps, _)| {
            let holder = steps.iter().map(|step| step.clone().into_owned()).collect();
            groups.push(Group { holder, site, members: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(number) {
            group.members.push(*index);
        }
    }
    groups
}

/// A path with a hole: what stands before a property, its class, what stands behind it, and the site.
type Masked<'a> = (&'a [String], &'a str, &'a [String], Option<GroupId>);

/// Where `holder` has a property, and what the path is without its name. Only the two that are nearest to the view: keys are there.
fn masks<'g>(group: &'g Group<'_>) -> impl Iterator<Item = (usize, Masked<'g>)> {
    let site = group.site.map(|site| site.group);
    let steps = group.holder.iter().enumerate().rev();
    let properties = steps.filter(|(_, step)| step.starts_with('.')).take(2);
    properties.filter_map(move |(at, step)| {
        let class = step.get(name_of(step).len()..)?;
        Some((at, (group.holder.get(..at)?, class, group.holder.get(at + 1..)?, site)))
    })
}

/// Objects that are used as maps: `.id1`, `.id2`, … become `.…`.
fn siblings_together(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let mut n_siblings: FastMap<Masked<'_>, usize> = FastMap::default();
    for group in &groups {
        for (_, masked) in masks(group) {
            *n_siblings.entry(masked).or_default() += 1;
        }
    }
    let merged: Vec<Option<Vec<String>>> = groups
        .iter()
        .map(|group| {
            let counted = masks(group).map(|(at, masked)| (n_siblings.get(&masked), at));
            let (n, at) = counted.max()?;
            if n.is_none_or(|n| *n < SIBLINGS_MIN) {
                return None;
            }
            let mut holder = group.holder.clone();
            let step = holder.get_mut(at)?;
            let class = step.get(name_of(step).len()..).unwrap_or_default().to_owned();
            *step = format!("{ANY_NAME}{class}");
            Some(holder)
        })
        .collect();
    let mut numbers: FastMap<(Vec<String>, Option<GroupId>), usize> = FastMap::default();
    let mut out: Vec<Group<'_>> = Vec::new();
    for (mut group, holder) in groups.into_iter().zip(merged) {
        let Some(holder) = holder else {
            out.push(group);
            continue;
        };
        group.holder = holder;
        let key = (group.holder.clone(), group.site.map(|site| site.group));
        match numbers.get(&key).and_then(|number| out.get_mut(*number)) {
            Some(known) => known.members.append(&mut group.members),
            None => {
                numbers.insert(key, out.len());
                out.push(group);
            }
        }
    }
    out
}

/// Stores older than the attach belong to the younger ones of the same holder, if those all have the same site.
fn untraced_to_traced(groups: &mut Vec<Group<'_>>) {
    let mut traced: FastMap<Vec<String>, Vec<usize>> = FastMap::default();
    for (number, group) in groups.iter().enumerate().filter(|(_, group)| group.site.is_some()) {
        traced.entry(group.holder.clone()).or_default().push(number);
    }
    for number in 0..groups.len() {
        let Some(group) = groups.get_mut(number).filter(|group| group.site.is_none()) else {
            continue;
        };
        let Some([only]) = traced.get(&group.holder).map(Vec::as_slice) else { continue };
        let mut members = std::mem::take(&mut group.members);
        if let Some(known) = groups.get_mut(*only) {
            known.members.append(&mut members);
        }
    }
    groups.retain(|group| !group.members.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{Scene, parent};
    use crate::event::census::RootKind;

    fn groups_of(scene: &Scene) -> Vec<(Vec<String>, usize)> {
        let snapshot = scene.snapshot();
        let look = Look::new(&snapshot).unwrap();
        let all: Vec<usize> = look.parents().map(|(index, _)| index).collect();
        group(&look, &all).into_iter().map(|it| (it.holder, it.members.len())).collect()
    }

    fn held_by(path: &[&str]) -> Parent {
        parent(1_000).view("Buffer", 0, 16).held_by(path).done()
    }

    #[test]
    fn parents_of_one_container_are_one_group() {
        let mut scene = Scene::new().parent(held_by(&["global H", ".list (Array)", "[3]"]));
        for n in 0..100 {
            let key = format!("[\"key {n}\"]");
            scene = scene.parent(held_by(&["global H", ".cache (Map)", &key]));
        }
        let cache = ["global H", ".cache (Map)", "[…]"].map(str::to_owned).to_vec();
        let list = ["global H", ".list (Array)", "[…]"].map(str::to_owned).to_vec();
        assert_eq!(groups_of(&scene), [(list, 1), (cache, 100)]);
    }

    #[test]
    fn names_of_an_object_that_is_used_as_a_map_are_keys() {
        let of = |n: usize| {
            let paths = (0..n).map(|n| ["global H".to_owned(), format!(".id{n} (Session)")]);
            paths.fold(Scene::new(), |scene, [global, name]| {
                scene.parent(held_by(&[&global, &name, ".token"]))
            })
        };
        let merged = ["global H", ".… (Session)", ".token"].map(str::to_owned).to_vec();
        assert_eq!(groups_of(&of(30)), [(merged, 30)]);
        assert_eq!(groups_of(&of(SIBLINGS_MIN - 1)).len(), SIBLINGS_MIN - 1, "fields of a class");
    }

    #[test]
    fn sites_are_told_apart_and_older_stores_follow_the_only_one() {
        let path = ["global H", ".cache (Map)", "[1]"];
        let one =
            Scene::new().parent(held_by(&path)).parent(held_by(&path)).traced("read app.js:1", 2);
        assert_eq!(groups_of(&one).iter().map(|it| it.1).collect::<Vec<_>>(), [2]);
        let two = one.parent(held_by(&path)).traced("parse app.js:9", 2);
        assert_eq!(groups_of(&two).iter().map(|it| it.1).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn what_nobody_holds_for_long_is_in_no_group() {
        let running = parent(1_000).rooted(RootKind::Microtask, &["a job that waits to run"]);
        assert_eq!(groups_of(&Scene::new().parent(running.done())), []);
    }
}
