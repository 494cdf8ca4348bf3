//! The rules on single files besides their imports: headers, names, unsafe code, and words
//! that stand for unfinished work.

use super::source_text::Source;
use super::{Breach, RustFile};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 5] = ["utils", "helpers", "manager", "common", "misc"];

/// Code that stands for code not written, and tests that do not run.
const UNFINISHED_CODE: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];

/// The same in comments.
const UNFINISHED_COMMENTS: [&str; 2] = ["FIXME", "XXX"];

/// Where unsafe code may stand.
const UNSAFE_PLACES: [&str; 4] = [
    "bufwatch-common/src/layout.rs",
    "bufwatch-ebpf/",
    "bufwatch/src/source/ebpf",
    "bufwatch/src/sys/",
];

pub(super) fn check(file: &RustFile, source: &Source, breaches: &mut Vec<Breach>) {
    let mut report = |line: usize, what: String| {
        breaches.push(Breach { path: file.path.clone(), line, what });
    };
    if !file.text.starts_with("//! ") {
        report(1, "does not open with a `//!` sentence on what it is responsible for".to_owned());
    }
    if let Some(name) = empty_name(&file.path) {
        report(1, format!("`{name}` says nothing about what is inside: name it by its noun"));
    }
    let may_be_unsafe = UNSAFE_PLACES.iter().any(|place| file.path.starts_with(place));
    for (index, line) in source.code.lines().enumerate() {
        if !may_be_unsafe && has_word(line, "unsafe") {
            report(index + 1, format!("`unsafe` outside of {}", UNSAFE_PLACES.join(", ")));
        }
        for word in UNFINISHED_CODE {
            if line.contains(word) {
                report(index + 1, format!("`{word}` stands for unfinished work"));
            }
        }
    }
    for (index, line) in source.comments.lines().enumerate() {
        for word in UNFINISHED_COMMENTS {
            if has_word(line, word) {
                report(index + 1, format!("`{word}` stands for unfinished work"));
            }
        }
    }
}

/// The part of a path below `src` or `tests` that is an empty name.
fn empty_name(path: &str) -> Option<&str> {
    let (_, inside) = path.split_once("/src/").or_else(|| path.split_once("/tests/"))?;
    inside
        .split('/')
        .map(|part| part.strip_suffix(".rs").unwrap_or(part))
        .find(|part| EMPTY_NAMES.contains(part))
}

fn has_word(line: &str, word: &str) -> bool {
    let in_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(in_word) && !after.is_some_and(in_word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::source_text::split;
    use super::*;

    fn check_one(path: &str, text: &str) -> Vec<String> {
        let file = RustFile { path: path.to_owned(), text: text.to_owned() };
        let mut breaches = Vec::new();
        check(&file, &split(text), &mut breaches);
        breaches.into_iter().map(|breach| format!("{}: {}", breach.line, breach.what)).collect()
    }

    #[test]
    fn missing_header_is_found() {
        assert!(check_one("bufwatch/src/base/mod.rs", "use a;\n").concat().contains("`//!`"));
        assert!(check_one("bufwatch/src/base/mod.rs", "//! Units.\n").is_empty());
    }

    #[test]
    fn empty_names_are_found_in_files_and_folders() {
        assert_eq!(empty_name("bufwatch/src/tui/helpers.rs"), Some("helpers"));
        assert_eq!(empty_name("bufwatch/tests/live/common/mod.rs"), Some("common"));
        assert_eq!(empty_name("bufwatch-common/src/record.rs"), None);
        assert_eq!(empty_name("bufwatch/src/tui/manager_of_none.rs"), None);
    }

    #[test]
    fn unsafe_is_found_outside_its_places() {
        let text = "//! A.\nfn f() { unsafe { g() } }\n";
        assert_eq!(check_one("bufwatch/src/elf/mod.rs", text).len(), 1);
        assert!(check_one("bufwatch/src/sys/ptrace.rs", text).is_empty());
    }

    #[test]
    fn unsafe_in_lint_names_comments_and_strings_is_not_code() {
        let text = "//! Not unsafe.\n#![deny(unsafe_code)]\nconst A: &str = \"unsafe\";\n";
        assert!(check_one("bufwatch/src/elf/mod.rs", text).is_empty());
    }

    #[test]
    fn unfinished_work_is_found() {
        let text = "//! A.\nfn f() { todo!() }\n#[ignore]\n// FIXME: later\n// XXX\n";
        let lines: Vec<String> = check_one("xtask/src/a.rs", text);
        assert_eq!(lines.len(), 4, "{lines:?}");
    }
}
