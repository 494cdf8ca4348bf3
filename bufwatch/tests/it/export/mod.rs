//! Recordings in the formats of other tools, read back by code that knows these formats and nothing of bufwatch.

mod any_recording;
mod command;
mod made_up;
pub(crate) mod openmetrics;
mod perfetto;
mod profiles;
mod rows;
mod wire;
