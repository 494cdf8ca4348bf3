//! A profile for pprof: gzip around `profile.proto`, what `go tool pprof`, Pyroscope, Parca and others read.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;

use crate::base::FastMap;
use crate::export::pprof_proto as proto;
use crate::export::profile::{Measure, Profile, ProfileFrame, Sample};

/// The only mapping.
const MAPPING: u64 = 1;

pub fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let mut gzip = GzEncoder::new(out, Compression::default());
    gzip.write_all(&message(profile).encode_to_vec())?;
    gzip.finish()?.flush()
}

fn message(profile: &Profile) -> proto::Profile {
    let mut texts = Texts::default();
    let sample_type = profile.measures.iter().map(|measure| proto::ValueType {
        r#type: texts.add(measure.name()),
        unit: texts.add(if measure.is_bytes() { "bytes" } else { "count" }),
    });
    let sample_type = sample_type.collect();
    let mut functions = Functions::default();
    let locations = profile.frames.iter().zip(1..);
    let location = locations.map(|(frame, id)| functions.location(frame, id, &mut texts)).collect();
    let sample = profile.samples.iter().map(|it| sample(profile, it, &mut texts)).collect();
    let mapping = proto::Mapping {
        id: MAPPING,
        filename: texts.add(&profile.program),
        has_functions: true,
        has_filenames: true,
        has_line_numbers: true,
        has_inline_frames: true,
    };
    let default = Some(Measure::default()).filter(|it| profile.measures.contains(it));
    proto::Profile {
        sample_type,
        sample,
        mapping: vec![mapping],
        location,
        function: functions.all,
        time_nanos: profile.wall.map_or(0, |wall| int(wall.0)),
        duration_nanos: int(profile.elapsed.0),
        comment: profile.notes.iter().map(|note| texts.add(note)).collect(),
        default_sample_type: default.map_or(0, |measure| texts.add(measure.name())),
        string_table: texts.all,
    }
}

fn sample(profile: &Profile, sample: &Sample, texts: &mut Texts) -> proto::Sample {
    let mut label = Vec::new();
    let mut add = |key: &str, str: &str, num: i64| {
        let str = if str.is_empty() { 0 } else { texts.add(str) };
        label.push(proto::Label { key: texts.add(key), str, num });
    };
    if let Some(kind) = sample.kind {
        add("kind", kind, 0);
    }
    if let Some(thread) = &sample.thread {
        add("tid", "", i64::from(thread.tid));
        if let Some(name) = &thread.name {
            add("thread", name, 0);
        }
    }
    if let Some(api) = &sample.api {
        add("api", api, 0);
    }
    proto::Sample {
        // Ids begin with one.
        location_id: sample.stack.iter().map(|index| *index as u64 + 1).collect(),
        value: profile.measures.iter().map(|measure| int(sample.value(*measure))).collect(),
        label,
    }
}

fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Each function once, wherever in it a frame is.
#[derive(Default)]
struct Functions {
    all: Vec<proto::Function>,
    by_name: FastMap<(i64, i64), u64>,
}

impl Functions {
    fn location(&mut self, frame: &ProfileFrame, id: u64, texts: &mut Texts) -> proto::Location {
        let name = texts.add(&frame.name);
        let filename = frame.file.as_ref().map_or(0, |file| texts.add(file));
        let function_id = match self.by_name.get(&(name, filename)) {
            Some(known) => *known,
            None => {
                let id = self.all.len() as u64 + 1;
                // Another name than `name`, or pprof takes that for a mangled one of C++ and cuts what it thinks are its parameters.
                let kind = frame.kind.map_or("none", |kind| kind.name());
                let system_name = texts.add(&format!("{kind} {}", frame.name));
                self.all.push(proto::Function { id, name, system_name, filename });
                self.by_name.insert((name, filename), id);
                id
            }
        };
        let known = |n: Option<u32>| n.map_or(0, i64::from);
        let line =
            proto::Line { function_id, number: known(frame.line), column: known(frame.column) };
        proto::Location { id, mapping_id: MAPPING, line: vec![line] }
    }
}

/// The table of texts.
struct Texts {
    all: Vec<String>,
    by_text: FastMap<String, i64>,
}

impl Default for Texts {
    fn default() -> Self {
        let empty = String::new();
        Self { all: vec![empty.clone()], by_text: [(empty, 0)].into_iter().collect() }
    }
}

impl Texts {
    fn add(&mut self, text: &str) -> i64 {
        if let Some(known) = self.by_text.get(text) {
            return *known;
        }
        let index = int(self.all.len() as u64);
        self.all.push(text.to_owned());
        self.by_text.insert(text.to_owned(), index);
        index
    }
}
