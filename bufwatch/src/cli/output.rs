//! Files that a command writes besides stdout: made for nobody else to read, and never over another one unless that is asked for.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("`{}` cannot be written: {source}", path.display())]
pub struct OutputError {
    path: PathBuf,
    source: io::Error,
}

impl OutputError {
    pub fn hint(&self) -> &'static str {
        match self.source.kind() {
            ErrorKind::AlreadyExists => "name another file, or overwrite it with --force",
            ErrorKind::NotFound => "the folder must exist",
            ErrorKind::StorageFull => "make room on the disk",
            _ => "may bufwatch create files in this folder?",
        }
    }
}

/// Names and paths of a production process are in it, hence 0600.
pub fn write_file(path: &Path, text: &str, is_overwriting: bool) -> Result<(), OutputError> {
    let create = || -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).mode(0o600);
        if is_overwriting {
            options.create(true).truncate(true);
        } else {
            options.create_new(true);
        }
        options.open(path)
    };
    let write = |file: File| {
        let mut file = BufWriter::new(file);
        file.write_all(text.as_bytes())?;
        file.flush()
    };
    create().and_then(write).map_err(|source| OutputError { path: path.to_owned(), source })
}
