//! What the heap census needs of a binary besides V8's metadata: where collections run, and how a queue of microtasks is recognised.

use std::fmt;

use crate::base::{Bias, Constant, Svma};
use crate::elf::Image;
use crate::node::plan::catalog;
use crate::node::plan::instruction::decode;
use crate::node::plan::layout::CodeRange;
use crate::node::survey::Survey;
use crate::v8::census::roots::RootFacts;

/// Clones of the functions, with a constant argument or their cold part.
const COLLECTORS_MAX: usize = 16;

/// Code of `Heap::SetGCState`: at most a frame, one store and a return.
const SET_GC_STATE_BYTES: usize = 32;

/// Symbols of the collector and of roots.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CensusSymbols {
    /// While a thread is in there, its heap is being changed.
    pub collectors: Vec<CodeRange>,
    /// Offset of `Heap::gc_state_`.
    pub gc_state: Constant<u32>,
    /// `v8::internal::MicrotaskQueue`'s vtable symbol; the object's first word is 16 bytes behind it.
    pub microtask_queue: Constant<Svma>,
    /// `node::per_process::v8_platform`.
    pub v8_platform: Constant<Svma>,
}

impl CensusSymbols {
    pub(super) fn resolve(image: &Image, survey: &Survey) -> Self {
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
        let gc_state = survey
            .find(catalog::SET_GC_STATE)
            .first()
            .and_then(|symbol| image.read_up_to(symbol.svma, SET_GC_STATE_BYTES).ok())
            .and_then(|code| find_stored_field(&code))
            .map_or_else(
                || {
                    Constant::missing(
                        "no code of Heap::SetGCState; consequence: collections are known by stacks only",
                    )
                },
                |value| Constant::Derived {
                    value,
                    rule: "stored by the code of Heap::SetGCState".to_owned(),
                },
            );
        let v8_platform = survey.find(catalog::V8_PLATFORM).first().map_or_else(
            || {
                Constant::missing(
                    "no symbol of it; consequence: V8's pages are searched where they may be",
                )
            },
            |symbol| Constant::Loaded { value: symbol.svma, symbol: symbol.name.clone() },
        );
        let collectors = symbols.take(COLLECTORS_MAX).collect();
        Self { collectors, gc_state, microtask_queue, v8_platform }
    }

    /// In a process.
    pub fn facts(&self, bias: Bias) -> RootFacts {
        RootFacts {
            microtask_queue_vtable: self
                .microtask_queue
                .get()
                .and_then(|vtable| vtable.checked_add(16))
                .map(|vtable| bias.to_avma(vtable)),
            v8_platform: self.v8_platform.get().map(|platform| bias.to_avma(platform)),
            gc_state: self.gc_state.get().map(u64::from),
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
        let gc_state = &self.gc_state;
        writeln!(f, "  {:32} {gc_state:<12} {}", "Heap::gc_state_", gc_state.provenance())?;
        let platform = &self.v8_platform;
        writeln!(f, "  {:32} {platform:12} {}", "node::V8Platform", platform.provenance())?;
        let vtable = &self.microtask_queue;
        writeln!(f, "  {:32} {vtable:12} {}", "MicrotaskQueue vtable", vtable.provenance())
    }
}

/// Of a function that stores its argument of 32 bits in the object that it is called on, and does nothing else: where.
fn find_stored_field(code: &[u8]) -> Option<u32> {
    use iced_x86::{Mnemonic, OpKind, Register};
    let mut field = None;
    for (instruction, _) in decode(code, 0) {
        match instruction.mnemonic() {
            Mnemonic::Ret => return field,
            Mnemonic::Mov if instruction.op0_kind() == OpKind::Memory => {
                let is_field = field.is_none()
                    && instruction.memory_base() == Register::RDI
                    && instruction.memory_index() == Register::None
                    && instruction.op1_register() == Register::ESI;
                is_field.then_some(())?;
                field = Some(u32::try_from(instruction.memory_displacement64()).ok()?);
            }
            // A frame of its own.
            Mnemonic::Push | Mnemonic::Pop | Mnemonic::Endbr64 => {}
            Mnemonic::Mov if instruction.op0_register() == Register::RBP => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_that_a_setter_stores_is_found() {
        // Node 24 and 26: `mov [rdi+220h],esi; ret`, and the same in a frame.
        let plain = [0x89, 0xb7, 0x20, 2, 0, 0, 0xc3];
        let framed = [0x55, 0x48, 0x89, 0xe5, 0x89, 0xb7, 0x28, 2, 0, 0, 0x5d, 0xc3];
        assert_eq!(find_stored_field(&plain), Some(0x220));
        assert_eq!(find_stored_field(&framed), Some(0x228));
        // It asks for something first, stores another register, or does not end.
        let asking = [0x85, 0xf6, 0x89, 0xb7, 0x20, 2, 0, 0, 0xc3];
        let other = [0x89, 0x97, 0x20, 2, 0, 0, 0xc3];
        assert_eq!(find_stored_field(&asking), None);
        assert_eq!(find_stored_field(&other), None);
        assert_eq!(find_stored_field(plain.get(..6).unwrap()), None);
    }
}
