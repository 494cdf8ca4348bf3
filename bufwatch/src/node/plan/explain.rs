//! A plan as text for people: found, substituted, missing, and what that means. Chooses nothing.

use std::fmt::{self, Display, Write as _};

use crate::base::sanitize;
use crate::node::plan::{Constant, Cost, HeapPointer, ProbePlan};
use crate::v8::metadata::is_measured;

impl Display for ProbePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = || "unknown".to_owned();
        writeln!(
            f,
            "Node {}, V8 {}, build id {}",
            self.node_version.map_or_else(unknown, |it| it.to_string()),
            self.v8_version.map_or_else(unknown, |it| it.to_string()),
            self.build_id.as_ref().map_or("none", |id| &id.0),
        )?;
        writeln!(f, "\nProbes")?;
        for probe in &self.probes {
            let mut place = sanitize(&probe.symbol);
            if probe.offset_in_function > 0 {
                write!(place, "+{:#x}", probe.offset_in_function)?;
            }
            let substitute = if probe.is_substitute { " (substitute)" } else { "" };
            let optional =
                if probe.purpose.is_for_async_origin() { " (with --async-origin)" } else { "" };
            writeln!(f, "  {:17} {place}{substitute}{optional}", probe.purpose.name())?;
            let cost = match probe.cost {
                Cost::Emulated => "emulated, about 0.75 µs a hit",
                Cost::SingleStepped => "single-stepped, about 10 µs a hit",
            };
            writeln!(
                f,
                "  {:17} {} in the file, `{}`: {cost}",
                "", probe.file_offset, probe.instruction
            )?;
        }
        if !self.missing.is_empty() {
            writeln!(f, "\nMissing")?;
        }
        for missing in &self.missing {
            writeln!(f, "  {:17} {}", missing.purpose.name(), missing.reason)?;
            writeln!(f, "  {:17} consequence: {}", "", missing.consequence)?;
            writeln!(f, "  {:17} tried: {}", "", missing.tried.join(", "))?;
        }
        self.write_constants(f)
    }
}

impl ProbePlan {
    fn write_constants(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nConstants")?;
        let layout = &self.layout;
        write_constant(f, "BackingStore::buffer_start", &layout.buffer_start)?;
        write_constant(f, "BackingStore::byte_length", &layout.byte_length)?;
        write_constant(f, "BackingStore::max_byte_length", &layout.max_byte_length)?;
        write_constant(f, "BackingStore::id", &layout.id)?;
        write_constant(f, "BackingStore::flags", &layout.flags_offset)?;
        let bits = match layout.flags.get() {
            Some(bits) => format!(
                "shared {:#x}, resizable {:#x}, wasm {:#x}, custom deleter {:#x}",
                bits.shared, bits.resizable, bits.wasm, bits.custom_deleter
            ),
            None => "-".to_owned(),
        };
        writeln!(f, "  {:32} {bits}", "flag bits")?;
        let frames = &self.frames;
        write_constant(f, "embedded builtins", &frames.blob_start)?;
        write_constant(f, "embedded builtins, bytes", &frames.blob_bytes)?;
        write_constant(f, "interpreter entry", &frames.interpreter)?;
        write_constant(f, "event loop", &frames.event_loop)?;
        write_constant(f, "event loop's poll", &frames.event_poll)?;
        write_constant(f, "WebAssembly's state", &frames.wasm_state)?;
        writeln!(f, "  {:32} {}..{}", "text", frames.text_start, frames.text_end)?;
        self.write_v8(f)?;
        self.census.write(f)?;
        let Some(allocator) = &self.allocator else {
            return writeln!(
                f,
                "  {:32} missing: no NodeArrayBufferAllocator; consequence: arrayBuffers is not read",
                "arrayBuffers"
            );
        };
        writeln!(f, "  {:32} {}", "NodeArrayBufferAllocator vtable", allocator.vtable)?;
        write_constant(f, "  ::total_mem_usage_", &allocator.total_offset)?;
        let heap_pointer = match allocator.heap_pointer.get() {
            Some(HeapPointer::InPage { offset }) => format!("page+{offset}"),
            Some(HeapPointer::InMetadata { metadata_offset, offset }) => {
                format!("[page+{metadata_offset}]+{offset}")
            }
            None => "-".to_owned(),
        };
        let provenance = allocator.heap_pointer.provenance();
        writeln!(f, "  {:32} {heap_pointer:12} {provenance}", "Heap* of a page")?;
        write_constant(f, "Heap* - Isolate* (hint)", &allocator.heap_in_isolate)?;
        write_constant(f, "allocator in Isolate (hint)", &allocator.allocator_in_isolate)
    }
}

impl ProbePlan {
    fn write_v8(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tested = if is_measured(self.v8_version.map(Into::into)) {
            "measured on this version of V8"
        } else {
            "not measured on this version of V8: tested against Node's own functions once attached"
        };
        let readable = self.v8.readable().consequence();
        writeln!(f, "\nJavaScript frames: {readable}; {tested}")?;
        for (name, constant) in self.v8.rows() {
            write_constant(f, name, constant)?;
        }
        let n_sizes = self.frames.bytecode_sizes.len();
        let from = match n_sizes {
            0 => "missing: no symbol of the table; consequence: no lines in baseline code",
            _ => "loaded from Bytecodes::kBytecodeSizes",
        };
        writeln!(f, "  {:32} {n_sizes:<12} {from}", "bytecode sizes, entries")?;
        let n_operands = self.frames.translation_operands.len();
        let from = match n_operands {
            0 => "missing: no symbol of the table; consequence: approximate lines in Maglev code",
            _ => "loaded from TranslationOpcodeOperandCount",
        };
        writeln!(f, "  {:32} {n_operands:<12} {from}", "translation operands, entries")
    }
}

fn write_constant<T: Copy + Display>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    constant: &Constant<T>,
) -> fmt::Result {
    let value = constant.to_string();
    writeln!(f, "  {name:32} {value:12} {}", constant.provenance())
}
