//! The tracks of a Perfetto trace, and writing onto them: which there are, and what is on them, is `perfetto`'s part.

use std::io::{self, Write};

use prost::Message as _;

use crate::export::perfetto_proto as proto;
use crate::export::perfetto_proto::EventType;

/// Whose packets they are: ours are one sequence.
const SEQUENCE: u32 = 1;

/// `SEQ_INCREMENTAL_STATE_CLEARED`: nothing before it matters.
const IS_FRESH: u32 = 1;

/// What it is about a track that readers know by a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Track(pub(super) u64);

/// What is told beside an event.
#[derive(Clone, Debug)]
pub(super) enum Note {
    Number(&'static str, u64),
    Text(&'static str, String),
}

/// Writes packets as they come: a trace is their concatenation.
pub(super) struct Packets<'a> {
    out: &'a mut dyn Write,
    is_begun: bool,
}

impl<'a> Packets<'a> {
    pub(super) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, is_begun: false }
    }

    fn packet(&mut self, packet: proto::TracePacket) -> io::Result<()> {
        let fresh = (!std::mem::replace(&mut self.is_begun, true)).then_some(IS_FRESH);
        let packet = proto::TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            sequence_flags: fresh,
            ..packet
        };
        let trace = proto::Trace { packet: vec![packet] };
        self.out.write_all(&trace.encode_to_vec())
    }

    /// Pairs of a clock's number and what it said, at one moment.
    pub(super) fn clocks(&mut self, clocks: &[(u32, u64)]) -> io::Result<()> {
        let clock =
            |(id, at): &(u32, u64)| proto::Clock { clock_id: Some(*id), timestamp: Some(*at) };
        let clocks = clocks.iter().map(clock).collect();
        let clock_snapshot = Some(proto::ClockSnapshot { clocks });
        self.packet(proto::TracePacket { clock_snapshot, ..proto::TracePacket::default() })
    }

    fn descriptor(&mut self, descriptor: proto::TrackDescriptor) -> io::Result<()> {
        let track_descriptor = Some(descriptor);
        self.packet(proto::TracePacket { track_descriptor, ..proto::TracePacket::default() })
    }

    pub(super) fn process(&mut self, track: Track, pid: u32, command: &str) -> io::Result<()> {
        let process = proto::ProcessDescriptor {
            pid: i32::try_from(pid).ok(),
            cmdline: command.split_whitespace().map(str::to_owned).collect(),
            process_name: Some(command.to_owned()),
        };
        let uuid = Some(track.0);
        let process = Some(process);
        self.descriptor(proto::TrackDescriptor { uuid, process, ..Default::default() })
    }

    pub(super) fn thread(
        &mut self,
        track: Track,
        process: (Track, u32),
        tid: u32,
        name: Option<&str>,
    ) -> io::Result<()> {
        let thread = proto::ThreadDescriptor {
            pid: i32::try_from(process.1).ok(),
            tid: Some(i64::from(tid)),
            thread_name: name.map(str::to_owned),
        };
        let (uuid, parent_uuid) = (Some(track.0), Some(process.0.0));
        let thread = Some(thread);
        self.descriptor(proto::TrackDescriptor { uuid, thread, parent_uuid, ..Default::default() })
    }

    /// Slices, instants, or other tracks.
    pub(super) fn named(&mut self, track: Track, parent: Track, name: &str) -> io::Result<()> {
        let (uuid, parent_uuid) = (Some(track.0), Some(parent.0));
        let name = Some(name.to_owned());
        self.descriptor(proto::TrackDescriptor { uuid, name, parent_uuid, ..Default::default() })
    }

    pub(super) fn counter(
        &mut self,
        track: Track,
        parent: Track,
        name: &str,
        is_bytes: bool,
    ) -> io::Result<()> {
        let unit = if is_bytes { proto::UNIT_SIZE_BYTES } else { proto::UNIT_COUNT };
        self.descriptor(proto::TrackDescriptor {
            uuid: Some(track.0),
            parent_uuid: Some(parent.0),
            name: Some(name.to_owned()),
            counter: Some(proto::CounterDescriptor { unit: Some(unit) }),
            ..proto::TrackDescriptor::default()
        })
    }

    fn event(&mut self, at: u64, event: proto::TrackEvent) -> io::Result<()> {
        let (timestamp, track_event) = (Some(at), Some(event));
        self.packet(proto::TracePacket { timestamp, track_event, ..Default::default() })
    }

    pub(super) fn value(&mut self, at: u64, track: Track, value: u64) -> io::Result<()> {
        let event = proto::TrackEvent {
            r#type: Some(EventType::Counter as i32),
            track_uuid: Some(track.0),
            counter_value: Some(i64::try_from(value).unwrap_or(i64::MAX)),
            ..proto::TrackEvent::default()
        };
        self.event(at, event)
    }

    /// Without an end, it was not over when the recording was.
    pub(super) fn slice(
        &mut self,
        (from, to): (u64, Option<u64>),
        track: Track,
        (category, name): (&str, &str),
        notes: Vec<Note>,
    ) -> io::Result<()> {
        self.named_event(from, EventType::SliceBegin, track, (category, name), notes)?;
        let Some(to) = to else { return Ok(()) };
        let event = proto::TrackEvent {
            r#type: Some(EventType::SliceEnd as i32),
            track_uuid: Some(track.0),
            ..proto::TrackEvent::default()
        };
        self.event(to.max(from), event)
    }

    pub(super) fn instant(
        &mut self,
        at: u64,
        track: Track,
        (category, name): (&str, &str),
        notes: Vec<Note>,
    ) -> io::Result<()> {
        self.named_event(at, EventType::Instant, track, (category, name), notes)
    }

    fn named_event(
        &mut self,
        at: u64,
        kind: EventType,
        track: Track,
        (category, name): (&str, &str),
        notes: Vec<Note>,
    ) -> io::Result<()> {
        let event = proto::TrackEvent {
            debug_annotations: notes.into_iter().map(annotation).collect(),
            r#type: Some(kind as i32),
            track_uuid: Some(track.0),
            categories: vec![category.to_owned()],
            name: Some(name.to_owned()),
            counter_value: None,
        };
        self.event(at, event)
    }
}

fn annotation(note: Note) -> proto::DebugAnnotation {
    let (name, uint_value, string_value) = match note {
        Note::Number(name, n) => (name, Some(n), None),
        Note::Text(name, text) => (name, None, Some(text)),
    };
    proto::DebugAnnotation { uint_value, string_value, name: Some(name.to_owned()) }
}
