//! `POOL_SLAB_PIN`: few small Buffers keep whole slabs of Node's pool alive.
//!
//! The shape: many pool slabs of which live Buffers show at most a quarter. The cause: `Buffer.from`, `Buffer.concat`,
//! `Buffer.allocUnsafe` and `toString`'s counterparts cut Buffers below half of `Buffer.poolSize` from a common slab; the slab lives as
//! long as the last of them, and the long-lived ones lie far apart. `poolSize` is 8 KiB, and 64 KiB from Node 24.20 and 26.6 on
//! (prior-art.md §7): it is read from the slabs, not assumed. The remedy: memory of its own for what is kept.
//!
//! Not accused: the slab that Node cuts from now (it is held itself), slabs that are well used, and as few as a busy server has in flight.

use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::base::Bytes;
use crate::detect::cost::{copies_of, gives_back};
use crate::detect::group::{Group, group};
use crate::detect::holder::main_of;
use crate::detect::look::{Look, Tenure};
use crate::detect::pinned_parent::{WORTH, is_hardly_covered};
use crate::detect::{remedy, wording};
use crate::event::census::{Parent, ParentKind};

/// Smallest slab: Node marks a few arrays of its own as it marks slabs, and those have some bytes; a `poolSize` below a page is of no use.
const SLAB_MIN: Bytes = Bytes(4_096);

/// Hardly used slabs that a busy server has at a time: with 250 connections, replies made by `Buffer.from` and zlib, 11 of up to 39 live
/// slabs were, with less than 1 MiB unused in all of them (Node 18 to 26); three times that.
const IN_FLIGHT_SLABS: u64 = 32;

/// What hardly used slabs must give back at least if nothing says how long they have been there: twice what was seen in flight.
const IN_FLIGHT: Bytes = Bytes(2 << 20);

/// So much is not in flight: 16 times what was.
const NOT_IN_FLIGHT: Bytes = Bytes(16 << 20);

pub(super) fn find(look: &Look<'_>) -> Vec<Finding> {
    let pinned = look
        .parents()
        .filter(|(index, parent)| is_pinned_slab(parent) && tenure(look, *index) != Tenure::Young);
    let pinned: Vec<usize> = pinned.map(|(index, _)| index).collect();
    let groups = group(look, &pinned);
    groups.iter().filter_map(|group| finding(look, group)).collect()
}

fn is_pinned_slab(parent: &Parent) -> bool {
    parent.kind == ParentKind::Pool
        && parent.size >= SLAB_MIN
        && parent.n_views > 0
        && !parent.is_held_itself
        && is_hardly_covered(parent)
        && gives_back(parent) > Bytes(0)
        && main_of(parent).is_some()
}

fn tenure(look: &Look<'_>, index: usize) -> Tenure {
    look.tenure(index, is_hardly_covered)
}

fn finding(look: &Look<'_>, group: &Group<'_>) -> Option<Finding> {
    let bytes = group.sum(look, gives_back);
    let n = group.members.len() as u64;
    let n_settled = group.count(|index| tenure(look, index) == Tenure::Settled);
    let n_seen = group.count(|index| tenure(look, index) == Tenure::Seen);
    let is_settled = n_settled.saturating_mul(2) >= n;
    let is_worth =
        if is_settled { bytes >= WORTH } else { bytes >= IN_FLIGHT && n > IN_FLIGHT_SLABS };
    if !is_worth {
        return None;
    }
    let confidence = if is_settled {
        Confidence::High
    } else if (n_settled + n_seen).saturating_mul(2) >= n || bytes >= NOT_IN_FLIGHT {
        Confidence::Medium
    } else {
        Confidence::Low
    };
    let n_views = group.sum(look, |parent| Bytes(parent.n_views)).0;
    let covered = group.sum(look, |parent| parent.covered);
    let views_bytes = group.sum(look, |parent| parent.views_bytes);
    let size = group.sum(look, |parent| parent.size);
    let slab = group.members.first().and_then(|it| look.parent(*it)).map(|it| it.size);
    let slab = slab.unwrap_or_default();
    let mut finding = wording::finding(look, group, FindingKind::PoolSlabPin, confidence, bytes);
    finding.summary = format!(
        "{} of Node's Buffer pool, {slab} each, {} kept alive by {}: {size} for {covered}, held by {}",
        wording::n_of(n, "slab", "slabs"),
        if n == 1 { "is" } else { "are" },
        wording::views(look, &group.members),
        crate::detect::holder::text_of(&group.holder),
    );
    finding.evidence = vec![
        wording::amounts(look, group),
        wording::holders(look, group),
        wording::tenures(look, group, |index| tenure(look, index)),
        format!(
            "the pool's slabs have {slab}, so every Buffer below {} may share one",
            Bytes(slab.0 / 2)
        ),
        format!(
            "{} of their own would take {} at most",
            wording::n_of(n_views, "Buffer with memory", "Buffers with memory"),
            copies_of(n_views, views_bytes)
        ),
    ];
    finding.evidence.extend(wording::in_ram(look, group));
    finding.remedy = give_own_memory(group);
    Some(finding)
}

