//! What to list of the live stores, as plain data, and its text form (`size>1mb age>60s site~ingest`).
//! Evaluating it is the snapshot's job.

use crate::analysis::snapshot::StoreRow;
use crate::base::{Bytes, Nanos, Tid};
use crate::event::StoreKind;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreSort {
    #[default]
    Size,
    /// Bytes in RAM; what was not looked at comes last.
    InRam,
    Age,
    MajorsSurvived,
    Site,
}

impl StoreSort {
    pub const ALL: [Self; 5] =
        [Self::Size, Self::InRam, Self::Age, Self::MajorsSurvived, Self::Site];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::InRam => "in RAM",
            Self::Age => "age",
            Self::MajorsSurvived => "GCs survived",
            Self::Site => "site",
        }
    }

    #[must_use]
    pub fn next(self) -> Self {
        let at = Self::ALL.iter().position(|sort| *sort == self).unwrap_or(0);
        Self::ALL.get(at + 1).copied().unwrap_or_default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreQuery {
    pub sort: StoreSort,
    pub is_ascending: bool,
    pub filter: StoreFilter,
    /// Most rows returned.
    pub limit: usize,
}

/// Rows of the store table at most: more than anybody scrolls through, little enough to copy often.
pub const STORE_ROWS_MAX: usize = 2_000;

impl Default for StoreQuery {
    fn default() -> Self {
        Self {
            sort: StoreSort::Size,
            is_ascending: false,
            filter: StoreFilter::default(),
            limit: STORE_ROWS_MAX,
        }
    }
}

/// All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreFilter {
    pub conditions: Vec<Condition>,
    /// As typed, to show it again.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    SizeAtLeast(Bytes),
    SizeAtMost(Bytes),
    /// Bytes in RAM; what was not looked at matches neither.
    InRamAtLeast(Bytes),
    InRamAtMost(Bytes),
    AgeAtLeast(Nanos),
    AgeAtMost(Nanos),
    MajorsAtLeast(u32),
    MajorsAtMost(u32),
    Thread(u32),
    Kind(StoreKind),
    /// The site's label or its API contains this, ignoring case.
    Site(String),
}

/// Text that is not a filter: which word, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a filter: {expected}")]
pub struct FilterError {
    pub word: String,
    pub expected: &'static str,
}

const SHAPE: &str = "use size>1mb, ram<4kb, age>60s, gc>2, tid=N, kind=plain, site~text; a bare word searches sites";

impl StoreFilter {
    /// Parses words separated by blanks; `>` and `>=` mean "at least", `<` and `<=` "at most".
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let conditions = text.split_whitespace().map(parse_word).collect::<Result<_, _>>()?;
        Ok(Self { conditions, text: text.trim().to_owned() })
    }

    pub fn matches(&self, row: &StoreRow) -> bool {
        self.conditions.iter().all(|condition| condition.matches(row))
    }
}

/// What conditions ask of a store, whether it is in the model or already a row.
#[derive(Clone, Copy, Debug)]
pub struct StoreFacts {
    pub size: Bytes,
    pub in_ram: Option<Bytes>,
    pub age: Nanos,
    /// `None`: not known, which matches nothing.
    pub n_major_survived: Option<u32>,
    pub tid: Tid,
    pub kind: StoreKind,
}

/// `text` is in lower case.
pub fn is_site(label: &str, via: Option<&str>, text: &str) -> bool {
    let contains = |part: &str| part.to_lowercase().contains(text);
    contains(label) || via.is_some_and(contains)
}

impl Condition {
    pub fn matches(&self, row: &StoreRow) -> bool {
        let facts = StoreFacts {
            size: row.size,
            in_ram: row.residency.map(|known| known.pages.resident),
            age: row.age,
            n_major_survived: row.survived.map(|it| it.n_major),
            tid: row.tid,
            kind: row.kind,
        };
        self.holds(&facts, |text| is_site(&row.site, row.via.as_deref(), text))
    }

