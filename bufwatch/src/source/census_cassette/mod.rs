//! Cassettes of censuses: all that one census read of a process while it stood still, so that tests take the same census without a
//! process. Says what is on a cassette and plays it; what has to come out is written on it by the test that recorded it.
//!
//! The file: a line of JSON, the [`Header`], and behind it the bytes of all its pieces of memory. Cassettes that are kept are compressed
//! (zlib). Bodies of objects that hold no pointers are blank on it (`v8::census::blank`): they are two thirds of a small heap.

mod tape;

use std::io;

pub(super) use tape::{Tape, Taped};

use crate::base::{Avma, Bytes, ReadMemory};
use crate::event::census::Census;
use crate::source::standstill::isolates_of;
use crate::symbolize::cassette::{Image, Piece};
use crate::v8::Layout;
use crate::v8::census::copy::{Destination, HeapCopy};
use crate::v8::census::roots::{RootFacts, Roots, ThreadState};
use crate::v8::census::store::StoreFacts;
use crate::v8::census::take::{self, Detail, Moment, Refusal};
use crate::v8::page::{MemoryRange, PageLayout, find_pages_at};

/// What changes when the form of cassettes does.
pub const FORMAT: &str = "bufwatch.census-cassette/1";

/// What was recorded.
#[derive(Clone, Debug)]
pub struct CensusCassette {
    pub header: Header,
    /// Of all pieces, in order.
    pub bytes: Vec<u8>,
}

/// What is known besides the memory.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Header {
    pub format: String,
    pub node_version: Option<String>,
    pub facts: Facts,
    /// Addresses at which a page was found.
    pub places: Vec<u64>,
    /// Mappings that these are in, ascending.
    pub ranges: Vec<MemoryRange>,
    pub threads: Vec<ThreadState>,
    /// What Node's allocators had handed out.
    pub allocated_bytes: Option<u64>,
    /// What the program that was recorded says of itself.
    pub truth: serde_json::Value,
    pub memory: Vec<Piece>,
    /// Where something was read before the process stood still.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub read_before: Vec<Piece>,
}

/// What is known of the binary.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Facts {
    pub layout: Layout,
    pub pages: PageLayout,
    pub roots: RootFacts,
    pub heap_in_isolate: u64,
    pub stores: Option<StoreFacts>,
}

impl CensusCassette {
    /// The memory that was read.
    pub fn image(&self) -> Image {
        let mut image = Image::default();
        let (mut at, mut rest) = (0_u64, self.bytes.as_slice());
        for piece in &self.header.memory {
            at = at.saturating_add(piece.distance);
            let n = usize::try_from(piece.len).unwrap_or(usize::MAX);
            let Some((bytes, behind)) = rest.split_at_checked(n) else { break };
            image.set(Avma(at), bytes);
            (at, rest) = (at.saturating_add(piece.len), behind);
        }
        image
    }

    /// The process as it stood still, read from `memory`: that of [`CensusCassette::image`], or what a test made of it.
    pub fn moment(&self, memory: &(impl ReadMemory + Sync)) -> Moment {
        let Header { facts, places, ranges, threads, .. } = &self.header;
        let range_of = |at: &u64| {
            let range = ranges.iter().find(|range| (range.start..range.end).contains(at));
            range.map(|range| (*at, *range))
        };
        let places: Vec<(u64, MemoryRange)> = places.iter().filter_map(range_of).collect();
        let pages = find_pages_at(memory, facts.pages, &places, ranges);
        let isolates = isolates_of(&pages, facts.heap_in_isolate);
        let roots = Roots::collect(memory, &facts.roots, &isolates, threads);
        let heap = HeapCopy::read(memory, &pages, Destination::default(), 1, || true);
        Moment { heap, roots, isolates }
    }

    /// The census of that moment.
    pub fn take(
        &self,
        memory: &(impl ReadMemory + Sync),
        detail: Detail,
    ) -> Result<Census, Refusal> {
        let moment = self.moment(memory);
        let Header { facts, allocated_bytes, .. } = &self.header;
        let allocated = allocated_bytes.map(Bytes);
        take::analyse(&moment, &facts.layout, allocated, detail, memory, facts.stores)
    }

    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.header)?;
        out.write_all(b"\n")?;
        out.write_all(&self.bytes)
    }

    pub fn read(mut input: impl io::BufRead) -> io::Result<Self> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let header = serde_json::from_str(&line)?;
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(Self { header, bytes })
    }
}
