//! The exit codes, as a type; `--help` documents them.

use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done,
    /// `bufwatch check` found more than is allowed.
    Breach,
    /// Wrong usage, or something here keeps bufwatch from working.
    Unable,
    /// No such process, or it ended while bufwatch attached.
    TargetLost,
    /// The command that was checked failed, though within the limits.
    CommandFailed,
    Interrupted,
    /// That of the command that `bufwatch run` started.
    OfCommand(u8),
}

impl Exit {
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Breach => 1,
            Self::Unable => 2,
            Self::TargetLost => 3,
            Self::CommandFailed => 4,
            Self::Interrupted => 130,
            Self::OfCommand(code) => code,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
