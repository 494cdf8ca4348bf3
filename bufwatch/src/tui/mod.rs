//! Layer 5: the dashboard. Sees a [`Snapshot`](crate::analysis::Snapshot) and nothing else of the target.
//!
//! ```text
//! terminal ─▶ Message ─▶ update(&mut App, Message, &Snapshot) ─▶ Command ─▶ session
//!                                    │
//! session  ─▶ Snapshot ─▶ screen::draw(&App, &Snapshot, &Theme) ─▶ terminal
//! ```

pub mod app;
pub mod byte_map;
pub mod census;
pub mod command;
pub mod findings;
pub mod keymap;
pub mod layout;
pub mod memory;
pub mod message;
pub mod page_map;
pub mod path;
pub mod picker;
pub mod replay;
pub mod run;
pub mod screen;
pub mod terminal;
pub mod text;
pub mod theme;
pub mod tree;
pub mod update;
pub mod view;
pub mod widget;

pub use command::Command;
pub use run::{Recorded, run, run_replay};
