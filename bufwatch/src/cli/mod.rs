//! Layer 7: the commands. Each file holds the arguments of one command and what it prints; what was typed is
//! dispatched elsewhere.

pub mod doctor;
pub mod plan;
pub mod ps;
