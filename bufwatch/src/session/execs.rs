//! Programs that begin on the host, for who begins sessions by them: the source as it is, which has nothing to do with a target.

pub use crate::source::ebpf::LoadError;
pub use crate::source::ebpf::execs::{Exec, ExecSource};
