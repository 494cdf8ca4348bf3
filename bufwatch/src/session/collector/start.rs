//! Starts what tells of the target, once everything that it needs is known.

use crate::base::Avma;
use crate::node::identity::NodeIdentity;
use crate::node::plan::CodeRange;
use crate::session::SessionError;
use crate::session::collector::Collector;
use crate::session::probes::interpreter_copies;
use crate::session::target::SourceConfig;
use crate::source::{BreakpointSource, EbpfSource, PtraceSource, Source};

/// `place` is where the interpreter is.
pub(super) fn start_source(
    source: SourceConfig,
    place: (&NodeIdentity, Option<CodeRange>),
    collector: &mut Collector<'_>,
    has_ended: &dyn Fn() -> bool,
) -> Result<Box<dyn Source>, SessionError> {
    let pid = collector.model.target.pid;
    Ok(match source {
        SourceConfig::Ebpf(ebpf) => {
            collector.symbolizer.prepare(Avma(ebpf.probe.text_start));
            let (mut source, mut more) = EbpfSource::start(&ebpf).map_err(|error| {
                if has_ended() { SessionError::EndedDuringAttach(pid) } else { error.into() }
            })?;
            collector.interest.notices.append(&mut more);
            // Twice: a worker may have begun before the probes saw its mappings, or while this was written down.
            for _ in 0..2 {
                source.add_copies(&interpreter_copies(place.0, place.1))?;
            }
            Box::new(source)
        }
        SourceConfig::Breakpoints(breakpoints) => {
            collector.symbolizer.prepare(Avma(breakpoints.probe.text_start));
            let source = BreakpointSource::start(*breakpoints).map_err(|source| {
                if source.has_ended() || has_ended() {
                    SessionError::EndedDuringAttach(pid)
                } else {
                    SessionError::Breakpoints { pid, source }
                }
            })?;
            Box::new(source)
        }
        SourceConfig::Ptrace(config) => Box::new(PtraceSource::new(config)),
    })
}
