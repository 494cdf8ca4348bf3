//! `GROW_ONLY_POOL`: a pool of the application that took much memory once and does not give it back.
//!
//! Two shapes:
//! - a pool in one buffer that was cut to be smaller: its only view is the tail of a large store. `slice` and `subarray` of a Buffer free
//!   nothing, so the store stays as large as it ever was (redis-parser 3, used by ioredis 5: prior-art.md §0). What tells it from the rest
//!   of a message that is being parsed: its holder is named a pool, or the census before saw the same tail longer.
//! - a free list: buffers of one size, whole, that one list holds and nothing else. A cache looks the same at one moment, so two censuses
//!   are needed: all buffers of the first are still there, more have come, half of the bytes were idle in both; and either one of them was
//!   in use elsewhere in one of the two (a cache does not lend its entries), or the list is named a pool.
//!
//! Not accused: a cache, a list of files, buffers of different sizes, a pool that did not grow or gave something back.

use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::base::Bytes;
use crate::base::text::count;
use crate::detect::group::{Group, group};
use crate::detect::holder::{ANY_KEY, main_of, name_of, pattern, text_of};
use crate::detect::look::{Look, Tenure};
use crate::detect::pinned_parent::WORTH;
use crate::detect::{Claimed, remedy, wording};
use crate::event::census::{Parent, ParentKind};

/// Buffers of a free list at least: with fewer, one more or less is no growth.
const LIST_MIN: usize = 8;

/// What people call a container of buffers that wait to be used.
const POOL_NAMES: [&str; 6] = ["pool", "free", "spare", "idle", "avail", "recycl"];

pub(super) fn find(look: &Look<'_>, claimed: &mut Claimed) -> Vec<Finding> {
    let cut = look.parents().filter(|(index, parent)| {
        is_cut_pool(look, parent) && look.tenure(*index, |_| true) != Tenure::Young
    });
    let cut: Vec<usize> = cut.map(|(index, _)| index).collect();
    let mut findings = Vec::new();
    for group in group(look, &cut) {
        claimed.extend(&group.members);
        findings.push(of_cut_pool(look, &group));
    }
    findings.extend(free_lists(look, claimed));
    findings
}

/// Its one view is what is left after cutting from the front.
fn tail(parent: &Parent) -> Option<u64> {
    let [only] = parent.views.as_slice() else { return None };
    let is_tail = parent.n_views == 1
        && only.offset > 0
        && only.offset.saturating_add(only.length.0) == parent.size.0;
    (is_tail && !parent.is_held_itself).then_some(only.offset)
}

fn is_cut_pool(look: &Look<'_>, parent: &Parent) -> bool {
    let Some(cut_off) = tail(parent) else { return false };
    if !matches!(parent.kind, ParentKind::Own | ParentKind::Read) || Bytes(cut_off) < WORTH {
        return false;
    }
    let Some(holder) = main_of(parent) else { return false };
    // One buffer, not one of many.
    let last = holder.path.last().map_or("", |step| name_of(step));
    !last.starts_with('[') && (is_pool_name(last) || was_longer(look, parent, cut_off))
}

/// The census before saw the same holder with more of the same store.
fn was_longer(look: &Look<'_>, parent: &Parent, cut_off: u64) -> bool {
    let Some(earlier) = look.earlier(parent) else { return false };
    let is_same_holder = main_of(earlier).map(|it| &it.path) == main_of(parent).map(|it| &it.path);
    let earlier_cut = match earlier.views.as_slice() {
        [whole] if whole.offset == 0 && whole.length == earlier.size => Some(0),
        _ => tail(earlier),
    };
    // The rest of a message is parsed within a moment: of that no two censuses tell.
    is_same_holder
        && earlier_cut.is_some_and(|earlier| earlier < cut_off)
        && look.tenure_between() >= Tenure::Seen
}

fn is_pool_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    POOL_NAMES.iter().any(|part| name.contains(part))
}

fn of_cut_pool(look: &Look<'_>, group: &Group<'_>) -> Finding {
    let rest = group.sum(look, |parent| parent.covered);
    let size = group.sum(look, |parent| parent.size);
    let bytes = size.saturating_sub(rest);
    let tenure = |index| look.tenure(index, |_| true);
    let is_settled = group.members.iter().all(|index| tenure(*index) == Tenure::Settled);
    let confidence = if is_settled { Confidence::High } else { Confidence::Medium };
    let mut finding = wording::finding(look, group, FindingKind::GrowOnlyPool, confidence, bytes);
    finding.summary = format!(
        "a pool was cut to its last {rest} by slice() or subarray() and still takes {size}, held by {}",
        text_of(&group.holder)
    );
    finding.evidence = vec![
        wording::amounts(look, group),
        "the only view of it is its tail: the front was cut off, and nothing can use it again"
            .to_owned(),
        wording::holders(look, group),
        wording::tenures(look, group, tenure),
    ];
    finding.evidence.extend(wording::in_ram(look, group));
    finding.remedy = Remedy {
        words: "Cutting a Buffer frees nothing: allocate a smaller one and let go of the old. If this is redis-parser, it comes with \
                ioredis 5; ioredis 6 has no such pool."
            .to_owned(),
        code: Some(remedy::keep(&group.holder, "Buffer.allocUnsafeSlow(INITIAL_SIZE)")),
    };
    finding
}

