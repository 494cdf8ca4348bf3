//! Layer 5: a snapshot as bytes for others, one file per format. Nothing here decides when or where they
//! are written.

pub mod census_diff;
pub mod census_file;
pub mod census_json;
pub mod census_text;
pub mod finding;
pub mod junit;
pub mod recording_diff;
pub mod report;
mod residency_json;
pub mod sample_json;
pub mod sample_text;
