//! Writes down what passes between the target and the resolvers of generated code. Changes nothing of it.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;
use std::rc::Rc;
use std::{fs, io};

use bufwatch_common::RawFrame;

use crate::base::{Avma, MemoryError, ReadMemory, Tid};
use crate::event::Frame;
use crate::symbolize::cassette::{
    Cassette, FORMAT, Header, Image, NamedFrame, Piece, RecordedFrame, Step,
};
use crate::symbolize::js::{CodeMappings, V8Facts};

/// Memory on one cassette; a scenario for tests has a hundredth.
const BYTES_MAX: usize = 256 << 20;

const STEPS_MAX: usize = 1 << 20;

/// A recording under way, on one thread; clones write the same one.
#[derive(Clone, Debug)]
pub struct Recorder(Rc<RefCell<Tape>>);

#[derive(Debug)]
struct Tape {
    cassette: Cassette,
    /// All that is known of the target's memory.
    image: Image,
    /// Of it, what is not on the cassette yet.
    news: Vec<Range<u64>>,
    /// A limit was reached: nothing more is recorded, and nothing is saved.
    is_full: bool,
}

impl Recorder {
    pub fn new(facts: V8Facts, node_version: Option<String>) -> Self {
        let header = Header { format: FORMAT.to_owned(), node_version, facts };
        Self(Rc::new(RefCell::new(Tape {
            cassette: Cassette { header, steps: Vec::new(), bytes: Vec::new() },
            image: Image::default(),
            news: Vec::new(),
            is_full: false,
        })))
    }

    pub(crate) fn stack(&self, tid: Tid) {
        self.0.borrow_mut().step(Step::Stack { tid });
    }

    /// `found` is `None` if it could not be resolved.
    pub(crate) fn frame(&self, raw: &RawFrame, found: Option<&[Frame]>) {
        let mut tape = self.0.borrow_mut();
        tape.step(Step::Frame(RecordedFrame {
            kind: raw.kind,
            pc: raw.pc,
            function: raw.function,
            identity: raw.identity,
            bytecode_offset: raw.bytecode_offset,
            names: found.map(|found| found.iter().map(NamedFrame::from).collect()),
        }));
    }

    pub(crate) fn forget_code(&self) {
        self.0.borrow_mut().step(Step::ForgetCode);
    }

    pub(crate) fn forget_thread(&self, tid: Tid) {
        self.0.borrow_mut().step(Step::ForgetThread { tid });
    }

    /// Writes all of it to a file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let tape = self.0.borrow();
        if tape.is_full {
            return Err(io::Error::other("there was more to record than a cassette holds"));
        }
        let mut file = io::BufWriter::new(fs::File::create(path)?);
        tape.cassette.write(&mut file)?;
        io::Write::flush(&mut file)
    }
}

impl Tape {
    /// What was read before it comes first.
    fn step(&mut self, step: Step) {
        self.note_news();
        if self.cassette.steps.len() >= STEPS_MAX || self.cassette.bytes.len() >= BYTES_MAX {
            self.is_full = true;
        } else {
            self.cassette.steps.push(step);
        }
    }

    fn read(&mut self, address: Avma, out: &[u8], is_read: bool) {
        if self.is_full {
            return;
        }
        if is_read {
            self.image.learn(address, out, &mut self.news);
        } else if self.image.knows_some(address, out.len()) {
            self.step(Step::Gone { at: address, len: out.len() as u64 });
            self.image.forget(address, out.len());
        }
    }

    /// All that came since the last step, in the order of addresses, with the values that it has now.
    fn note_news(&mut self) {
        if self.news.is_empty() {
            return;
        }
        let mut news = std::mem::take(&mut self.news);
        news.sort_unstable_by_key(|range| range.start);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut end = 0;
        for range in news {
            // Read twice within a step, with two values.
            let start = range.start.max(end);
            let Some(len) = range.end.checked_sub(start).filter(|len| *len > 0) else { continue };
            let mut bytes = vec![0; len as usize];
            // News are written down before anything is forgotten, so that all of them are known.
            if self.image.read(Avma(start), &mut bytes).is_err() {
                continue;
            }
            self.cassette.bytes.append(&mut bytes);
            match pieces.last_mut() {
                Some(last) if start == end => last.len += len,
                _ => pieces.push(Piece { distance: start - end, len }),
            }
            end = range.end;
        }
        self.cassette.steps.push(Step::Memory(pieces));
    }
}

