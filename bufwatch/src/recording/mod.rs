//! Layer 3: recordings, `SQLite` databases of what was seen of one target: the schema, a writer and a reader. What is recorded and when is
//! `session::recording`'s part; docs/recording.md is for who reads them with other tools.

mod census_reader;
mod census_writer;
mod course_reader;
pub mod error;
pub mod marks;
mod names;
pub mod place;
pub mod query;
pub mod reader;
pub mod row;
mod rows;
mod rss_rows;
pub mod series;
mod state_reader;
mod store_reader;
pub mod stream;
mod thinned;
mod thinning;
mod value;
pub mod views;
pub mod writer;

pub use course_reader::Course;
pub use error::RecordingError;
pub use marks::RecordedMarks;
pub use place::Place;
pub use query::{Query, QueryError};
pub use reader::Reader;
pub use row::{Batch, Fact, FindingRow};
pub use store_reader::{StoreOrder, StoresWanted};
pub use thinned::{PREFIX as THINNED_PREFIX, Thinned};
pub use writer::Writer;

/// `PRAGMA application_id`: `BufW`. `file(1)` and we know a recording by it.
pub const APPLICATION_ID: i32 = 0x4275_6657;

/// `PRAGMA user_version`. Tables and columns may be added without a new one; what changes its meaning or goes takes one.
pub const VERSION: i32 = 1;

const SCHEMA: &str = include_str!("schema.sql");

#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod tests;
