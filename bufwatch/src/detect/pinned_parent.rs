//! `PINNED_PARENT`: views of a small part keep large array buffers alive.
//!
//! The shape: live views show at most a quarter of an array buffer, nothing but views refers to it, and somebody keeps them beyond the
//! moment. The cause: `subarray`, or `slice` of a Buffer, of something that was read or received whole. The remedy: a copy.
//!
//! Not accused: buffers that are held themselves or by a view of the whole (a cache of files, a codec), pool slabs (`pool_slab_pin`), shared
//! and WebAssembly memory (a copy is not the same there), what running code holds, and what was made a moment ago. Chunks as streams read
//! them are in flight by the hundred in a busy server, so these count only if they are many or old.

use crate::analysis::finding::{Confidence, Finding, FindingKind};
use crate::base::{Bytes, FastMap};
use crate::detect::cost::{copies_of, gives_back};
use crate::detect::group::{Group, group};
use crate::detect::holder::{is_of_node, is_of_waiting, main_of};
use crate::detect::look::{Look, Tenure};
use crate::detect::{Claimed, remedy, wording};
use crate::event::census::{Parent, ParentKind};

/// Views show at most the fourth part: buffers that grow by doubling or, as redis-parser's, threefold leave less than that unused when
/// they are cut to length.
const COVERED_MAX: u64 = 4;

/// What a finding must give back at least. The smallest of the packages that were measured (prior-art.md §0) keeps 2 MiB for a field of
/// 4 bytes; all array buffers of an idle Node together take less than 0.2 MiB.
pub(super) const WORTH: Bytes = Bytes(1 << 20);

/// What Node reads at once from a socket or file (libuv and `fs.ReadStream`: 64 KiB; zlib: 16 KiB).
const CHUNK_MAX: Bytes = Bytes(64 << 10);

/// Chunks that may be in flight: measured were up to 6 MB of chunks in small use in a server of 250 connections that parses what it
/// receives (Node 18 to 26); this is 256 chunks.
const IN_FLIGHT: Bytes = Bytes(16 << 20);

pub(super) fn find(look: &Look<'_>, claimed: &mut Claimed) -> Vec<Finding> {
    let pinned = look.parents().filter(|(index, parent)| {
        is_pinned(parent) && !claimed.contains(index) && tenure(look, *index) != Tenure::Young
    });
    let pinned: Vec<usize> = pinned.map(|(index, _)| index).collect();
    let (worth, rest): (Vec<_>, Vec<_>) =
        group(look, &pinned).into_iter().partition(|group| is_worth(look, group));
    let mut findings = Vec::new();
    for group in worth.iter().chain(scattered(look, rest).iter()) {
        claimed.extend(&group.members);
        findings.push(finding(look, group));
    }
    findings
}

/// Little of it is used, and nobody can want the rest.
pub(super) fn is_pinned(parent: &Parent) -> bool {
    let is_of_views = match parent.kind {
        ParentKind::Own | ParentKind::Read | ParentKind::External => true,
        ParentKind::Pool | ParentKind::Shared | ParentKind::Wasm => false,
    };
    is_of_views
        && parent.n_views > 0
        && !parent.is_held_itself
        && is_hardly_covered(parent)
        && gives_back(parent) > Bytes(0)
        && main_of(parent).is_some()
}

pub(super) fn is_hardly_covered(parent: &Parent) -> bool {
    parent.covered.0.saturating_mul(COVERED_MAX) <= parent.size.0
}

fn tenure(look: &Look<'_>, index: usize) -> Tenure {
    look.tenure(index, is_hardly_covered)
}

/// More than what is in flight in a process that is fine.
fn is_worth(look: &Look<'_>, group: &Group<'_>) -> bool {
    let total = group.sum(look, gives_back);
    total >= IN_FLIGHT || sum_where(look, group, |index| is_lasting(look, index)) >= WORTH
}

/// It is no chunk of a stream, or an old one.
fn is_lasting(look: &Look<'_>, index: usize) -> bool {
    let is_chunk = look.parent(index).is_some_and(|parent| parent.size <= CHUNK_MAX);
    !is_chunk || tenure(look, index) == Tenure::Settled
}

