//! The exit codes, as a type; `--help` documents them.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    /// Wrong usage, or something here keeps bufwatch from working.
    Unable = 2,
    /// No such process, or it ended while bufwatch attached.
    TargetLost = 3,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
