//! What the kernel side and the user side both read is defined once, in bufwatch-common. A type with a
//! fixed layout that has the same name in both other crates is a copy of one, which would drift.

use std::collections::BTreeSet;

use super::source_text::{self, Source};
use super::{Breach, RustFile};

const KERNEL_SIDE: &str = "bufwatch-ebpf/src/";
const USER_SIDE: &str = "bufwatch/src/";

pub(super) fn check(files: &[RustFile], breaches: &mut Vec<Breach>) {
    let kernel_side: BTreeSet<String> = layouts(files, KERNEL_SIDE).map(|it| it.name).collect();
    for layout in layouts(files, USER_SIDE).filter(|it| kernel_side.contains(&it.name)) {
        let what =
            format!("`{}` is also in {KERNEL_SIDE}: move it to bufwatch-common", layout.name);
        breaches.push(Breach { path: layout.path, line: layout.line, what });
    }
}

/// A type with a fixed layout.
#[derive(Debug)]
struct Layout {
    name: String,
    path: String,
    line: usize,
}

fn layouts<'a>(files: &'a [RustFile], place: &'a str) -> impl Iterator<Item = Layout> {
    files.iter().filter(move |file| file.path.starts_with(place)).flat_map(|file| {
        let source = source_text::split(&file.text);
        layouts_of(&source).into_iter().map(|(line, name)| Layout {
            name,
            path: file.path.clone(),
            line,
        })
    })
}

fn layouts_of(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut is_fixed = false;
    for (index, line) in source.code.lines().enumerate() {
        let line = line.trim_start();
        is_fixed |= line.starts_with("#[repr(");
        let name = type_name(line);
        if is_fixed && let Some(name) = name {
            found.push((index + 1, name.to_owned()));
        }
        // Other attributes may stand between.
        is_fixed &= name.is_none();
    }
    found
}

/// The name that a line defines as a struct, union or enum.
fn type_name(line: &str) -> Option<&str> {
    let mut words =
        line.split(|character: char| !(character.is_alphanumeric() || character == '_'));
    words.find(|word| ["struct", "union", "enum"].contains(word))?;
    words.next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_two(kernel: &str, user: &str) -> Vec<usize> {
        let file = |place: &str, text: &str| RustFile {
            path: format!("{place}a.rs"),
            text: text.to_owned(),
        };
        let mut breaches = Vec::new();
        check(&[file(KERNEL_SIDE, kernel), file(USER_SIDE, user)], &mut breaches);
        breaches.into_iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn copy_of_a_wire_type_is_found() {
        let kernel = "#[repr(C)]\n#[derive(Clone)]\npub struct Header {\n}\n";
        assert_eq!(check_two(kernel, "\n#[repr(C)]\nstruct Header;"), [3]);
    }

    #[test]
    fn own_layouts_and_plain_types_pass() {
        let kernel = "#[repr(C)]\nstruct Scratch;\nstruct Plain;";
        assert!(check_two(kernel, "#[repr(C)]\nstruct Batch;\nstruct Plain;").is_empty());
    }
}