/// A function that waits has it in a variable.
fn is_local(look: &Look<'_>, index: usize) -> bool {
    look.parent(index).and_then(main_of).is_some_and(is_of_waiting)
}

fn sum_where(look: &Look<'_>, group: &Group<'_>, is_so: impl Fn(usize) -> bool) -> Bytes {
    let members = group.members.iter().filter(|index| is_so(**index));
    members.filter_map(|index| look.parent(*index)).map(gives_back).sum()
}

/// Groups too small for a finding of their own: those of one site are one, if they make up enough together. Their holder is what their
/// paths have in common, and then `…`.
fn scattered<'a>(look: &Look<'a>, groups: Vec<Group<'a>>) -> Vec<Group<'a>> {
    let mut by_site = FastMap::default();
    let mut merged: Vec<Group<'a>> = Vec::new();
    for mut group in groups {
        let number = *by_site.entry(group.site.map(|site| site.group)).or_insert(merged.len());
        match merged.get_mut(number) {
            Some(known) => {
                let n_common =
                    known.holder.iter().zip(&group.holder).take_while(|(a, b)| a == b).count();
                known.holder.truncate(n_common);
                known.members.append(&mut group.members);
            }
            None => merged.push(group),
        }
    }
    merged.retain(|group| group.sum(look, gives_back) >= IN_FLIGHT);
    for group in &mut merged {
        group.holder.push("…".to_owned());
    }
    merged
}

/// So much is not in flight: a thousand chunks are more than a process reads between two collections of its young generation.
const NOT_IN_FLIGHT: Bytes = Bytes(64 << 20);

fn confidence(look: &Look<'_>, group: &Group<'_>) -> Confidence {
    let total = group.sum(look, gives_back);
    let of = |is_so: &dyn Fn(usize) -> bool| sum_where(look, group, is_so);
    let is_half = |part: Bytes| part.0.saturating_mul(2) >= total.0;
    // What only Node's own code holds is on its way to the application, or from it.
    let is_of_node = |index| look.parent(index).is_some_and(is_of_node);
    let is_kept = |index| !is_of_node(index) && !is_local(look, index);
    let seen_or_kept = of(&|index| match tenure(look, index) {
        Tenure::Settled => true,
        Tenure::Seen => !is_of_node(index),
        Tenure::Young | Tenure::Unknown => is_lasting(look, index) && is_kept(index),
    });
    // A variable of a function that waits is not cleared when it was used for the last time: however old, it will be some time.
    let settled = of(&|index| tenure(look, index) == Tenure::Settled && !is_local(look, index));
    if is_half(settled) {
        Confidence::High
    } else if is_half(seen_or_kept) || of(&is_kept) >= NOT_IN_FLIGHT {
        Confidence::Medium
    } else {
        Confidence::Low
    }
}

