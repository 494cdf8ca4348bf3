//! What a backend with probes is to watch, out of the plan: which points, with which programs or meanings, and the constants that reading a
//! stack needs.

use bufwatch_common::{CallbackFunctions, FRAMES_MAX, ProbeConfig};

use crate::base::{Svma, sanitize};
use crate::node::identity::NodeIdentity;
use crate::node::plan::{CodeRange, Constant, Probe, ProbeImage, ProbePlan, ProbePurpose};
use crate::session::target::TargetError;
use crate::session::{SessionConfig, SessionError};
use crate::source::breakpoints::{BreakpointAt, BreakpointConfig, Meaning};
use crate::source::ebpf::{AttachPoint, CostLimit, EbpfConfig, ProgramName};
use crate::source::known_stores::StoreTarget;
use crate::sys::procfs;
use crate::v8::metadata::is_measured;
use crate::v8::readable::Readable;

/// What is traced, and what cannot be, in words.
pub(super) fn ebpf_config(
    config: &SessionConfig,
    identity: &NodeIdentity,
    plan: &ProbePlan,
    stores: StoreTarget,
) -> Result<(EbpfConfig, Vec<String>), SessionError> {
    if let Some(purpose) = missing_requirement(plan) {
        return Err(TargetError::Unusable(purpose, sanitize(&identity.node.path)).into());
    }
    let async_origin = async_origin(config, identity, plan);
    let is_wanted =
        |purpose: ProbePurpose| async_origin.is_some() || !purpose.is_for_async_origin();
    let probes = plan.probes.iter().filter(|probe| is_wanted(probe.purpose));
    let points = probes.flat_map(|probe| points(probe, identity, async_origin.is_some()));
    let points = if config.has_empty_probes {
        points.map(|point| AttachPoint { program: ProgramName::Nothing, ..point }).collect()
    } else {
        points.collect()
    };
    let ebpf = EbpfConfig {
        pid: config.pid,
        has_events: config.anchor_tid.is_some(),
        anchor_tid: config.anchor_tid.unwrap_or_else(|| procfs::second_thread(config.pid)),
        probe: probe_config(config, identity, plan),
        interpreter_copies: interpreter_copies(identity, plan.frames.interpreter.get()),
        async_origin,
        has_faults: config.has_faults,
        ring_bytes: config.ring_bytes,
        stores_max: config.stores_max,
        points,
        limit: config.max_overhead.map(|share| CostLimit { share, stores }),
    };
    let is_missed =
        |purpose: ProbePurpose| config.has_async_origin || !purpose.is_for_async_origin();
    let missing = plan.missing.iter().filter(|missing| is_missed(missing.purpose));
    let notices = missing.map(|m| format!("no probe for {}: {}", m.purpose.name(), m.consequence));
    let notices = notices.chain(javascript_notice(plan)).collect();
    Ok((ebpf, notices))
}

/// What is watched by breakpoints, and what cannot be, in words.
pub(super) fn breakpoint_config(
    config: &SessionConfig,
    identity: &NodeIdentity,
    plan: &ProbePlan,
) -> Result<(BreakpointConfig, Vec<String>), SessionError> {
    let tracer = config.tracer.clone().ok_or(SessionError::NoTracer(config.pid))?;
    if let Some(purpose) = missing_requirement(plan) {
        return Err(TargetError::Unusable(purpose, sanitize(&identity.node.path)).into());
    }
    let of_node = plan.probes.iter().filter(|probe| probe.image == ProbeImage::Node);
    let points = of_node.filter_map(|probe| {
        let address = identity.node.bias.to_avma(probe.svma);
        Some(BreakpointAt { address, meaning: meaning(probe.purpose)? })
    });
    let missing = plan.missing.iter().filter(|missing| meaning(missing.purpose).is_some());
    let notices =
        missing.map(|m| format!("no breakpoint for {}: {}", m.purpose.name(), m.consequence));
    let async_origin = config
        .has_async_origin
        .then(|| "there are no async origins: they need backend ebpf".to_owned());
    let loss = config.backend.loss().map(|loss| format!("backend breakpoints: {loss}"));
    let notices = notices.chain(loss).chain(async_origin).chain(javascript_notice(plan)).collect();
    let breakpoints = BreakpointConfig {
        tracer,
        probe: probe_config(config, identity, plan),
        points: points.collect(),
        identity: identity.clone(),
        interpreter: plan.frames.interpreter.get().map(|range| range.start..range.end),
    };
    Ok((breakpoints, notices))
}

