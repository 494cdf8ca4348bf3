//! From a pid to the image that holds Node and V8, opened, and checked to be one that bufwatch can read.
//! Which probes it offers is `plan`'s part.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object::elf;

use crate::base::{Bias, FileOffset, ProcessKey, Svma};
use crate::elf::{BuildId, ElfError, Image};
use crate::node::survey::{NodeVersion, Survey, V8Version};
use crate::sys::file::ImageFile;
use crate::sys::procfs::{self, MapEntry, ProcfsError};

/// Where in the process Node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageRole {
    /// Linked into the main executable, as in the official builds.
    Executable,
    /// A shared library, as distributions build it.
    LibNode,
}

/// A file that is part of a process, opened.
#[derive(Clone, Debug)]
pub struct MappedImage {
    pub file: Arc<ImageFile>,
    pub image: Image,
    /// As the process's mount namespace names it; may be deleted; not sanitized.
    pub path: String,
    pub bias: Bias,
}

/// A Node process.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    pub key: ProcessKey,
    /// The pid as the process itself sees it; differs in a container.
    pub inner_pid: Option<u32>,
    /// Not sanitized.
    pub command: String,
    pub role: ImageRole,
    pub node: MappedImage,
    /// The C library; none for a static executable.
    pub libc: Option<MappedImage>,
    /// Executable mappings of the image that Node is in.
    pub code_mappings: Vec<MapEntry>,
    pub node_version: Option<NodeVersion>,
    pub v8_version: Option<V8Version>,
}

impl NodeIdentity {
    /// Where else than by its bias a part of Node's code is mapped: from V8 11 on each isolate maps the builtins
    /// once more in its code range, near the code that it generates ("short builtin calls").
    pub fn find_copies(&self, part: &Range<Svma>) -> Vec<u64> {
        // As it is now: a worker may have begun since the process was opened.
        let mut code_mappings = procfs::maps(self.key.pid).unwrap_or_default();
        code_mappings.retain(|entry| {
            let is_known = |known: &MapEntry| known.is_same_file(entry);
            entry.is_executable && self.code_mappings.iter().any(is_known)
        });
        let Some(FileOffset(offset)) = self.node.image.file_offset_of(part.start) else {
            return Vec::new();
        };
        let first = self.node.bias.to_avma(part.start).0;
        let copies = code_mappings.iter().filter(|entry| {
            let in_file = entry.offset..entry.offset.saturating_add(entry.end - entry.start);
            in_file.contains(&offset) && !(entry.start..entry.end).contains(&first)
        });
        copies
            .filter_map(|entry| entry.start.checked_add(offset.checked_sub(entry.offset)?))
            .collect()
    }

    pub fn build_id(&self) -> Option<&BuildId> {
        self.node.image.build_id.as_ref()
    }
}

/// Why a process or file is not one that bufwatch can watch.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error(transparent)]
    Process(#[from] ProcfsError),
    #[error("`{}` could not be opened", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("`{path}` is not Node.js")]
    NotNode { path: String },
    #[error("`{path}` is Node.js without the symbols that bufwatch needs (stripped)")]
    Stripped { path: String },
    #[error("`{path}` is linked against musl (Alpine)")]
    Musl { path: String },
    #[error("`{path}` is built for another processor ({machine})")]
    OtherArchitecture { path: String, machine: String },
    #[error("`{path}` is a 32-bit program")]
    Class32 { path: String },
    #[error("`{path}` has a V8 with compressed pointers ({tagged_bytes} bytes each)")]
    CompressedPointers { path: String, tagged_bytes: u32 },
    #[error("`{path}` could not be read as a program")]
    Image { path: String, source: ElfError },
}

impl IdentityError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Process(error) => error.hint(),
            Self::File { .. } => "give the path of a `node` executable or `libnode.so`",
            Self::NotNode { .. } => "`bufwatch ps` lists the Node processes of this host",
            Self::Stripped { .. } => {
                "run it with an official build from nodejs.org, or one whose `.symtab` was not stripped"
            }
            Self::Musl { .. } => "run it with an official build from nodejs.org on a glibc system",
            Self::OtherArchitecture { .. } | Self::Class32 { .. } => {
                "bufwatch watches x86-64 processes on x86-64 hosts"
            }
            Self::CompressedPointers { .. } => {
                "official builds of Node.js do not compress pointers; Electron does and is not supported"
            }
            Self::Image { .. } => {
                "is the file complete? compare its checksum with the one published"
            }
        }
    }

    /// True if the process does not exist (any more).
    pub const fn is_no_such_process(&self) -> bool {
        matches!(self, Self::Process(ProcfsError::NoSuchProcess { .. }))
    }

    fn image(path: &str, source: ElfError) -> Self {
        let path = path.to_owned();
        match source {
            ElfError::NotElf => Self::NotNode { path },
            ElfError::Class32 => Self::Class32 { path },
            ElfError::BigEndian => {
                Self::OtherArchitecture { path, machine: "big-endian".to_owned() }
            }
            source => Self::Image { path, source },
        }
    }
}

/// Opens the images of a process and reads their headers; the versions stay unknown.
pub fn open(pid: u32) -> Result<NodeIdentity, IdentityError> {
    open_running(pid).map_err(|error| {
        // Of one that has ended nothing makes sense, also before anybody has waited for it.
        if procfs::has_ended(pid) { ProcfsError::NoSuchProcess { pid }.into() } else { error }
    })
}

