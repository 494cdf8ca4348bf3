//! JavaScript frames → functions, scripts, lines. Decides what is trusted: an identity read now must be the captured one, and what does
//! not add up stays unresolved. Over any memory, so that recorded reads test it.

mod isolate;
mod trust;

use std::collections::BTreeMap;
use std::sync::Arc;

use bufwatch_common::RawFrame;

use crate::base::{Avma, FastMap, ReadMemory, Tid};
use crate::event::{Frame, FrameKind, OriginalPlace};
use crate::symbolize::budget::Budgeted;
use crate::symbolize::js::isolate::{Function, Isolate, Spot};
use crate::symbolize::js::trust::SelfTest;
pub use crate::symbolize::js::trust::Trust;
use crate::v8::{
    BytecodeSizes, CodeFacts, CodeMaps, Encoding, FrameAt, FunctionId, Heap, InlinedFrame,
    IsolateFacts, Layout, Tagged, Tier, TranslationOpcodes,
};

/// Times that a frame is looked for of which not everything was found.
const TRIES: u32 = 4;

/// Isolates remembered: Node's limit on workers is memory, this is far above it.
const ISOLATES_MAX: usize = 4_096;

/// Frames remembered by code address.
const FRAMES_MAX: usize = 200_000;

/// Pieces of code remembered.
const CODE_MAX: usize = 50_000;

/// What of V8 differs between binaries.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct V8Facts {
    pub layout: Layout,
    pub bytecode_sizes: BytecodeSizes,
    /// `None`: deoptimisation data is not read.
    pub translation_opcodes: Option<TranslationOpcodes>,
    /// The encoding of position tables to try first, then the other.
    pub encodings: [Encoding; 2],
    /// The tables were measured on this release of V8.
    pub is_measured: bool,
    /// Pointer to what WebAssembly has once a process.
    pub wasm_state: Option<Avma>,
    /// `None`: what moved before anybody knew it is not looked for.
    #[serde(default)]
    pub isolate: Option<IsolateFacts>,
}

impl V8Facts {
    /// From the first bytecode on: the slot counts from the tagged start of the bytecode array.
    fn bytecode_offset(&self, raw: &RawFrame) -> Option<u32> {
        let data = u32::try_from(self.layout.bytecode_data.checked_sub(1)?).ok()?;
        raw.bytecode_offset.checked_sub(data)
    }
}

/// Where generated code lies.
pub trait CodeMappings {
    /// Start of the mapping that `address` is in.
    fn mapping_start(&mut self, address: Avma) -> Option<Avma>;
}

/// What a source map says of a place: script, text behind `//# sourceMappingURL=`, 1-based line and column.
pub trait OriginalPlaces {
    fn original(
        &mut self,
        script: &str,
        map_url: Option<&str>,
        line: u32,
        column: u32,
    ) -> Option<Arc<OriginalPlace>>;
}

/// Resolves frames of one process.
#[derive(Debug)]
pub struct JsResolver<M> {
    memory: Budgeted<M>,
    facts: V8Facts,
    isolates: FastMap<Tid, Isolate>,
    maps: CodeMaps,
    test: SelfTest,
    /// By start. Holds until V8 moves or frees code: at a major collection.
    code: BTreeMap<Avma, Arc<CodeFacts>>,
    /// By thread and what tells frames apart; innermost first where functions are inlined.
    frames: FastMap<FrameKey, Arc<[Frame]>>,
    /// Lookups of code that found none, so far: it may be that its page was not known yet.
    n_missed: FastMap<FrameKey, u32>,
    /// What was looked for just now was not where it should be.
    is_torn: bool,
    /// Frames of which more may be known a moment later.
    n_torn: u64,
    is_retry: bool,
}

/// Thread, identity, program counter, bytecode offset.
type FrameKey = (Tid, u64, u64, u32);

/// A function and where it is.
#[derive(Debug)]
struct Place {
    function: Arc<Function>,
    spot: Option<Spot>,
}

impl<M: ReadMemory> JsResolver<M> {
    pub fn new(memory: M, facts: V8Facts) -> Self {
        Self {
            memory: Budgeted::new(memory),
            isolates: FastMap::default(),
            maps: CodeMaps::default(),
            test: SelfTest::new(facts.is_measured),
            code: BTreeMap::new(),
            frames: FastMap::default(),
            n_missed: FastMap::default(),
            is_torn: false,
            n_torn: 0,
            is_retry: false,
            facts,
        }
    }

    /// How far lines are believed.
    pub const fn trust(&self) -> Trust {
        self.test.trust()
    }

    /// Code moves and is freed in major collections: what is known by its address no longer holds.
    pub fn forget_code(&mut self) {
        self.code.clear();
        self.frames.clear();
        self.n_missed.clear();
        self.isolates.values_mut().for_each(Isolate::scripts_may_have_moved);
    }

