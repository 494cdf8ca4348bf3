//! Which module of the `bufwatch` crate may import which: the table, and the check of every
//! `crate::` path against it. A new edge is a change of the design and of this table.

use super::Breach;
use super::source_text::Source;

/// A module, its layer, and the modules it may name; itself is always allowed.
#[derive(Debug)]
struct Layer {
    module: &'static str,
    number: u8,
    may_use: &'static [&'static str],
}

/// Bottom to top. An edge points to a lower layer; the tests name the five that do not.
const LAYERS: [Layer; 18] = [
    Layer { module: "base", number: 0, may_use: &[] },
    Layer { module: "event", number: 1, may_use: &["base"] },
    Layer { module: "elf", number: 1, may_use: &["base"] },
    Layer { module: "v8", number: 2, may_use: &["base", "event", "elf"] },
    Layer { module: "node", number: 2, may_use: &["base", "event", "elf", "v8", "sys"] },
    Layer { module: "malloc", number: 2, may_use: &["base", "event", "sys"] },
    Layer { module: "sys", number: 2, may_use: &["base", "elf"] },
    Layer {
        module: "symbolize",
        number: 3,
        may_use: &["base", "event", "elf", "v8", "node", "sys"],
    },
    Layer { module: "recording", number: 3, may_use: &["base", "event"] },
    Layer { module: "model", number: 3, may_use: &["base", "event"] },
    Layer { module: "analysis", number: 4, may_use: &["base", "event", "model"] },
    Layer { module: "detect", number: 4, may_use: &["base", "event", "analysis"] },
    Layer {
        module: "source",
        number: 5,
        may_use: &["base", "event", "sys", "elf", "v8", "malloc", "node", "symbolize", "recording"],
    },
    Layer {
        module: "export",
        number: 5,
        may_use: &["base", "event", "recording", "analysis", "detect"],
    },
    Layer { module: "tui", number: 5, may_use: &["base", "event", "analysis", "detect"] },
    Layer { module: "session", number: 6, may_use: BELOW_SESSION },
    Layer { module: "daemon", number: 7, may_use: BELOW_DAEMON },
    Layer { module: "cli", number: 7, may_use: BELOW_CLI },
];

const BELOW_SESSION: &[&str] = &[
    "base",
    "event",
    "elf",
    "v8",
    "malloc",
    "node",
    "sys",
    "symbolize",
    "recording",
    "model",
    "analysis",
    "detect",
    "source",
    "export",
    "tui",
];

const BELOW_DAEMON: &[&str] = &[
    "base",
    "event",
    "node",
    "sys",
    "symbolize",
    "recording",
    "analysis",
    "detect",
    "export",
    "session",
];

const BELOW_CLI: &[&str] = &[
    "base",
    "event",
    "elf",
    "v8",
    "malloc",
    "node",
    "sys",
    "symbolize",
    "recording",
    "model",
    "analysis",
    "detect",
    "source",
    "export",
    "tui",
    "session",
    "daemon",
];

/// Where the modules are; `lib.rs` and `main.rs` beside them belong to no layer.
const SOURCES: &str = "bufwatch/src/";

pub(super) fn check(path: &str, source: &Source, breaches: &mut Vec<Breach>) {
    let Some(module) = module_of(path) else {
        return;
    };
    let Some(layer) = LAYERS.iter().find(|layer| layer.module == module) else {
        let what = format!("`{module}` is in no layer: add it to xtask/src/tidy/layers.rs");
        breaches.push(Breach { path: path.to_owned(), line: 1, what });
        return;
    };
    for (index, line) in source.code.lines().enumerate() {
        for used in crate_paths(line) {
            let is_module = LAYERS.iter().any(|other| other.module == used);
            let what = if used == layer.module || layer.may_use.contains(&used) {
                continue;
            } else if used.is_empty() {
                "imports a group of modules: one `use` for each, so that this check sees it"
                    .to_owned()
            } else if is_module {
                format!(
                    "`{module}` (layer {}) imports `{used}`; it may use: {}",
                    layer.number,
                    layer.may_use.join(", ")
                )
            } else {
                format!("`crate::{used}` is not a module of a layer")
            };
            breaches.push(Breach { path: path.to_owned(), line: index + 1, what });
        }
    }
}

/// The top module that a file of the bufwatch library belongs to.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix(SOURCES)?;
    let first = inside.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (module != "lib" && module != "main").then_some(module)
}

/// The identifiers that follow `crate::` in a line of code; empty for a group.
fn crate_paths(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").filter_map(|(at, found)| {
        let before = line.get(..at)?.chars().next_back();
        // `$crate::` is a macro's way to say the same; `other_crate::` is another path.
        if before.is_some_and(|character| character.is_alphanumeric() || character == '_') {
            return None;
        }
        let rest = line.get(at + found.len()..)?;
        let end = rest.find(|character: char| !(character.is_alphanumeric() || character == '_'));
        rest.get(..end.unwrap_or(rest.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::source_text::split;
    use super::*;

    /// Edges inside one layer: which binary has which probes depends on what V8 says about itself, a survey of the allocator reads what
    /// the page tables say is there, a detector works on the analysis it stands beside, and a command starts the daemon.
    const SAME_LAYER: [(&str, &str); 5] = [
        ("node", "v8"),
        ("node", "sys"),
        ("malloc", "sys"),
        ("detect", "analysis"),
        ("cli", "daemon"),
    ];

    fn check_one(path: &str, text: &str) -> Vec<String> {
        let mut breaches = Vec::new();
        check(path, &split(text), &mut breaches);
        breaches.into_iter().map(|breach| format!("{}: {}", breach.line, breach.what)).collect()
    }

    #[test]
    fn table_points_downwards() {
        for layer in &LAYERS {
            for used in layer.may_use {
                let below = LAYERS.iter().find(|other| other.module == *used).unwrap();
                assert!(
                    below.number < layer.number || SAME_LAYER.contains(&(layer.module, used)),
                    "{} -> {used}",
                    layer.module
                );
            }
        }
    }

    #[test]
    fn upward_import_is_found() {
        let found = check_one("bufwatch/src/model/fold.rs", "\nuse crate::sys::procfs::Stat;\n");
        assert_eq!(found, ["2: `model` (layer 3) imports `sys`; it may use: base, event"]);
    }

    #[test]
    fn path_in_an_expression_is_found() {
        let found = check_one("bufwatch/src/tui/mod.rs", "fn f() { crate::session::start(); }");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn group_is_refused() {
        let found = check_one("bufwatch/src/tui/mod.rs", "use crate::{base::A, session::B};");
        assert!(found.concat().contains("group"));
    }

    #[test]
    fn unknown_module_is_refused() {
        let found = check_one("bufwatch/src/shiny/mod.rs", "");
        assert!(found.concat().contains("is in no layer"));
    }

    #[test]
    fn allowed_paths_pass() {
        let text = "use crate::base::A;\nuse crate::tui::B;\nuse bufwatch_crate::session;\n\
                    // use crate::session::C;\nconst D: &str = \"crate::session\";\n";
        assert!(check_one("bufwatch/src/tui/app.rs", text).is_empty());
    }

    #[test]
    fn roots_have_no_layer() {
        assert!(check_one("bufwatch/src/main.rs", "use crate::cli::run;").is_empty());
        assert!(check_one("xtask/src/setup/mod.rs", "use crate::process::say;").is_empty());
    }
}
