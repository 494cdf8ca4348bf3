//! `NATIVE_RETAINED`: array buffers that only native code keeps alive: no JavaScript refers to them.
//!
//! Two shapes:
//! - a native handle refers to the array buffer or a view itself (`napi_create_reference`, `v8::Global`), and nothing else does. What is
//!   written to a socket or read into from a file is held by a request object in JavaScript, and is not meant.
//! - a traced store has no array buffer any more and is not freed either: a Blob, a stream's queue or an addon owns it. A store without
//!   array buffer may be garbage that waits for its collection, so it counts only if it was without one in the census before, too, and two
//!   major collections have run since; and only where more and more of them come and none goes, since a Blob that is in use is no fault.
//!
//! Not accused: Node's own (all below `WORTH`), memory of external owners that JavaScript views, anything that a path through JavaScript
//! leads to.

use std::sync::Arc;

use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::analysis::snapshot::{Orphan, TracedSite};
use crate::base::text::count;
use crate::base::{Bytes, FastMap, Nanos, StoreKey};
use crate::detect::group::{Group, group};
use crate::detect::look::{Look, SETTLED_MAJORS, Tenure};
use crate::detect::pinned_parent::WORTH;
use crate::detect::{Claimed, wording};
use crate::event::census::{Parent, ParentKind, RootKind};

pub(super) fn find(look: &Look<'_>, claimed: &mut Claimed) -> Vec<Finding> {
    let held = look.parents().filter(|(index, parent)| {
        is_held_natively(parent) && look.tenure(*index, is_held_natively) != Tenure::Young
    });
    let held: Vec<usize> = held.map(|(index, _)| index).collect();
    let mut groups = group(look, &held);
    groups.retain(|group| group.sum(look, |parent| parent.size) >= WORTH);
    claimed.extend(groups.iter().flat_map(|group| &group.members));
    let mut findings: Vec<Finding> = groups.iter().map(|group| by_handle(look, group)).collect();
    findings.extend(without_buffer(look));
    findings
}

/// All that leads to it are native handles, without an object between.
fn is_held_natively(parent: &Parent) -> bool {
    let is_direct = |root, n_steps| {
        let is_native = match root {
            RootKind::GlobalHandle | RootKind::TracedHandle | RootKind::EternalHandle => true,
            RootKind::Isolate | RootKind::HandleScope | RootKind::Microtask | RootKind::Stack => {
                false
            }
        };
        is_native && n_steps == 1
    };
    parent.kind != ParentKind::Pool
        && !parent.holders.is_empty()
        && parent.holders.iter().all(|holder| is_direct(holder.root, holder.path.len()))
}

fn by_handle(look: &Look<'_>, group: &Group<'_>) -> Finding {
    let bytes = group.sum(look, |parent| parent.size);
    let tenure = |index| look.tenure(index, is_held_natively);
    let n_settled = group.count(|index| tenure(index) == Tenure::Settled);
    let is_settled = n_settled.saturating_mul(2) >= group.members.len() as u64;
    let confidence = if is_settled { Confidence::High } else { Confidence::Medium };
    let mut finding = wording::finding(look, group, FindingKind::NativeRetained, confidence, bytes);
    let at = group.site.map_or_else(String::new, |_| format!(", {}", wording::place(group)));
    finding.summary = format!(
        "{} {} kept alive by native handles only, no JavaScript refers to {}: {bytes}{at}",
        wording::buffers(look, &group.members),
        if group.members.len() == 1 { "is" } else { "are" },
        if group.members.len() == 1 { "it" } else { "them" },
    );
    finding.evidence = vec![
        wording::amounts(look, group),
        "the path from the root has no step: a native handle refers to the buffer or view itself"
            .to_owned(),
        wording::tenures(look, group, tenure),
    ];
    finding.evidence.extend(wording::in_ram(look, group));
    finding.remedy = Remedy {
        words: "Native code (an addon, or Node itself) holds a strong reference and has not given it up. Look for the addon that is handed \
                these buffers, and for an object of it that must be closed or released; in the addon, `napi_delete_reference` or \
                `v8::Global::Reset` when it is done."
            .to_owned(),
        code: None,
    };
    finding
}

/// Stores of one site that have no array buffer.
#[derive(Debug)]
struct Orphans {
    site: Arc<TracedSite>,
    n: u64,
    bytes: Bytes,
    n_before: u64,
    bytes_before: Bytes,
    age: Nanos,
    n_major_survived: u32,
}

