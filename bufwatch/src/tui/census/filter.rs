//! Which rows of a census a filter leaves: the language of the store table, asked of holders and parents.

use crate::analysis::query::{Condition, StoreFilter};
use crate::analysis::snapshot::TracedStore;
use crate::event::StoreKind;
use crate::event::census::{HolderGroup, Parent, ParentKind};

/// How screens spell it.
pub const fn kind_name(kind: ParentKind) -> &'static str {
    match kind {
        ParentKind::Own => "own",
        ParentKind::Pool => "pool slab",
        ParentKind::Read => "read chunk",
        ParentKind::Shared => "shared",
        ParentKind::Wasm => "wasm",
        ParentKind::External => "external",
    }
}

/// Age, collections, kind, thread and pages are facts of a parent: no holder has them.
pub(super) fn matches_holder(filter: &StoreFilter, group: &HolderGroup) -> bool {
    filter.conditions.iter().all(|condition| match condition {
        Condition::SizeAtLeast(size) => group.bytes >= *size,
        Condition::SizeAtMost(size) => group.bytes <= *size,
        Condition::Site(text) => is_path(&group.path, text),
        Condition::InRamAtLeast(_)
        | Condition::InRamAtMost(_)
        | Condition::AgeAtLeast(_)
        | Condition::AgeAtMost(_)
        | Condition::MajorsAtLeast(_)
        | Condition::MajorsAtMost(_)
        | Condition::Thread(_)
        | Condition::Kind(_) => false,
    })
}

/// What is not known of a parent does not match.
pub(super) fn matches_parent(
    filter: &StoreFilter,
    parent: &Parent,
    traced: Option<&TracedStore>,
) -> bool {
    let majors = traced.and_then(|it| it.n_major_survived);
    filter.conditions.iter().all(|condition| match condition {
        Condition::SizeAtLeast(size) => parent.size >= *size,
        Condition::SizeAtMost(size) => parent.size <= *size,
        Condition::InRamAtLeast(size) => parent.resident().is_some_and(|it| it >= *size),
        Condition::InRamAtMost(size) => parent.resident().is_some_and(|it| it <= *size),
        Condition::AgeAtLeast(age) => traced.is_some_and(|it| it.age >= *age),
        Condition::AgeAtMost(age) => traced.is_some_and(|it| it.age <= *age),
        Condition::MajorsAtLeast(n) => majors.is_some_and(|it| it >= *n),
        Condition::MajorsAtMost(n) => majors.is_some_and(|it| it <= *n),
        Condition::Kind(kind) => is_kind(parent, *kind),
        // A census does not know which thread allocated.
        Condition::Thread(_) => false,
        Condition::Site(text) => {
            let site = traced.and_then(|it| it.site.as_ref());
            let is_site = site.is_some_and(|it| {
                contains(&it.label, text) || it.via.as_ref().is_some_and(|via| contains(via, text))
            });
            is_site
                || contains(kind_name(parent.kind), text)
                || parent.holders.iter().any(|holder| is_path(&holder.path, text))
        }
    })
}

fn is_kind(parent: &Parent, kind: StoreKind) -> bool {
    match kind {
        StoreKind::Plain => {
            matches!(parent.kind, ParentKind::Own | ParentKind::Pool | ParentKind::Read)
                && !parent.is_resizable
        }
        StoreKind::Resizable => parent.kind == ParentKind::Own && parent.is_resizable,
        StoreKind::Shared => parent.kind == ParentKind::Shared && !parent.is_resizable,
        StoreKind::GrowableShared => parent.kind == ParentKind::Shared && parent.is_resizable,
        StoreKind::Wasm => parent.kind == ParentKind::Wasm,
        StoreKind::External => parent.kind == ParentKind::External,
        // A census does not tell it from one that is not shared.
        StoreKind::SharedWasm => false,
    }
}

/// `text` is in lower case.
fn is_path(path: &[String], text: &str) -> bool {
    path.iter().any(|step| contains(step, text))
}

fn contains(whole: &str, text: &str) -> bool {
    whole.to_lowercase().contains(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Bytes;
    use crate::event::census::Holder;

    fn filter(text: &str) -> StoreFilter {
        StoreFilter::parse(text).unwrap()
    }

    #[test]
    fn a_parent_is_found_by_what_is_known_of_it() {
        let holders =
            vec![Holder { path: vec!["global H".into(), ".Cache".into()], ..Holder::default() }];
        let parent =
            Parent { size: Bytes(2 << 20), kind: ParentKind::Pool, holders, ..Parent::default() };
        for (text, expect) in [
            ("size>1mb", true),
            ("size<1mb", false),
            ("cache", true),
            ("site~slab", true),
            ("kind=plain", true),
            ("kind=wasm", false),
            ("age>0s", false),
            ("gc<9", false),
            ("tid=1", false),
        ] {
            assert_eq!(matches_parent(&filter(text), &parent, None), expect, "{text}");
        }
    }

    #[test]
    fn a_holder_is_found_by_its_path_and_bytes() {
        let group = HolderGroup {
            path: vec!["variable Pool".into()],
            bytes: Bytes(100),
            ..HolderGroup::default()
        };
        for (text, expect) in [("pool size>50", true), ("size>200", false), ("age>1s", false)] {
            assert_eq!(matches_holder(&filter(text), &group), expect, "{text}");
        }
    }
}
