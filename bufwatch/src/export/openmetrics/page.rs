//! A page of metrics as it grows: families of samples, each described once whatever number of processes has samples in it; and its text.
//! What is told is not known here.

use std::fmt::Write as _;

use crate::base::{Nanos, sanitize};

/// Families in the order in which they came.
#[derive(Debug, Default)]
pub struct Page {
    families: Vec<Family>,
    /// Labels that all samples get, until others are set, and since when their counters count.
    labels: String,
    since: Nanos,
    /// Behind each sample, with a blank before it.
    timestamp: String,
}

/// Samples of one name.
#[derive(Debug)]
pub struct Family {
    /// Without what the samples of its kind have behind it.
    pub name: String,
    pub kind: Kind,
    /// `bytes`, `seconds`, or empty.
    pub unit: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

/// A number.
#[derive(Debug)]
pub struct Sample {
    /// `a="b",c="d"`; `label_pairs` takes them apart.
    pub labels: String,
    /// Since when a counter counts, since 1970; zero: not known.
    pub since: Nanos,
    pub value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Whole(u64),
    Fraction(f64),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(n) => n.fmt(f),
            Self::Fraction(n) => n.fmt(f),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
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
    pub const fn suffix(self) -> &'static str {
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

    /// What comes from now on has these labels before its own, and its counters count since that moment.
    pub fn set_labels(&mut self, labels: &[String], since: Nanos) {
        self.labels = labels.join(",");
        self.since = since;
    }

    /// In the order in which they came.
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The page as it is sent.
    pub fn finish(&self) -> String {
        let mut text = String::new();
        for family in &self.families {
            let Family { name, kind, unit, help, .. } = family;
            line(&mut text, format_args!("# TYPE {name} {}", kind.name()));
            if !unit.is_empty() {
                line(&mut text, format_args!("# UNIT {name} {unit}"));
            }
            line(&mut text, format_args!("# HELP {name} {help}."));
            self.samples(&mut text, family);
        }
        text.push_str("# EOF\n");
        text
    }

    /// The same in the older format of Prometheus (0.0.4), which has no units and no infos, and gives families the names of their samples.
    pub fn finish_as_text(&self) -> String {
        let mut text = String::new();
        for family in &self.families {
            let Family { name, kind, help, .. } = family;
            let suffix = kind.suffix();
            let kind = if *kind == Kind::Info { Kind::Gauge } else { *kind };
            line(&mut text, format_args!("# HELP {name}{suffix} {help}."));
            line(&mut text, format_args!("# TYPE {name}{suffix} {}", kind.name()));
            self.samples(&mut text, family);
        }
        text
    }

    fn samples(&self, text: &mut String, family: &Family) {
        let (name, suffix, timestamp) = (&family.name, family.kind.suffix(), &self.timestamp);
        for Sample { labels, value, .. } in &family.samples {
            let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
            line(text, format_args!("{name}{suffix}{open}{labels}{close} {value}{timestamp}"));
        }
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
            samples: Vec::new(),
        });
        self.families.len() - 1
    }

    fn sample(&mut self, family: usize, labels: &str, value: Value) {
        let Some(family) = self.families.get_mut(family) else { return };
        let joint = if self.labels.is_empty() || labels.is_empty() { "" } else { "," };
        let labels = format!("{}{joint}{labels}", self.labels);
        family.samples.push(Sample { labels, since: self.since, value });
    }

    /// `name` is the family's, without `_info`.
    pub fn info(&mut self, name: &str, help: &str, labels: &[String]) {
        let family = self.family(name, Kind::Info, "", help);
        self.sample(family, &labels.join(","), Value::Whole(1));
    }

    /// What is not known has no sample, and a metric without one is left out.
    pub fn gauge(&mut self, name: &str, unit: &str, help: &str, samples: &[(&str, Option<u64>)]) {
        for (labels, value) in
            samples.iter().filter_map(|(labels, value)| Some((labels, (*value)?)))
        {
            let family = self.family(name, Kind::Gauge, unit, help);
            self.sample(family, labels, Value::Whole(value));
        }
    }

    /// A share of a whole; `name` ends in `_ratio`.
    pub fn ratio(&mut self, name: &str, help: &str, value: f64) {
        let family = self.family(name, Kind::Gauge, "ratio", help);
        self.sample(family, "", Value::Fraction(value));
    }

    /// `name` is the family's, without `_total`.
    pub fn counter(&mut self, name: &str, help: &str, samples: &[(&str, u64)]) {
        let unit = if name.ends_with("_bytes") { "bytes" } else { "" };
        for (labels, value) in samples {
            let family = self.family(name, Kind::Counter, unit, help);
            self.sample(family, labels, Value::Whole(*value));
        }
    }

    /// A counter of time; `name` ends in `_seconds`.
    pub fn seconds(&mut self, name: &str, help: &str, value: Nanos) {
        let family = self.family(name, Kind::Counter, "seconds", help);
        self.sample(family, "", Value::Fraction(value.as_secs_f64()));
    }

    /// How long something took; `name` ends in `_seconds`.
    pub fn duration(&mut self, name: &str, help: &str, value: Nanos) {
        let family = self.family(name, Kind::Gauge, "seconds", help);
        self.sample(family, "", Value::Fraction(value.as_secs_f64()));
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

/// Name and value of each of these labels, as `label` has made them.
pub fn label_pairs(labels: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = labels;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => value.extend(chars.next().map(|c| if c == 'n' { '\n' } else { c })),
                _ => value.push(c),
            }
        }
        pairs.push((name.trim_start_matches(',').to_owned(), value));
        rest = chars.as_str();
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_made() {
        let values = ["", "plain", "a=\"b\",c", "\\n and \\", "\\\"", ","];
        let labels: Vec<String> = values.iter().map(|value| label("name", value)).collect();
        let pairs = label_pairs(&labels.join(","));
        let wanted = values.map(|value| ("name".to_owned(), value.to_owned()));
        assert_eq!(pairs, wanted);
        assert!(label_pairs("").is_empty());
        assert_eq!(label_pairs("a=\"b\\"), [("a".to_owned(), "b".to_owned())]);
    }
}
