//! What bufwatch prints a line of with `--headless --json`, read strictly: a key that scripts rely on and
//! that is missing fails the test.

use serde_json::Value;

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

    pub(crate) fn pid(&self) -> u64 {
        self.number("/pid")
    }

    pub(crate) fn node_version(&self) -> Option<&str> {
        self.value["node_version"].as_str().map(|version| version.trim_start_matches('v'))
    }
}
