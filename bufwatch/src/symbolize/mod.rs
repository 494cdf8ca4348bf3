//! Layer 3: raw frames → frames with names, while the target lives: native code and V8's builtins by symbols, JavaScript by V8's own
//! objects. What cannot be resolved keeps its identity, marked as unresolved.

mod budget;
pub mod cassette;
mod demangle;
mod generated_code;
pub mod js;
mod native;
mod perf_map;
mod shared_symbols;
mod source_map;
pub mod wasm;

use std::sync::Arc;

use bufwatch_common::{RawFrame, frame_kind};

pub use budget::{BYTES_PER_FRAME_MAX, READS_PER_FRAME_MAX};
pub use js::{Trust, V8Facts};
pub use native::NativeSymbols;
pub use perf_map::{PerfMap, PerfSymbol};
pub use shared_symbols::SharedSymbols;
pub use source_map::SourceMaps;

use crate::base::{Avma, Tid};
use crate::event::{Frame, FrameKind, OriginalPlace};
use crate::symbolize::cassette::{RecordedMappings, RecordedMemory, Recorder};
use crate::symbolize::generated_code::GeneratedCode;
use crate::symbolize::js::{CodeMappings, JsResolver, OriginalPlaces};
use crate::symbolize::wasm::WasmResolver;
use crate::sys::memory::ProcessMemory;

/// Builtins in which the interpreter and Sparkplug run application code: the frame is not theirs.
const JS_ENTRIES: [&str; 3] = ["Interpreter", "BaselineOutOfLinePrologue", "BaselineOrInterpreter"];

type TargetMemory = RecordedMemory<ProcessMemory>;

/// Names the frames of one target.
#[derive(Debug)]
pub struct Symbolizer {
    native: NativeSymbols,
    js: JsResolver<TargetMemory>,
    wasm: WasmResolver<TargetMemory>,
    recorder: Option<Recorder>,
    generated: GeneratedCode,
    source_maps: SourceMaps,
    pid: u32,
    perf_map: Option<PerfMap>,
    /// Frames that nothing else could name, while there was no perf map.
    n_without_perf_map: u32,
}

impl CodeMappings for GeneratedCode {
    fn mapping_start(&mut self, address: Avma) -> Option<Avma> {
        Self::mapping_start(self, address)
    }
}

impl OriginalPlaces for SourceMaps {
    fn original(
        &mut self,
        script: &str,
        map_url: Option<&str>,
        line: u32,
        column: u32,
    ) -> Option<Arc<OriginalPlace>> {
        // V8 has read the comment; a script without one has no map.
        let comment = format!("//# sourceMappingURL={}", map_url?);
        Self::original(self, script, Some(&comment), line, column)
    }
}

impl Symbolizer {
    pub fn new(
        pid: u32,
        v8: V8Facts,
        has_source_maps: bool,
        symbols: SharedSymbols,
        recorder: Option<Recorder>,
    ) -> Self {
        let memory = RecordedMemory::new(ProcessMemory::new(pid), recorder.clone());
        Self {
            pid,
            perf_map: None,
            n_without_perf_map: 0,
            native: NativeSymbols::new(pid, symbols),
            wasm: WasmResolver::new(memory.clone(), &v8),
            js: JsResolver::new(memory, v8),
            recorder,
            generated: GeneratedCode::new(pid),
            source_maps: if has_source_maps { SourceMaps::new(pid) } else { SourceMaps::off() },
        }
    }

    /// Reads the symbols of the file that is mapped at `address`: the first names are wanted within milliseconds.
    pub fn prepare(&mut self, address: Avma) {
        self.native.name(address);
    }

    /// Something was mapped or unmapped: `len` bytes from `start` on.
    pub fn mappings_changed(&mut self, start: u64, len: u64) {
        self.native.mappings_changed(start, len);
    }

