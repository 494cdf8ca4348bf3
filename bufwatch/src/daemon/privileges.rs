//! What the daemon may still do once its socket, its settings and its folder are open: what attaching to the next process needs, and no more.

use crate::event::Backend;
use crate::sys::capability::Capability;
use crate::sys::privileges::{GiveUpError, keep_only};

/// To look at processes of others, whatever the backend; the last one makes stops short on a busy host.
const LOOKING: [Capability; 4] = [
    Capability::SysPtrace,
    Capability::CheckpointRestore,
    Capability::DacReadSearch,
    Capability::SysNice,
];

/// To load and attach programs. `perf_event_open` refuses uprobes to who has only the first two (docs/daemon.md).
const PROBING: [Capability; 3] = [Capability::Bpf, Capability::Perfmon, Capability::SysAdmin];

/// Gives up all others, and returns what is left.
pub(super) fn drop_privileges(backend: Backend) -> Result<Vec<&'static str>, GiveUpError> {
    let probing = match backend {
        Backend::Ebpf => &PROBING[..],
        Backend::Ptrace | Backend::Breakpoints => &[],
    };
    keep_only(&[probing, &LOOKING].concat())
}
