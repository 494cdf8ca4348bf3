//! How sure a number is. Screens and exports show it; nothing here computes it.

use serde::{Deserialize, Serialize};

/// Where a number comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fidelity {
    /// Every event was seen, or the value was read where it is defined.
    #[default]
    Exact,
    /// Read now and then; right when it was read.
    Sampled,
    /// Follows from other numbers; shown with `~`.
    Inferred,
}
