//! `ALIASED_VIEWS`: views show the same bytes, and who writes through one changes what the other reads. Nothing is given back by changing it,
//! so it comes last, and never with more than low confidence: what the program does with its views is not seen.
//!
//! Two shapes:
//! - views of different element types over the same bytes, held by different owners. One object, function or module that has both is a
//!   codec (`{ bytes, floats }`, a DataView beside bytes) and knows what it does.
//! - a ring: views of one buffer that overlap in part, many of them. A slot that is written anew changes the tail of the one before.
//!
//! Not accused: Node's pool slabs, shared and WebAssembly memory (made to be seen in several ways), views that lie within each other or
//! beside each other, a DataView beside anything, and scratch memory of a few bytes.

use std::borrow::Cow;

use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::base::Bytes;
use crate::base::text::count;
use crate::detect::group::{Group, group};
use crate::detect::holder::{name_of, pattern, text_of};
use crate::detect::look::{Look, Tenure};
use crate::detect::view_kind::ViewKind;
use crate::detect::wording;
use crate::event::census::{Parent, ParentKind, View};

/// Below it is scratch memory for turning numbers into bytes; Node has several, of up to 104 bytes.
const SIZE_MIN: Bytes = Bytes(256);

/// Neighbours that overlap in part. One or two may be a header that reaches into the body; a ring has one for each slot.
const RING_OVERLAPS_MIN: u64 = 8;

pub(super) fn find(look: &Look<'_>) -> Vec<Finding> {
    let of_interest = |parent: &Parent| {
        matches!(parent.kind, ParentKind::Own | ParentKind::Read | ParentKind::External)
            && parent.size >= SIZE_MIN
            && parent.has_overlaps
    };
    let mut types = Vec::new();
    let mut rings = Vec::new();
    for (index, parent) in look.parents().filter(|(_, parent)| of_interest(parent)) {
        if look.tenure(index, |_| true) == Tenure::Young {
            continue;
        }
        if n_owners(parent) > 1 && conflict(&parent.views).is_some() {
            types.push(index);
        } else if n_partial_overlaps(&parent.views) >= RING_OVERLAPS_MIN {
            rings.push(index);
        }
    }
    let types = group(look, &types);
    let rings = group(look, &rings);
    let types = types.iter().map(|group| of_types(look, group));
    types.chain(rings.iter().map(|group| of_ring(look, group))).collect()
}

/// Objects, functions or modules that hold views; a global is one by itself, since all of the program sees it.
fn n_owners(parent: &Parent) -> usize {
    let mut owners: Vec<Vec<Cow<'_, str>>> = Vec::new();
    // Node's own tables are seen in several ways by modules that know of each other (http2, fs).
    for holder in parent.holders.iter().filter(|holder| holder.is_by_application) {
        let mut owner = pattern(&holder.path);
        if owner.len() > 1 {
            owner.pop();
        }
        if !owners.contains(&owner) {
            owners.push(owner);
        }
    }
    owners.len()
}

/// The first two views that read the same bytes as different elements.
fn conflict(views: &[View]) -> Option<(&View, &View)> {
    // By offset: of each kind the view that reaches farthest is enough to know whether a later one overlaps it.
    let mut farthest: Vec<(ViewKind, u64, &View)> = Vec::new();
    for view in views.iter().filter(|view| view.length > Bytes(0)) {
        let kind = ViewKind::of(&view.type_name);
        let end = end_of(view);
        let clash = farthest
            .iter()
            .find(|(other, other_end, _)| *other_end > view.offset && other.conflicts_with(kind));
        if let Some((_, _, other)) = clash {
            return Some((other, view));
        }
        match farthest.iter_mut().find(|(known, ..)| *known == kind) {
            Some(known) if known.1 >= end => {}
            Some(known) => *known = (kind, end, view),
            None => farthest.push((kind, end, view)),
        }
    }
    None
}

/// Pairs of neighbours of which neither lies within the other.
fn n_partial_overlaps(views: &[View]) -> u64 {
    let mut n = 0;
    let mut last: Option<&View> = None;
    for view in views.iter().filter(|view| view.length > Bytes(0)) {
        match last {
            Some(before) if end_of(before) >= end_of(view) => continue,
            Some(before) if before.offset < view.offset && view.offset < end_of(before) => n += 1,
            _ => {}
        }
        last = Some(view);
    }
    n
}

fn end_of(view: &View) -> u64 {
    view.offset.saturating_add(view.length.0)
}

fn place_of(view: &View) -> String {
    let end = end_of(view);
    format!("{} over bytes {} to {}", view.type_name, count(view.offset), count(end))
}

fn of_types(look: &Look<'_>, group: &Group<'_>) -> Finding {
    let mut finding = blank(look, group);
    let first = group.members.first().and_then(|index| look.parent(*index));
    let clash = first.and_then(|parent| conflict(&parent.views));
    let (a, b) = clash.map_or_else(Default::default, |(a, b)| (place_of(a), place_of(b)));
    finding.summary = format!(
        "{} {} seen as different types by different holders: {a}, {b}",
        wording::buffers(look, &group.members),
        if group.members.len() == 1 { "is" } else { "are" },
    );
    for holder in first.map(|parent| parent.holders.as_slice()).unwrap_or_default() {
        let path = pattern(&holder.path);
        let n = wording::n_of(holder.n_views, "view", "views");
        finding.evidence.push(format!("{n} held by {}", text_of(&path)));
    }
    finding.remedy = Remedy {
        words: "If both write, or one expects the bytes to stay as they are, give one of them a copy; if they are meant to share them, \
                keep both views in one object that says so."
            .to_owned(),
        code: Some("const own = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);".to_owned()),
    };
    finding
}

