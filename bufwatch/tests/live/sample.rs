//! What bufwatch prints a line of with `--headless --json`, read strictly: a key that scripts rely on and
//! that is missing fails the test.

use serde::Deserialize;
use serde_json::Value;

/// A number of any JSON that bufwatch or a scenario prints.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// One line of `--headless --json`.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    value: Value,
}

impl Sample {
    pub(crate) fn parse(line: &str) -> Self {
        let value: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("bufwatch printed `{line}`: {error}"));
        assert_eq!(value["schema"], "bufwatch.sample/1", "{line}");
        Self { value }
    }

    fn number(&self, pointer: &str) -> u64 {
        self.value
            .pointer(pointer)
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("no number at {pointer} in {}", self.value))
    }

    /// For what only one test asks.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// `live`, `exited` or `execed`, once attached.
    pub(crate) fn state(&self) -> &str {
        self.value["state"].as_str().unwrap_or_default()
    }

    /// What bufwatch could not do, as one text.
    pub(crate) fn notices(&self) -> String {
        self.value["notices"].to_string()
    }

    /// Until the probes are in place, a sample has no numbers of stores.
    pub(crate) fn is_counting(&self) -> bool {
        self.value["stores"].is_object()
    }

    pub(crate) fn findings(&self) -> &[Value] {
        self.value["findings"].as_array().unwrap()
    }

    /// Taken so far.
    pub(crate) fn n_censuses(&self) -> u64 {
        self.value.pointer("/census/n_taken").and_then(Value::as_u64).unwrap_or(0)
    }

    pub(crate) fn n_live(&self) -> u64 {
        self.number("/stores/n_live")
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.number("/stores/live_bytes")
    }

    pub(crate) fn n_created(&self) -> u64 {
        self.number("/stores/n_created")
    }

    pub(crate) fn created_bytes(&self) -> u64 {
        self.number("/stores/created_bytes")
    }

    pub(crate) fn n_destroyed(&self) -> u64 {
        self.number("/stores/n_destroyed")
    }

    pub(crate) fn destroyed_bytes(&self) -> u64 {
        self.number("/stores/destroyed_bytes")
    }

    pub(crate) fn n_small_created(&self) -> u64 {
        self.number("/stores/n_small_created")
    }

    pub(crate) fn small_created_bytes(&self) -> u64 {
        self.number("/stores/small_created_bytes")
    }

    pub(crate) fn n_lost(&self) -> u64 {
        self.number("/lost/events")
    }

    /// How often programs gave up for this reason.
    pub(crate) fn n_given_up(&self, reason: &str) -> u64 {
        self.value["lost"]["reasons"][reason].as_u64().unwrap_or(0)
    }

    pub(crate) fn pid(&self) -> u64 {
        self.number("/pid")
    }

    /// The frames of JavaScript in all distinct stacks so far: how many, and how many have no name.
    pub(crate) fn n_js_frames(&self) -> (u64, u64) {
        let sum = |key: &str| {
            ["js", "node"].iter().map(|kind| self.number(&format!("/frames/{kind}/{key}"))).sum()
        };
        (sum("n"), sum("n_unresolved"))
    }

    /// Those with the most live bytes; not all if there are many.
    pub(crate) fn sites(&self) -> Vec<Site> {
        serde_json::from_value(self.value["sites"].clone())
            .unwrap_or_else(|error| panic!("{error} in the sites of {}", self.value))
    }

    pub(crate) fn node_version(&self) -> Option<&str> {
        self.value["node_version"].as_str().map(|version| version.trim_start_matches('v'))
    }
}

/// What allocated, as bufwatch names it. Keys that only some tests look at may be missing.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Site {
    /// The same for all samples of a session.
    pub(crate) stack: String,
    pub(crate) label: String,
    pub(crate) via: Option<String>,
    /// Innermost first.
    pub(crate) frames: Vec<Frame>,
    pub(crate) is_cut: bool,
    pub(crate) n_created: u64,
    pub(crate) created_bytes: u64,
    /// Index into the frames.
    #[serde(default)]
    pub(crate) user_frame: Option<usize>,
    /// Of the stacks that began it; none without `--async-origin`.
    #[serde(default)]
    pub(crate) async_frames: Option<Vec<Frame>>,
    /// Index into those.
    #[serde(default)]
    pub(crate) async_user_frame: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Frame {
    pub(crate) function: String,
    pub(crate) script: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    /// `js`, `node`, `builtin` or `native`.
    pub(crate) kind: String,
    pub(crate) is_approximate: bool,
    pub(crate) is_resolved: bool,
    pub(crate) original: Option<Place>,
}

/// Where a source map says that a line came from.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Place {
    pub(crate) script: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
}
