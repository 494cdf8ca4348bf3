//! Attaching programs to the points of a plan. Destruction comes before creation, so that no store is
//! seen coming whose going is missed.

use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};
use aya::programs::{Program, ProgramError, RawTracePoint, UProbe};
use aya::sys::SyscallError;

use crate::base::Nanos;
use crate::source::ebpf::EbpfConfig;
use crate::source::ebpf::links::LinkPrograms;
use crate::source::ebpf::load::LoadError;
use crate::sys::last_close;

/// A uprobe program of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgramName {
    // In the order of attachment.
    StoreDestroyed,
    StoreResizeEntered,
    StoreResizeReturned,
    GcStarted,
    GcFinished,
    TornDown,
    Mapped,
    Unmapped,
    Remapped,
    Advised,
    BreakMoved,
    // Callbacks before what is created in them.
    CallbackEnteredArg0,
    CallbackEnteredArg1,
    AsyncCreated,
    StoreAttachedArg1,
    StoreAttachedArg2,
    /// As the two above, with async origins.
    StoreAttachedArg1Async,
    StoreAttachedArg2Async,
    /// In place of all others: what the probes cost by themselves.
    Nothing,
}

impl ProgramName {
    pub const fn name(self) -> &'static str {
        match self {
            Self::StoreDestroyed => "store_destroyed",
            Self::StoreResizeEntered => "store_resize_entered",
            Self::StoreResizeReturned => "store_resize_returned",
            Self::GcStarted => "gc_started",
            Self::GcFinished => "gc_finished",
            Self::TornDown => "torn_down",
            Self::Mapped => "mapped",
            Self::Unmapped => "unmapped",
            Self::Remapped => "remapped",
            Self::Advised => "advised",
            Self::BreakMoved => "break_moved",
            Self::CallbackEnteredArg0 => "callback_entered_arg0",
            Self::CallbackEnteredArg1 => "callback_entered_arg1",
            Self::AsyncCreated => "async_created",
            Self::StoreAttachedArg1 => "store_attached_arg1",
            Self::StoreAttachedArg2 => "store_attached_arg2",
            Self::StoreAttachedArg1Async => "store_attached_arg1_async",
            Self::StoreAttachedArg2Async => "store_attached_arg2_async",
            Self::Nothing => "nothing",
        }
    }

    /// True if there is nothing to show without it.
    const fn is_needed(self) -> bool {
        matches!(
            self,
            Self::StoreDestroyed
                | Self::StoreAttachedArg1
                | Self::StoreAttachedArg2
                | Self::StoreAttachedArg1Async
                | Self::StoreAttachedArg2Async
        )
    }

    /// True for what a busy target meets some hundred times a second at most.
    pub(super) const fn is_rare(self) -> bool {
        matches!(self, Self::GcStarted | Self::GcFinished | Self::TornDown)
    }

    /// True for what async origins are told by: if one callback goes unseen, what it makes is taken for that of
    /// another one around it.
    const fn is_for_async_origin(self) -> bool {
        matches!(self, Self::CallbackEnteredArg0 | Self::CallbackEnteredArg1 | Self::AsyncCreated)
    }
}

/// Where a program goes.
#[derive(Clone, Debug)]
pub struct AttachPoint {
    pub program: ProgramName,
    /// Through /proc/PID, so that it is the file that the target maps, whatever is at its path now.
    pub path: PathBuf,
    pub file_offset: u64,
    /// For messages.
    pub symbol: String,
}

const TRACEPOINTS: [(&str, &str); 3] = [
    ("task_execed", "sched_process_exec"),
    ("task_exited", "sched_process_exit"),
    ("task_forked", "sched_process_fork"),
];

/// Attaches the tracepoints, which are dispensable: what failed is returned in words.
pub(super) fn attach_tracepoints(ebpf: &mut Ebpf) -> Result<Vec<String>, LoadError> {
    let mut notices = Vec::new();
    for (program, tracepoint) in TRACEPOINTS {
        if let Err(source) = attach_tracepoint(ebpf, program, tracepoint)? {
            notices.push(format!("tracepoint `{tracepoint}` is not attached: {}", root(&source)));
        }
    }
    Ok(notices)
}

/// How probes get into a process.
#[derive(Debug)]
pub(super) enum Means {
    /// Links of the process `pid`.
    Links { programs: LinkPrograms, pid: u32 },
    /// Perf events of a thread, as `EbpfConfig::anchor_tid` says; the programs are those of the object.
    Events { anchor_tid: u32 },
}

impl Means {
    /// Links where the kernel has them, loaded while the maps of `ebpf` are still in it.
    pub(super) fn choose(ebpf: &Ebpf, config: &EbpfConfig) -> Self {
        let events = Self::Events { anchor_tid: config.anchor_tid };
        if config.has_events {
            return events;
        }
        let points = config.points.iter().map(|point| point.program);
        let names: Vec<ProgramName> =
            points.chain(config.limit.map(|_| ProgramName::Nothing)).collect();
        match LinkPrograms::load(ebpf, &names) {
            Ok(programs) => Self::Links { programs, pid: config.pid },
            Err(error) => {
                tracing::debug!(%error, "there are no uprobe links, so probes are perf events");
                events
            }
        }
    }

    /// The thread without which the probes do not fire, if there is one.
    pub(super) const fn anchor_tid(&self) -> Option<u32> {
        match self {
            Self::Links { .. } => None,
            Self::Events { anchor_tid } => Some(*anchor_tid),
        }
    }

