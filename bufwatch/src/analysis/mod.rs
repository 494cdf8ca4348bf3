//! Layer 4: questions about the model, answered as immutable values. Pure: no I/O, no clock, no threads.

pub mod blank;
pub mod census_diff;
pub mod comparison;
pub mod describe;
pub mod finding;
pub mod holder;
pub mod holding;
pub mod limits;
pub mod marks;
mod memory_usage;
pub mod moment;
mod of_site;
pub mod post_mortem;
pub mod query;
mod ranking;
pub mod recording_diff;
pub mod residency;
mod rss_steps;
pub mod slope;
pub mod snapshot;
pub mod take;
pub mod tree;

pub use describe::LifetimeBound;
pub use holding::Holdings;
pub use of_site::live_by_site;
pub use query::{StoreFilter, StoreQuery, StoreSort};
pub use rss_steps::{asked_text, step_text};
pub use snapshot::{GroupRow, Health, SiteRow, Snapshot, StoreRow, StoreTable, TargetState};
pub use take::{Interest, take};
