//! Layer 4: judges a snapshot. One file per detector, each a pure function from what is looked at to findings; thresholds stand with their
//! derivation. The rest says what detectors have in common: how long a parent has been there (`look`), who holds it (`holder`), what
//! belongs together (`group`), what a copy costs (`cost`), and the words (`wording`, `remedy`).

mod aliased_views;
mod cost;
mod demand_paged;
mod freed_but_resident;
mod gc_lag;
mod group;
mod grow_only_pool;
mod holder;
mod js_heap;
mod look;
#[cfg(test)]
mod made_up;
mod native_retained;
mod pinned_parent;
mod pool_slab_pin;
mod process;
mod remedy;
mod steady_growth;
mod unaccounted_shared;
mod untouched_reservation;
mod view_kind;
mod wording;

use crate::analysis::Snapshot;
use crate::analysis::finding::Finding;
use crate::base::text::count;
use crate::base::{Bytes, FastSet};
use look::Look;

/// Findings of one snapshot; nobody reads more, and a program cannot be wrong in as many ways. The last one says how many there are.
const FINDINGS_MAX: usize = 100;

/// Parents that are accused already, by their number in the census: none is accused twice.
type Claimed = FastSet<usize>;

/// All findings, the most bytes first. Without a census there are none.
pub fn detect(snapshot: &Snapshot) -> Vec<Finding> {
    let Some(look) = Look::new(snapshot) else { return Vec::new() };
    let mut claimed = Claimed::default();
    // The verdict that says most about a parent comes first.
    let mut findings = grow_only_pool::find(&look, &mut claimed);
    findings.extend(native_retained::find(&look, &mut claimed));
    findings.extend(pinned_parent::find(&look, &mut claimed));
    findings.extend(pool_slab_pin::find(&look));
    findings.extend(aliased_views::find(&look));
    findings.sort_by(|a, b| {
        (b.bytes, a.kind, &a.holder, &a.site).cmp(&(a.bytes, b.kind, &b.holder, &b.site))
    });
    limit(&mut findings);
    findings
}

/// Findings about the memory of the whole process, by what was seen of it in a session. `told`: what [`detect`] said, which knows more of a
/// line than growth alone.
pub fn detect_in_ram(snapshot: &Snapshot, told: &[Finding]) -> Vec<Finding> {
    let written = demand_paged::find(snapshot);
    let mut findings = untouched_reservation::find(snapshot, written.as_ref());
    findings.extend(written);
    findings.extend(freed_but_resident::find(snapshot));
    findings.extend(steady_growth::find(snapshot, told));
    findings.extend(gc_lag::find(snapshot));
    findings.extend(unaccounted_shared::find(snapshot));
    findings.extend(js_heap::find(snapshot));
    findings.sort_by(|a, b| (b.bytes, a.kind, &a.site).cmp(&(a.bytes, b.kind, &b.site)));
    limit(&mut findings);
    findings
}

fn limit(findings: &mut Vec<Finding>) {
    let left_out = findings.get(FINDINGS_MAX..).unwrap_or_default();
    if left_out.is_empty() {
        return;
    }
    let bytes: Bytes = left_out.iter().map(|finding| finding.bytes).sum();
    let n = count(left_out.len() as u64);
    findings.truncate(FINDINGS_MAX);
    if let Some(last) = findings.last_mut() {
        last.evidence.push(format!("{n} smaller findings, {bytes} together, are not listed"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::finding::FindingKind;
    use crate::event::census::{Parent, ParentKind, RootKind};
    use made_up::{Scene, parent};

    #[test]
    fn nothing_is_found_without_a_census_and_in_an_empty_one() {
        assert!(detect(&Snapshot::blank()).is_empty());
        assert!(detect(&Scene::new().snapshot()).is_empty());
    }

    #[test]
    fn the_most_bytes_come_first_and_the_rest_is_counted() {
        let of = |n: u64| {
            let name = format!("global g{n}");
            parent((2 << 20) + n * 1_000)
                .view("Buffer", 0, 16)
                .held_by(&[&name, "Map", "[1]"])
                .done()
        };
        let n = FINDINGS_MAX as u64 + 20;
        let scene = (0..n).fold(Scene::new(), |scene, n| scene.parent(of(n)));
        let findings = detect(&scene.snapshot());
        assert_eq!(findings.len(), FINDINGS_MAX);
        assert!(findings.is_sorted_by(|a, b| a.bytes >= b.bytes));
        let last = findings.last().unwrap().evidence.join("\n");
        assert!(last.contains("20 smaller findings"), "{last}");
    }

    #[test]
    fn a_parent_is_accused_once() {
        let pool = parent(150 << 20).view("Buffer", (150 << 20) - 1_000, 1_000);
        let pool = pool.held_by(&["variable bufferPool"]).done();
        let natively = parent(10 << 20).view("Buffer", 0, 16);
        let natively = natively.rooted(RootKind::GlobalHandle, &["held natively"]).done();
        let findings = detect(&Scene::new().parent(pool).parent(natively).snapshot());
        let kinds: Vec<_> = findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::GrowOnlyPool, FindingKind::NativeRetained]);
    }

    fn any_parent() -> impl Strategy<Value = Parent> {
        let kinds = [
            ParentKind::Own,
            ParentKind::Pool,
            ParentKind::Read,
            ParentKind::Shared,
            ParentKind::External,
        ];
        let roots = [RootKind::Isolate, RootKind::GlobalHandle, RootKind::Stack];
        let steps = ["global H", ".cache (Map)", "[\"k\"]", ".pool", "[", "…", "", "variable x"];
        let views = prop::collection::vec((0_u64..1 << 24, 0_u64..1 << 24), 0..6);
        let path = prop::collection::vec(prop::sample::select(steps.to_vec()), 0..5);
        let what = (prop::sample::select(kinds.to_vec()), prop::sample::select(roots.to_vec()));
        (0_u64..1 << 25, 0_u64..6, views, path, what).prop_map(
            |(size, address, views, path, (kind, root))| {
                let types = ["Buffer", "Float64Array", "DataView"];
                let parent = parent(size).at(address << 30).kind(kind).rooted(root, &path);
                let views = views.into_iter().enumerate();
                let with_views = views.fold(parent, |parent, (n, (offset, length))| {
                    let offset = offset.min(size);
                    parent.view(types[n % 3], offset, length.min(size - offset))
                });
                with_views.done()
            },
        )
    }

    proptest! {
        /// Any census: no panic, each parent accused at most once, and never of more than it has.
        #[test]
        fn no_more_is_given_back_than_there_is(
            parents in prop::collection::vec(any_parent(), 0..40),
            before in prop::collection::vec(any_parent(), 0..20),
            n_majors in 0_u32..4,
        ) {
            let total: u64 = parents.iter().map(|parent| parent.size.0).sum();
            let n = parents.len() as u64;
            let scene = parents.into_iter().fold(Scene::new(), Scene::parent);
            let scene = scene.traced("read (app.js:1)", n_majors).before(60, before);
            let findings = detect(&scene.snapshot());
            let accused = findings.iter().filter(|it| it.kind != FindingKind::AliasedViews);
            let (bytes, n_accused) = accused.fold((0, 0), |(bytes, n), it| (bytes + it.bytes.0, n + it.n_parents));
            prop_assert!(bytes <= total && n_accused <= n);
            for finding in &findings {
                prop_assert!(!finding.summary.is_empty() && !finding.evidence.is_empty());
            }
        }
    }
}
