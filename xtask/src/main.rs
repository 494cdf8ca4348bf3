//! `cargo xtask`: sets up, builds, runs, tests and benchmarks bufwatch. It parses the verb and
//! hands over to that verb's file; nothing here is part of the product.

mod bench;
mod build;
mod ci;
mod clock;
mod debian;
mod demo;
mod fmt;
mod lint;
mod process;
mod run;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// One command for everything that is done to this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Gets what a build and the tests need and this machine lacks; quick when nothing is missing
    Setup,
    /// Builds bufwatch with its eBPF programs; the result is target/release/bufwatch
    Build(build::Args),
    /// Builds bufwatch and runs it with the arguments after `--`
    Run(run::Args),
    /// Starts a leaking Node service on loopback and shows it in bufwatch
    Demo(demo::Args),
    /// Sets up and runs the tests; the live ones trace real Node processes and need root
    Test(test::Args),
    /// Records anew what the resolver of JavaScript stacks and the census are tested with: two cassettes for each Node version
    RecordCassettes,
    /// Measures what bufwatch costs a target and itself, and writes docs/benchmarks.md
    Bench(bench::Args),
    /// Formats the Rust code of all crates
    Fmt(fmt::Args),
    /// Runs clippy on all crates; a warning is an error
    Lint,
    /// Checks the rules of this repository that no compiler knows: layers, headers, names, sizes
    Tidy,
    /// What continuous integration runs: fmt --check, lint, tidy, test
    Ci,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Workspace::locate().and_then(|workspace| match &cli.verb {
        Verb::Setup => setup::run(&workspace),
        Verb::Build(args) => build::run(&workspace, args),
        Verb::Run(args) => run::run(&workspace, args),
        Verb::Demo(args) => demo::run(&workspace, args),
        Verb::Test(args) => test::run(&workspace, args),
        Verb::RecordCassettes => test::record(&workspace),
        Verb::Bench(args) => bench::run(&workspace, args),
        Verb::Fmt(args) => fmt::run(&workspace, args),
        Verb::Lint => lint::run(&workspace),
        Verb::Tidy => tidy::run(&workspace),
        Verb::Ci => ci::run(&workspace),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            process::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
