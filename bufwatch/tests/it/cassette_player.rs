//! Plays cassettes: gives the resolvers what they were given when they were recorded, from memory that a test may damage, and hands over each
//! frame that comes out. What has to come out is not known here. How a cassette is written: `bufwatch::symbolize::cassette`.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use bufwatch::base::{Avma, MemoryError, ReadMemory, Tid};
use bufwatch::event::{Frame, OriginalPlace};
use bufwatch::symbolize::cassette::{Cassette, Image, RecordedFrame, Step};
use bufwatch::symbolize::js::{CodeMappings, JsResolver, OriginalPlaces};
use bufwatch::symbolize::wasm::WasmResolver;
use bufwatch_common::{RawFrame, frame_kind};

/// All that are kept, by major version of Node.
pub(crate) fn cassettes() -> &'static [(u32, Cassette)] {
    static CASSETTES: LazyLock<Vec<(u32, Cassette)>> =
        LazyLock::new(|| [18, 20, 22, 24, 26].map(|major| (major, load(major))).into());
    &CASSETTES
}

fn load(major: u32) -> Cassette {
    let name = format!("tests/it/cassettes/node-{major}.cassette");
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(&bytes).unwrap();
    Cassette::read(Cursor::new(bytes)).unwrap()
}

/// The target's memory as far as the tape has run. Clones are the same memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlayedMemory(Rc<State>);

#[derive(Debug, Default)]
struct State {
    image: RefCell<Image>,
    /// Bytes that are something else than on the cassette, or cannot be read.
    damage: BTreeMap<u64, Option<u8>>,
    /// Since the last frame.
    n_reads: Cell<u64>,
    n_bytes: Cell<u64>,
}

impl PlayedMemory {
    pub(crate) fn damaged(damage: BTreeMap<u64, Option<u8>>) -> Self {
        Self(Rc::new(State { damage, ..State::default() }))
    }
}

impl ReadMemory for PlayedMemory {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let state = &self.0;
        state.n_reads.set(state.n_reads.get() + 1);
        state.n_bytes.set(state.n_bytes.get() + out.len() as u64);
        state.image.borrow().read(address, out)?;
        for (at, byte) in state.damage.range(address.0..address.0 + out.len() as u64) {
            out[(at - address.0) as usize] = byte.ok_or(MemoryError::Unmapped(Avma(*at)))?;
        }
        Ok(())
    }
}

/// Where generated code lay, as far as somebody asked.
#[derive(Debug, Default)]
pub(crate) struct PlayedMappings(BTreeMap<Avma, Option<Avma>>);

impl CodeMappings for PlayedMappings {
    fn mapping_start(&mut self, address: Avma) -> Option<Avma> {
        self.0.get(&address).copied().flatten()
    }
}

/// Source maps are files, and not on cassettes.
struct NoOriginals;

impl OriginalPlaces for NoOriginals {
    fn original(&mut self, _: &str, _: Option<&str>, _: u32, _: u32) -> Option<Arc<OriginalPlace>> {
        None
    }
}

/// A frame that was resolved again.
pub(crate) struct Played<'a> {
    pub(crate) tid: Tid,
    pub(crate) recorded: &'a RecordedFrame,
    /// `None` if it could not be resolved.
    pub(crate) got: Option<&'a [Frame]>,
    /// Reads and bytes that it took.
    pub(crate) n_reads: u64,
    pub(crate) n_bytes: u64,
    pub(crate) memory: &'a PlayedMemory,
    pub(crate) mappings: &'a mut PlayedMappings,
}

/// Runs a cassette from its beginning to its end.
pub(crate) fn play(cassette: &Cassette, memory: &PlayedMemory, mut see: impl FnMut(Played<'_>)) {
    let facts = &cassette.header.facts;
    let mut js = JsResolver::new(memory.clone(), facts.clone());
    let mut wasm = WasmResolver::new(memory.clone(), facts);
    let mut mappings = PlayedMappings::default();
    let mut bytes = cassette.bytes.as_slice();
    let mut thread = Tid::default();
    let mut frames = Vec::new();
    let state = &memory.0;
    for step in &cassette.steps {
        match step {
            Step::Memory(pieces) => {
                let mut at = 0;
                for piece in pieces {
                    at += piece.distance;
                    let (new, rest) = bytes.split_at(piece.len as usize);
                    state.image.borrow_mut().set(Avma(at), new);
                    (at, bytes) = (at + piece.len, rest);
                }
            }
            Step::Gone { at, len } => state.image.borrow_mut().forget(*at, *len as usize),
            Step::Mapping { of, start } => drop(mappings.0.insert(*of, *start)),
            Step::Stack { tid } => thread = *tid,
            Step::Frame(recorded) => {
                let raw = RawFrame {
                    pc: recorded.pc,
                    function: recorded.function,
                    identity: recorded.identity,
                    bytecode_offset: recorded.bytecode_offset,
                    kind: recorded.kind,
                };
                state.n_reads.set(0);
                state.n_bytes.set(0);
                frames.clear();
                let is_resolved = if raw.kind == frame_kind::STUB {
                    wasm.resolve(thread, &raw, &mut frames)
                } else {
                    js.resolve(thread, &raw, &mut mappings, &mut NoOriginals, &mut frames)
                };
                see(Played {
                    tid: thread,
                    recorded,
                    got: is_resolved.then_some(frames.as_slice()),
                    n_reads: state.n_reads.get(),
                    n_bytes: state.n_bytes.get(),
                    memory,
                    mappings: &mut mappings,
                });
            }
            Step::ForgetCode => {
                js.forget_code();
                wasm.forget_code();
            }
            Step::ForgetThread { tid } => {
                js.forget_thread(*tid);
                wasm.forget_thread(*tid);
            }
        }
    }
}

/// All memory on a cassette, as it was last.
pub(crate) fn last_image(cassette: &Cassette) -> Image {
    let memory = PlayedMemory::default();
    play(cassette, &memory, |_| {});
    memory.0.image.borrow().clone()
}
