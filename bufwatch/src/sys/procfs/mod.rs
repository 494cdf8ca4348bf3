//! Facts about processes from /proc. The parsers are total and tested on strings: names, command lines and
//! paths are chosen by the process and go through `base::sanitize` before they are shown.

pub mod cgroup;
mod held;
pub mod maps;
pub mod status;

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;

pub use cgroup::Container;
pub use held::MemoryFiles;
pub use maps::{MapEntry, parse_maps};
pub use status::{
    Status, parse_faults, parse_is_ending, parse_rss_pages, parse_start_ticks, parse_status,
};

use crate::base::{Bytes, ProcessKey};
use crate::sys::turns::UnhurriedText;

/// Largest /proc text read: 65,530 mappings (`vm.max_map_count`) with long paths are about 10 MB.
const TEXT_BYTES_MAX: u64 = 64 << 20;
/// The maps of a Node process with some hundred mappings: read at once, without asking how much there is.
const MAPS_BYTES: usize = 64 << 10;
/// In which /proc counts.
const PAGE_BYTES: u64 = 4_096;
/// Longest command line read; only its start is shown.
const COMMAND_BYTES_MAX: u64 = 4096;

/// A process that could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProcfsError {
    #[error("there is no process `{pid}`")]
    NoSuchProcess { pid: u32 },
    #[error("reading `{path}` is not permitted")]
    Denied { path: PathBuf },
    #[error("`{path}` could not be read")]
    Read { path: PathBuf, source: io::Error },
    #[error("`{path}` has an unknown form")]
    Form { path: PathBuf },
}

impl ProcfsError {
    /// Sorts the reasons why a file of a process could not be read.
    pub fn from_io(pid: u32, path: PathBuf, source: io::Error) -> Self {
        match source.kind() {
            // A process that ends while its file is read gives ESRCH.
            io::ErrorKind::NotFound if !process_path(pid, "").is_dir() => {
                Self::NoSuchProcess { pid }
            }
            _ if source.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32) => {
                Self::NoSuchProcess { pid }
            }
            io::ErrorKind::PermissionDenied => Self::Denied { path },
            _ => Self::Read { path, source },
        }
    }

    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoSuchProcess { .. } => "`bufwatch ps` lists the Node processes of this host",
            Self::Denied { .. } => {
                "run bufwatch as root (`sudo`), or as the owner of the process with CAP_SYS_PTRACE"
            }
            Self::Read { .. } | Self::Form { .. } => "is /proc mounted and of this kernel?",
        }
    }
}

/// `/proc/PID/name`.
pub fn process_path(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn read_bytes(pid: u32, name: &str, limit: u64) -> Result<Vec<u8>, ProcfsError> {
    let path = process_path(pid, name);
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|source| ProcfsError::from_io(pid, path, source))?;
    Ok(bytes)
}

