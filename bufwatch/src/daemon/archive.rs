//! The directory of recordings: who may write to it, what files in it are called, and which go when there are too many. Files that bufwatch
//! has not named are left as they are.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::base::{Bytes, Nanos, ProcessKey};
use crate::daemon::config::Recordings;
use crate::daemon::events::rfc3339;
use crate::daemon::service::Place;

/// Permission bits of group and others to write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// What all names end in, and what `SQLite` puts beside a file while it is written.
const ENDING: &str = ".bufwatch";
const LOG: &str = "-wal";
const COMPANIONS: [&str; 2] = [LOG, "-shm"];
/// Files looked at in one pass; more are left for the next one.
const FILES_MAX: usize = 100_000;

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("`{}` could not be looked at: {source}", path.display())]
    Look { path: PathBuf, source: io::Error },
    #[error("`{}` is a symbolic link: recordings could end up anywhere", .0.display())]
    Symlink(PathBuf),
    #[error("`{}` is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("`{}` may be written by others than its owner", .0.display())]
    Writable(PathBuf),
    #[error("`{}` belongs to user {uid}", path.display())]
    Foreign { path: PathBuf, uid: u32 },
    #[error("another bufwatch daemon records into `{}`", .0.display())]
    Taken(PathBuf),
}

impl ArchiveError {
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Look { .. } => "make it: install -d -m 0700 DIRECTORY",
            Self::Symlink(_) | Self::NotADirectory(_) => "name the directory itself",
            Self::Writable(_) => "chmod go-w DIRECTORY",
            Self::Foreign { .. } => "chown it to the user that bufwatch runs as",
            Self::Taken(_) => "each daemon needs a directory of its own",
        }
    }
}

/// A directory that is ours while this lives.
#[derive(Debug)]
pub struct Archive {
    directory: PathBuf,
    lock: Flock<File>,
}

/// A recording in it.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    bytes: Bytes,
    changed_at: Nanos,
}

impl Archive {
    /// Checks the directory, which must exist.
    pub fn open(directory: &Path) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::Look { path: directory.to_owned(), source };
        let metadata = fs::symlink_metadata(directory).map_err(failed)?;
        if metadata.file_type().is_symlink() {
            return Err(ArchiveError::Symlink(directory.to_owned()));
        }
        if !metadata.is_dir() {
            return Err(ArchiveError::NotADirectory(directory.to_owned()));
        }
        if metadata.mode() & WRITABLE_BY_OTHERS != 0 {
            return Err(ArchiveError::Writable(directory.to_owned()));
        }
        let (uid, own) = (metadata.uid(), nix::unistd::geteuid().as_raw());
        if uid != own && uid != 0 {
            return Err(ArchiveError::Foreign { path: directory.to_owned(), uid });
        }
        let mut options = OpenOptions::new();
        let no_follow = OFlag::O_NOFOLLOW.bits();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(no_follow);
        let file = options.open(directory.join(".lock")).map_err(failed)?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| {
            if error == Errno::EWOULDBLOCK {
                ArchiveError::Taken(directory.to_owned())
            } else {
                failed(error.into())
            }
        })?;
        Ok(Self { directory: directory.to_owned(), lock })
    }

    pub fn directory(&self) -> &Path {
        tracing::trace!(?self.lock, "held as long as this lives");
        &self.directory
    }

    /// The file for a process from `wall` on: `api_server-0-4711-88213-2026-11-24T031245.123Z.bufwatch`.
    pub fn name(&self, key: ProcessKey, place: &Place, wall: Nanos) -> PathBuf {
        let service = place.service.replace(['/', ':'], "_");
        let service = service.trim_start_matches('.');
        let time = rfc3339(wall).replace(':', "");
        let ProcessKey { pid, start_ticks } = key;
        let slot = place.slot;
        self.directory.join(format!("{service}-{slot}-{pid}-{start_ticks}-{time}{ENDING}"))
    }
}

/// Bytes of a recording that is being made, with its log.
pub fn size_of(path: &Path) -> Bytes {
    let length = |path: &Path| fs::symlink_metadata(path).map_or(0, |file| file.len());
    Bytes(length(path)) + Bytes(length(&beside(path, LOG)))
}

