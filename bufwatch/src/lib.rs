//! bufwatch: off-heap memory of running Node.js processes, seen from outside.
//!
//! Modules in reading order, bottom layer first; a lower one never imports a higher one
//! (`cargo xtask tidy` checks it, ARCHITECTURE.md explains it).

pub mod base;
pub mod event;

pub mod analysis;
pub mod model;

pub mod export;
pub mod tui;
