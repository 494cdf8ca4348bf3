//! Moments as options of the command line.

pub(super) use crate::analysis::moment::parse_moment;