/// Memory whose reads are recorded if there is a recorder.
#[derive(Clone, Debug)]
pub struct RecordedMemory<M> {
    memory: M,
    recorder: Option<Recorder>,
}

impl<M> RecordedMemory<M> {
    pub const fn new(memory: M, recorder: Option<Recorder>) -> Self {
        Self { memory, recorder }
    }
}

impl<M: ReadMemory> ReadMemory for RecordedMemory<M> {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let outcome = self.memory.read(address, out);
        if let Some(recorder) = &self.recorder {
            recorder.0.borrow_mut().read(address, out, outcome.is_ok());
        }
        outcome
    }
}

/// The same for where generated code lies.
#[derive(Debug)]
pub struct RecordedMappings<'a, C> {
    pub mappings: &'a mut C,
    pub recorder: Option<&'a Recorder>,
}

impl<C: CodeMappings> CodeMappings for RecordedMappings<'_, C> {
    fn mapping_start(&mut self, address: Avma) -> Option<Avma> {
        let start = self.mappings.mapping_start(address);
        if let Some(recorder) = self.recorder {
            recorder.0.borrow_mut().step(Step::Mapping { of: address, start });
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::v8::{BytecodeSizes, Encoding, Metadata, Release, StatedNumbers};

    struct Nothing;

    impl StatedNumbers for Nothing {
        fn stated(&self, _: &[&str]) -> Option<(u32, String)> {
            None
        }
    }

    /// Every byte is the same, until none can be read.
    struct Changing(Cell<Option<u8>>);

    impl ReadMemory for &Changing {
        fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
            out.fill(self.0.get().ok_or(MemoryError::Unmapped(address))?);
            Ok(())
        }
    }

    #[test]
    fn a_cassette_has_what_was_read_when_it_was_read() {
        let facts = V8Facts {
            layout: Metadata::resolve(&Nothing, Some(Release { major: 13, minor: 6 })).layout(),
            bytecode_sizes: BytecodeSizes::new(vec![1, 2, 3]),
            translation_opcodes: None,
            encodings: Encoding::ALL,
            is_measured: true,
            wasm_state: Some(Avma(0x40_0000)),
            isolate: None,
        };
        let source = Changing(Cell::new(Some(1)));
        let recorder = Recorder::new(facts.clone(), None);
        let memory = RecordedMemory::new(&source, Some(recorder.clone()));
        let read = |at, len| memory.read(Avma(at), &mut vec![0; len]);
        assert!(read(0x1000, 8).is_ok() && read(0x1010, 4).is_ok() && read(0x1008, 8).is_ok());
        recorder.forget_code();
        assert!(read(0x1004, 4).is_ok());
        source.0.set(Some(2));
        assert!(read(0x1002, 1).is_ok());
        recorder.stack(Tid(7));
        source.0.set(None);
        assert!(read(0x9000, 8).is_err() && read(0x1000, 2).is_err());

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cassette");
        recorder.save(&path).unwrap();
        let Cassette { header, steps, bytes } =
            Cassette::read(fs::read(path).unwrap().as_slice()).unwrap();
        assert_eq!(header.facts, facts);
        let expected = [
            Step::Memory(vec![Piece { distance: 0x1000, len: 0x14 }]),
            Step::ForgetCode,
            Step::Memory(vec![Piece { distance: 0x1002, len: 1 }]),
            Step::Stack { tid: Tid(7) },
            Step::Gone { at: Avma(0x1000), len: 2 },
        ];
        assert_eq!(steps, expected);
        assert_eq!(bytes, [[1; 0x14].as_slice(), &[2]].concat());
    }
}
