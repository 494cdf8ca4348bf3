//! Layer 5: a snapshot as bytes for others, one file per format. Nothing here decides when or where they
//! are written.

pub mod census_diff;
pub mod census_file;
pub mod census_json;
pub mod census_text;
pub mod collapsed;
pub mod csv;
pub mod finding;
pub mod flamegraph;
pub mod json_lines;
pub mod junit;
pub mod openmetrics;
pub mod otlp;
mod otlp_proto;
pub mod perfetto;
mod perfetto_proto;
mod perfetto_track;
pub mod pprof;
mod pprof_proto;
pub mod profile;
pub mod recording_diff;
pub mod report;
mod residency_json;
pub mod sample_json;
pub mod sample_text;
pub mod speedscope;
