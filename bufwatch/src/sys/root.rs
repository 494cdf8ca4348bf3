//! Files that a process names by path, opened where the process itself would find them: below its root, in its
//! mount namespace. Names come from the process and are hostile: no symbolic link leads out of its root, and
//! nothing but regular files is opened. What the files mean is not known here.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::statfs::{PROC_SUPER_MAGIC, SYSFS_MAGIC, fstatfs};

use crate::base::{Nanos, ProcessKey};
use crate::sys::file::open_regular;
use crate::sys::procfs::{self, process_path};

/// How often a look-up is tried that a rename elsewhere in the system disturbed (`openat2(2)`, EAGAIN).
const ATTEMPTS: u32 = 8;

/// The root folder of a process. Keeps the file system mounted: not for keeping.
#[derive(Debug)]
pub struct ProcessRoot(OwnedFd);

/// A regular file below it, open.
#[derive(Debug)]
pub struct RootFile {
    file: File,
    /// Size when it was opened, or last asked.
    pub bytes: u64,
    /// Owner, as this user namespace numbers users.
    pub uid: u32,
}

impl ProcessRoot {
    /// Fails if the pid belongs to another process by now.
    pub fn open(key: ProcessKey) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let root = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits())
            .open(process_path(key.pid, "root"))?;
        let is_same = procfs::process_key(key.pid).is_ok_and(|now| now == key);
        is_same.then(|| Self(root.into())).ok_or_else(|| Errno::ESRCH.into())
    }

    /// Opens the file that `path` names for the process; a relative path is taken from the root.
    ///
    /// `/proc/PID/root` before the path would not do: an absolute symbolic link would continue at *our* root.
    /// `RESOLVE_IN_ROOT` makes the kernel take absolute links and `..` as a `chroot` would.
    pub fn open_file(&self, path: &Path) -> io::Result<RootFile> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        self.open_as(path, how)
    }

    /// The same, where the last component may be a symbolic link as well.
    pub fn open_linked_file(&self, path: &Path) -> io::Result<RootFile> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        self.open_as(path, how)
    }

    fn open_as(&self, path: &Path, how: OpenHow) -> io::Result<RootFile> {
        // Opening a pipe would wait, opening a device may act: first only name the file, then look at it.
        let named = (0..ATTEMPTS)
            .map(|_| openat2(&self.0, path, how))
            .find(|result| !matches!(result, Err(Errno::EAGAIN)))
            .unwrap_or(Err(Errno::EAGAIN))?;
        let named = File::from(named);
        let system = fstatfs(&named)?.filesystem_type();
        // Their files are regular ones, and reading some of them acts (`/proc/kmsg`).
        let is_of_kernel = system == PROC_SUPER_MAGIC || system == SYSFS_MAGIC;
        if is_of_kernel {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file of a disk"));
        }
        let (file, metadata) = open_regular(&named)?;
        Ok(RootFile { file, bytes: metadata.size(), uid: metadata.uid() })
    }
}

impl RootFile {
    pub(super) fn into_file(self) -> File {
        self.file
    }

    /// Up to `len` bytes from `offset` on, fewer at the end of the file.
    pub fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let rest = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        let mut n_read = 0;
        while let Some(out) = bytes.get_mut(n_read..).filter(|out| !out.is_empty()) {
            match self.file.read_at(out, offset.saturating_add(n_read as u64))? {
                0 => break,
                n => n_read += n,
            }
        }
        bytes.truncate(n_read);
        Ok(bytes)
    }

    /// Asks for the size again, for a file that is being written.
    pub fn size_now(&mut self) -> io::Result<u64> {
        self.bytes = self.file.metadata()?.size();
        Ok(self.bytes)
    }

    /// When it was last written, by the wall clock; the owner can set it to anything.
    pub fn modified_at(&self) -> io::Result<Nanos> {
        let metadata = self.file.metadata()?;
        Ok(file_time(metadata.mtime(), metadata.mtime_nsec()))
    }

    /// When contents or name last changed, by the wall clock. The later of mtime and ctime: mtime alone can be
    /// set back, and package managers do (npm: 1985), ctime cannot.
    pub fn changed_at(&self) -> io::Result<Nanos> {
        let metadata = self.file.metadata()?;
        Ok(self.modified_at()?.max(file_time(metadata.ctime(), metadata.ctime_nsec())))
    }
}

/// Zero for times before 1970.
fn file_time(seconds: i64, nanos: i64) -> Nanos {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A root that is a folder of this process, as a chroot's would be.
    fn root_at(path: &Path) -> ProcessRoot {
        let mut options = OpenOptions::new();
        let folder = options.read(true).custom_flags(OFlag::O_PATH.bits()).open(path).unwrap();
        ProcessRoot(folder.into())
    }

    #[test]
    fn links_stay_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("secret");
        fs::write(&outside, "outside").unwrap();
        let inside = folder.path().join("root");
        fs::create_dir_all(inside.join("app")).unwrap();
        fs::write(inside.join("app/real"), "inside").unwrap();
        symlink(&outside, inside.join("app/absolute")).unwrap();
        symlink("../../../secret", inside.join("app/climbs")).unwrap();
        symlink("/app/real", inside.join("app/link")).unwrap();
        let root = root_at(&inside);

        for name in ["/app/absolute", "/app/climbs", "/app/../../secret", "/../secret"] {
            assert!(root.open_linked_file(Path::new(name)).is_err(), "{name}");
        }
        let file = root.open_linked_file(Path::new("/app/link")).unwrap();
        assert_eq!(file.read(2, 100).unwrap(), b"side");
        assert_eq!(file.read(100, 100).unwrap(), b"");
        assert!(root.open_file(Path::new("/app/link")).is_err());
        assert!(root.open_file(Path::new("/app")).is_err());
    }

    #[test]
    fn only_regular_files_of_disks() {
        let key = procfs::process_key(std::process::id()).unwrap();
        let root = ProcessRoot::open(key).unwrap();
        for name in ["/dev/zero", "/proc/self/status", "/proc/1/root/etc/passwd", "/proc/kmsg"] {
            assert!(root.open_linked_file(Path::new(name)).is_err(), "{name}");
        }
        let another = ProcessKey { start_ticks: key.start_ticks + 1, ..key };
        assert!(ProcessRoot::open(another).is_err());
    }
}
