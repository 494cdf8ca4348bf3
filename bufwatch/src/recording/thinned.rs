//! What a recording has lost to its limit of size, as it says itself.

use crate::base::text::count;
use crate::base::{Bytes, Nanos};

/// What the text begins with: what a session told of it earlier is out of date.
pub const PREFIX: &str = "kept below ";

/// Of a recording with a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinned {
    pub max_size: Bytes,
    /// Up to so long after the start, states are kept only this far apart.
    pub until: Nanos,
    pub gap: Nanos,
    /// Rows of stores that are gone: of such that lived only between two states, and of others.
    pub n_stores: u64,
    /// Censuses of which only sums are kept.
    pub n_censuses: u64,
    /// Of the stores below [`LARGE`], one in so many has a row.
    pub one_in: u64,
}

/// Stores of this size always have a row: no process has so many.
pub(super) const LARGE: Bytes = Bytes(1 << 20);

impl Thinned {
    /// In one line, for people.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        if self.gap.0 > 0 {
            let (until, gap) = (self.until, self.gap);
            parts.push(format!(
                "before {until} states are kept up to {gap} apart, and what lived only between them is in sums"
            ));
        }
        if self.n_stores > 0 {
            parts.push(format!("{} rows of stores are gone", count(self.n_stores)));
        }
        if self.n_censuses > 0 {
            parts.push(format!("of {} censuses only sums are left", count(self.n_censuses)));
        }
        if self.one_in > 1 {
            parts.push(format!("of stores below {LARGE} one in {} has a row", self.one_in));
        }
        format!("{PREFIX}{} (--max-size): {}", self.max_size, parts.join("; "))
    }

    /// Something is not in the file any more.
    pub fn is_any(&self) -> bool {
        self.gap.0 > 0 || self.n_stores > 0 || self.n_censuses > 0 || self.one_in > 1
    }

    pub(super) fn keeps(&self, number: u64, size: Bytes) -> bool {
        self.one_in <= 1 || size >= LARGE || number.is_multiple_of(self.one_in)
    }
}
