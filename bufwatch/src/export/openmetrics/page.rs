//! The text of a page as it grows: families of samples, each described once whatever number of processes has samples in it. What is told
//! is not known here.

use std::fmt::Write as _;

use crate::base::{Nanos, sanitize};

/// Families in the order in which they came.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
    /// Labels that all samples get, until others are set.
    labels: String,
    /// Behind each sample, with a blank before it.
    timestamp: String,
}

#[derive(Debug)]
struct Family {
    name: String,
    kind: Kind,
    unit: String,
    help: String,
    samples: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Gauge,
    Counter,
    Info,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
        }
    }

    /// What the name of each sample has behind that of its family.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Gauge => "",
            Self::Counter => "_total",
            Self::Info => "_info",
        }
    }
}

impl Page {
    /// `wall`: the moment since 1970, which the samples then carry.
    pub fn new(wall: Option<Nanos>) -> Self {
        Self { timestamp: wall.map(timestamp).unwrap_or_default(), ..Self::default() }
    }

    /// What comes from now on has these labels before its own.
    pub fn set_labels(&mut self, labels: &[String]) {
        self.labels = labels.join(",");
    }

    /// The page as it is sent.
    pub fn finish(self) -> String {
        let mut text = String::new();
        for Family { name, kind, unit, help, samples } in self.families {
            line(&mut text, format_args!("# TYPE {name} {}", kind.name()));
            if !unit.is_empty() {
                line(&mut text, format_args!("# UNIT {name} {unit}"));
            }
            line(&mut text, format_args!("# HELP {name} {help}."));
            text.push_str(&samples);
        }
        text.push_str("# EOF\n");
        text
    }

    /// The same in the older format of Prometheus (0.0.4), which has no units and no infos, and gives families the names of their samples.
    pub fn finish_as_text(self) -> String {
        let mut text = String::new();
        for Family { name, kind, help, samples, .. } in self.families {
            let suffix = kind.suffix();
            let kind = if kind == Kind::Info { Kind::Gauge } else { kind };
            line(&mut text, format_args!("# HELP {name}{suffix} {help}."));
            line(&mut text, format_args!("# TYPE {name}{suffix} {}", kind.name()));
            text.push_str(&samples);
        }
        text
    }

    /// Help texts are ours: nothing in them needs to be escaped.
    fn family(&mut self, name: &str, kind: Kind, unit: &str, help: &str) -> usize {
        if let Some(known) = self.families.iter().position(|family| family.name == name) {
            return known;
        }
        self.families.push(Family {
            name: name.to_owned(),
            kind,
            unit: unit.to_owned(),
            help: help.to_owned(),
            samples: String::new(),
        });
        self.families.len() - 1
    }

    fn sample(&mut self, family: usize, labels: &str, value: &str) {
        let Some(family) = self.families.get_mut(family) else { return };
        let joint = if self.labels.is_empty() || labels.is_empty() { "" } else { "," };
        let labels = format!("{}{joint}{labels}", self.labels);
        let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
        let (name, suffix, timestamp) = (&family.name, family.kind.suffix(), &self.timestamp);
        line(&mut family.samples, format_args!("{name}{suffix}{labels} {value}{timestamp}"));
    }

    /// `name` is the family's, without `_info`.
    pub fn info(&mut self, name: &str, help: &str, labels: &[String]) {
        let family = self.family(name, Kind::Info, "", help);
        self.sample(family, &labels.join(","), "1");
    }

    /// What is not known has no sample, and a metric without one is left out.
    pub fn gauge(&mut self, name: &str, unit: &str, help: &str, samples: &[(&str, Option<u64>)]) {
        for (labels, value) in
            samples.iter().filter_map(|(labels, value)| Some((labels, (*value)?)))
        {
            let family = self.family(name, Kind::Gauge, unit, help);
            self.sample(family, labels, &value.to_string());
        }
    }

    /// `name` is the family's, without `_total`.
    pub fn counter(&mut self, name: &str, help: &str, samples: &[(&str, u64)]) {
        let unit = if name.ends_with("_bytes") { "bytes" } else { "" };
        for (labels, value) in samples {
            let family = self.family(name, Kind::Counter, unit, help);
            self.sample(family, labels, &value.to_string());
        }
    }

    /// A counter of time; `name` ends in `_seconds`.
    pub fn seconds(&mut self, name: &str, help: &str, value: Nanos) {
        let family = self.family(name, Kind::Counter, "seconds", help);
        self.sample(family, "", &value.as_secs_f64().to_string());
    }

    /// How long something took; `name` ends in `_seconds`.
    pub fn duration(&mut self, name: &str, help: &str, value: Nanos) {
        let family = self.family(name, Kind::Gauge, "seconds", help);
        self.sample(family, "", &value.as_secs_f64().to_string());
    }
}

/// Seconds, to the millisecond.
fn timestamp(wall: Nanos) -> String {
    let ms = wall.0 / 1_000_000;
    format!(" {}.{:03}", ms / 1_000, ms % 1_000)
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    if writeln!(text, "{line}").is_err() {
        tracing::debug!("writing to a text does not fail");
    }
}

/// `name="value"`, with what the format gives a meaning escaped.
pub fn label(name: &str, value: &str) -> String {
    let value = sanitize(value).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}