fn without_buffer(look: &Look<'_>) -> Vec<Finding> {
    let Some(before) = look.before else { return Vec::new() };
    // Without collections it is not known whether such a store is garbage, without a stack not what it belongs to.
    let survived = |it: &Orphan| it.store.n_major_survived.unwrap_or(0);
    let site_of = |it: &Orphan| it.store.site.as_ref().map(|site| site.group);
    let known: FastMap<StoreKey, u32> =
        before.orphans.iter().map(|it| (it.store.key, survived(it))).collect();
    let alive: FastMap<StoreKey, u32> =
        look.now.orphans.iter().map(|it| (it.store.key, survived(it))).collect();
    let mut by_site: FastMap<_, Orphans> = FastMap::default();
    let mut has_freed: Vec<_> = Vec::new();
    for orphan in &before.orphans {
        // What had survived before and is gone was in use, and somebody freed it.
        if !alive.contains_key(&orphan.store.key) && survived(orphan) >= SETTLED_MAJORS {
            has_freed.extend(site_of(orphan));
        }
    }
    for orphan in &look.now.orphans {
        let store = &orphan.store;
        let Some(site) = &store.site else { continue };
        let entry = by_site.entry(site.group).or_insert_with(|| Orphans {
            site: Arc::clone(site),
            n: 0,
            bytes: Bytes(0),
            n_before: 0,
            bytes_before: Bytes(0),
            age: Nanos(0),
            n_major_survived: 0,
        });
        let survived_before = known.get(&store.key).copied();
        let is_proven = survived_before
            .is_some_and(|before| survived(orphan).wrapping_sub(before) >= SETTLED_MAJORS);
        if is_proven {
            entry.n_before += 1;
            entry.bytes_before += orphan.size;
        }
        entry.n += 1;
        entry.bytes += orphan.size;
        entry.age = entry.age.max(store.age);
        entry.n_major_survived = entry.n_major_survived.max(survived(orphan));
    }
    let mut orphans: Vec<Orphans> = by_site
        .into_iter()
        .filter(|(group, it)| {
            !has_freed.contains(group) && it.bytes_before >= WORTH && it.n > it.n_before
        })
        .map(|(_, orphans)| orphans)
        .collect();
    orphans.sort_by_key(|it| (std::cmp::Reverse(it.bytes_before), it.site.group));
    orphans.iter().map(|orphans| of_orphans(look, orphans)).collect()
}