fn give_own_memory(group: &Group<'_>) -> Remedy {
    Remedy {
        words: "Give small Buffers that are kept for long memory of their own: `Uint8Array.prototype.slice.call(buffer)`, or \
                `Buffer.allocUnsafeSlow(n)` where they are made. `Buffer.from`, `Buffer.copyBytesFrom`, `Buffer.concat` and \
                `Buffer.allocUnsafe` take it from the pool; text is kept best as a string. Where all Buffers of a process are \
                long-lived, `Buffer.poolSize = 0` at its start switches the pool off."
            .to_owned(),
        code: Some(remedy::keep(&group.holder, "Uint8Array.prototype.slice.call(buffer)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MadeUp, Scene, parent};

    fn find_in(scene: &Scene) -> Vec<Finding> {
        let snapshot = scene.snapshot();
        find(&Look::new(&snapshot).unwrap())
    }

    fn slab(size: u64, n_buffers: u64) -> MadeUp {
        let slab = parent(size).kind(ParentKind::Pool).held_by(&["global kept", "Array", "[3]"]);
        (0..n_buffers).fold(slab, |slab, n| slab.view("Buffer", n * 104, 100))
    }

    #[test]
    fn slabs_of_any_size_with_few_buffers_are_one_finding() {
        for size in [8_192, 65_536, 65_600] {
            let found = find_in(&Scene::new().parents(2_000, &slab(size, 2).done()));
            let [found] = found.as_slice() else { panic!("{found:?}") };
            assert_eq!(found.bytes, Bytes(2_000 * (size - 2 * (100 + 448))));
            assert_eq!((found.n_parents, found.kind), (2_000, FindingKind::PoolSlabPin));
            assert!(found.evidence.iter().any(|it| it.contains("so every Buffer below")));
            let code = found.remedy.code.as_deref();
            assert_eq!(code, Some("array.push(Uint8Array.prototype.slice.call(buffer));"));
        }
    }

    #[test]
    fn slabs_that_are_used_or_few_are_not_accused() {
        let n_findings = |n, slab: MadeUp| find_in(&Scene::new().parents(n, &slab.done())).len();
        assert_eq!(n_findings(2_000, slab(8_192, 20)), 0, "a quarter is in use");
        assert_eq!(n_findings(32, slab(65_536, 1)), 0, "in flight");
        assert_eq!(n_findings(200, slab(8_192, 1)), 0, "not much");
        assert_eq!(n_findings(2_000, slab(8_192, 1).held_itself()), 0);
        assert_eq!(n_findings(2_000, slab(8_192, 0)), 0);
        let own = parent(8_192).view("Buffer", 0, 100).held_by(&["global kept", "Array", "[3]"]);
        assert_eq!(n_findings(2_000, own), 0, "pinned_parent's business");
    }

    #[test]
    fn age_decides_how_sure_it_is() {
        let confidence = |n, n_majors: Option<u32>| {
            let scene = Scene::new().parents(n, &slab(65_536, 1).done());
            let scene = match n_majors {
                Some(n) => scene.all_traced("decode (wire.js:9)", n),
                None => scene,
            };
            find_in(&scene).pop().map(|found| found.confidence)
        };
        assert_eq!(confidence(100, None), Some(Confidence::Low));
        assert_eq!(confidence(100, Some(0)), Some(Confidence::Medium), "a minute old");
        assert_eq!(confidence(100, Some(2)), Some(Confidence::High));
        assert_eq!(confidence(20, Some(2)), Some(Confidence::High), "few, but old");
        assert_eq!(confidence(2_000, None), Some(Confidence::Medium));
    }
}
