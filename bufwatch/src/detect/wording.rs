//! What detectors say, in the same words: how many array buffers, held by whom, for how long. Decides nothing.

use std::sync::Arc;

use crate::analysis::finding::{Confidence, Finding, FindingKind, Remedy};
use crate::base::text::{count, percent};
use crate::base::{Bytes, Nanos};
use crate::detect::group::Group;
use crate::detect::holder::text_of;
use crate::detect::look::{Look, Tenure};
use crate::event::census::Parent;

/// `an array buffer of 9.54 MiB`, `500 array buffers of 64.0 KiB to 9.54 MiB`.
pub(super) fn buffers(look: &Look<'_>, members: &[usize]) -> String {
    let sizes = members.iter().filter_map(|index| look.parent(*index)).map(|it| it.size);
    let sizes = span(sizes);
    match members.len() {
        1 => format!("an array buffer of {sizes}"),
        n => format!("{} array buffers of {sizes}", count(n as u64)),
    }
}

/// `one view of 16 B`, `one view of 16 B each`, `700 views of 8 B to 2.00 KiB`; only the listed views of a parent are looked at.
pub(super) fn views(look: &Look<'_>, members: &[usize]) -> String {
    let parents = || members.iter().filter_map(|index| look.parent(*index));
    let lengths = span(parents().flat_map(|parent| &parent.views).map(|view| view.length));
    let n: u64 = parents().map(|parent| parent.n_views).sum();
    let each = if lengths.contains(" to ") || n == 1 { "" } else { " each" };
    if n == members.len() as u64 {
        format!("one view of {lengths}{each}")
    } else {
        format!("{} views of {lengths}{each}", count(n))
    }
}

/// The least and the most, as they print.
fn span(values: impl Iterator<Item = Bytes>) -> String {
    let (mut least, mut most) = (None, None);
    for value in values {
        least = Some(least.map_or(value, |least: Bytes| least.min(value)));
        most = most.max(Some(value));
    }
    let (least, most) =
        (least.unwrap_or_default().to_string(), most.unwrap_or_default().to_string());
    if least == most { most } else { format!("{least} to {most}") }
}

/// How a summary ends: the line of the application where it is known, else who holds them.
pub(super) fn place(group: &Group<'_>) -> String {
    match group.site {
        Some(site) => match &site.via {
            Some(via) => format!("allocated at {} by {via}", site.label),
            None => format!("allocated at {}", site.label),
        },
        None if group.holder.len() == 1 && group.holder.iter().any(|step| step == "…") => {
            "held in different places".to_owned()
        }
        None => format!("held by {}", text_of(&group.holder)),
    }
}

/// `one`, or the number, and the noun to it.
pub(super) fn n_of(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Amounts: how much there is, and how much of it is in use.
pub(super) fn amounts(look: &Look<'_>, group: &Group<'_>) -> String {
    let size = group.sum(look, |parent| parent.size);
    let covered = group.sum(look, |parent| parent.covered);
    let n_views = group.sum(look, |parent| Bytes(parent.n_views)).0;
    let n = group.members.len() as u64;
    let share = percent(covered.0 as f64 / (size.0 as f64).max(1.0));
    format!(
        "{}, {size} together; {} {covered} of it ({share})",
        n_of(n, "array buffer", "array buffers"),
        n_of(n_views, "live view shows", "live views show"),
    )
}

/// The holder with all that is known, and how many have others beside.
pub(super) fn holders(look: &Look<'_>, group: &Group<'_>) -> String {
    let has_others = |index| look.parent(index).is_some_and(|parent| parent.holders.len() > 1);
    let text = format!("held by {}", group.holder.join(" "));
    match group.count(has_others) {
        0 => text,
        n if n == group.members.len() as u64 => format!("{text}, and by others, too"),
        n => format!("{text}; {} of them by others, too", count(n)),
    }
}

/// What is known about how long they have been there.
pub(super) fn tenures(look: &Look<'_>, group: &Group<'_>, of: impl Fn(usize) -> Tenure) -> String {
    let n_all = group.members.len() as u64;
    let n_settled = group.count(|index| of(index) == Tenure::Settled);
    let n_seen = group.count(|index| of(index) == Tenure::Seen);
    let n_traced = group.count(|index| look.traced(index).is_some());
    let all = |n| if n == n_all { "all".to_owned() } else { count(n) };
    let mut parts = Vec::new();
    if n_settled > 0 {
        parts.push(format!("{} survived 2 major collections or more", all(n_settled)));
    }
    if n_seen > 0 {
        let how = match look.between() {
            Some(between) if n_traced == 0 => format!("were there {between} before, too"),
            _ => "survived a major collection".to_owned(),
        };
        parts.push(format!("{} {how}", all(n_seen)));
    }
    if let Some(age) = age(look, group) {
        parts.push(format!("the oldest is {age} old"));
    } else if n_seen + n_settled == 0 {
        parts.push("since when is not known: they are not traced".to_owned());
    }
    parts.join(", ")
}

fn age(look: &Look<'_>, group: &Group<'_>) -> Option<Nanos> {
    group.members.iter().filter_map(|index| look.traced(*index)).map(|it| it.age).max()
}

/// A finding on a group, but for what only its detector can say.
pub(super) fn finding(
    look: &Look<'_>,
    group: &Group<'_>,
    kind: FindingKind,
    confidence: Confidence,
    bytes: Bytes,
) -> Finding {
    let traced = || group.members.iter().filter_map(|index| look.traced(*index));
    Finding {
        kind,
        confidence,
        bytes,
        n_parents: group.members.len() as u64,
        summary: String::new(),
        evidence: Vec::new(),
        remedy: Remedy::default(),
        site: group.site.map(|site| Arc::clone(&site.label)),
        via: group.site.and_then(|site| site.via.clone()),
        holder: group.holder.clone(),
        age: age(look, group),
        n_major_survived: traced().filter_map(|it| it.n_major_survived).max(),
    }
}

/// How much of a group is in RAM: what was never written to takes none (kernel-facts.md §1). Where nobody looked, it is said if the process
/// as a whole has less than is accused.
pub(super) fn in_ram(look: &Look<'_>, group: &Group<'_>) -> Option<String> {
    let size = group.sum(look, |parent| parent.size);
    let members = group.members.iter().filter_map(|index| look.parent(*index));
    let resident: Option<Vec<Bytes>> = members.map(Parent::resident).collect();
    if let Some(resident) = resident {
        let resident: Bytes = resident.into_iter().sum();
        return Some(format!("{resident} of the {size} is in RAM"));
    }
    let rss = look.snapshot.memory.rss?;
    (rss < size).then(|| {
        format!("the whole process has {rss} in RAM: most of these bytes were never written to")
    })
}

/// The parent that gives back the most, in full.
pub(super) fn example(parent: &Parent) -> String {
    let at = match parent.views.as_slice() {
        [only] if parent.n_views == 1 => format!(" at offset {}", count(only.offset)),
        _ => String::new(),
    };
    format!(
        "the largest has {}, of which {} {}{at}",
        parent.size,
        n_of(parent.n_views, "view shows", "views show"),
        parent.covered
    )
}