/// `None` for what is not worth a stop.
const fn meaning(purpose: ProbePurpose) -> Option<Meaning> {
    Some(match purpose {
        ProbePurpose::StoreCreatedArg1 => Meaning::Created { argument: 1 },
        ProbePurpose::StoreCreatedArg2 => Meaning::Created { argument: 2 },
        ProbePurpose::StoreDestroyed => Meaning::Destroyed,
        ProbePurpose::StoreResize | ProbePurpose::StoreGrow | ProbePurpose::WasmGrow => {
            Meaning::Resizing
        }
        ProbePurpose::GcStarted => Meaning::GcStarted,
        ProbePurpose::GcFinished => Meaning::GcFinished,
        ProbePurpose::HeapTearDown => Meaning::TornDown,
        _ => return None,
    })
}

/// Where callbacks of async resources run; `None` if that was not asked for or cannot be told.
fn async_origin(
    config: &SessionConfig,
    identity: &NodeIdentity,
    plan: &ProbePlan,
) -> Option<CallbackFunctions> {
    if !config.has_async_origin || !plan.has_async_origins() {
        return None;
    }
    let avma = |svma: Svma| identity.node.bias.to_avma(svma).0;
    let mut functions = CallbackFunctions::default();
    let entries = functions.starts.iter_mut().zip(&mut functions.ends);
    for ((start, end), range) in entries.zip(&plan.callback_functions) {
        (*start, *end) = (avma(range.start), avma(range.end));
    }
    Some(functions)
}

/// What of JavaScript frames cannot be told, or is not sure yet.
fn javascript_notice(plan: &ProbePlan) -> Option<String> {
    let readable = plan.v8.readable();
    if readable != Readable::Everything {
        return Some(format!("JavaScript frames have {}", readable.consequence()));
    }
    let release = plan.v8_version.map(Into::into);
    let version = plan.v8_version.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    (!is_measured(release)).then(|| {
        format!(
            "V8 {version} is not one that bufwatch was tested with: lines are approximate (~) until functions of Node itself have been decoded"
        )
    })
}

fn missing_requirement(plan: &ProbePlan) -> Option<&'static str> {
    if plan.is_usable() {
        return None;
    }
    let missing = plan.missing.iter().find(|missing| missing.purpose.is_required());
    Some(missing.map_or("the layout of backing stores", |missing| missing.purpose.name()))
}

fn points(probe: &Probe, identity: &NodeIdentity, has_async_origin: bool) -> Vec<AttachPoint> {
    let programs: &[ProgramName] = match probe.purpose {
        ProbePurpose::StoreCreatedArg1 if has_async_origin => {
            &[ProgramName::StoreAttachedArg1Async]
        }
        ProbePurpose::StoreCreatedArg1 => &[ProgramName::StoreAttachedArg1],
        ProbePurpose::StoreCreatedArg2 if has_async_origin => {
            &[ProgramName::StoreAttachedArg2Async]
        }
        ProbePurpose::StoreCreatedArg2 => &[ProgramName::StoreAttachedArg2],
        ProbePurpose::StoreDestroyed => &[ProgramName::StoreDestroyed],
        ProbePurpose::StoreResize | ProbePurpose::StoreGrow | ProbePurpose::WasmGrow => {
            &[ProgramName::StoreResizeEntered, ProgramName::StoreResizeReturned]
        }
        ProbePurpose::GcStarted => &[ProgramName::GcStarted],
        ProbePurpose::GcFinished => &[ProgramName::GcFinished],
        ProbePurpose::HeapTearDown => &[ProgramName::TornDown],
        ProbePurpose::Mmap => &[ProgramName::Mapped],
        ProbePurpose::Munmap => &[ProgramName::Unmapped],
        ProbePurpose::Mremap => &[ProgramName::Remapped],
        ProbePurpose::Madvise => &[ProgramName::Advised],
        ProbePurpose::Brk => &[ProgramName::BreakMoved],
        ProbePurpose::AsyncCreated => &[ProgramName::AsyncCreated],
        ProbePurpose::AsyncCallback
        | ProbePurpose::AsyncStreamRead
        | ProbePurpose::AsyncFile
        | ProbePurpose::AsyncMessage => &[ProgramName::CallbackEnteredArg0],
        ProbePurpose::AsyncAccept => &[ProgramName::CallbackEnteredArg1],
    };
    let image = match probe.image {
        ProbeImage::Node => Some(&identity.node),
        ProbeImage::Libc => identity.libc.as_ref(),
    };
    let Some(image) = image else { return Vec::new() };
    let point = |program: &ProgramName| AttachPoint {
        program: *program,
        path: image.file.descriptor_path(),
        file_offset: probe.file_offset.0,
        symbol: sanitize(&probe.symbol),
    };
    programs.iter().map(point).collect()
}

