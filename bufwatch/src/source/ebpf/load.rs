//! Loading the object into the kernel, and its maps out of the object. Nothing is attached here.

use aya::maps::{Array, Map, MapError};
use aya::programs::ProgramError;
use aya::{Ebpf, EbpfError, EbpfLoader};
use bufwatch_common::ProbeConfig;

use crate::source::ebpf::{EbpfConfig, kernel_log};
use crate::sys::kernel;

/// The programs, as `build.rs` left them; empty if it was told to skip them.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/bufwatch-ebpf"));

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("this bufwatch was built without its eBPF programs (BUFWATCH_SKIP_EBPF)")]
    NotBuilt,
    #[error("the kernel refused the eBPF object: {0}")]
    Refused(#[from] EbpfError),
    #[error("eBPF program `{name}`: {source}")]
    Program { name: &'static str, source: ProgramError },
    #[error("eBPF map `{name}`: {source}")]
    Map { name: &'static str, source: MapError },
    #[error("the eBPF object has no `{0}`: it does not fit this bufwatch")]
    Absent(&'static str),
    #[error("cannot wait for the ring buffer: {0}")]
    WakeUps(std::io::Error),
    #[error("page faults cannot be followed, tracepoint `{tracepoint}` is not attached: {source}")]
    Faults { tracepoint: &'static str, source: ProgramError },
    #[error("what probes cost could not be measured: {0}")]
    Cost(String),
    #[error("cannot attach `{symbol}`, without which stores are not seen: {source}")]
    Attach { symbol: String, source: ProgramError },
}

impl LoadError {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotBuilt => "build again without BUFWATCH_SKIP_EBPF: cargo xtask build",
            Self::Absent(_) => "build again: cargo xtask build",
            Self::Faults { .. } => {
                "leave out --faults: first touches are then told by the looks at pages, about a second apart"
            }
            Self::Cost(_) => {
                "leave out --max-overhead, which needs it (Linux 5.8 or newer, CAP_SYS_ADMIN)"
            }
            _ => {
                "run as root (or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, before Linux 6.10 perhaps CAP_SYS_ADMIN as well); `bufwatch doctor` says what is missing"
            }
        }
    }
}

/// Maps that only async origins need, which have one entry without them.
const ASYNC_MAPS: [&str; 3] = ["CALLBACKS", "ASYNC_RESOURCES", "ASYNC_ORIGINS"];

pub(super) fn load(config: &EbpfConfig) -> Result<Ebpf, LoadError> {
    let object = find_object()?;
    let ring_bytes = config.ring_bytes.clamp(4_096, 1 << 30).next_power_of_two();
    let mut loader = EbpfLoader::new();
    // The programs have no relocations against the kernel's types: reading those takes 10 ms and some ten megabytes.
    loader.btf(None);
    kernel_log::set_level(&mut loader);
    loader.map_max_entries("EVENTS", ring_bytes);
    if config.async_origin.is_none() {
        for name in ASYNC_MAPS {
            loader.map_max_entries(name, 1);
        }
    }
    if !config.has_faults {
        loader.map_max_entries("FAULTS", 1);
    }
    if let Some(n) = config.stores_max {
        // The first tier is preallocated, with 100 bytes an entry; the second has 16 bytes an entry while it is empty.
        loader.map_max_entries("LIVE", (n / 16).clamp(1_024, 1 << 16));
        loader.map_max_entries("LIVE_MORE", n.clamp(1_024, 1 << 20));
    }
    Ok(loader.load(object)?)
}

/// What only the probes of one target need.
const TARGET_MAPS: [&str; 10] = [
    "LIVE",
    "LIVE_MORE",
    "STACKS",
    "SHORTCUTS",
    "RESIZING",
    "CALLBACKS",
    "ASYNC_RESOURCES",
    "ASYNC_ORIGINS",
    "FAULTS",
    "SCRATCH",
];

/// Records of programs that begin, of 48 bytes: 5,000 of them.
const EXEC_RING_BYTES: u32 = 256 << 10;

/// For programs of the whole machine: without room for anything about a target.
pub(super) fn load_for_execs() -> Result<Ebpf, LoadError> {
    let object = find_object()?;
    let mut loader = EbpfLoader::new();
    loader.btf(None);
    kernel_log::set_level(&mut loader);
    loader.map_max_entries("EVENTS", EXEC_RING_BYTES);
    for name in TARGET_MAPS {
        loader.map_max_entries(name, 1);
    }
    Ok(loader.load(object)?)
}

/// Tells the programs what they go by. Pids are those of the namespace that bufwatch is in.
pub(super) fn configure(ebpf: &mut Ebpf, config: ProbeConfig) -> Result<(), LoadError> {
    let namespace = kernel::own_pid_namespace();
    let (pid_namespace_device, pid_namespace_inode) =
        namespace.map_or((0, 0), |it| (it.device, it.inode));
    let config = ProbeConfig { pid_namespace_device, pid_namespace_inode, ..config };
    // It stays in the object: programs are loaded with the maps that are there.
    let map = ebpf.map_mut("CONFIG").ok_or(LoadError::Absent("CONFIG"))?;
    let failed = |source| LoadError::Map { name: "CONFIG", source };
    let mut map: Array<_, ProbeConfig> = Array::try_from(map).map_err(failed)?;
    map.set(0, config, 0).map_err(failed)
}

pub(super) const fn find_object() -> Result<&'static [u8], LoadError> {
    if OBJECT.is_empty() { Err(LoadError::NotBuilt) } else { Ok(OBJECT) }
}

/// Takes the map `name` out of the object, as the type that the caller wants.
pub(super) fn take_map<M>(ebpf: &mut Ebpf, name: &'static str) -> Result<M, LoadError>
where
    M: TryFrom<Map, Error = MapError>,
{
    let map = ebpf.take_map(name).ok_or(LoadError::Absent(name))?;
    M::try_from(map).map_err(|source| LoadError::Map { name, source })
}
