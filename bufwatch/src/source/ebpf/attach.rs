//! Attaching programs to the points of a plan. Destruction comes before creation, so that no store is
//! seen coming whose going is missed.

use std::num::NonZeroU32;
use std::path::PathBuf;

use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};
use aya::programs::{Program, ProgramError, RawTracePoint, UProbe};

use crate::source::ebpf::load::LoadError;

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

/// Attaches the probes to the thread `anchor_tid`, for all threads of its process. Dropping the links removes
/// them, which takes the kernel up to 0.1 s each, one after the other. What is dispensable and failed is
/// returned in words.
pub(super) fn attach_points(
    ebpf: &mut Ebpf,
    points: &[AttachPoint],
    anchor_tid: u32,
) -> Result<(Vec<UProbeLink>, Vec<String>), LoadError> {
    let (mut links, mut async_links, mut notices) = (Vec::new(), Vec::new(), Vec::new());
    let mut has_async_origin = true;
    let mut points: Vec<&AttachPoint> = points.iter().collect();
    points.sort_by_key(|point| point.program);
    for point in points {
        let name = point.program.name();
        let is_for_async_origin = point.program.is_for_async_origin();
        if is_for_async_origin && !has_async_origin {
            continue;
        }
        let program: &mut UProbe = find(ebpf, name)?;
        if program.fd().is_err() {
            program.load().map_err(|source| LoadError::Program { name, source })?;
        }
        let scope = NonZeroU32::new(anchor_tid)
            .map_or(UProbeScope::CallingProcess, UProbeScope::OneProcess);
        let location = UProbeAttachLocation::AbsoluteOffset(point.file_offset);
        let attached =
            program.attach(location, &point.path, scope).and_then(|link| program.take_link(link));
        match attached {
            Ok(link) if is_for_async_origin => async_links.push(link),
            Ok(link) => links.push(link),
            Err(source) if point.program.is_needed() => {
                return Err(LoadError::Attach { symbol: point.symbol.clone(), source });
            }
            Err(source) => {
                notices.push(format!("`{}` is not probed: {}", point.symbol, root(&source)));
                if is_for_async_origin {
                    has_async_origin = false;
                    async_links.clear();
                    notices.push("there are no async origins without it".to_owned());
                }
            }
        }
    }
    links.append(&mut async_links);
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