fn probe_config(config: &SessionConfig, identity: &NodeIdentity, plan: &ProbePlan) -> ProbeConfig {
    let frames = &plan.frames;
    let avma = |svma: Svma| identity.node.bias.to_avma(svma).0;
    let blob = frames.blob_start.get().zip(frames.blob_bytes.get());
    let (blob_start, blob_end) = blob.map_or((0, 0), |(start, bytes)| {
        (avma(start), avma(start).saturating_add(u64::from(bytes)))
    });
    let v8 = &plan.v8;
    let offsets = (
        v8.function_shared.get(),
        v8.shared_script.get(),
        v8.shared_literal_id.get(),
        v8.script_id.get(),
    );
    // All or nothing: with one of them missing, JavaScript frames are not read at all.
    let (function, script, literal_id, script_id) = match offsets {
        (Some(function), Some(script), Some(literal), Some(id)) => (function, script, literal, id),
        _ => (0, 0, 0, 0),
    };
    let code = |constant: &Constant<CodeRange>| {
        constant.get().map_or((0, 0), |range| (avma(range.start), avma(range.end)))
    };
    let (interpreter_start, interpreter_end) = code(&frames.interpreter);
    let interpreter_file_offset = frames
        .interpreter
        .get()
        .and_then(|range| identity.node.image.file_offset_of(range.start))
        .unwrap_or_default();
    let small = |constant: &Constant<u32>| constant.get().and_then(|it| u16::try_from(it).ok());
    let names = small(&v8.script_name).zip(small(&v8.string_chars));
    let (script_name_offset, string_chars_offset) =
        names.filter(|_| config.has_async_origin).unwrap_or_default();
    let (poll_start, poll_end) = code(&frames.event_poll);
    let (loop_start, loop_end) = code(&frames.event_loop);
    ProbeConfig {
        min_size_bytes: config.min_size.0,
        text_start: avma(frames.text_start),
        text_end: avma(frames.text_end),
        blob_start,
        blob_end,
        interpreter_start,
        interpreter_end,
        interpreter_file_offset: interpreter_file_offset.0,
        poll_start,
        poll_end,
        loop_start,
        loop_end,
        function_shared_offset: function,
        shared_script_offset: script,
        shared_literal_id_offset: literal_id,
        script_id_offset: script_id,
        store_flags_offset: plan.layout.flags_offset.get().unwrap_or_default(),
        tgid: config.pid,
        frames_max: FRAMES_MAX as u16,
        wake_up_records: config.pace.wake_up_records,
        script_name_offset,
        string_chars_offset,
        ..ProbeConfig::default()
    }
}

pub(super) fn interpreter_copies(
    identity: &NodeIdentity,
    interpreter: Option<CodeRange>,
) -> Vec<u64> {
    interpreter.map(|range| identity.find_copies(&(range.start..range.end))).unwrap_or_default()
}
