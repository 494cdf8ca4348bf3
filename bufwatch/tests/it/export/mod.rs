//! Recordings in the formats of other tools, read back by code that knows these formats and nothing of bufwatch.

mod command;
mod made_up;
mod profiles;
mod wire;