fn open_running(pid: u32) -> Result<NodeIdentity, IdentityError> {
    let key = procfs::process_key(pid)?;
    let status = procfs::status(pid)?;
    let command = procfs::command_line(pid)?;
    let exe_path = match procfs::exe_path(pid) {
        Ok(path) => path.to_string_lossy().into_owned(),
        // A kernel thread: its exe is a dangling link.
        Err(ProcfsError::Read { .. }) => {
            let name = procfs::comm(pid).unwrap_or_default();
            return Err(IdentityError::NotNode { path: format!("[{name}]") });
        }
        Err(error) => return Err(error.into()),
    };
    let maps = procfs::maps(pid)?;
    // Also when Node is a library, whose own file does not name the loader.
    if find_library(&maps, |name| name.starts_with("ld-musl")).is_some() {
        return Err(IdentityError::Musl { path: exe_path });
    }
    let (role, node) = match find_library(&maps, |name| name.starts_with("libnode.so")) {
        Some(entry) => (ImageRole::LibNode, open_library(pid, entry, &maps)?),
        None => (ImageRole::Executable, open_exe(pid, exe_path, &maps)?),
    };
    check_platform(&node.path, &node.image)?;
    let (_, inode) = node.file.identity();
    // By path as well: on overlay file systems maps has another inode than fstat.
    let is_node = |entry: &MapEntry| entry.inode == inode || entry.path == node.path;
    let code_mappings = maps.iter().filter(|e| e.is_executable && is_node(e)).cloned().collect();
    let is_libc = |name: &str| name == "libc.so.6" || name.starts_with("libc-2.");
    let libc = match find_library(&maps, is_libc) {
        // Without it only the placement of stores is lost; the plan says so.
        Some(entry) => open_library(pid, entry, &maps).ok(),
        None => None,
    };
    if procfs::process_key(pid)? != key {
        return Err(ProcfsError::NoSuchProcess { pid }.into());
    }
    Ok(NodeIdentity {
        key,
        inner_pid: status.inner_pid(),
        command,
        role,
        node,
        libc,
        code_mappings,
        node_version: None,
        v8_version: None,
    })
}

/// Opens a process and makes sure that it is a Node process bufwatch can watch, with versions.
pub fn identify(pid: u32) -> Result<NodeIdentity, IdentityError> {
    let mut identity = open(pid)?;
    let survey = Survey::take(&identity.node.path, &identity.node.image)?;
    identity.node_version = survey.node_version;
    identity.v8_version = survey.v8_version;
    Ok(identity)
}

/// Opens a file as the image of Node, without a process.
pub fn open_file(path: &Path) -> Result<MappedImage, IdentityError> {
    let file = ImageFile::open(path)
        .map_err(|source| IdentityError::File { path: path.to_owned(), source })?;
    let file = Arc::new(file);
    let path = path.to_string_lossy().into_owned();
    let image = open_image(&path, &file)?;
    check_platform(&path, &image)?;
    Ok(MappedImage { file, image, path, bias: Bias(0) })
}

fn open_image(path: &str, file: &Arc<ImageFile>) -> Result<Image, IdentityError> {
    let source: Arc<ImageFile> = Arc::clone(file);
    Image::open(source).map_err(|error| IdentityError::image(path, error))
}

fn check_platform(path: &str, image: &Image) -> Result<(), IdentityError> {
    if image.machine != elf::EM_X86_64.0 {
        let machine = match image.machine {
            machine if machine == elf::EM_AARCH64.0 => "AArch64".to_owned(),
            machine if machine == elf::EM_386.0 => "i386".to_owned(),
            machine => format!("ELF machine {machine}"),
        };
        return Err(IdentityError::OtherArchitecture { path: path.to_owned(), machine });
    }
    if image.interpreter.as_deref().is_some_and(|path| path.contains("ld-musl")) {
        return Err(IdentityError::Musl { path: path.to_owned() });
    }
    Ok(())
}

fn find_library(maps: &[MapEntry], is_wanted: impl Fn(&str) -> bool) -> Option<&MapEntry> {
    maps.iter().find(|entry| entry.inode != 0 && is_wanted(entry.file_name()))
}

fn open_library(
    pid: u32,
    entry: &MapEntry,
    maps: &[MapEntry],
) -> Result<MappedImage, IdentityError> {
    let file = Arc::new(ImageFile::open_mapping(pid, entry)?);
    let image = open_image(&entry.path, &file)?;
    let bias = find_bias(&image, maps.iter().filter(|other| other.is_same_file(entry)));
    Ok(MappedImage { file, image, path: entry.path.clone(), bias })
}

fn open_exe(pid: u32, path: String, maps: &[MapEntry]) -> Result<MappedImage, IdentityError> {
    let file = Arc::new(ImageFile::open_exe(pid)?);
    let image = open_image(&path, &file)?;
    // By path: on overlay file systems maps has another device and inode than fstat.
    let bias = find_bias(&image, maps.iter().filter(|entry| entry.path == path));
    Ok(MappedImage { file, image, path, bias })
}

/// The loader maps an image before V8 maps its builtins again, and below: the lowest mapping decides.
fn find_bias<'a, I: Iterator<Item = &'a MapEntry>>(image: &Image, mut entries: I) -> Bias {
    entries.find_map(|entry| image.bias_of_mapping(entry.start, entry.offset)).unwrap_or_default()
}
