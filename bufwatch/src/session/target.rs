//! From a pid to everything that attaching and reading it needs: identity, plan and constants. What is watched is said by `probes`.

use crate::base::sanitize;
use crate::event::{Backend, StoreFlagBits, TargetIdentified};
use crate::node::allocator::allocator_of;
use crate::node::identity::NodeIdentity;
use crate::node::plan::{self, CodeRange, Planned, ProbePlan};
use crate::session::backend::check_ptrace;
use crate::session::probes::{breakpoint_config, ebpf_config};
use crate::session::{SessionConfig, SessionError};
use crate::source::breakpoints::BreakpointConfig;
use crate::source::census::{CensusError, CensusTaker};
use crate::source::ebpf::EbpfConfig;
use crate::source::known_stores::StoreTarget;
use crate::source::sampler::SamplerFacts;
use crate::symbolize::V8Facts;
use crate::sys::pidfd::PidFd;
use crate::sys::procfs;
use crate::v8::heap_usage::HeapUsageFacts;
use crate::v8::metadata::is_measured;
use crate::v8::{BytecodeSizes, Encoding, IsolateFacts, Release, TranslationOpcodes};

/// A Node process that cannot be traced.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("no probe for {0} was found in `{1}`, without it stores are not seen")]
    Unusable(&'static str, String),
}

impl TargetError {
    pub fn hint(&self) -> &'static str {
        "`bufwatch plan --pid PID` says which probes were looked for"
    }
}

/// Everything known before the first probe.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) identified: TargetIdentified,
    pub(super) source: SourceConfig,
    pub(super) sampler: SamplerFacts,
    pub(super) v8: V8Facts,
    pub(super) notices: Vec<String>,
    pub(super) census: Result<CensusTaker, CensusError>,
    pub(super) pidfd: PidFd,
    /// Of which each isolate maps a copy.
    pub(super) interpreter: Option<CodeRange>,
    /// Keeps the files open that the attach paths name.
    pub(super) identity: NodeIdentity,
}

/// What the backend is to do.
#[derive(Debug)]
pub(super) enum SourceConfig {
    Ebpf(Box<EbpfConfig>),
    Breakpoints(Box<BreakpointConfig>),
    Ptrace(StoreTarget),
}

pub(super) fn prepare(config: &SessionConfig) -> Result<Prepared, SessionError> {
    if config.has_faults && config.backend != Backend::Ebpf {
        return Err(SessionError::NoFaults(config.backend));
    }
    if config.max_overhead.is_some() && config.backend != Backend::Ebpf {
        return Err(SessionError::NoOverheadLimit(config.backend));
    }
    if config.max_overhead.is_some() && config.has_async_origin {
        return Err(SessionError::NoAsyncOrigin);
    }
    let pidfd = PidFd::open(config.pid);
    let planned = plan::obtain(config.pid, config.plan_cache.as_ref())
        .map_err(|source| SessionError::Identity { pid: config.pid, source })?;
    let census = CensusTaker::new(&planned).map(|it| it.stopped_by(config.tracer.clone()));
    let Planned { identity, plan, .. } = planned;
    let pidfd = pidfd.map_err(|source| match source.raw_os_error() {
        Some(nix::libc::ESRCH) => SessionError::EndedDuringAttach(config.pid),
        _ => SessionError::NoPidFd { pid: config.pid, source },
    })?;
    let identified = identified(config, &identity, &plan);
    let stores = stores_of(config, &identified, &identity, &plan);
    let (source, notices) = match config.backend {
        Backend::Ebpf => {
            let (ebpf, notices) = ebpf_config(config, &identity, &plan, stores)?;
            (SourceConfig::Ebpf(Box::new(ebpf)), notices)
        }
        Backend::Breakpoints => {
            let (breakpoints, notices) = breakpoint_config(config, &identity, &plan)?;
            (SourceConfig::Breakpoints(Box::new(breakpoints)), notices)
        }
        Backend::Ptrace => {
            check_censuses(config, &census)?;
            (
                SourceConfig::Ptrace(stores),
                config.backend.loss().map(notice_of_loss).into_iter().collect(),
            )
        }
    };
    Ok(Prepared {
        identified,
        source,
        sampler: SamplerFacts {
            allocator: plan.allocator_facts(identity.node.bias),
            malloc: allocator_of(&identity),
            page_layout: plan.page_layout(),
            heap_usage: plan.v8_version.and_then(|v| HeapUsageFacts::of(v.major, v.minor)),
        },
        v8: v8_facts(&identity, &plan),
        interpreter: plan.frames.interpreter.get(),
        notices,
        census,
        pidfd,
        identity,
    })
}

/// Where censuses are all that there is, they must be possible.
fn check_censuses(
    config: &SessionConfig,
    census: &Result<CensusTaker, CensusError>,
) -> Result<(), SessionError> {
    check_ptrace(config.pid)
        .map_err(|source| SessionError::NoPtrace { pid: config.pid, source })?;
    if let Err(CensusError::Unknown(what)) = census {
        return Err(CensusError::Unknown(what.clone()).into());
    }
    Ok(())
}

/// What has to be known to ask the process itself for its stores.
fn stores_of(
    config: &SessionConfig,
    identified: &TargetIdentified,
    identity: &NodeIdentity,
    plan: &ProbePlan,
) -> StoreTarget {
    StoreTarget {
        pid: config.pid,
        min_size: config.min_size,
        flags: identified.store_flags,
        text_start: identity.node.bias.to_avma(plan.frames.text_start),
    }
}

fn notice_of_loss(loss: &str) -> String {
    format!("backend ptrace: {loss}")
}

fn identified(
    config: &SessionConfig,
    identity: &NodeIdentity,
    plan: &ProbePlan,
) -> TargetIdentified {
    let flags = plan.layout.flags.get();
    TargetIdentified {
        pid: config.pid,
        inner_pid: identity.inner_pid.filter(|pid| *pid != config.pid),
        container: procfs::container(config.pid).map(|it| it.to_string()),
        backend: config.backend,
        command: sanitize(&identity.command),
        node_version: plan
            .node_version
            .map(|version| version.to_string().trim_start_matches('v').to_owned()),
        v8_version: plan.v8_version.map(|version| version.to_string()),
        store_flags: flags.map_or_else(StoreFlagBits::default, Into::into),
        min_size: config.min_size,
    }
}

fn isolate_facts(plan: &ProbePlan) -> Option<IsolateFacts> {
    let heap_in_isolate = plan.allocator.as_ref()?.heap_in_isolate.get()?;
    Some(IsolateFacts { pages: plan.page_layout()?, heap_in_isolate: u64::from(heap_in_isolate) })
}

fn v8_facts(identity: &NodeIdentity, plan: &ProbePlan) -> V8Facts {
    // Somewhere between V8 13.6 and 14.6 it changed.
    let encodings = match plan.v8_version {
        Some(version) if version.major >= 14 => [Encoding::FlagBits, Encoding::SignMarksExpression],
        _ => [Encoding::SignMarksExpression, Encoding::FlagBits],
    };
    let release: Option<Release> = plan.v8_version.map(Into::into);
    V8Facts {
        is_measured: is_measured(release),
        layout: plan.v8.layout(),
        bytecode_sizes: BytecodeSizes::new(plan.frames.bytecode_sizes.clone()),
        translation_opcodes: TranslationOpcodes::new(plan.frames.translation_operands.clone()),
        encodings,
        wasm_state: plan.frames.wasm_state.get().map(|state| identity.node.bias.to_avma(state)),
        isolate: isolate_facts(plan),
    }
}
