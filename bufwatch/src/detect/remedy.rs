//! How to copy what is kept so that the rest can be freed: which call really copies, and does not put the copy into Node's pool, where it
//! would keep a whole slab. Measured with 16, 5,000 and 40,000 bytes on Node 18 to 26 (docs/findings.md has the table).

use crate::analysis::finding::Remedy;
use crate::detect::group::{ANY_NAME, Group};
use crate::detect::holder::{class_of, name_of};
use crate::detect::look::Look;
use crate::detect::view_kind::ViewKind;

/// What the traps are, where the kept part is a Buffer or has bytes.
const TRAPS: &str = "`view.slice()` of a Buffer and `subarray` copy nothing, structuredClone copies the whole parent, and `Buffer.from(view)`, \
     `Buffer.copyBytesFrom` and `Buffer.concat` put a small copy into Node's pool, where it keeps a slab of 8 or 64 KiB";

/// Replaces views by copies with memory of their own.
pub(super) fn copy(look: &Look<'_>, group: &Group<'_>) -> Remedy {
    let kind = most_frequent(look, group);
    let copy = match kind {
        ViewKind::Buffer | ViewKind::Bytes | ViewKind::Other => {
            "Uint8Array.prototype.slice.call(view)"
        }
        ViewKind::Numbers(_) => "view.slice()",
        ViewKind::DataView => {
            "new DataView(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength))"
        }
    };
    let words = match kind {
        ViewKind::Buffer | ViewKind::Bytes | ViewKind::Other => {
            format!(
                "Keep a copy, which takes only its own length; text is kept best as a string. {TRAPS}."
            )
        }
        ViewKind::Numbers(_) | ViewKind::DataView => {
            "Keep a copy, which takes only its own length.".to_owned()
        }
    };
    Remedy { words, code: Some(keep(&group.holder, copy)) }
}

fn most_frequent(look: &Look<'_>, group: &Group<'_>) -> ViewKind {
    let parents = group.members.iter().filter_map(|index| look.parent(*index));
    let mut counts: Vec<(usize, ViewKind)> = Vec::new();
    for view in parents.flat_map(|parent| &parent.views) {
        let kind = ViewKind::of(&view.type_name);
        match counts.iter_mut().find(|(_, known)| *known == kind) {
            Some((n, _)) => *n += 1,
            None => counts.push((1, kind)),
        }
    }
    counts.into_iter().max_by_key(|(n, _)| *n).map_or(ViewKind::Buffer, |(_, kind)| kind)
}

/// The statement that puts the copy where the view is kept now, as far as the path tells.
pub(super) fn keep(holder: &[String], copy: &str) -> String {
    let last = holder.last().map_or("", |step| name_of(step));
    let container = holder.iter().rev().nth(1).and_then(|step| class_of(step));
    let property = last.strip_prefix('.').filter(|name| is_identifier(name));
    let variable = last.strip_prefix("variable ").filter(|name| is_identifier(name));
    let global = last.strip_prefix("global ").filter(|name| is_identifier(name));
    match (container, property, variable.or(global)) {
        (_, Some(name), _) => format!("object.{name} = {copy};"),
        _ if last == ANY_NAME => format!("object[key] = {copy};"),
        (_, _, Some(name)) => format!("{name} = {copy};"),
        (Some("Map" | "WeakMap"), ..) if last.starts_with('[') => format!("map.set(key, {copy});"),
        (Some("Set"), ..) if last.starts_with('[') => format!("set.add({copy});"),
        (Some("Array"), ..) if last.starts_with('[') => format!("array.push({copy});"),
        _ => format!("const kept = {copy};"),
    }
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::group::group;
    use crate::detect::made_up::{Scene, parent};

    #[test]
    fn the_copy_is_put_where_the_view_was() {
        let check = |path: &[&str], code: &str| {
            let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
            assert_eq!(keep(&path, "COPY"), code);
        };
        check(&["global H", ".cache (Map)", "[…]"], "map.set(key, COPY);");
        check(&["variable list (Array)", "[…]"], "array.push(COPY);");
        check(&["variable all (Set)", "[…]"], "set.add(COPY);");
        check(&["variable all (Map)", "[…] (Session)", ".id"], "object.id = COPY;");
        check(&["global list", "Array", "[…]"], "array.push(COPY);");
        check(&["global keep", "variable head"], "head = COPY;");
        check(&["variable dict (Object)", ".…"], "object[key] = COPY;");
        check(&["held natively"], "const kept = COPY;");
        check(&[], "const kept = COPY;");
    }

    #[test]
    fn each_kind_of_view_has_a_call_that_copies() {
        let check = |type_name: &str, copy: &str| {
            let parent = parent(1_000).view(type_name, 0, 16).held_by(&["global H"]).done();
            let snapshot = Scene::new().parent(parent).snapshot();
            let look = Look::new(&snapshot).unwrap();
            let remedy = super::copy(&look, &group(&look, &[0])[0]);
            assert!(remedy.code.unwrap().contains(copy));
        };
        check("Buffer", "Uint8Array.prototype.slice.call(view)");
        check("Float64Array", "view.slice()");
        check("DataView", "new DataView(view.buffer.slice(");
    }
}