/// Removes what is too old or too much, the oldest first, but for those that are `open`. Returns what went.
pub fn prune(
    directory: &Path,
    limits: &Recordings,
    open: &BTreeSet<PathBuf>,
    wall: Nanos,
) -> io::Result<Vec<PathBuf>> {
    let mut kept = list(directory)?;
    kept.sort_by(|a, b| a.changed_at.cmp(&b.changed_at).then_with(|| a.path.cmp(&b.path)));
    let mut total: Bytes = kept.iter().map(|file| file.bytes).sum();
    let mut gone = Vec::new();
    for file in kept.into_iter().filter(|file| !open.contains(&file.path)) {
        let is_old = wall.since(file.changed_at) > limits.keep_age;
        if !is_old && total <= limits.keep_size {
            continue;
        }
        remove(&file.path)?;
        total = total.saturating_sub(file.bytes);
        gone.push(file.path);
    }
    Ok(gone)
}

/// Removes a recording, with what is beside it; one that has gone already is none.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for companion in COMPANIONS {
        // Only a recording that was cut off has them.
        if let Err(error) = fs::remove_file(beside(path, companion)) {
            tracing::trace!(%error, "nothing is left beside it");
        }
    }
    Ok(())
}

fn list(directory: &Path) -> io::Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(directory)?.take(FILES_MAX) {
        let entry = entry?;
        let path = entry.path();
        // Of a link the link, which is not ours.
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_file() || !is_ours(&path) {
            continue;
        }
        let seconds = u64::try_from(metadata.mtime()).unwrap_or(0);
        let bytes = size_of(&path);
        kept.push(Kept { path, bytes, changed_at: Nanos::from_secs(seconds) });
    }
    Ok(kept)
}

/// Named as `Archive::name` does: `…-SLOT-PID-TICKS-YYYY-MM-DDTHHMMSS.mmmZ.bufwatch`.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some(stem) = name.strip_suffix(ENDING) else { return false };
    let parts: Vec<&str> = stem.rsplitn(7, '-').collect();
    let [time, month, year, ticks, pid, slot, service] = parts.as_slice() else { return false };
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    [month, year, ticks, pid, slot].into_iter().all(is_number)
        && time.ends_with('Z')
        && !service.is_empty()
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn directory() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        folder
    }

    fn name(archive: &Archive, slot: usize, seconds: u64) -> PathBuf {
        let key = ProcessKey { pid: 7, start_ticks: 99 };
        let place = Place { service: "api/ser-ver".to_owned(), slot };
        archive.name(key, &place, Nanos::from_secs(1_795_489_965 + seconds))
    }

    #[test]
    fn a_directory_must_be_ones_own() {
        let folder = directory();
        let archive = Archive::open(folder.path()).unwrap();
        assert!(matches!(Archive::open(folder.path()), Err(ArchiveError::Taken(_))));
        drop(archive);
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert!(matches!(Archive::open(&link), Err(ArchiveError::Symlink(_))));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Archive::open(&file), Err(ArchiveError::NotADirectory(_))));
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Archive::open(folder.path()), Err(ArchiveError::Writable(_))));
        let missing = folder.path().join("missing");
        assert!(matches!(Archive::open(&missing), Err(ArchiveError::Look { .. })));
    }

    #[test]
    fn the_oldest_go_first_and_nothing_else() {
        let folder = directory();
        let archive = Archive::open(folder.path()).unwrap();
        let mut files = Vec::new();
        for n in 0..6 {
            let path = name(&archive, n, n as u64);
            fs::write(&path, vec![0; 1_000]).unwrap();
            files.push(path);
        }
        fs::write(beside(files.first().unwrap(), LOG), "x").unwrap();
        let foreign =
            ["notes.bufwatch", "a-1-2-3.bufwatch", "precious"].map(|it| folder.path().join(it));
        for path in &foreign {
            fs::write(path, vec![0; 100_000]).unwrap();
        }
        let open: BTreeSet<PathBuf> = files.get(1).cloned().into_iter().collect();
        let limits = Recordings { keep_size: Bytes(3_000), ..Recordings::default() };
        let now =
            Nanos::from_secs(u64::try_from(fs::metadata(&foreign[0]).unwrap().mtime()).unwrap());
        let gone = prune(folder.path(), &limits, &open, now).unwrap();
        assert_eq!(gone, [0, 2, 3].map(|n: usize| files[n].clone()));
        assert!(!beside(&files[0], LOG).exists());
        assert!(foreign.iter().all(|path| path.exists()));
        let later = now.after(limits.keep_age).after(Nanos::from_secs(2));
        assert_eq!(prune(folder.path(), &limits, &open, later).unwrap().len(), 2);
        assert!(files[1].exists(), "it is being written");
    }
}
