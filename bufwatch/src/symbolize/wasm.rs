//! WebAssembly frames → functions. Decides what is trusted and how a function is shown: under the name and place that V8 has in stack
//! traces, `wasm-function[INDEX]` without a name. Over any memory.

use std::sync::Arc;

use bufwatch_common::RawFrame;

use crate::base::{Avma, FastMap, ReadMemory, Tid, sanitize};
use crate::event::{Frame, FrameKind};
use crate::symbolize::budget::Budgeted;
use crate::symbolize::js::V8Facts;
use crate::v8::{Heap, Tagged, WasmModule};

/// Modules remembered, with the places of their functions.
const MODULES_MAX: usize = 256;

/// Frames remembered by code address.
const FRAMES_MAX: usize = 50_000;

/// A module with what V8 calls it.
#[derive(Debug)]
struct Module {
    facts: WasmModule,
    /// Sanitized; where it stands has been seen to move before it was read.
    script: Option<Arc<str>>,
}

/// Resolves WebAssembly frames of one process.
#[derive(Debug)]
pub struct WasmResolver<M> {
    memory: Budgeted<M>,
    facts: V8Facts,
    /// By the address of V8's object, which is in use as long as an instance is.
    modules: FastMap<Avma, Module>,
    /// By thread and code address, innermost first where functions are inlined.
    frames: FastMap<(Tid, u64), Arc<[Frame]>>,
    /// Frames whose module's name could not be read, because V8 was just moving what leads to it.
    n_without_script: u64,
}

impl<M: ReadMemory> WasmResolver<M> {
    pub fn new(memory: M, facts: &V8Facts) -> Self {
        Self {
            memory: Budgeted::new(memory),
            facts: facts.clone(),
            modules: FastMap::default(),
            frames: FastMap::default(),
            n_without_script: 0,
        }
    }

    /// Major collections end modules.
    pub fn forget_code(&mut self) {
        self.modules.clear();
        self.frames.clear();
    }

    /// The isolate of this thread is gone, and its modules with it unless another has them.
    pub fn forget_thread(&mut self, tid: Tid) {
        let n_before = self.frames.len();
        self.frames.retain(|(of, _), _| *of != tid);
        if self.frames.len() < n_before {
            self.modules.clear();
        }
    }

    /// Grows when a frame is resolved that may have a script a moment later.
    pub(super) const fn n_without_script(&self) -> u64 {
        self.n_without_script
    }

    /// The functions of a stub frame in generated code; false if it is none of WebAssembly's, or it is not certain which.
    pub fn resolve(&mut self, tid: Tid, raw: &RawFrame, frames: &mut Vec<Frame>) -> bool {
        // A frame's type is kept shifted (`StackFrame::TypeToMarker`, V8 src/execution/frames.h).
        let is_marked = |kind: u64| kind.checked_mul(2) == Some(raw.function);
        let wrappers = [
            (self.facts.layout.frame_wasm_to_js, "WasmToJsWrapper"),
            (self.facts.layout.frame_js_to_wasm, "JSToWasmWrapper"),
        ];
        if let Some((_, name)) = wrappers.into_iter().find(|(kind, _)| is_marked(*kind)) {
            // V8 has a builtin of the kind, and compiles what is called often.
            frames.push(Frame {
                kind: FrameKind::Builtin,
                function: name.into(),
                is_resolved: true,
                ..Frame::default()
            });
            return true;
        }
        if !is_marked(self.facts.layout.frame_wasm) {
            return false;
        }
        let key = (tid, raw.pc);
        if let Some(known) = self.frames.get(&key) {
            frames.extend_from_slice(known);
            return true;
        }
        self.memory.refill();
        let Some(found) = self.find(raw) else { return false };
        frames.extend_from_slice(&found);
        // Next time there may be more to say.
        if found.iter().all(|frame| frame.script.is_some()) {
            if self.frames.len() >= FRAMES_MAX {
                self.frames.clear();
            }
            self.frames.insert(key, found);
        } else {
            self.n_without_script = self.n_without_script.wrapping_add(1);
        }
        true
    }

    fn find(&mut self, raw: &RawFrame) -> Option<Arc<[Frame]>> {
        let heap = Heap::new(&self.memory, &self.facts.layout);
        let pc = Avma(raw.pc);
        // V8 may have moved the instance since; its modules and their code stay where they are.
        let script = heap.wasm_script(Tagged(raw.identity));
        // asm.js is compiled like WebAssembly, but V8 does not number its functions.
        script.is_none_or(|script| heap.is_wasm_script(script)).then_some(())?;
        let of_script = script.and_then(|script| heap.wasm_native_module(script));
        let of_code = self.facts.wasm_state.and_then(|state| heap.wasm_module_at(state, pc));
        let native = of_code.or(of_script)?;
        if !self.modules.contains_key(&native) {
            let module = Module { facts: heap.wasm_module(native)?, script: None };
            if self.modules.len() >= MODULES_MAX {
                self.modules.clear();
            }
            self.modules.insert(native, module);
        }
        let module = self.modules.get_mut(&native)?;
        let code = heap.wasm_code(&mut module.facts, pc)?;
        let places = heap.wasm_frames(&module.facts, &code, pc, self.facts.encodings)?;
        if of_script == Some(native) && module.script.is_none() {
            module.script = script
                .and_then(|script| heap.wasm_script_name(script))
                .map(|name| sanitize(&name).into());
        }
        let to_frame = |index, offset: Option<u32>| Frame {
            kind: FrameKind::Js,
            function: match module.facts.binary.name(&self.memory, index) {
                Some(name) => sanitize(&name).into(),
                None => format!("wasm-function[{index}]").into(),
            },
            script: module.script.clone(),
            // V8 has a module on one line, with bytes for columns.
            line: offset.map(|_| 1),
            column: offset.and_then(|offset| offset.checked_add(1)),
            // The module's own tables vouch for the function, not for where its positions are.
            is_approximate: offset.is_some() && !self.facts.is_measured,
            is_resolved: true,
            ..Frame::default()
        };
        Some(places.iter().map(|place| to_frame(place.index, place.offset)).collect())
    }
}