    /// Limits that were reached, in words.
    pub fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.perf_map.as_ref().is_some_and(PerfMap::is_over_limit) {
            limits.push("the target's perf map is too large: a part of it was not read".to_owned());
        }
        let n_maps = self.source_maps.n_over_limit();
        if n_maps > 0 {
            limits.push(format!("{n_maps} source maps are too large or too many: their lines are those of the code that runs"));
        }
        limits
    }

    /// V8 has moved and freed code.
    pub fn forget_code(&mut self) {
        self.js.forget_code();
        self.wasm.forget_code();
        if let Some(recorder) = &self.recorder {
            recorder.forget_code();
        }
    }

    /// How far lines of JavaScript are believed.
    pub fn trust(&self) -> Trust {
        self.js.trust()
    }

    /// A thread ended, or its isolate did.
    pub fn forget_thread(&mut self, tid: Tid) {
        self.js.forget_thread(tid);
        self.wasm.forget_thread(tid);
        if let Some(recorder) = &self.recorder {
            recorder.forget_thread(tid);
        }
    }

    /// Names all frames of a stack of `tid`, innermost first.
    pub fn resolve(&mut self, tid: Tid, raw: &[RawFrame]) -> Arc<[Frame]> {
        if let Some(recorder) = &self.recorder {
            // A recording has each stack once.
            recorder.stack(tid);
            return self.resolve_once(tid, raw).into();
        }
        let n_torn = self.n_torn();
        let frames = self.resolve_once(tid, raw);
        if self.n_torn() == n_torn {
            return frames.into();
        }
        // V8 was moving objects, or what was remembered is old. At once and only once: whoever waits here finds the code of the next stacks
        // gone. What was resolved is remembered.
        self.js.set_retry(true);
        let frames = self.resolve_once(tid, raw);
        self.js.set_retry(false);
        frames.into()
    }

    const fn n_torn(&self) -> u64 {
        self.js.n_torn().wrapping_add(self.wasm.n_without_script())
    }

    fn resolve_once(&mut self, tid: Tid, raw: &[RawFrame]) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(raw.len() + 8);
        for raw in raw {
            self.resolve_frame(tid, raw, &mut frames);
        }
        frames
    }

    fn resolve_frame(&mut self, tid: Tid, raw: &RawFrame, frames: &mut Vec<Frame>) {
        let is_interpreted = raw.bytecode_offset != 0;
        let is_js = raw.kind != frame_kind::NATIVE && raw.kind != frame_kind::STUB;
        if !is_interpreted {
            // A return address: the call is before it, maybe the last instruction of its function.
            let name = self.native.name(Avma(raw.pc.saturating_sub(1)));
            let builtin = name.as_deref().and_then(|name| name.strip_prefix("Builtins_"));
            let is_entry =
                builtin.is_some_and(|name| JS_ENTRIES.iter().any(|e| name.starts_with(e)));
            match (builtin, &name) {
                (Some(builtin), _) if !(is_js && is_entry) => {
                    frames.push(frame(FrameKind::Builtin, builtin.into(), true));
                    return;
                }
                (None, Some(name)) => {
                    frames.push(frame(FrameKind::Native, Arc::clone(name), true));
                    return;
                }
                _ => {}
            }
        }
        if self.resolve_generated(tid, raw, frames) {
            return;
        }
        if let Some(symbol) = self.perf_symbol(raw) {
            frames.push(frame_of_perf_map(symbol));
        } else if is_js {
            frames.push(frame(FrameKind::Js, unresolved(raw).into(), false));
        } else {
            let place = format!("[code {:#x}]", raw.pc);
            frames.push(frame(FrameKind::Native, place.into(), false));
        }
    }

    /// Code that V8 made: false if V8's objects do not tell what it is.
    fn resolve_generated(&mut self, tid: Tid, raw: &RawFrame, frames: &mut Vec<Frame>) -> bool {
        let n_before = frames.len();
        let recorder = self.recorder.as_ref();
        let is_resolved = match raw.kind {
            frame_kind::JS => {
                let mut mappings = RecordedMappings { mappings: &mut self.generated, recorder };
                self.js.resolve(tid, raw, &mut mappings, &mut self.source_maps, frames)
            }
            frame_kind::STUB => self.wasm.resolve(tid, raw, frames),
            _ => return false,
        };
        if let Some(recorder) = recorder {
            recorder.frame(raw, frames.get(n_before..).filter(|_| is_resolved));
        }
        is_resolved
    }

    /// What the target itself says of its generated code, if it writes a perf map.
    fn perf_symbol(&mut self, raw: &RawFrame) -> Option<PerfSymbol> {
        /// A target may begin to write one at any time; asking costs a few system calls.
        const LOOK_EVERY: u32 = 1_000;
        if raw.bytecode_offset != 0 {
            // The interpreter's code, of which the map says nothing.
            return None;
        }
        if self.perf_map.is_none() {
            if self.n_without_perf_map.is_multiple_of(LOOK_EVERY) {
                self.perf_map = PerfMap::open(self.pid);
            }
            self.n_without_perf_map = self.n_without_perf_map.wrapping_add(1);
        }
        self.perf_map.as_mut()?.find(Avma(raw.pc.saturating_sub(1)))
    }
}

/// It tells where a function begins, not what runs in it.
fn frame_of_perf_map(symbol: PerfSymbol) -> Frame {
    Frame {
        kind: symbol.kind,
        function: symbol.function,
        script: symbol.script,
        is_approximate: symbol.line.is_some(),
        line: symbol.line,
        column: symbol.column,
        original: None,
        is_resolved: true,
    }
}

fn frame(kind: FrameKind, function: Arc<str>, is_resolved: bool) -> Frame {
    Frame { kind, function, is_resolved, ..Frame::default() }
}

/// What stays the same for a function, as far as it is known.
fn unresolved(raw: &RawFrame) -> String {
    match raw.kind {
        frame_kind::JS => {
            let (script, literal) = (raw.identity >> 32, raw.identity & 0xffff_ffff);
            format!("js#{script}:{literal} (unresolved)")
        }
        _ => format!("js@{:#x} (unresolved)", raw.function),
    }
}
