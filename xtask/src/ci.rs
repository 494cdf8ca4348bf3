//! `cargo xtask ci`: the checks in the order in which they are cheap to fail. Continuous integration
//! calls nothing else, so that green here is green there.

use anyhow::Result;

use crate::process::say;
use crate::workspace::Workspace;
use crate::{fmt, lint, setup, test, tidy};

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    say(format_args!("ci: fmt --check"));
    fmt::run(workspace, &fmt::Args::CHECK)?;
    // Lint and test must see the same tools, or cargo builds everything twice.
    setup::everything(workspace)?;
    say(format_args!("ci: lint"));
    lint::run(workspace)?;
    say(format_args!("ci: tidy"));
    tidy::run(workspace)?;
    say(format_args!("ci: test"));
    test::run(workspace, &test::Args::default())
}
