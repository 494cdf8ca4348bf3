//! Writes down what a census reads, and changes nothing of it.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{Avma, Bytes, MemoryError, ReadMemory, ReadPart};
use crate::source::census_cassette::{CensusCassette, FORMAT, Facts, Header};
use crate::symbolize::cassette::{Image, Piece};
use crate::sys::procfs::MapEntry;
use crate::v8::census::blank::without_pointers;
use crate::v8::census::copy::HeapCopy;
use crate::v8::census::roots::ThreadState;
use crate::v8::page::{MemoryRange, Page};

/// A recording under way.
#[derive(Debug)]
pub(crate) struct Tape {
    path: PathBuf,
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    image: Image,
    /// What was read before the last stop.
    before: Image,
    places: Vec<u64>,
    ranges: Vec<MemoryRange>,
    threads: Vec<ThreadState>,
}

impl Tape {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), written: Mutex::default() }
    }

    fn written(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was read until now is none of this stop's: only where it was is kept.
    pub(crate) fn begin(&self) {
        let mut written = self.written();
        let mut before = std::mem::take(&mut written.before);
        for range in written.image.ranges() {
            let len = range.end.saturating_sub(range.start);
            before.set(Avma(range.start), &vec![0; usize::try_from(len).unwrap_or(0)]);
        }
        *written = Written { before, ..Written::default() };
    }

    pub(crate) fn note(&self, pages: &[Page], maps: &[MapEntry], threads: &[ThreadState]) {
        let mut written = self.written();
        written.places = pages.iter().map(|page| page.start).collect();
        let has = |entry: &&MapEntry| {
            let range = entry.start..entry.end;
            pages.iter().any(|page| range.contains(&page.start) || range.contains(&page.area_start))
        };
        let to_range = |entry: &MapEntry| MemoryRange {
            start: entry.start,
            end: entry.end,
            is_writable: entry.is_writable,
            is_executable: entry.is_executable,
        };
        written.ranges = maps.iter().filter(has).map(to_range).collect();
        written.threads = threads.to_vec();
    }

    fn learn(&self, address: Avma, bytes: &[u8]) {
        self.written().image.set(address, bytes);
    }

    /// Writes the cassette to its file.
    pub(crate) fn save(
        &self,
        facts: Facts,
        node_version: Option<String>,
        allocated: Option<Bytes>,
        heap: &HeapCopy,
    ) -> io::Result<()> {
        let mut written = self.written();
        for range in without_pointers(heap, &facts.layout) {
            let len = range.end.saturating_sub(range.start);
            written.image.set(Avma(range.start), &vec![0; usize::try_from(len).unwrap_or(0)]);
        }
        let (mut memory, mut bytes, mut end) = (Vec::new(), Vec::new(), 0);
        for range in written.image.ranges() {
            let len = range.end.saturating_sub(range.start);
            let mut piece = vec![0; usize::try_from(len).unwrap_or(0)];
            if written.image.read(Avma(range.start), &mut piece).is_ok() {
                memory.push(Piece { distance: range.start.saturating_sub(end), len });
                bytes.append(&mut piece);
                end = range.end;
            }
        }
        let header = Header {
            format: FORMAT.to_owned(),
            node_version,
            facts,
            places: written.places.clone(),
            ranges: written.ranges.clone(),
            threads: written.threads.clone(),
            allocated_bytes: allocated.map(|bytes| bytes.0),
            truth: serde_json::Value::Null,
            memory,
            read_before: read_before(&written.before),
        };
        let mut file = io::BufWriter::new(fs::File::create(&self.path)?);
        CensusCassette { header, bytes }.write(&mut file)?;
        file.flush()
    }
}

fn read_before(image: &Image) -> Vec<Piece> {
    let mut end = 0;
    let pieces = image.ranges().into_iter().map(|range| {
        let distance = range.start.saturating_sub(end);
        end = range.end;
        Piece { distance, len: range.end.saturating_sub(range.start) }
    });
    pieces.collect()
}

/// Memory whose reads are written down if there is a tape.
#[derive(Clone, Debug)]
pub(crate) struct Taped<'a, M> {
    memory: M,
    tape: Option<&'a Tape>,
}

impl<'a, M> Taped<'a, M> {
    pub(crate) const fn new(memory: M, tape: Option<&'a Tape>) -> Self {
        Self { memory, tape }
    }
}

impl<M: ReadMemory> ReadMemory for Taped<'_, M> {
    fn read(&self, address: Avma, out: &mut [u8]) -> Result<(), MemoryError> {
        let outcome = self.memory.read(address, out);
        if let (Some(tape), Ok(())) = (self.tape, outcome) {
            tape.learn(address, out);
        }
        outcome
    }

    fn read_parts(&self, parts: &mut [ReadPart<'_>]) {
        self.memory.read_parts(parts);
        let Some(tape) = self.tape else { return };
        for part in parts.iter().filter(|part| part.is_read) {
            tape.learn(part.address, part.out);
        }
    }
}
