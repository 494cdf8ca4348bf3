//! The facts of a census in words, so that list, pages and clipboard say the same.

use crate::analysis::comparison::HolderChange;
use crate::analysis::describe::site_text;
use crate::analysis::snapshot::TracedStore;
use crate::base::text::{UNKNOWN, count, known, pad_left, percent};
use crate::base::{Bytes, sanitize};
use crate::event::census::{HolderGroup, Parent, Retained, RootKind};
use crate::tui::census::filter::kind_name;

/// `part` of `whole` in percent.
pub fn share(part: Bytes, whole: Bytes) -> String {
    if whole.0 == 0 { UNKNOWN.to_owned() } else { percent(part.0 as f64 / whole.0 as f64) }
}

/// `1 view`, `3 views`.
pub fn views(n: u64) -> String {
    plural(n, "view")
}

/// `1 parent`, `3 parents`.
pub fn parents(n: u64) -> String {
    plural(n, "parent")
}

/// `1 major GC`, `3 major GCs`.
pub fn major_gcs(n: u32) -> String {
    plural(n.into(), "major GC")
}

fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), if n == 1 { "" } else { "s" })
}

/// `own, resizable`.
pub fn kind(parent: &Parent) -> String {
    let resizable = if parent.is_resizable { ", resizable" } else { "" };
    format!("{}{resizable}", kind_name(parent.kind))
}

/// `130 MiB by Map, 1.20 KiB of it in V8's heap`.
pub fn retained(retained: Retained, by: &str) -> String {
    format!("{} by {by}, {} of it in V8's heap", retained.total(), retained.heap)
}

/// What keeps a path alive at its beginning, in words; `None` for V8 itself, which the path says better.
pub const fn root(root: RootKind) -> Option<&'static str> {
    match root {
        RootKind::Isolate => None,
        RootKind::GlobalHandle => Some("a handle of native code (v8::Global)"),
        RootKind::TracedHandle => Some("a handle of native code that V8 traces"),
        RootKind::EternalHandle => Some("native code, until the isolate ends"),
        RootKind::HandleScope => Some("a native function that runs now"),
        RootKind::Microtask => Some("a job that waits to run"),
        RootKind::Stack => Some("a function that runs now"),
    }
}

/// `+12 +120 MiB`, the numbers below each other; `=` if nothing changed.
pub fn change(change: HolderChange) -> String {
    match change {
        HolderChange::New => "new".to_owned(),
        HolderChange::Unknown => UNKNOWN.to_owned(),
        HolderChange::By { n_parents: 0, bytes: 0 } => "=".to_owned(),
        HolderChange::By { n_parents, bytes } => {
            let bytes = format!("{}{}", sign(bytes), Bytes(bytes.unsigned_abs()));
            let n = format!("{}{}", sign(n_parents), count(n_parents.unsigned_abs()));
            format!("{n} {}", pad_left(&bytes, 9))
        }
    }
}

/// The same as a sentence.
pub fn change_words(change: HolderChange) -> String {
    match change {
        HolderChange::New => "new, it held nothing".to_owned(),
        HolderChange::Unknown => "not known: the census before had too many holders".to_owned(),
        HolderChange::By { n_parents: 0, bytes: 0 } => "the same".to_owned(),
        HolderChange::By { n_parents, bytes } => {
            let n = format!("{}{}", sign(n_parents), count(n_parents.unsigned_abs()));
            format!("{n} parents, {}{}", sign(bytes), Bytes(bytes.unsigned_abs()))
        }
    }
}

const fn sign(value: i64) -> &'static str {
    match value {
        0 => "",
        1.. => "+",
        _ => "-",
    }
}

/// One line of text for the clipboard.
pub fn holder_row(group: &HolderGroup) -> String {
    format!(
        "{}: holds {} in {} through {}, which show {} ({})",
        group.path.join(" "),
        group.bytes,
        parents(group.n_parents),
        views(group.n_views),
        group.covered,
        share(group.covered, group.bytes)
    )
}

/// One line of text for the clipboard.
pub fn parent_row(parent: &Parent, traced: Option<&TracedStore>) -> String {
    let site = traced.and_then(|it| it.site.as_ref());
    let site = site.map(|it| sanitize(&site_text(&it.label, it.via.as_deref())));
    let holder = parent.holders.first().map(|holder| holder.path.join(" "));
    format!(
        "{} {} at {}: {} show {} ({}), age {}, survived {}, site {}, held by {}",
        parent.size,
        kind(parent),
        parent.address,
        views(parent.n_views),
        parent.covered,
        share(parent.covered, parent.size),
        known(traced.map(|it| it.age)),
        known(traced.and_then(|it| it.n_major_survived).map(major_gcs)),
        known(site),
        known(holder)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_have_a_sign() {
        let by = |n_parents, bytes| change(HolderChange::By { n_parents, bytes });
        assert_eq!(by(1_012, 10 << 20), "+1,012 +10.0 MiB");
        assert_eq!(by(-3, -1024), "-3 -1.00 KiB");
        assert_eq!(by(0, 0), "=");
        assert_eq!(by(0, 512), "0    +512 B");
        assert_eq!(by(i64::MIN, i64::MIN).chars().next(), Some('-'));
        assert_eq!(change(HolderChange::New), "new");
    }
}
