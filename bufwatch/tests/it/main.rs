//! Integration tests that need no privileges; one binary.
#![expect(
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the whole crate is a test"
)]

mod cassette_damage;
mod cassette_player;
mod cassettes;
mod census_cassettes;
mod census_damage;
mod check;
mod daemon;
mod diff;
mod elf;
mod export;
mod faults;
mod made_recording;
mod plan;
mod recording_damage;
mod report;
mod report_html;
mod run;
mod sql;
mod symbols;
mod synthetic;
