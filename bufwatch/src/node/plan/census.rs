//! What the heap census needs of a binary besides V8's metadata: where collections run, and how a queue of microtasks is recognised.

use std::fmt;

use crate::base::{Bias, Constant, Svma};
use crate::node::plan::catalog;
use crate::node::plan::layout::CodeRange;
use crate::node::survey::Survey;
use crate::v8::census::roots::RootFacts;

/// Clones of the functions, with a constant argument or their cold part.
const COLLECTORS_MAX: usize = 16;

/// Symbols of the collector and of roots.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CensusSymbols {
    /// While a thread is in there, its heap is being changed.
    pub collectors: Vec<CodeRange>,
    /// `v8::internal::MicrotaskQueue`'s vtable symbol; the object's first word is 16 bytes behind it.
    pub microtask_queue: Constant<Svma>,
}

impl CensusSymbols {
    pub(super) fn resolve(survey: &Survey) -> Self {
        let symbols = [catalog::PERFORM_GC, catalog::COLLECT_GARBAGE]
            .into_iter()
            .flat_map(|pattern| survey.find(pattern))
            .filter_map(|symbol| {
                let end = symbol.svma.checked_add(symbol.size)?;
                Some(CodeRange { start: symbol.svma, end })
            });
        let microtask_queue = survey.find(catalog::MICROTASK_QUEUE_VTABLE).first().map_or_else(
            || {
                Constant::missing(
                    "no symbol of the vtable; consequence: jobs that wait hold nothing",
                )
            },
            |symbol| Constant::Loaded { value: symbol.svma, symbol: symbol.name.clone() },
        );
        Self { collectors: symbols.take(COLLECTORS_MAX).collect(), microtask_queue }
    }

    /// In a process.
    pub fn facts(&self, bias: Bias) -> RootFacts {
        RootFacts {
            microtask_queue_vtable: self
                .microtask_queue
                .get()
                .and_then(|vtable| vtable.checked_add(16))
                .map(|vtable| bias.to_avma(vtable)),
            collector_code: self
                .collectors
                .iter()
                .map(|range| bias.to_avma(range.start).0..bias.to_avma(range.end).0)
                .collect(),
        }
    }

    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.collectors.len();
        let from = match n {
            0 => "missing: no symbol of them; consequence: a census may meet a collection",
            _ => "loaded from Heap::PerformGarbageCollection, Heap::CollectGarbage",
        };
        writeln!(f, "  {:32} {n:<12} {from}", "collector functions")?;
        let vtable = &self.microtask_queue;
        writeln!(f, "  {:32} {vtable:12} {}", "MicrotaskQueue vtable", vtable.provenance())
    }
}