/// Whole, and nothing but one element of a list.
fn is_idle(parent: &Parent) -> bool {
    let [holder] = parent.holders.as_slice() else { return false };
    let is_whole = match parent.n_views {
        0 => true,
        1 => parent.covered == parent.size,
        _ => false,
    };
    is_whole && pattern(&holder.path).last().is_some_and(|step| step == ANY_KEY)
}

fn free_lists(look: &Look<'_>, claimed: &mut Claimed) -> Vec<Finding> {
    if look.before.is_none() || look.tenure_between() < Tenure::Seen {
        return Vec::new();
    }
    let idle = look.parents().filter(|(index, parent)| {
        matches!(parent.kind, ParentKind::Own | ParentKind::External)
            && !claimed.contains(index)
            && is_idle(parent)
    });
    let idle: Vec<usize> = idle.map(|(index, _)| index).collect();
    let mut findings = Vec::new();
    for group in group(look, &idle) {
        if let Some(finding) = free_list(look, &group) {
            claimed.extend(&group.members);
            findings.push(finding);
        }
    }
    findings
}

fn free_list(look: &Look<'_>, group: &Group<'_>) -> Option<Finding> {
    let first = look.parent(*group.members.first()?)?;
    let is_one_size = group.count(|it| look.parent(it).map(|it| it.size) != Some(first.size)) == 0;
    if group.members.len() < LIST_MIN || !is_one_size {
        return None;
    }
    let in_list = |parent: &Parent| {
        is_idle(parent) && main_of(parent).is_some_and(|it| pattern(&it.path) == group.holder)
    };
    let parents_before = &look.before?.census.parents;
    let idle_before: Vec<&Parent> = parents_before.iter().filter(|it| in_list(it)).collect();
    let has_shrunk = idle_before.iter().any(|it| look.later(it).is_none());
    let is_new = |index| look.parent(index).is_some_and(|it| look.earlier(it).is_none());
    let was_lent = |index| {
        let earlier = look.parent(index).and_then(|it| look.earlier(it));
        earlier.is_some_and(|it| !in_list(it))
    };
    let is_still_idle = |index| {
        let earlier = look.parent(index).and_then(|it| look.earlier(it));
        earlier.is_some_and(in_list)
    };
    let n_new = group.count(is_new);
    // Came back since, or is away now.
    let is_lent_now = |it: &&&Parent| look.later(it).is_some_and(|later| !in_list(later));
    let n_lent = group.count(was_lent) + idle_before.iter().filter(is_lent_now).count() as u64;
    let n_still = group.count(is_still_idle);
    let bytes = Bytes(n_still.saturating_mul(first.size.0));
    let is_named = group.holder.iter().any(|step| is_pool_name(name_of(step)));
    let is_proven = !has_shrunk
        && n_new > 0
        && n_still.saturating_mul(2) >= group.members.len() as u64
        && bytes >= WORTH
        && (n_lent > 0 || is_named);
    if !is_proven {
        return None;
    }
    let confidence = if n_lent > 0 { Confidence::Medium } else { Confidence::Low };
    let mut finding = wording::finding(look, group, FindingKind::GrowOnlyPool, confidence, bytes);
    finding.n_parents = n_still;
    let between = look.between().unwrap_or_default();
    finding.summary = format!(
        "a pool of {} only grows: {} lie idle since {between} or longer, {bytes}, held by {}",
        wording::buffers(look, &group.members),
        count(n_still),
        text_of(&group.holder)
    );
    finding.evidence = vec![
        wording::amounts(look, group),
        format!(
            "{between} before the list had {}; all of them are still there, {} came",
            count(idle_before.len() as u64),
            count(n_new)
        ),
        format!("{} were in use elsewhere in one of the two censuses", count(n_lent)),
    ];
    finding.evidence.extend(wording::in_ram(look, group));
    finding.remedy = Remedy {
        words:
            "Give the pool an upper limit, and let go of buffers that come back when it is full."
                .to_owned(),
        code: Some(
            "if (pool.length < POOL_MAX) pool.push(buffer); // else it is garbage".to_owned(),
        ),
    };
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::made_up::{MadeUp, Scene, parent};

    const MB: u64 = 1_000_000;

    fn find_in(scene: &Scene) -> Vec<Finding> {
        let snapshot = scene.snapshot();
        find(&Look::new(&snapshot).unwrap(), &mut Claimed::default())
    }

    fn cut(name: &str, left: u64) -> Parent {
        let pool = parent(150 * MB).at(0x1000).view("Buffer", 150 * MB - left, left);
        pool.held_by(&["variable parser (Object)", name]).done()
    }

    #[test]
    fn a_pool_that_was_cut_is_told_by_its_name() {
        let found = find_in(&Scene::new().parent(cut("variable bufferPool", 50_000)));
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!(found.bytes, Bytes(150 * MB - 50_000));
        assert_eq!(found.confidence, Confidence::Medium);
        let code = found.remedy.code.as_deref();
        assert_eq!(code, Some("bufferPool = Buffer.allocUnsafeSlow(INITIAL_SIZE);"));
        let old = Scene::new().parent(cut("variable bufferPool", 50_000)).traced("parse", 3);
        assert_eq!(find_in(&old).pop().unwrap().confidence, Confidence::High);
    }

    #[test]
    fn a_pool_that_was_cut_is_told_by_having_been_longer() {
        let now = Scene::new().parent(cut("variable data", 50_000));
        let before = |seconds, left| now.clone().before(seconds, vec![cut("variable data", left)]);
        assert_eq!(find_in(&now).len(), 0, "the rest of a message");
        assert_eq!(find_in(&before(60, 100 * MB)).len(), 1);
        assert_eq!(find_in(&before(1, 100 * MB)).len(), 0, "it is being parsed");
        assert_eq!(find_in(&before(60, 50_000)).len(), 0, "it did not get shorter");
        let whole = parent(150 * MB).at(0x1000).view("Buffer", 0, 150 * MB);
        let whole = whole.held_by(&["variable parser (Object)", "variable data"]).done();
        assert_eq!(find_in(&now.before(60, vec![whole])).len(), 1);
    }

    #[test]
    fn a_pool_that_is_whole_or_seen_otherwise_is_not_accused() {
        let pool = || parent(150 * MB).held_by(&["variable bufferPool"]);
        let n = |parent: MadeUp| find_in(&Scene::new().parent(parent.done())).len();
        assert_eq!(n(pool().view("Buffer", 0, 150 * MB)), 0);
        assert_eq!(n(pool().view("Buffer", 0, 50_000)), 0, "not a tail");
        assert_eq!(n(pool().view("Buffer", 100 * MB, 50 * MB).view("Buffer", 0, 16)), 0);
        assert_eq!(n(pool().view("Buffer", 100 * MB, 50 * MB).held_itself()), 0);
        assert_eq!(n(pool().view("Buffer", 900_000, 150 * MB - 900_000)), 0, "not much");
        let many = parent(150 * MB).view("Buffer", 149 * MB, MB);
        assert_eq!(n(many.held_by(&["variable pool (Map)", "[\"a\"]"])), 0);
    }

    fn whole(number: u64, path: &[&str]) -> Parent {
        let buffer = parent(MB).at(number << 24).view("Buffer", 0, MB);
        buffer.held_by(path).done()
    }

    fn list(name: &str, numbers: std::ops::Range<u64>) -> Vec<Parent> {
        numbers.map(|number| whole(number, &[name, "Array", &format!("[{number}]")])).collect()
    }

    fn scene(before: Vec<Parent>, now: Vec<Parent>) -> Scene {
        now.into_iter().fold(Scene::new(), Scene::parent).before(60, before)
    }

    const LENT: [&str; 2] = ["variable job (Job)", ".buffer"];

    #[test]
    fn a_free_list_that_lends_and_grows_is_told() {
        let before = [list("global a", 1..30), vec![whole(30, &LENT)]].concat();
        let found = find_in(&scene(before, list("global a", 1..40)));
        let [found] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((found.n_parents, found.bytes), (29, Bytes(29 * MB)));
        assert_eq!(found.confidence, Confidence::Medium);
        let lent_now = [list("global a", 1..28), list("global a", 29..40), vec![whole(28, &LENT)]];
        assert_eq!(find_in(&scene(list("global a", 1..29), lent_now.concat())).len(), 1);
    }

    #[test]
    fn a_list_that_is_named_a_pool_is_told_with_less_confidence() {
        let found = find_in(&scene(list("global freeList", 1..30), list("global freeList", 1..40)));
        assert_eq!(found[0].confidence, Confidence::Low);
    }

    #[test]
    fn caches_and_pools_that_do_not_grow_are_not_accused() {
        let n = |before, now| find_in(&scene(before, now)).len();
        let a = |numbers| list("global a", numbers);
        assert_eq!(n(a(1..30), a(1..40)), 0, "a cache that fills");
        let pool = |numbers| list("global pool", numbers);
        assert_eq!(n(pool(1..30), pool(1..30)), 0, "no growth");
        assert_eq!(n(pool(1..30), pool(2..40)), 0, "one was given back");
        assert_eq!(n(pool(1..10), pool(1..40)), 0, "most are new");
        assert_eq!(n(Vec::new(), pool(1..40)), 0);
        let short = pool(1..30).into_iter().fold(Scene::new(), Scene::parent);
        assert_eq!(find_in(&short).len(), 0, "one census");
        let mut mixed = pool(1..40);
        mixed[7].size = Bytes(2 * MB);
        assert_eq!(n(pool(1..30), mixed), 0, "files have different sizes");
    }
}
