//! What the live tests load from the npm registry: a web framework to serve HTTP with, and packages that keep more memory than their callers
//! see. Only ever loaded by a test's own program, which listens on loopback.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{debian, process};

/// Packages of exact versions; what they depend on is taken as of a day, so that every set-up gets the same files.
pub(super) struct Packages {
    names: &'static [&'static str],
    as_of: &'static str,
}

/// Runs on all Node versions under test.
pub(super) const EXPRESS: Packages = Packages { names: &["express@4.21.2"], as_of: "2025-03-01" };

/// ioredis 5 has a pool that only grows, ioredis 6 has none; msgpackr gives views or copies, as its caller likes.
pub(super) const KEEPERS: Packages = Packages {
    names: &["ioredis5@npm:ioredis@5.11.1", "ioredis6@npm:ioredis@6.0.0", "msgpackr@2.1.3"],
    as_of: "2026-11-01",
};

/// Makes `node_modules` with the packages exist in the folder.
pub(super) fn ensure(folder: &Path, packages: &Packages) -> Result<()> {
    let names = packages.names.join(" ");
    // The names and the day of what is installed, written when all of it was there.
    let stamp = folder.join("installed");
    let wanted = format!("{names} {}\n", packages.as_of);
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !process::has_program("npm") {
        debian::install(&["npm"]).context("no npm to fetch packages with")?;
    }
    process::say(format_args!("fetching {names}"));
    drop(fs::remove_dir_all(folder));
    fs::create_dir_all(folder).with_context(|| format!("create `{}`", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]);
    npm.args(["--before", packages.as_of]).args(packages.names);
    npm.arg("--prefix").arg(folder).current_dir(folder);
    process::output(&mut npm)?;
    fs::write(&stamp, wanted).with_context(|| format!("write `{}`", stamp.display()))
}
