//! Files of another process, opened so that they are the ones it runs: through /proc/PID/exe and
//! `/proc/PID/map_files`, never by a path that may name another file by now or in another mount namespace.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::elf::ReadAt;
use crate::sys::procfs::{MapEntry, ProcfsError, process_path};

/// A file that stays readable when the process ends or the file is deleted.
#[derive(Debug)]
pub struct ImageFile {
    file: File,
    size: u64,
    device: u64,
    inode: u64,
    opened_as: PathBuf,
}

impl ImageFile {
    /// Any file of this mount namespace.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Self {
            file,
            size: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
            opened_as: path.to_owned(),
        })
    }

    /// The executable of a process.
    pub fn open_exe(pid: u32) -> Result<Self, ProcfsError> {
        let path = process_path(pid, "exe");
        Self::open(&path).map_err(|source| ProcfsError::from_io(pid, path, source))
    }

    /// The file behind a mapping. `map_files` needs `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`; without it the
    /// path is opened below the root of the process and must have the inode of the mapping.
    pub fn open_mapping(pid: u32, entry: &MapEntry) -> Result<Self, ProcfsError> {
        // No leading zeros here, unlike in maps.
        let path = process_path(pid, &format!("map_files/{:x}-{:x}", entry.start, entry.end));
        let error = match Self::open(&path) {
            Ok(file) => return Ok(file),
            Err(source) => ProcfsError::from_io(pid, path, source),
        };
        let below_root = process_path(pid, &format!("root/{}", entry.path));
        match Self::open(&below_root) {
            Ok(file) if file.inode == entry.inode => Ok(file),
            _ => Err(error),
        }
    }

    /// The name it was opened by.
    pub fn opened_as(&self) -> &Path {
        &self.opened_as
    }

    /// A path to exactly this file for interfaces that take no descriptor; valid in this process while the
    /// file is open.
    pub fn descriptor_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Device and inode: equal for two files that are one.
    pub const fn identity(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

impl ReadAt for ImageFile {
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}