    /// `is_site` says whether the site's label contains a text, which is given in lower case.
    pub fn holds(&self, facts: &StoreFacts, is_site: impl FnOnce(&str) -> bool) -> bool {
        match self {
            Self::SizeAtLeast(size) => facts.size >= *size,
            Self::SizeAtMost(size) => facts.size <= *size,
            Self::InRamAtLeast(size) => facts.in_ram.is_some_and(|it| it >= *size),
            Self::InRamAtMost(size) => facts.in_ram.is_some_and(|it| it <= *size),
            Self::AgeAtLeast(age) => facts.age >= *age,
            Self::AgeAtMost(age) => facts.age <= *age,
            Self::MajorsAtLeast(n) => facts.n_major_survived.is_some_and(|it| it >= *n),
            Self::MajorsAtMost(n) => facts.n_major_survived.is_some_and(|it| it <= *n),
            Self::Thread(tid) => facts.tid.0 == *tid,
            Self::Kind(kind) => facts.kind == *kind,
            Self::Site(text) => is_site(text),
        }
    }
}

fn parse_word(word: &str) -> Result<Condition, FilterError> {
    let fail = |expected| FilterError { word: word.to_owned(), expected };
    let Some(at) = word.find(['<', '>', '=', '~']) else {
        return Ok(Condition::Site(word.to_lowercase()));
    };
    let (field, rest) = word.split_at(at);
    let operator = rest.chars().next().unwrap_or('=');
    let value = rest.trim_start_matches(['<', '>', '=', '~']);
    match (field, operator) {
        ("size", '>') => parse_bytes(value).map(Condition::SizeAtLeast),
        ("size", '<') => parse_bytes(value).map(Condition::SizeAtMost),
        ("ram", '>') => parse_bytes(value).map(Condition::InRamAtLeast),
        ("ram", '<') => parse_bytes(value).map(Condition::InRamAtMost),
        ("age", '>') => parse_duration(value).map(Condition::AgeAtLeast),
        ("age", '<') => parse_duration(value).map(Condition::AgeAtMost),
        ("gc", '>') => value.parse().ok().map(Condition::MajorsAtLeast),
        ("gc", '<') => value.parse().ok().map(Condition::MajorsAtMost),
        ("tid", '=') => value.parse().ok().map(Condition::Thread),
        ("kind", '=') => parse_kind(value).map(Condition::Kind),
        ("site", '~' | '=') => Some(Condition::Site(value.to_lowercase())),
        _ => None,
    }
    .ok_or_else(|| fail(SHAPE))
}

fn parse_kind(text: &str) -> Option<StoreKind> {
    use StoreKind::{External, GrowableShared, Plain, Resizable, Shared, SharedWasm, Wasm};
    [Plain, Shared, Resizable, GrowableShared, Wasm, SharedWasm, External]
        .into_iter()
        .find(|kind| kind.name() == text)
}

/// `64k`, `1.5mb`, `10MiB`, `4096`: binary multiples.
pub fn parse_bytes(text: &str) -> Option<Bytes> {
    let lower = text.to_ascii_lowercase();
    let digits_end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits_end);
    let shift = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    let value: f64 = number.parse().ok()?;
    let bytes = value * (1u64 << shift) as f64;
    // 2^63: far above any address space, far below where f64 → u64 saturates.
    (bytes < 9.2e18).then_some(Bytes(bytes as u64))
}

/// `500ms`, `60s`, `5m`, `2h`, `1d`; a bare number is seconds.
pub fn parse_duration(text: &str) -> Option<Nanos> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let unit_ns = match unit {
        "ms" => 1e6,
        "" | "s" => 1e9,
        "m" | "min" => 60e9,
        "h" => 3_600e9,
        "d" => 86_400e9,
        _ => return None,
    };
    let ns = number.parse::<f64>().ok()? * unit_ns;
    (ns < 9.2e18).then_some(Nanos(ns as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_read_word_by_word() {
        let filter =
            StoreFilter::parse(" size>1.5mb age>=60s gc>2 site~Ingest kind=wasm ram<4k").unwrap();
        assert_eq!(
            filter.conditions,
            [
                Condition::SizeAtLeast(Bytes(1_572_864)),
                Condition::AgeAtLeast(Nanos::from_secs(60)),
                Condition::MajorsAtLeast(2),
                Condition::Site("ingest".into()),
                Condition::Kind(StoreKind::Wasm),
                Condition::InRamAtMost(Bytes(4_096)),
            ]
        );
    }

    #[test]
    fn a_bad_word_is_named() {
        for bad in ["size>huge", "colour=red", "size=1", "age>1y", "kind=odd", "gc>x"] {
            assert_eq!(StoreFilter::parse(&format!("size>1 {bad}")).unwrap_err().word, bad);
        }
    }
}
