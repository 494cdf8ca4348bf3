//! What the daemon may still do once its socket, its settings and its folder are open: what attaching to the next process needs, and no more.

use crate::event::Backend;
use crate::source::ebpf;
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

/// Gives up all others, and returns what is left. `has_limit`: what probes cost is measured, for which the kernel counts only for who has
/// `CAP_SYS_ADMIN`; without links, `perf_event_open` asks for it as well (docs/daemon.md).
pub(super) fn drop_privileges(
    backend: Backend,
    has_limit: bool,
) -> Result<Vec<&'static str>, GiveUpError> {
    let mut wanted = Vec::new();
    if backend == Backend::Ebpf {
        wanted.extend(PROBING);
        if has_limit || !ebpf::has_links() {
            wanted.push(Capability::SysAdmin);
        }
    }
    wanted.extend(LOOKING);
    keep_only(&wanted)
}
