//! Files of another process, opened so that they are the ones it runs: through /proc/PID/exe and
//! `/proc/PID/map_files`, never by a path that may name another file by now or in another mount namespace.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{major, minor};

use crate::elf::ReadAt;
use crate::sys::procfs::{self, MapEntry, ProcfsError, process_path};
use crate::sys::root::ProcessRoot;

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
        // Opening a pipe would wait and opening a device may act: first only name the file, then look at it.
        let named = OpenOptions::new().read(true).custom_flags(OFlag::O_PATH.bits()).open(path)?;
        let (file, metadata) = open_regular(&named)?;
        Ok(Self::new(file, &metadata, path))
    }

    fn new(file: File, metadata: &Metadata, path: &Path) -> Self {
        Self {
            file,
            size: metadata.size(),
            device: metadata.dev(),
            inode: metadata.ino(),
            opened_as: path.to_owned(),
        }
    }

    /// The executable of a process.
    pub fn open_exe(pid: u32) -> Result<Self, ProcfsError> {
        let path = process_path(pid, "exe");
        Self::open(&path).map_err(|source| ProcfsError::from_io(pid, path, source))
    }

    /// The file behind a mapping, also if it was deleted or another has its name by now. `map_files` needs
    /// `CAP_SYS_ADMIN` or `CAP_CHECKPOINT_RESTORE`; without it the path is looked up below the root of the process
    /// and must have device and inode of the mapping.
    pub fn open_mapping(pid: u32, entry: &MapEntry) -> Result<Self, ProcfsError> {
        // No leading zeros here, unlike in maps.
        let path = process_path(pid, &format!("map_files/{:x}-{:x}", entry.start, entry.end));
        let error = match Self::open(&path) {
            // Something else may be mapped there since the maps were read. Its device and inode would not tell:
            // on overlay file systems maps has others than fstat.
            Ok(file) if is_link_to(&path, entry) => return Ok(file),
            Ok(_) => ProcfsError::from_io(pid, path, io::ErrorKind::NotFound.into()),
            Err(source) => ProcfsError::from_io(pid, path, source),
        };
        let by_name = || {
            let root = ProcessRoot::open(procfs::process_key(pid).ok()?).ok()?;
            let file = root.open_linked_file(Path::new(&entry.path)).ok()?.into_file();
            let metadata = file.metadata().ok()?;
            let device = (major(metadata.dev()), minor(metadata.dev()));
            let wanted = (u64::from(entry.device.0), u64::from(entry.device.1));
            (device == wanted && metadata.ino() == entry.inode)
                .then(|| Self::new(file, &metadata, Path::new(&entry.path)))
        };
        by_name().ok_or(error)
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

/// Opens a file that was only named, if it is a regular one.
pub(super) fn open_regular(named: &File) -> io::Result<(File, Metadata)> {
    let metadata = named.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok((File::open(format!("/proc/self/fd/{}", named.as_raw_fd()))?, metadata))
}

/// True if a link of `map_files` names what maps names; maps writes line ends as `\012`.
fn is_link_to(link: &Path, entry: &MapEntry) -> bool {
    let Ok(target) = fs::read_link(link) else { return false };
    target.to_string_lossy().replace('\n', "\\012") == entry.path
}

impl ReadAt for ImageFile {
    fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}
