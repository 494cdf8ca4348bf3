//! What the dashboard asks of the session; it can do none of it itself.

use crate::analysis::query::StoreQuery;
use crate::base::{Nanos, StoreKey};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// From the next snapshot on, fill the store table by this query.
    SetStoreQuery(StoreQuery),
    /// From the next snapshot on, carry the detail of this store, or none.
    SetDetail(Option<StoreKey>),
    /// Look into the V8 heap, once: it stops the target for a moment.
    TakeCensus,
    /// Of a recording: show this moment, counted from the start.
    Seek(Nanos),
    /// The user is done.
    Quit,
}