    /// Grows when a frame is resolved, or not, of which a moment later there may be more to say: V8 moves what leads to it, or has moved it
    /// since it was remembered.
    pub(super) const fn n_torn(&self) -> u64 {
        self.n_torn
    }

    /// Whether the frames that come are those of the stack before, a moment later: what is still not known then has not been missed once more.
    pub(super) const fn set_retry(&mut self, is_retry: bool) {
        self.is_retry = is_retry;
    }

    /// The isolate of this thread is gone; the number may come again with another.
    pub fn forget_thread(&mut self, tid: Tid) {
        if self.isolates.remove(&tid).is_some() {
            self.forget_code();
        }
    }

    /// The functions of a frame, innermost first: several where some were inlined, none if it is not known. A captured bytecode offset
    /// means interpreted code.
    pub fn resolve(
        &mut self,
        tid: Tid,
        raw: &RawFrame,
        mappings: &mut impl CodeMappings,
        originals: &mut impl OriginalPlaces,
        frames: &mut Vec<Frame>,
    ) -> bool {
        let key = (tid, raw.identity, raw.pc, raw.bytecode_offset);
        if let Some(known) = self.frames.get(&key) {
            frames.extend_from_slice(known);
            return true;
        }
        self.memory.refill();
        self.is_torn = false;
        let places = self.find_places(tid, raw, mappings);
        if self.is_torn || places.is_none() {
            self.torn(key);
        }
        let Some(places) = places else {
            self.miss(key);
            return false;
        };
        let trust = self.test.trust();
        let found: Arc<[Frame]> =
            places.iter().map(|place| to_frame(place, trust, originals)).collect();
        frames.extend_from_slice(&found);
        if self.frames.len() >= FRAMES_MAX {
            self.frames.clear();
            self.n_missed.clear();
        }
        if self.is_worth_keeping(key, &found) {
            self.frames.insert(key, found);
        }
        true
    }

    /// What is approximate may become exact at the next try, of which there are a few.
    fn is_worth_keeping(&mut self, key: FrameKey, found: &[Frame]) -> bool {
        if found.iter().all(|frame| !frame.is_approximate) {
            return true;
        }
        self.miss(key) >= TRIES
    }

    /// How often not everything was found.
    fn miss(&mut self, key: FrameKey) -> u32 {
        if self.n_missed.len() >= FRAMES_MAX {
            self.n_missed.clear();
        }
        let n_missed = self.n_missed.entry(key).or_default();
        if !self.is_retry {
            *n_missed += 1;
        }
        *n_missed
    }

    fn torn(&mut self, key: FrameKey) {
        let pc = Avma(key.2);
        if let Some((start, _)) =
            self.code.range(..pc).next_back().filter(|(_, it)| it.contains(pc))
        {
            // What it refers to may have moved since it was read.
            let start = *start;
            self.code.remove(&start);
        }
        // What cannot be known is not waited for again and again.
        if self.n_missed.get(&key).is_none_or(|n_missed| *n_missed < TRIES) {
            self.n_torn = self.n_torn.wrapping_add(1);
        }
    }

    fn find_places(
        &mut self,
        tid: Tid,
        raw: &RawFrame,
        mappings: &mut impl CodeMappings,
    ) -> Option<Vec<Place>> {
        if self.isolates.len() >= ISOLATES_MAX {
            self.isolates.clear();
        }
        let isolate_facts = self.facts.isolate;
        let isolate = self.isolates.entry(tid).or_insert_with(|| Isolate::new(isolate_facts));
        let heap = Heap::new(&self.memory, &self.facts.layout);
        let encodings = self.facts.encodings;
        let id = FunctionId::from_captured(raw.identity);
        let function =
            isolate.function(heap, encodings, id, Tagged(raw.function)).or_else(|| {
                // Its code, which seldom moves, refers to where it is now.
                (raw.bytecode_offset == 0).then_some(())?;
                let code = find_code(&mut self.code, &mut self.maps, heap, Avma(raw.pc), mappings)?;
                isolate.function(heap, encodings, id, heap.function_of_code(&code)?)
            })?;
        if function.script.is_internal && self.test.trust() == Trust::Testing {
            self.test.judge(function.is_plausible);
        }
        self.is_torn = function.positions.is_none();
        if raw.bytecode_offset != 0 {
            let spot = function.spot_of_bytecode(self.facts.bytecode_offset(raw));
            return Some(vec![Place { function, spot }]);
        }
        let at_beginning = |function: &Arc<Function>| {
            vec![Place { function: Arc::clone(function), spot: function.beginning() }]
        };
        let pc = Avma(raw.pc);
        let Some(code) = find_code(&mut self.code, &mut self.maps, heap, pc, mappings) else {
            // Where it lies was not known yet; what is not there at all will not come back.
            self.is_torn |= mappings.mapping_start(pc).is_none();
            return Some(at_beginning(&function));
        };
        let return_offset = pc.0.checked_sub(code.start.0)?;
        let inlined = match code.tier {
            Tier::Baseline => {
                let bytecode = heap.bytecode_of(code.data);
                let positions =
                    bytecode.and_then(|it| heap.bytecode_positions(it, function.range, encodings));
                let Some(bytecode) = bytecode.filter(|_| positions == function.positions) else {
                    // Its bytecode moved away, or the code, and there is another function's now.
                    self.is_torn = true;
                    return Some(at_beginning(&function));
                };
                let offset = heap.baseline_offset(
                    bytecode,
                    &code.table,
                    &self.facts.bytecode_sizes,
                    return_offset,
                );
                let spot = function.spot_of_bytecode(offset);
                return Some(vec![Place { function, spot }]);
            }
            Tier::Maglev => {
                let opcodes = self.facts.translation_opcodes.as_ref();
                opcodes
                    .and_then(|opcodes| heap.maglev_frames(&code, return_offset, opcodes))
                    .or_else(|| heap.inlined_frames(&code, return_offset, encodings))
            }
            Tier::Turbofan => heap.inlined_frames(&code, return_offset, encodings),
        };
        let Some(inlined) = inlined else { return Some(at_beginning(&function)) };
        let places = inlined_places(isolate, heap, encodings, &function, code.tier, &inlined);
        self.is_torn |= places.is_none();
        Some(places.unwrap_or_else(|| at_beginning(&function)))
    }
}

