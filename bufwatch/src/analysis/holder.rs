//! Which parents of a census a group of holders has. Pure; drawing and judging ask here, so that they agree.

use crate::event::census::{Census, Parent};

/// What stands in the path of a group for what differs, between the parts of a step that do not.
const GAP: char = '…';

/// True if `path`, which has keys, is one of those that `pattern` stands for.
pub fn is_of_group(path: &[String], pattern: &[String]) -> bool {
    path.len() == pattern.len()
        && path.iter().zip(pattern).all(|(step, pattern)| is_step(step, pattern))
}

fn is_step(step: &str, pattern: &str) -> bool {
    if step == pattern {
        return true;
    }
    let Some((start, end)) = pattern.split_once(GAP) else { return false };
    step.len() >= start.len() + end.len() && step.starts_with(start) && step.ends_with(end)
}

/// The parents that somebody of the group holds, as indices: the largest first, as the census has them.
pub fn parents_of(census: &Census, pattern: &[String]) -> Vec<u32> {
    let is_held = |parent: &Parent| parent.holders.iter().any(|it| is_of_group(&it.path, pattern));
    census
        .parents
        .iter()
        .zip(0..)
        .filter(|(parent, _)| is_held(parent))
        .map(|(_, index)| index)
        .collect()
}

/// The group that a path belongs to: the one that says most about it.
pub fn group_of(census: &Census, path: &[String]) -> Option<usize> {
    let groups = &census.holders;
    groups
        .iter()
        .position(|group| group.path == path)
        .or_else(|| groups.iter().position(|group| is_of_group(path, &group.path)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::census::{Holder, HolderGroup};

    fn path(steps: &[&str]) -> Vec<String> {
        steps.iter().map(|step| (*step).to_owned()).collect()
    }

    #[test]
    fn what_differs_is_left_out() {
        let pattern = path(&["global H", ".cache (Map)", "[…] (Session)"]);
        for (key, expect) in [
            ("[\"key 17\"] (Session)", true),
            ("[…] (Session)", true),
            ("[17] (Other)", false),
            (".id (Session)", false),
            ("[", false),
        ] {
            let it = path(&["global H", ".cache (Map)", key]);
            assert_eq!(is_of_group(&it, &pattern), expect, "{key}");
        }
        assert!(!is_of_group(&pattern[..2], &pattern));
        assert!(is_of_group(&path(&["… 12 more …"]), &path(&["…"])));
    }

    #[test]
    fn the_exact_group_is_preferred() {
        let group = |steps: &[&str]| HolderGroup { path: path(steps), ..HolderGroup::default() };
        let holder = |steps: &[&str]| Holder { path: path(steps), ..Holder::default() };
        let parent = |holders| Parent { holders, ..Parent::default() };
        let census = Census {
            holders: vec![group(&["a", "[…]"]), group(&["a", "[1]"])],
            parents: vec![
                parent(vec![holder(&["a", "[2]"])]),
                parent(Vec::new()),
                parent(vec![holder(&["b"]), holder(&["a", "[1]"])]),
            ],
            ..Census::default()
        };
        assert_eq!(group_of(&census, &path(&["a", "[1]"])), Some(1));
        assert_eq!(group_of(&census, &path(&["a", "[2]"])), Some(0));
        assert_eq!(group_of(&census, &path(&["b"])), None);
        assert_eq!(parents_of(&census, &census.holders[0].path), [0, 2]);
        assert_eq!(parents_of(&census, &census.holders[1].path), [2]);
    }
}
