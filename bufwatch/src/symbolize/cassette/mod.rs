//! Cassettes: what the resolvers of JavaScript and WebAssembly were given and read in one session, and what they made of it, so that tests
//! resolve the same stacks without a process. Says what is on a cassette; playing it is the business of bufwatch/tests/it.
//!
//! The file: lines of JSON, first the [`Header`], then one [`Step`] a line in the order in which they happened, and an empty line. Behind
//! it come the bytes of all [`Step::Memory`], one after the other. Cassettes that are kept are compressed (zlib).

mod image;
mod recorder;

use std::io;

pub use image::Image;
pub use recorder::{RecordedMappings, RecordedMemory, Recorder};

use crate::base::{Avma, Tid};
use crate::event::{Frame, FrameKind};
use crate::symbolize::js::V8Facts;

/// What changes when the form of cassettes does.
pub const FORMAT: &str = "bufwatch.cassette/1";

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Cassette {
    pub header: Header,
    pub steps: Vec<Step>,
    /// Of all memory steps, in order.
    pub bytes: Vec<u8>,
}

/// What holds for the whole session.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Header {
    pub format: String,
    pub node_version: Option<String>,
    pub facts: V8Facts,
}

/// Something that the resolvers were told, asked for, or answered.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// What reads found that was not known, or was something else before. What is on no such step could not be read, or nobody tried.
    Memory(Vec<Piece>),
    /// Was known, and can no longer be read.
    Gone {
        at: Avma,
        len: u64,
    },
    /// The start of the mapping with generated code that an address is in.
    Mapping {
        of: Avma,
        start: Option<Avma>,
    },
    /// The frames that follow are of a stack of this thread, innermost first. Those that have a symbol are left out.
    Stack {
        tid: Tid,
    },
    Frame(RecordedFrame),
    /// A major collection began.
    ForgetCode,
    /// A thread or its isolate ended.
    ForgetThread {
        tid: Tid,
    },
}

/// Some bytes of a step; adjacent ones are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "(u64, u64)", into = "(u64, u64)")]
pub struct Piece {
    /// Behind the end of the one before: small numbers compress.
    pub distance: u64,
    pub len: u64,
}

impl From<(u64, u64)> for Piece {
    fn from((distance, len): (u64, u64)) -> Self {
        Self { distance, len }
    }
}

impl From<Piece> for (u64, u64) {
    fn from(piece: Piece) -> Self {
        (piece.distance, piece.len)
    }
}

/// A frame as it was captured ([`bufwatch_common::RawFrame`]), and what came out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RecordedFrame {
    /// JavaScript, or a stub, of which some are WebAssembly's.
    pub kind: u32,
    pub pc: u64,
    pub function: u64,
    pub identity: u64,
    pub bytecode_offset: u32,
    /// Innermost first, several where functions were inlined; `None` if it could not be resolved.
    pub names: Option<Vec<NamedFrame>>,
}

/// What is compared when a cassette is played.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NamedFrame {
    pub function: String,
    pub script: Option<String>,
    pub line: Option<u32>,
    pub column: Option<u32>,
    pub is_approximate: bool,
    /// Node's own code.
    pub is_internal: bool,
}

impl From<&Frame> for NamedFrame {
    fn from(frame: &Frame) -> Self {
        Self {
            function: frame.function.to_string(),
            script: frame.script.as_ref().map(ToString::to_string),
            line: frame.line,
            column: frame.column,
            is_approximate: frame.is_approximate,
            is_internal: frame.kind == FrameKind::Node,
        }
    }
}

impl Cassette {
    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, &self.header)?;
        out.write_all(b"\n")?;
        for step in &self.steps {
            serde_json::to_writer(&mut *out, step)?;
            out.write_all(b"\n")?;
        }
        out.write_all(b"\n")?;
        out.write_all(&self.bytes)
    }

    pub fn read(mut input: impl io::BufRead) -> io::Result<Self> {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let header = serde_json::from_str(&line)?;
        let mut steps = Vec::new();
        loop {
            line.clear();
            input.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                step => steps.push(serde_json::from_str(step)?),
            }
        }
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        Ok(Self { header, steps, bytes })
    }
}
