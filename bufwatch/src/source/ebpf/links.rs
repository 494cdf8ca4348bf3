//! Programs for uprobe links: the object's uprobe programs, loaded once more with the attach type that aya does not know. A link belongs to a
//! process, not to a thread, costs nothing when threads are switched, and goes in a twentieth of a second instead of a tenth for each probe,
//! side by side with others.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;

use aya::Ebpf;
use aya::maps::{Map, MapData};
use aya_obj::{Object, ProgramSection};

use crate::base::Nanos;
use crate::source::ebpf::attach::{AttachPoint, ProgramName};
use crate::source::ebpf::bpf_calls::{self, Code, Place};
use crate::source::ebpf::load;
use crate::sys::kernel;

/// Links came with 6.6; before this one their filter took a thread for a process (`kernel/trace/bpf_trace.c`, "bpf: Fix multi-uprobe PID
/// filtering logic").
const SINCE: (u32, u32) = (6, 10);

/// Why there are no links.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinksError {
    #[error("this kernel has no uprobe links that can be relied on")]
    Kernel,
    #[error("the object: {0}")]
    Object(String),
    #[error("the kernel refused `{what}`: {source}")]
    Refused { what: &'static str, source: io::Error },
}

/// Loaded programs, for links.
#[derive(Debug)]
pub(super) struct LinkPrograms {
    programs: BTreeMap<&'static str, Loaded>,
}

#[derive(Debug)]
struct Loaded {
    program: OwnedFd,
    /// It sees functions return.
    is_return: bool,
}

impl LinkPrograms {
    /// Loads the programs with the maps that `ebpf` still has.
    pub(super) fn load(ebpf: &Ebpf, names: &[ProgramName]) -> Result<Self, LinksError> {
        if !are_usable(kernel::version()) {
            return Err(LinksError::Kernel);
        }
        let bytes = load::find_object().map_err(|error| LinksError::Object(error.to_string()))?;
        let mut object =
            Object::parse(bytes).map_err(|error| LinksError::Object(error.to_string()))?;
        let btf = load_btf(&mut object)?;
        relocate(&mut object, ebpf)?;
        let mut programs = BTreeMap::new();
        for name in names.iter().map(|program| program.name()) {
            if programs.contains_key(name) {
                continue;
            }
            let program = object.programs.get(name);
            let function = program.and_then(|it| object.functions.get(&it.function_key()));
            let (Some(program), Some(function)) = (program, function) else {
                return Err(LinksError::Object(format!("there is no program `{name}`")));
            };
            let code = Code {
                name,
                license: &program.license,
                instructions: &function.instructions,
                functions: Some((&function.func_info.func_info_bytes(), btf.as_fd())),
            };
            let is_return = matches!(program.section, ProgramSection::URetProbe { .. });
            let program = bpf_calls::load(&code)
                .map_err(|source| LinksError::Refused { what: name, source })?;
            programs.insert(name, Loaded { program, is_return });
        }
        Ok(Self { programs })
    }

    /// Puts the program of a point in place.
    pub(super) fn link(&self, point: &AttachPoint, pid: u32) -> io::Result<OwnedFd> {
        let it = self.programs.get(point.program.name()).ok_or(io::ErrorKind::NotFound)?;
        let path = CString::new(point.path.as_os_str().as_bytes())?;
        let (file_offset, is_return) = (point.file_offset, it.is_return);
        bpf_calls::link(it.program.as_fd(), &Place { path: &path, file_offset, is_return, pid })
    }

    /// How often a program ran and how long, while the kernel counted.
    pub(super) fn statistics(&self, name: &str) -> Option<(u64, Nanos)> {
        bpf_calls::statistics(self.programs.get(name)?.program.as_fd()).ok()
    }
}

/// Such a kernel has links that can be relied on; whether they are allowed, it does not say.
pub(super) fn are_usable(release: Option<(u32, u32)>) -> bool {
    release.is_some_and(|it| it >= SINCE)
}

/// Links a program that does nothing to a place in this process.
pub(super) fn try_to_link(path: &CStr, file_offset: u64) -> io::Result<OwnedFd> {
    let program = bpf_calls::load_empty()?;
    let place = Place { path, file_offset, is_return: false, pid: std::process::id() };
    bpf_calls::link(program.as_fd(), &place)
}

/// As aya does it: without them the verifier takes no callbacks.
fn load_btf(object: &mut Object) -> Result<OwnedFd, LinksError> {
    let features = aya::features().btf().ok_or(LinksError::Kernel)?;
    let btf = object
        .fixup_and_sanitize_btf(features)
        .map_err(|error| LinksError::Object(error.to_string()))?
        .ok_or_else(|| LinksError::Object("it has no BTF".to_owned()))?;
    bpf_calls::load_btf(&btf.to_bytes())
        .map_err(|source| LinksError::Refused { what: "BTF", source })
}

/// Puts the maps of `ebpf`, and the functions that they call, into programs.
fn relocate(object: &mut Object, ebpf: &Ebpf) -> Result<(), LinksError> {
    let descriptors: BTreeMap<&str, RawFd> =
        ebpf.maps().map(|(name, map)| (name, data_of(map).fd().as_fd().as_raw_fd())).collect();
    let maps = std::mem::take(&mut object.maps);
    let sections = object.functions.keys().map(|(section, _)| *section).collect();
    let found = maps.iter().filter_map(|(name, map)| {
        descriptors.get(name.as_str()).map(|fd| (name.as_str(), *fd, map))
    });
    object
        .relocate_maps(found, &sections)
        .and_then(|()| object.relocate_calls(&sections))
        .map_err(|error| LinksError::Object(error.to_string()))?;
    object.sanitize_functions(aya::features());
    Ok(())
}

const fn data_of(map: &Map) -> &MapData {
    match map {
        Map::Array(data)
        | Map::ArrayOfMaps(data)
        | Map::BloomFilter(data)
        | Map::CgroupArray(data)
        | Map::CgroupStorage(data)
        | Map::CgrpStorage(data)
        | Map::CpuMap(data)
        | Map::DevMap(data)
        | Map::DevMapHash(data)
        | Map::HashMap(data)
        | Map::HashOfMaps(data)
        | Map::InodeStorage(data)
        | Map::LpmTrie(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::PerCpuCgroupStorage(data)
        | Map::PerCpuHashMap(data)
        | Map::PerCpuLruHashMap(data)
        | Map::PerfEventArray(data)
        | Map::ProgramArray(data)
        | Map::Queue(data)
        | Map::ReusePortSockArray(data)
        | Map::RingBuf(data)
        | Map::SockHash(data)
        | Map::SockMap(data)
        | Map::SkStorage(data)
        | Map::Stack(data)
        | Map::StackTraceMap(data)
        | Map::Unsupported(data)
        | Map::XskMap(data) => data,
    }
}