fn finding(look: &Look<'_>, group: &Group<'_>) -> Finding {
    let bytes = group.sum(look, gives_back);
    let size = group.sum(look, |parent| parent.size);
    let covered = group.sum(look, |parent| parent.covered);
    let n_views = group.sum(look, |parent| Bytes(parent.n_views)).0;
    let views_bytes = group.sum(look, |parent| parent.views_bytes);
    let mut finding =
        wording::finding(look, group, FindingKind::PinnedParent, confidence(look, group), bytes);
    finding.summary = format!(
        "{} {} kept alive by {}{}, {}",
        wording::buffers(look, &group.members),
        if group.members.len() == 1 { "is" } else { "are" },
        wording::views(look, &group.members),
        if n_views == 1 { String::new() } else { format!(": {size} for {covered}") },
        wording::place(group)
    );
    finding.evidence = vec![wording::amounts(look, group)];
    if let Some(largest) =
        group.members.iter().filter_map(|it| look.parent(*it)).max_by_key(|it| gives_back(it))
    {
        finding.evidence.push(wording::example(largest));
    }
    finding.evidence.push(wording::holders(look, group));
    finding.evidence.push(wording::tenures(look, group, |index| tenure(look, index)));
    finding.evidence.push(format!(
        "{} would take {} at most",
        wording::n_of(n_views, "copy", "copies"),
        copies_of(n_views, views_bytes)
    ));
    let n_local = group.count(|index| is_local(look, index));
    if n_local > 0 {
        let them = wording::n_of(n_local, "is", "are");
        let what = "local variables of functions that wait: it may be over in a moment";
        finding.evidence.push(format!("{them} held by {what}"));
    }
    finding.evidence.extend(wording::in_ram(look, group));
    finding.remedy = remedy::copy(look, group);
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MadeUp, Scene, parent};
    use crate::event::census::RootKind;
    use crate::event::residency::PageBytes;

    const MB: u64 = 1_000_000;

    fn find_in(scene: &Scene) -> Vec<Finding> {
        let snapshot = scene.snapshot();
        find(&Look::new(&snapshot).unwrap(), &mut Claimed::default())
    }

    fn of(parent: MadeUp) -> Vec<Finding> {
        find_in(&Scene::new().parent(parent.done()))
    }

    fn pinned(size: u64) -> MadeUp {
        parent(size).view("Buffer", 0, 16).held_by(&["global H", ".cache (Map)", "[\"a\"]"])
    }

    #[test]
    fn many_parents_of_one_container_are_one_finding_with_exact_bytes() {
        let scene = Scene::new().parents(500, &pinned(10 * MB).done());
        let findings = find_in(&scene);
        let [found] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!(found.n_parents, 500);
        assert_eq!(found.bytes, Bytes(500 * (10 * MB - 16 - 256)));
        assert_eq!(found.confidence, Confidence::Medium, "nobody has seen them before");
        assert_eq!(found.holder, ["global H", ".cache (Map)", "[…]"]);
        assert_eq!(
            found.summary,
            "500 array buffers of 9.54 MiB are kept alive by one view of 16 B each: 4.66 GiB for 7.81 KiB, held by global H .cache (Map) […]"
        );
        assert_eq!(
            found.remedy.code.as_deref(),
            Some("map.set(key, Uint8Array.prototype.slice.call(view));")
        );
        assert_eq!((found.age, found.n_major_survived), (None, None));
    }

    #[test]
    fn a_traced_site_is_named_and_age_decides_how_sure_it_is() {
        let confidence = |n_majors, age| {
            let scene = Scene::new().parent(pinned(10 * MB).done());
            find_in(&scene.traced("read (app.js:12)", n_majors).aged(age)).pop()
        };
        let old = confidence(3, 60).unwrap();
        assert_eq!(old.confidence, Confidence::High);
        assert_eq!(old.n_major_survived, Some(3));
        assert!(
            old.summary.ends_with("allocated at read (app.js:12) by fs.readFileSync"),
            "{}",
            old.summary
        );
        assert_eq!(confidence(0, 60).unwrap().confidence, Confidence::Medium);
        assert_eq!(confidence(0, 1), None, "made a moment ago");
    }

    #[test]
    fn what_is_used_or_wanted_whole_is_not_accused() {
        let path = ["global H", ".cache (Map)", "[1]"];
        let with = |parent: MadeUp| of(parent.held_by(&path)).len();
        assert_eq!(with(parent(10 * MB).view("Buffer", 0, 10 * MB)), 0, "a whole file");
        assert_eq!(
            with(parent(10 * MB).view("Buffer", 0, 10 * MB).view("Buffer", 0, 16)),
            0,
            "a file and its header"
        );
        assert_eq!(with(parent(10 * MB)), 0, "an ArrayBuffer without views");
        assert_eq!(with(parent(10 * MB).view("DataView", 0, 16).held_itself()), 0, "a codec");
        assert_eq!(with(parent(10 * MB).view("Buffer", 0, 3 * MB)), 0, "cut to length");
        assert_eq!(with(parent(10 * MB).view("Buffer", 0, 2 * MB)), 1);
        for kind in [ParentKind::Pool, ParentKind::Shared, ParentKind::Wasm] {
            assert_eq!(with(parent(10 * MB).view("Uint8Array", 0, 16).kind(kind)), 0);
        }
        assert_eq!(with(parent(10 * MB).view("Buffer", 0, 16).kind(ParentKind::External)), 1);
    }

    #[test]
    fn what_running_code_holds_is_not_accused() {
        let running = parent(10 * MB)
            .view("Buffer", 0, 16)
            .rooted(RootKind::Stack, &["a JavaScript function that runs now"]);
        assert_eq!(of(running.clone()).len(), 0);
        assert_eq!(of(running.held_by(&["global H"])).len(), 1);
    }

    #[test]
    fn what_only_node_holds_is_accused_with_less_confidence() {
        let held = parent(10 * MB).view("Buffer", 0, 16).by_node(&["Socket", "._readableState"]);
        assert_eq!(of(held)[0].confidence, Confidence::Low);
    }

    #[test]
    fn what_a_waiting_function_holds_may_be_over_in_a_moment() {
        let path = ["Promise", "[then]", "load() /app.js:3, waiting", "[local variable]"];
        let held = parent(100 * MB).view("Buffer", 0, 16).held_by(&path).done();
        let held = Scene::new().parent(held);
        assert_eq!(find_in(&held)[0].confidence, Confidence::Low);
        assert!(find_in(&held)[0].evidence.join("").contains("functions that wait"));
        assert_eq!(find_in(&held.clone().traced("read", 1))[0].confidence, Confidence::Medium);
        assert_eq!(find_in(&held.traced("read", 2))[0].confidence, Confidence::Medium);
    }

    #[test]
    fn little_is_not_worth_a_finding() {
        assert_eq!(of(pinned(MB)).len(), 0);
        assert_eq!(of(pinned(2 * MB)).len(), 1);
        // A million tiny parents: copies would take more than they give back.
        assert_eq!(find_in(&Scene::new().parents(100_000, &pinned(200).done())).len(), 0);
    }

    #[test]
    fn chunks_of_streams_count_if_they_are_many_or_old() {
        let chunks = |n| Scene::new().parents(n, &pinned(65_536).done());
        assert_eq!(find_in(&chunks(200)).len(), 0, "in flight in a busy server");
        assert_eq!(find_in(&chunks(300)).pop().unwrap().confidence, Confidence::Low);
        assert_eq!(find_in(&chunks(12_000)).pop().unwrap().confidence, Confidence::Medium);
        let old = chunks(200).all_traced("parse (wire.js:3)", 2);
        assert_eq!(find_in(&old).pop().unwrap().confidence, Confidence::High);
        let young = chunks(12_000).all_traced("parse (wire.js:3)", 0);
        assert_eq!(find_in(&young).len(), 1, "a minute old");
    }

    #[test]
    fn parents_that_many_hold_are_one_finding_if_they_are_enough_together() {
        let one = |n: usize| {
            let step = format!("variable x{n}");
            parent(MB).view("Buffer", 0, 16).held_by(&["global H", &step]).done()
        };
        let scene = |n| (0..n).fold(Scene::new(), |scene, n| scene.parent(one(n)));
        assert_eq!(find_in(&scene(16)).len(), 0);
        let found = find_in(&scene(40)).pop().unwrap();
        assert_eq!((found.n_parents, found.holder.join(" ")), (40, "global H …".to_owned()));
    }

    #[test]
    fn memory_that_was_never_written_is_said() {
        let scene = Scene::new().parents(500, &pinned(10 * MB).done());
        let said = |rss| find_in(&scene.clone().rss(rss)).pop().unwrap().evidence.join("\n");
        assert!(said(80 * MB).contains("never written"));
        assert!(!said(8_000 * MB).contains("never written"));
        let mut looked_at = pinned(10 * MB).done();
        looked_at.pages = Some(PageBytes { resident: Bytes(4_096), ..PageBytes::default() });
        let found = find_in(&Scene::new().parent(looked_at)).pop().unwrap();
        assert!(found.evidence.contains(&"4.00 KiB of the 9.54 MiB is in RAM".to_owned()));
    }
}