/// Where each of the functions is that were compiled into one, innermost first; `None` if V8 is moving one of them, or if the outermost is not
/// the one whose frame it is: then the code is another one by now.
fn inlined_places<M: ReadMemory>(
    isolate: &mut Isolate,
    heap: Heap<'_, M>,
    encodings: [Encoding; 2],
    function: &Arc<Function>,
    tier: Tier,
    inlined: &[InlinedFrame],
) -> Option<Vec<Place>> {
    let mut places = Vec::with_capacity(inlined.len());
    for (depth, frame) in inlined.iter().enumerate() {
        let at = match frame.shared {
            Some(shared) => isolate.function_at(heap, encodings, shared)?,
            None => Arc::clone(function),
        };
        if depth + 1 == inlined.len() && at.id != function.id {
            return None;
        }
        let spot = match frame.at {
            FrameAt::Bytecode(offset) => at.spot_of_bytecode(Some(offset)),
            FrameAt::Script(position) => at.spot_within(position).map(|spot| Spot {
                // What V8 13 and 14 note for callers of inlined calls in loops is the loop (js-stacks.md §0).
                is_approximate: tier == Tier::Maglev && depth > 0,
                ..spot
            }),
            FrameAt::Unknown => None,
        };
        let spot = spot.or_else(|| at.beginning());
        places.push(Place { function: at, spot });
    }
    Some(places)
}

/// Remembered, or searched for in memory.
fn find_code<M: ReadMemory>(
    known: &mut BTreeMap<Avma, Arc<CodeFacts>>,
    maps: &mut CodeMaps,
    heap: Heap<'_, M>,
    pc: Avma,
    mappings: &mut impl CodeMappings,
) -> Option<Arc<CodeFacts>> {
    if let Some((_, code)) = known.range(..pc).next_back()
        && code.contains(pc)
    {
        return Some(Arc::clone(code));
    }
    let code = Arc::new(heap.find_code(pc, mappings.mapping_start(pc)?, maps)?);
    if known.len() >= CODE_MAX {
        known.clear();
    }
    known.insert(code.start, Arc::clone(&code));
    Some(code)
}

fn to_frame(place: &Place, trust: Trust, originals: &mut impl OriginalPlaces) -> Frame {
    let Place { function, spot } = place;
    let spot = match trust {
        Trust::Full => *spot,
        Trust::Testing => spot.map(|spot| Spot { is_approximate: true, ..spot }),
        Trust::Failed => None,
    };
    let script = &function.script;
    if script.facts.is_wasm {
        // What an exported function is for JavaScript; what it calls has a frame of its own.
        return Frame {
            kind: FrameKind::Builtin,
            function: "JSToWasmWrapper".into(),
            is_resolved: true,
            ..Frame::default()
        };
    }
    let is_exact = spot.filter(|spot| !spot.is_approximate && !script.is_internal);
    Frame {
        kind: if script.is_internal { FrameKind::Node } else { FrameKind::Js },
        function: Arc::clone(&function.name),
        script: Some(Arc::clone(&script.name)),
        line: spot.map(|spot| spot.line),
        column: spot.map(|spot| spot.column),
        is_approximate: spot.is_some_and(|spot| spot.is_approximate),
        original: is_exact.and_then(|spot| {
            originals.original(&script.name, script.map_url.as_deref(), spot.line, spot.column)
        }),
        is_resolved: true,
    }
}
