//! Where a recording is going to be: what stands in its way is told before the attach, and nothing is there before something is to be
//! written. A file that it replaces is gone only when the new one is complete.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::base::Bytes;
use crate::recording::{APPLICATION_ID, RecordingError, SCHEMA, VERSION, Writer};

/// Files that `SQLite` may have beside a database.
const COMPANIONS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A path that a recording can be written to, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    is_overwriting: bool,
    max_size: Option<Bytes>,
}

impl Place {
    /// Leaves everything as it is: an existing file too, which is overwritten only if that is asked for, and only by `begin`.
    pub fn find(path: &Path, is_overwriting: bool) -> Result<Self, RecordingError> {
        let place = Self { path: path.to_owned(), is_overwriting, max_size: None };
        place.check()?;
        // May files be created here?
        let new = place.create_new()?;
        fs::remove_file(new).map_err(|source| place.failed(source))?;
        Ok(place)
    }

    /// What is written there is to stay below it, with the log that stands beside it.
    #[must_use]
    pub fn limited_to(self, max_size: Option<Bytes>) -> Self {
        Self { max_size, ..self }
    }

    /// Makes an empty recording there, for nobody else to read: names and paths of the target will be in it.
    pub fn begin(&self) -> Result<Writer, RecordingError> {
        self.check()?;
        let new = self.create_new()?;
        let fill = || -> Result<(), RecordingError> {
            make_empty(&new, self.is_overwriting).map_err(RecordingError::writing(&self.path))?;
            // `SQLite` would take what an older one has left for a part of the new one.
            for companion in self.companions() {
                remove(&companion).map_err(|source| self.failed(source))?;
            }
            fs::rename(&new, &self.path).map_err(|source| self.failed(source))
        };
        fill().inspect_err(|_| {
            if let Err(error) = remove(&new) {
                tracing::debug!(%error, "an unfinished recording is left");
            }
        })?;
        Writer::open(&self.path, self.max_size)
    }

    fn check(&self) -> Result<(), RecordingError> {
        if !self.is_overwriting {
            // `SQLite` would take the others for a part of the new file.
            let mut files = [self.path.clone()].into_iter().chain(self.companions());
            let left = files.find(|file| file.symlink_metadata().is_ok());
            return left.map_or(Ok(()), |left| Err(RecordingError::Exists(left)));
        }
        match self.path.symlink_metadata() {
            // Only files: never a folder or a device, and of a link the link.
            Ok(old) if !old.is_file() && !old.is_symlink() => {
                Err(self.failed(io::Error::other("it is not a file")))
            }
            _ => Ok(()),
        }
    }

    fn create_new(&self) -> Result<PathBuf, RecordingError> {
        let new = beside(&self.path, &format!(".new-{}", std::process::id()));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)
            .map_err(|source| self.failed(source))?;
        Ok(new)
    }

    fn companions(&self) -> impl Iterator<Item = PathBuf> {
        COMPANIONS.iter().map(|end| beside(&self.path, end))
    }

    fn failed(&self, source: io::Error) -> RecordingError {
        RecordingError::Create { path: self.path.clone(), source }
    }
}

/// One file and nothing beside it.
fn make_empty(path: &Path, is_to_replace: bool) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "MEMORY")?;
    // What comes first is not to wait for a disk; only in place of an older recording it must be whole by then.
    if !is_to_replace {
        connection.pragma_update(None, "synchronous", "OFF")?;
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    connection.execute_batch(&format!("BEGIN; {SCHEMA} COMMIT;"))?;
    // Who is killed while it turns to this leaves a journal without which the file cannot be read: not under its name.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.close().map_err(|(_, error)| error)
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