fn of_ring(look: &Look<'_>, group: &Group<'_>) -> Finding {
    let mut finding = blank(look, group);
    let first = group.members.first().and_then(|index| look.parent(*index));
    let views = first.map(|parent| parent.views.as_slice()).unwrap_or_default();
    finding.summary = format!(
        "{} in {} overlap in part, as in a ring: what is written through one changes others, held by {}",
        wording::views(look, &group.members),
        wording::buffers(look, &group.members),
        text_of(&group.holder)
    );
    finding.evidence.push(format!(
        "{} neighbours overlap, of {} views",
        count(n_partial_overlaps(views)),
        count(first.map_or(0, |parent| parent.n_views))
    ));
    finding.evidence.extend(views.iter().take(2).map(place_of));
    let last = group.holder.last().map_or("", |step| name_of(step));
    finding.remedy = Remedy {
        words: format!(
            "If a view is read after its slot may have been written again, keep a copy in `{last}` instead, or make the slots as long \
             as their views."
        ),
        code: Some("const kept = Uint8Array.prototype.slice.call(view);".to_owned()),
    };
    finding
}

fn blank(look: &Look<'_>, group: &Group<'_>) -> Finding {
    let kind = FindingKind::AliasedViews;
    let mut finding = wording::finding(look, group, kind, Confidence::Low, Bytes(0));
    finding.evidence = vec![wording::amounts(look, group)];
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MadeUp, Scene, parent};

    fn kinds_of(parent: MadeUp) -> usize {
        let snapshot = Scene::new().parent(parent.done()).snapshot();
        find(&Look::new(&snapshot).unwrap()).len()
    }

    fn two(types: [&str; 2], holders: [&[&str]; 2]) -> MadeUp {
        parent(1_000)
            .view(types[0], 0, 1_000)
            .view(types[1], 0, 1_000)
            .held_by(holders[0])
            .held_by(holders[1])
    }

    const APART: [&[&str]; 2] = [&["global H", ".mesh (Mesh)", ".points"], &["variable raw"]];
    const TOGETHER: [&[&str]; 2] = [&["global H", ".floats"], &["global H", ".bytes"]];

    #[test]
    fn different_types_of_different_holders_are_told() {
        assert_eq!(kinds_of(two(["Float64Array", "Uint8Array"], APART)), 1);
        assert_eq!(kinds_of(two(["Float64Array", "Buffer"], [&["global a"], &["global b"]])), 1);
        let snapshot =
            Scene::new().parent(two(["Float64Array", "Uint8Array"], APART).done()).snapshot();
        let found = find(&Look::new(&snapshot).unwrap());
        assert_eq!((found[0].bytes, found[0].confidence), (Bytes(0), Confidence::Low));
        assert!(found[0].summary.contains("Float64Array over bytes 0 to 1,000"), "{found:?}");
    }

    #[test]
    fn who_knows_of_both_is_not_accused() {
        assert_eq!(kinds_of(two(["Float64Array", "Uint8Array"], TOGETHER)), 0);
        assert_eq!(kinds_of(two(["DataView", "Uint8Array"], APART)), 0);
        assert_eq!(kinds_of(two(["Buffer", "Uint8Array"], APART)), 0);
        let elements: [&[&str]; 2] =
            [&["global all (Array)", "[0]"], &["global all (Array)", "[1]"]];
        assert_eq!(kinds_of(two(["Float64Array", "Uint8Array"], elements)), 0);
    }

    #[test]
    fn memory_that_is_made_to_be_seen_in_several_ways_is_not_accused() {
        for kind in [ParentKind::Pool, ParentKind::Shared, ParentKind::Wasm] {
            assert_eq!(kinds_of(two(["Float64Array", "Uint8Array"], APART).kind(kind)), 0);
        }
        let of_node = two(["Float64Array", "Uint8Array"], [&["global H"], &["global H"]]);
        assert_eq!(kinds_of(of_node.by_node(&["Object", ".http2 (Object)", ".state"])), 0);
        let scratch = parent(8).view("Float64Array", 0, 8).view("Uint8Array", 0, 8);
        assert_eq!(kinds_of(scratch.held_by(APART[0]).held_by(APART[1])), 0);
    }

    #[test]
    fn types_beside_each_other_share_no_bytes() {
        let beside = parent(1_000)
            .view("Buffer", 0, 100)
            .view("Buffer", 50, 100)
            .view("Float64Array", 160, 80)
            .view("Uint32Array", 240, 80);
        assert_eq!(kinds_of(beside.held_by(APART[0]).held_by(APART[1])), 0);
    }

    fn slots(n: u64, step: u64, length: u64) -> MadeUp {
        let ring = parent(10_000).held_by(&["global ring (Array)", "[…]"]);
        (0..n).fold(ring, |ring, n| ring.view("Uint8Array", n * step, length))
    }

    #[test]
    fn a_ring_is_told_by_slots_that_reach_into_the_next() {
        assert_eq!(kinds_of(slots(200, 10, 64)), 1);
        assert_eq!(kinds_of(slots(100, 64, 64)), 0, "slots beside each other");
        assert_eq!(kinds_of(slots(RING_OVERLAPS_MIN, 10, 64)), 0, "one overlap less");
        let parser = slots(100, 64, 64).view("Uint8Array", 0, 10_000);
        assert_eq!(kinds_of(parser), 0, "parts of the whole");
    }
}
