//! Pieces that several screens draw with; each knows its own data only, none knows the snapshot.

pub mod cell_rows;
pub mod curve;
pub mod gc_marks;
pub mod legend;
pub mod page;
pub mod stack;
pub mod table;
