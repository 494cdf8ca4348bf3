//! The web framework that the live tests serve HTTP with, from the npm registry. It is only ever loaded by a test's
//! own program, which listens on loopback.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{debian, process};

/// Runs on all Node versions under test.
const PACKAGE: &str = "express@4.21.2";

/// What it depends on is taken as of this day, so that every set-up gets the same files.
const AS_OF: &str = "2025-03-01";

/// Makes `.tools/express/node_modules/express` exist.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    let folder = workspace.express();
    // The name and the day of what is installed, written when all of it was there.
    let stamp = folder.join("installed");
    let wanted = format!("{PACKAGE} {AS_OF}\n");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !process::has_program("npm") {
        debian::install(&["npm"]).context("no npm to fetch packages with")?;
    }
    process::say(format_args!("fetching {PACKAGE}"));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).with_context(|| format!("create `{}`", folder.display()))?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts"]);
    npm.args(["--before", AS_OF, PACKAGE, "--prefix"]).arg(&folder).current_dir(&folder);
    process::output(&mut npm)?;
    fs::write(&stamp, wanted).with_context(|| format!("write `{}`", stamp.display()))
}
