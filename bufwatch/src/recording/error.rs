//! Why a recording cannot be written or read, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::base::Bytes;

#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("`{}` exists", .0.display())]
    Exists(PathBuf),
    #[error("the recording `{}` cannot be written: {source}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("the recording `{}` cannot be written: {source}", path.display())]
    Write { path: PathBuf, source: rusqlite::Error },
    #[error("the recording `{}` cannot be read: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("the recording `{}` cannot be read: {source}", path.display())]
    Read { path: PathBuf, source: rusqlite::Error },
    #[error("`{}` is no recording of bufwatch", .0.display())]
    Foreign(PathBuf),
    #[error("`{}` was recorded by a newer bufwatch: its format is {found}, this one reads up to {known}", path.display())]
    Newer { path: PathBuf, found: i32, known: i32 },
    #[error("the recording `{}` is damaged: {what}", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("the recording `{}` cannot be kept below {max_size}: the lines and stacks alone take it", path.display())]
    Limit { path: PathBuf, max_size: Bytes },
    #[error("the recording `{}` ends before its first flush: nothing is in it", .0.display())]
    Empty(PathBuf),
}

impl RecordingError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Exists(_) => "name another file, or overwrite it with --force",
            Self::Create { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "the folder must exist",
                io::ErrorKind::StorageFull => "make room on the disk",
                io::ErrorKind::ReadOnlyFilesystem => {
                    "the file system is read-only: record elsewhere"
                }
                _ => "may bufwatch create files in this folder?",
            },
            Self::Write { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => {
                    "the disk is full; what was recorded before can be read"
                }
                Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                    "may bufwatch create files in this folder?"
                }
                _ => "what was recorded before can be read",
            },
            Self::Open { .. } => "does it exist, and may you read it?",
            Self::Read { source, .. } => match source.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => {
                    "a recording is made by `bufwatch record --pid PID -o FILE`"
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    "another program has it open for writing"
                }
                _ => "is it complete? sqlite3 FILE .recover saves what is left of a damaged one",
            },
            Self::Foreign(_) => "a recording is made by `bufwatch record --pid PID -o FILE`",
            Self::Newer { .. } => "use that bufwatch, or a newer one",
            Self::Damaged { .. } => "sqlite3 FILE .recover saves what is left of it",
            Self::Limit { .. } => "use a larger --max-size; what was recorded before can be read",
            Self::Empty(_) => "it is filled twice a second while bufwatch records",
        }
    }

    pub(super) fn writing(path: &Path) -> impl Fn(rusqlite::Error) -> Self + '_ {
        |source| Self::Write { path: path.to_owned(), source }
    }

    pub(super) fn reading(path: &Path) -> impl Fn(rusqlite::Error) -> Self + '_ {
        |source| Self::Read { path: path.to_owned(), source }
    }
}
