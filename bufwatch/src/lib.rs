//! bufwatch: off-heap memory of running Node.js processes, seen from outside.
//!
//! Modules in reading order, bottom layer first; a lower one never imports a higher one
//! (`cargo xtask tidy` checks it, ARCHITECTURE.md explains it).

pub mod base;

pub mod elf;
pub mod event;

pub mod malloc;
pub mod node;
pub mod sys;
pub mod v8;

pub mod model;
pub mod recording;
pub mod symbolize;

pub mod analysis;
pub mod detect;

pub mod export;
pub mod source;
pub mod tui;

pub mod session;

pub mod daemon;

pub mod cli;
