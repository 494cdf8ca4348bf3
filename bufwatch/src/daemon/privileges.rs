//! What the daemon may still do once its socket, its settings and its folder are open: what attaching to the next process needs, and no more.

use crate::event::Backend;
use crate::session::Chosen;
use crate::sys::capability::Capability;
use crate::sys::privileges::{GiveUpError, keep_only};

/// To look at processes of others, whatever the backend; the last one makes stops short on a busy host.
const LOOKING: [Capability; 4] = [
    Capability::SysPtrace,
    Capability::CheckpointRestore,
    Capability::DacReadSearch,
    Capability::SysNice,
];

/// To load and attach programs.
const PROBING: [Capability; 2] = [Capability::Bpf, Capability::Perfmon];

/// Gives up all others, and returns what is left.
pub(super) fn drop_privileges(
    chosen: &Chosen,
    has_limit: bool,
) -> Result<Vec<&'static str>, GiveUpError> {
    let mut wanted = Vec::new();
    if chosen.backend == Backend::Ebpf {
        wanted.extend(PROBING);
    }
    if chosen.needs_admin(has_limit) {
        wanted.push(Capability::SysAdmin);
    }
    wanted.extend(LOOKING);
    keep_only(&wanted)
}
