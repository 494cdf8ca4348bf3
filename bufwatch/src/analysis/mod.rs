//! Layer 4: questions about the model, answered as immutable values. Pure: no I/O, no clock, no threads.

pub mod query;
pub mod snapshot;
pub mod take;

pub use query::{StoreFilter, StoreQuery, StoreSort};
pub use snapshot::{Health, SiteRow, Snapshot, StoreRow, StoreTable, TargetState};
pub use take::{Interest, take};