fn read_text(pid: u32, name: &str) -> Result<String, ProcfsError> {
    let bytes = read_bytes(pid, name, TEXT_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn form(pid: u32, name: &str) -> ProcfsError {
    ProcfsError::Form { path: process_path(pid, name) }
}

/// The address space of a process; empty for a kernel thread or a zombie.
pub fn maps(pid: u32) -> Result<Vec<MapEntry>, ProcfsError> {
    Ok(parse_maps(&read_text(pid, "maps")?))
}

/// The same of a process that runs: it can map and unmap meanwhile. Before Linux 6.17 reading takes its `mmap_lock`.
pub fn maps_unhurried(pid: u32) -> Result<Vec<MapEntry>, ProcfsError> {
    let path = process_path(pid, "maps");
    let mut bytes = Vec::with_capacity(MAPS_BYTES);
    File::open(&path)
        .and_then(|file| UnhurriedText::new(file).take(TEXT_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| ProcfsError::from_io(pid, path, source))?;
    Ok(parse_maps(&String::from_utf8_lossy(&bytes)))
}

pub fn status(pid: u32) -> Result<Status, ProcfsError> {
    Ok(parse_status(&read_text(pid, "status")?))
}

/// It is ending or has ended, whether or not it was waited for. A process that ends runs on for some milliseconds without its
/// memory and its executable, which looks like a kernel thread.
pub fn has_ended(pid: u32) -> bool {
    match read_text(pid, "stat") {
        Ok(stat) => parse_is_ending(&stat) == Some(true),
        Err(error) => matches!(error, ProcfsError::NoSuchProcess { .. }),
    }
}

/// Identity of the process that has this pid now.
pub fn process_key(pid: u32) -> Result<ProcessKey, ProcfsError> {
    let start_ticks =
        parse_start_ticks(&read_text(pid, "stat")?).ok_or_else(|| form(pid, "stat"))?;
    Ok(ProcessKey { pid, start_ticks })
}

/// Resident set size, as /proc/PID/statm has it (cheap; per-thread batching makes it late by up to 64 pages
/// a thread on older kernels).
pub fn rss(pid: u32) -> Result<Bytes, ProcfsError> {
    parse_rss(&read_text(pid, "statm")?).ok_or_else(|| form(pid, "statm"))
}

fn parse_rss(statm: &str) -> Option<Bytes> {
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(Bytes(pages.saturating_mul(PAGE_BYTES)))
}

/// Memory of a process in /proc/PID/stat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatMemory {
    pub rss: Bytes,
    /// Minor and major ones of all threads, those included that have ended, and those that the kernel took for them.
    pub n_faults: u64,
}

fn parse_stat_memory(stat: &str) -> Option<StatMemory> {
    let rss = Bytes(parse_rss_pages(stat)?.saturating_mul(PAGE_BYTES));
    Some(StatMemory { rss, n_faults: parse_faults(stat)? })
}

/// The start of the command line, arguments separated by blanks; not sanitized.
pub fn command_line(pid: u32) -> Result<String, ProcfsError> {
    let bytes = read_bytes(pid, "cmdline", COMMAND_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    Ok(text.trim_end().to_owned())
}

/// The path of the control group of a process in the one hierarchy of cgroup v2; not sanitized.
pub fn cgroup(pid: u32) -> Option<String> {
    let text = read_text(pid, "cgroup").ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// What this host is called; not sanitized.
pub fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim_end().to_owned())
}

/// The container that a process is in.
pub fn container(pid: u32) -> Option<Container> {
    let text = read_text(pid, "cgroup").ok()?;
    // `hierarchy:controllers:path`; there are several where cgroup v1 is in use.
    text.lines().find_map(|line| Container::parse(line.splitn(3, ':').nth(2)?))
}

/// Name of the main thread; not sanitized.
pub fn comm(pid: u32) -> Result<String, ProcfsError> {
    Ok(read_text(pid, "comm")?.trim_end_matches('\n').to_owned())
}

/// Where /proc/PID/exe points; the file may have been deleted or be in another mount namespace.
pub fn exe_path(pid: u32) -> Result<PathBuf, ProcfsError> {
    let path = process_path(pid, "exe");
    fs::read_link(&path).map_err(|source| ProcfsError::from_io(pid, path, source))
}

/// Ids of the threads of a process.
pub fn thread_ids(pid: u32) -> Vec<u32> {
    /// Threads looked at; Node has about a dozen and one to four a worker.
    const THREADS_MAX: usize = 4_096;
    let Ok(entries) = fs::read_dir(process_path(pid, "task")) else { return Vec::new() };
    let tid = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    entries.take(THREADS_MAX).filter_map(tid).collect()
}

/// Descriptors that a process has open.
pub fn n_open_files(pid: u32) -> Option<u64> {
    Some(fs::read_dir(process_path(pid, "fd")).ok()?.count() as u64)
}

/// Ids and names of the threads of a process; not sanitized. A thread that ends meanwhile is left out.
pub fn threads(pid: u32) -> Vec<(u32, String)> {
    let name = |tid: u32| {
        let name = read_text(pid, &format!("task/{tid}/comm")).ok()?;
        Some((tid, name.trim_end_matches('\n').to_owned()))
    };
    thread_ids(pid).into_iter().filter_map(name).collect()
}

/// Where the stacks of a process's threads are, of those that wait in the kernel (`proc_pid_syscall(5)`); of the others it is not known.
pub fn stack_pointers(pid: u32) -> Vec<u64> {
    let of_thread = |tid: u32| {
        let text = read_text(pid, &format!("task/{tid}/syscall")).ok()?;
        let mut words = text.split_whitespace().rev();
        let word = words.nth(1)?.strip_prefix("0x")?;
        u64::from_str_radix(word, 16).ok()
    };
    thread_ids(pid).into_iter().filter_map(of_thread).collect()
}

/// The oldest thread of a process besides the main thread; the main thread if there is no other.
pub fn second_thread(pid: u32) -> u32 {
    let others = thread_ids(pid).into_iter().filter(|tid| *tid != pid);
    let start = |tid: u32| parse_start_ticks(&read_text(pid, &format!("task/{tid}/stat")).ok()?);
    let started = others.filter_map(|tid| Some((start(tid)?, tid)));
    started.min().map_or(pid, |(_, tid)| tid)
}

/// When the program that a process runs now began, in clock ticks since boot, or a little later but before it
/// can have read its scripts. The process itself may be older, a shell that prepared files and then became
/// Node with `exec`; exec ends all other threads, and Node starts its own before it loads a script.
pub fn program_start_ticks(pid: u32) -> Option<u64> {
    let tid = second_thread(pid);
    parse_start_ticks(&read_text(pid, &format!("task/{tid}/stat")).ok()?)
}

/// Pids of all processes that this /proc shows, ascending.
pub fn processes() -> io::Result<Vec<u32>> {
    let mut pids: Vec<u32> = fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described() {
        let pid = std::process::id();
        assert_eq!(process_key(pid).unwrap().pid, pid);
        assert!(process_key(pid).unwrap().start_ticks > 0);
        assert!(rss(pid).unwrap().0 > 4096);
        let in_stat = MemoryFiles::open(pid).unwrap().in_stat().unwrap();
        assert!(in_stat.rss.0 > 4096 && in_stat.n_faults > 0);
        assert!(processes().unwrap().contains(&pid));
        let exe = exe_path(pid).unwrap();
        for maps in [maps(pid), maps_unhurried(pid)] {
            assert!(maps.unwrap().iter().any(|entry| exe.as_os_str() == entry.path.as_str()));
        }
        assert!(!command_line(pid).unwrap().is_empty());
    }

    #[test]
    fn a_missing_process_is_named() {
        // Above any pid_max.
        let error = maps(4_194_305).unwrap_err();
        assert!(matches!(error, ProcfsError::NoSuchProcess { pid: 4_194_305 }), "{error:?}");
        assert!(!error.hint().is_empty());
    }
}
