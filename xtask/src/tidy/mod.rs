//! `cargo xtask tidy`: the rules of this repository that no compiler knows. It reads the Rust files
//! and reports every breach with its place; the rules are one file each beside this one.

mod layers;
mod rules;
mod source_text;
mod wire_types;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process::say;
use crate::workspace::Workspace;

/// Above this many lines a file is reported: it probably has a second responsibility.
const LINES_REPORTED: usize = 400;

/// Above this many lines the check fails.
const LINES_MAX: usize = 600;

/// The crates whose files are read.
const CRATES: [&str; 4] = ["bufwatch", "bufwatch-common", "bufwatch-ebpf", "xtask"];

/// A breach of a rule, ready to be clicked on.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    path: String,
    line: usize,
    what: String,
}

/// A Rust file of the repository.
#[derive(Debug)]
struct RustFile {
    /// From the root of the repository, with `/`.
    path: String,
    text: String,
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = read_files(workspace.root())?;
    let mut breaches = Vec::new();
    for file in &files {
        check(file, &mut breaches);
    }
    wire_types::check(&files, &mut breaches);
    for breach in &breaches {
        say(format_args!("{}:{}: {}", breach.path, breach.line, breach.what));
    }
    report_sizes(&files);
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("tidy found {} in {} files", count(breaches.len(), "breach", "breaches"), files.len())
}

fn check(file: &RustFile, breaches: &mut Vec<Breach>) {
    let source = source_text::split(&file.text);
    layers::check(&file.path, &source, breaches);
    rules::check(file, &source, breaches);
    let n_lines = file.text.lines().count();
    if n_lines > LINES_MAX {
        let what = format!("{n_lines} lines, at most {LINES_MAX} are allowed: split it");
        breaches.push(Breach { path: file.path.clone(), line: 1, what });
    }
}

fn report_sizes(files: &[RustFile]) {
    let mut n_total = 0;
    for file in files {
        let n_lines = file.text.lines().count();
        n_total += n_lines;
        if n_lines > LINES_REPORTED {
            say(format_args!(
                "{}: {n_lines} lines, more than {LINES_REPORTED}: has it one responsibility?",
                file.path
            ));
        }
    }
    say(format_args!("tidy read {n_total} lines in {}", count(files.len(), "file", "files")));
}

fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

fn read_files(root: &Path) -> Result<Vec<RustFile>> {
    let mut paths = Vec::new();
    for name in CRATES {
        find_rust_files(&root.join(name), &mut paths)?;
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
            let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            Ok(RustFile { path, text })
        })
        .collect()
}

fn find_rust_files(folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(folder).with_context(|| format!("list `{}`", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("list `{}`", folder.display()))?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                find_rust_files(&path, paths)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaches_of(path: &str, text: &str) -> Vec<String> {
        let mut breaches = Vec::new();
        check(&RustFile { path: path.to_owned(), text: text.to_owned() }, &mut breaches);
        breaches.into_iter().map(|breach| format!("{}: {}", breach.line, breach.what)).collect()
    }

    #[test]
    fn clean_file_passes() {
        let text = "//! Counts.\n\nuse crate::base::units::Bytes;\n";
        assert!(breaches_of("bufwatch/src/event/mod.rs", text).is_empty());
    }

    #[test]
    fn every_rule_is_reached() {
        let text = "use crate::model::Model;\nfn f() { unsafe { todo!() } }\n";
        let found = breaches_of("bufwatch/src/event/utils.rs", text).join("\n");
        for part in ["imports `model`", "`//!`", "`unsafe`", "`todo!`", "`utils`"] {
            assert!(found.contains(part), "{part} is missing in:\n{found}");
        }
    }

    #[test]
    fn long_file_fails() {
        let text = format!("//! Long.\n{}", "\n".repeat(LINES_MAX));
        assert_eq!(
            breaches_of("bufwatch/src/base/mod.rs", &text),
            ["1: 601 lines, at most 600 are allowed: split it"]
        );
    }

    #[test]
    fn this_repository_has_files_in_every_layer_file_list() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = read_files(root).unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy/mod.rs"));
        assert!(files.iter().all(|file| !file.path.contains("/target/")));
    }
}