    /// What probes are attached to: a process, or the thread that stands for it.
    const fn target(&self) -> u32 {
        match self {
            Self::Links { pid, .. } => *pid,
            Self::Events { anchor_tid } => *anchor_tid,
        }
    }

    /// How often a program ran and how long, while the kernel counted.
    pub(super) fn statistics(&self, ebpf: &Ebpf, name: &str) -> Option<(u64, Nanos)> {
        match self {
            Self::Links { programs, .. } => programs.statistics(name),
            Self::Events { .. } => {
                let info = ebpf.program(name)?.info().ok()?;
                let run_time = u64::try_from(info.run_time().as_nanos()).unwrap_or(u64::MAX);
                Some((info.run_count(), Nanos(run_time)))
            }
        }
    }

    /// Puts the program of a point in place in `target`.
    fn attach(
        &self,
        ebpf: &mut Ebpf,
        point: &AttachPoint,
        target: u32,
    ) -> Result<Result<ProbeLink, ProgramError>, LoadError> {
        match self {
            Self::Links { programs, .. } => {
                let failed = |io_error| SyscallError { call: "bpf_link_create", io_error }.into();
                Ok(programs.link(point, target).map(ProbeLink::Link).map_err(failed))
            }
            Self::Events { .. } => {
                let name = point.program.name();
                let program: &mut UProbe = find(ebpf, name)?;
                if program.fd().is_err() {
                    program.load().map_err(|source| LoadError::Program { name, source })?;
                }
                let scope = NonZeroU32::new(target)
                    .map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
                let location = UProbeAttachLocation::AbsoluteOffset(point.file_offset);
                let attached = program.attach(location, &point.path, scope);
                Ok(attached.and_then(|link| program.take_link(link)).map(ProbeLink::Event))
            }
        }
    }

    /// In this process, which for perf events means in this thread.
    pub(super) fn attach_to_self(
        &self,
        ebpf: &mut Ebpf,
        point: &AttachPoint,
    ) -> Result<Result<ProbeLink, ProgramError>, LoadError> {
        let target = match self {
            Self::Links { .. } => std::process::id(),
            Self::Events { .. } => 0,
        };
        self.attach(ebpf, point, target)
    }
}

/// A probe in place: the kernel removes it when it is dropped, also when bufwatch is killed.
#[derive(Debug)]
pub(super) enum ProbeLink {
    Link(OwnedFd),
    /// Removing it takes the kernel up to 0.1 s, one after the other.
    Event(#[expect(dead_code, reason = "it is held")] UProbeLink),
}

/// Probes in place, in the order in which they came: what sees stores go before what sees them come.
#[derive(Debug, Default)]
pub(super) struct Attached(Vec<ProbeLink>);

impl Drop for Attached {
    /// Deaths last, as they came first: of what is seen to come, as much as can be is seen to go. Links go also if bufwatch is killed meanwhile.
    fn drop(&mut self) {
        let (mut events, mut links) = (Vec::new(), Vec::new());
        for link in self.0.drain(..).rev() {
            match link {
                ProbeLink::Link(link) => links.push(link),
                ProbeLink::Event(_) => events.push(link),
            }
        }
        drop(events);
        let deaths = links.pop();
        last_close::close_all(links);
        last_close::close_all(deaths.into_iter().collect());
    }
}

/// Puts the probes in place, for all threads of the process. What is dispensable and failed is returned in words.
pub(super) fn attach_points(
    ebpf: &mut Ebpf,
    means: &Means,
    points: &[AttachPoint],
) -> Result<(Attached, Vec<String>), LoadError> {
    let (mut links, mut async_links, mut notices) =
        (Attached::default(), Attached::default(), Vec::new());
    let mut has_async_origin = true;
    let mut points: Vec<&AttachPoint> = points.iter().collect();
    points.sort_by_key(|point| point.program);
    for point in points {
        let is_for_async_origin = point.program.is_for_async_origin();
        if is_for_async_origin && !has_async_origin {
            continue;
        }
        match means.attach(ebpf, point, means.target())? {
            Ok(link) if is_for_async_origin => async_links.0.push(link),
            Ok(link) => links.0.push(link),
            Err(source) if point.program.is_needed() => {
                return Err(LoadError::Attach { symbol: point.symbol.clone(), source });
            }
            Err(source) => {
                notices.push(format!("`{}` is not probed: {}", point.symbol, root(&source)));
                if is_for_async_origin {
                    has_async_origin = false;
                    async_links = Attached::default();
                    notices.push("there are no async origins without it".to_owned());
                }
            }
        }
    }
    links.0.append(&mut async_links.0);
    Ok((links, notices))
}

pub(super) fn attach_tracepoint(
    ebpf: &mut Ebpf,
    name: &'static str,
    tracepoint: &str,
) -> Result<Result<(), ProgramError>, LoadError> {
    let program: &mut RawTracePoint = find(ebpf, name)?;
    program.load().map_err(|source| LoadError::Program { name, source })?;
    Ok(program.attach(tracepoint).map(drop))
}

fn find<'a, P>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, LoadError>
where
    &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
{
    let program = ebpf.program_mut(name).ok_or(LoadError::Absent(name))?;
    program.try_into().map_err(|source| LoadError::Program { name, source })
}

/// The innermost cause, which says what the kernel answered.
fn root(error: &ProgramError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