fn of_orphans(look: &Look<'_>, orphans: &Orphans) -> Finding {
    let between = look.between().unwrap_or_default();
    let Orphans { site, n, bytes, n_before, bytes_before, age, n_major_survived } = orphans;
    let by = site.via.as_ref().map_or_else(String::new, |via| format!(" by {via}"));
    Finding {
        kind: FindingKind::NativeRetained,
        confidence: Confidence::Medium,
        bytes: *bytes_before,
        n_parents: *n_before,
        summary: format!(
            "{} allocated at {}{by} {} no array buffer in JavaScript any more and {} not freed: {bytes_before}, and more come",
            wording::n_of(*n_before, "store", "stores"),
            site.label,
            if *n_before == 1 { "has" } else { "have" },
            if *n_before == 1 { "is" } else { "are" },
        ),
        evidence: vec![
            format!(
                "{} had none {between} ago either, and have survived 2 or more major collections since",
                count(*n_before)
            ),
            format!(
                "{} of this line have none now, {bytes} together; none that was there before has been freed",
                count(*n)
            ),
        ],
        remedy: Remedy {
            words: "Native code holds these bytes: a Blob that is still referenced or being read, a stream that is not read to its end, or \
                    an addon. Drop the Blob when it is done, read responses to their end or cancel them \
                    (`response.body.cancel()`); Node 24.16 and 26.0 themselves keep Blobs that were read (nodejs/node#63574): update."
                .to_owned(),
            code: None,
        },
        site: Some(Arc::clone(&site.label)),
        via: site.via.clone(),
        holder: Vec::new(),
        age: Some(*age),
        n_major_survived: Some(*n_major_survived),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Snapshot;
    use crate::analysis::snapshot::{GroupId, JoinedCensus, Orphan, SiteId, TracedStore};
    use crate::detect::made_up::{MadeUp, Scene, parent};

    fn find_in(snapshot: &Snapshot) -> Vec<Finding> {
        find(&Look::new(snapshot).unwrap(), &mut Claimed::default())
    }

    fn held(root: RootKind, path: &[&str]) -> MadeUp {
        parent(4_000_000).view("Buffer", 0, 4_000_000).rooted(root, path)
    }

    fn n_findings(parent: MadeUp) -> usize {
        find_in(&Scene::new().parent(parent.done()).snapshot()).len()
    }

    #[test]
    fn a_handle_without_javascript_is_told() {
        for root in [RootKind::GlobalHandle, RootKind::TracedHandle, RootKind::EternalHandle] {
            assert_eq!(n_findings(held(root, &["held natively"])), 1);
        }
        let scene = Scene::new().parent(held(RootKind::GlobalHandle, &["held natively"]).done());
        let found = find_in(&scene.snapshot()).pop().unwrap();
        assert_eq!((found.bytes, found.confidence), (Bytes(4_000_000), Confidence::Medium));
        let old = find_in(&scene.traced("keep (addon.js:3)", 4).snapshot()).pop().unwrap();
        assert_eq!(old.confidence, Confidence::High);
    }

    #[test]
    fn whoever_has_javascript_on_the_way_is_not_accused() {
        let path = ["held natively", "WriteWrap", ".buffer"];
        assert_eq!(n_findings(held(RootKind::GlobalHandle, &path)), 0, "a pending write");
        assert_eq!(n_findings(held(RootKind::Isolate, &["global H"])), 0);
        assert_eq!(n_findings(held(RootKind::HandleScope, &["a native function"])), 0);
        let both = held(RootKind::GlobalHandle, &["held natively"]);
        assert_eq!(n_findings(both.held_by(&["global H"])), 0);
        let small = parent(72).view("Uint8Array", 0, 72);
        assert_eq!(n_findings(small.rooted(RootKind::GlobalHandle, &["held natively"])), 0);
    }

    fn orphan(number: u32, n_major_survived: u32) -> Orphan {
        let site = TracedSite {
            id: SiteId::WITHOUT_STACK,
            group: GroupId(1),
            label: "fetchAll (app.js:8)".into(),
            via: Some("Blob".into()),
            frames: Arc::from([]),
            user_frame: None,
            app_frame: None,
        };
        let store = TracedStore {
            key: StoreKey { address: u64::from(number) << 12, id: number },
            number: u64::from(number),
            age: Nanos::from_secs(90),
            n_major_survived: Some(n_major_survived),
            site: Some(Arc::new(site)),
        };
        Orphan { size: Bytes(1_000_000), store }
    }

    fn with_orphans(before: &[Orphan], now: &[Orphan]) -> Vec<Finding> {
        let mut snapshot = Scene::new().before(60, Vec::new()).snapshot();
        let with = |census: &Option<Arc<JoinedCensus>>, orphans: &[Orphan]| {
            let census = census.as_deref().cloned().unwrap();
            Some(Arc::new(JoinedCensus { orphans: orphans.to_vec(), ..census }))
        };
        snapshot.census.previous = with(&snapshot.census.previous, before);
        snapshot.census.last = with(&snapshot.census.last, now);
        find_in(&snapshot)
    }

    fn orphans(numbers: std::ops::Range<u32>, n_majors: u32) -> Vec<Orphan> {
        numbers.map(|number| orphan(number, n_majors)).collect()
    }

    #[test]
    fn stores_that_outlive_their_array_buffers_and_grow_in_number_are_told() {
        let now = [orphans(0..10, 5), orphans(10..15, 1)].concat();
        let found = with_orphans(&orphans(0..10, 2), &now);
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((found.bytes, found.n_parents), (Bytes(10_000_000), 10));
        assert_eq!(found.confidence, Confidence::Medium);
        assert!(found.summary.contains("fetchAll (app.js:8) by Blob"), "{}", found.summary);
    }

    #[test]
    fn garbage_and_blobs_in_use_are_not_accused() {
        let before = orphans(0..10, 2);
        assert!(with_orphans(&before, &before).is_empty(), "nobody collected since");
        assert!(with_orphans(&before, &orphans(0..10, 6)).is_empty(), "they do not grow");
        let now = [orphans(3..10, 5), orphans(10..15, 1)].concat();
        assert!(with_orphans(&before, &now).is_empty(), "some were freed");
        assert!(with_orphans(&before, &orphans(20..40, 5)).is_empty(), "others");
        assert!(with_orphans(&[], &orphans(0..40, 5)).is_empty());
    }
}
