//! Programs that begin anywhere on this host, as the kernel tells of them (tracepoint `sched_process_exec`). Which of them matter is not known
//! here.

use aya::Ebpf;
use aya::maps::{Array, MapData, RingBuf};
use bufwatch_common::layout::read;
use bufwatch_common::{ExecRecord, ProbeConfig, kind};

use crate::base::Nanos;
use crate::source::ebpf::attach::attach_tracepoint;
use crate::source::ebpf::load::{self, LoadError};
use crate::source::ebpf::ring::WakeUps;
use crate::sys::kernel;

/// A process runs another program from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    pub at: Nanos,
    pub pid: u32,
    /// The start of the program's name; not sanitized.
    pub name: String,
}

/// Attached; dropping it detaches.
pub struct ExecSource {
    wake_ups: WakeUps,
    ring: RingBuf<MapData>,
    /// Holds the program and its link.
    _ebpf: Ebpf,
}

impl std::fmt::Debug for ExecSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecSource").finish_non_exhaustive()
    }
}

impl ExecSource {
    pub fn start() -> Result<Self, LoadError> {
        let mut ebpf = load::load_for_execs()?;
        let namespace = kernel::own_pid_namespace();
        let (pid_namespace_device, pid_namespace_inode) =
            namespace.map_or((0, 0), |it| (it.device, it.inode));
        let config = ProbeConfig {
            pid_namespace_device,
            pid_namespace_inode,
            wake_up_records: 1,
            ..ProbeConfig::default()
        };
        let mut settings: Array<_, ProbeConfig> = load::take_map(&mut ebpf, "CONFIG")?;
        settings.set(0, config, 0).map_err(|source| LoadError::Map { name: "CONFIG", source })?;
        let tracepoint = "sched_process_exec";
        attach_tracepoint(&mut ebpf, "program_begun", tracepoint)?.map_err(|source| {
            LoadError::Attach { symbol: format!("tracepoint {tracepoint}"), source }
        })?;
        let ring = load::take_map(&mut ebpf, "EVENTS")?;
        let wake_ups = WakeUps::new(&ring).map_err(LoadError::WakeUps)?;
        Ok(Self { wake_ups, ring, _ebpf: ebpf })
    }

    /// Until a program begins. One that begins within a millisecond of another one may wake up nobody: look again soon after.
    pub fn wait(&self, limit: Nanos) {
        self.wake_ups.wait(limit);
    }

    /// The next one, if there is one by now.
    pub fn take_next(&mut self) -> Option<Exec> {
        loop {
            let item = self.ring.next()?;
            let record: Option<ExecRecord> = read(&item);
            if let Some(record) = record.filter(|it| it.header.kind == kind::PROGRAM_BEGUN) {
                let name = record.name.split(|byte| *byte == 0).next().unwrap_or_default();
                return Some(Exec {
                    at: Nanos(record.header.ktime_ns),
                    pid: record.header.pid,
                    name: String::from_utf8_lossy(name).into_owned(),
                });
            }
        }
    }
}
