//! speedscope's own format: one profile for each measure, over the same frames.
//! Schema: file-format-schema.json of the npm package speedscope 1.25.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::export::profile::{Measure, Profile, ProfileFrame};

pub fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let frames: Vec<Value> = profile.frames.iter().map(frame).collect();
    let profiles: Vec<Value> = profile.measures.iter().map(|it| of_measure(profile, *it)).collect();
    let active = profile.measures.iter().position(|it| *it == Measure::default());
    let file = json!({
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": concat!("bufwatch@", env!("CARGO_PKG_VERSION")),
        "name": profile.title,
        "activeProfileIndex": active.unwrap_or(0),
        "shared": {"frames": frames},
        "profiles": profiles,
    });
    serde_json::to_writer(&mut *out, &file)?;
    writeln!(out)
}

/// What is not known has no key: the format has no null.
fn frame(frame: &ProfileFrame) -> Value {
    let mut object = Map::new();
    object.insert("name".to_owned(), json!(frame.name));
    let known = [
        ("file", frame.file.as_ref().map(|it| json!(it))),
        ("line", frame.line.map(|it| json!(it))),
        ("col", frame.column.map(|it| json!(it))),
    ];
    for (key, value) in known {
        object.extend(value.map(|value| (key.to_owned(), value)));
    }
    Value::Object(object)
}

fn of_measure(profile: &Profile, measure: Measure) -> Value {
    let weighty = || profile.samples.iter().filter(|sample| sample.value(measure) > 0);
    let stack = |stack: &Vec<usize>| stack.iter().rev().copied().collect::<Vec<usize>>();
    let samples: Vec<Vec<usize>> = weighty().map(|sample| stack(&sample.stack)).collect();
    let weights: Vec<u64> = weighty().map(|sample| sample.value(measure)).collect();
    json!({
        "type": "sampled",
        "name": measure.name(),
        "unit": if measure.is_bytes() { "bytes" } else { "none" },
        "startValue": 0,
        "endValue": profile.total(measure),
        "samples": samples,
        "weights": weights,
    })
}
