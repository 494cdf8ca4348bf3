//! The command `bufwatch`: parses, runs, and turns the outcome into an exit code. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    bufwatch::cli::main()
}
