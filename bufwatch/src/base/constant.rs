//! A layout fact together with where it comes from, so that a guess is never shown as a fact.

use std::fmt;

/// A constant of a foreign program.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", tag = "from")]
pub enum Constant<T> {
    /// Stated by the binary.
    Loaded {
        value: T,
        symbol: String,
    },
    /// Computed from the binary: its code, or another constant.
    Derived {
        value: T,
        rule: String,
    },
    /// Known for this version of V8, from measurement or its source.
    Table {
        value: T,
        versions: String,
    },
    Missing {
        reason: String,
    },
}

impl<T: Copy> Constant<T> {
    pub const fn get(&self) -> Option<T> {
        match self {
            Self::Loaded { value, .. }
            | Self::Derived { value, .. }
            | Self::Table { value, .. } => Some(*value),
            Self::Missing { .. } => None,
        }
    }
}

impl<T> Constant<T> {
    pub fn table(value: T, versions: &str) -> Self {
        Self::Table { value, versions: versions.to_owned() }
    }

    pub fn missing(reason: &str) -> Self {
        Self::Missing { reason: reason.to_owned() }
    }

    /// Where it comes from, for people.
    pub fn provenance(&self) -> String {
        match self {
            Self::Loaded { symbol, .. } => format!("loaded from {symbol}"),
            Self::Derived { rule, .. } => format!("derived: {rule}"),
            Self::Table { versions, .. } => format!("table: {versions}"),
            Self::Missing { reason } => format!("missing: {reason}"),
        }
    }
}

impl<T: Copy + fmt::Display> fmt::Display for Constant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(value) => value.fmt(f),
            None => f.pad("-"),
        }
    }
}
