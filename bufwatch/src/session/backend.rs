//! Which backend a session uses: the one that was asked for, or the best that may be used here. Why not a better one is said, and what that
//! costs; who hears it is the caller's business.

use std::io;

use crate::base::MemoryError;
use crate::event::Backend;
use crate::source::ebpf;
use crate::sys::kernel;
use crate::sys::memory::ProcessMemory;
use crate::sys::ptrace::may_stop;

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// eBPF if it can be loaded, else ptrace.
    #[default]
    Auto,
    Only(Backend),
}

/// What came of a choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    pub backend: Backend,
    /// Why it is not eBPF, if that was not asked for.
    pub instead_because: Option<String>,
}

impl BackendChoice {
    pub fn read(name: &str) -> Option<Self> {
        match Backend::read(name) {
            // Of no use for a process that runs already: what a program is started with, `for_command` says.
            Some(Backend::Breakpoints) => None,
            Some(backend) => Some(Self::Only(backend)),
            None => (name == "auto").then_some(Self::Auto),
        }
    }

    /// Asks the kernel, if that decides.
    pub fn choose(self) -> Chosen {
        let obstacle = match self {
            Self::Only(backend) => return Chosen { backend, instead_because: None },
            Self::Auto => ebpf::obstacle(),
        };
        let backend = if obstacle.is_some() { Backend::Ptrace } else { Backend::Ebpf };
        Chosen { backend, instead_because: obstacle }
    }
}

impl Chosen {
    /// The same for a program that bufwatch starts: what ptrace may stop may have breakpoints.
    #[must_use]
    pub fn for_command(self) -> Self {
        match self.backend {
            Backend::Ptrace => Self { backend: Backend::Breakpoints, ..self },
            Backend::Ebpf | Backend::Breakpoints => self,
        }
    }

    /// Probes need `CAP_SYS_ADMIN`: `perf_event_open` asks for it where there are no links, and the kernel counts what programs cost, by which it
    /// is limited, only for who has it.
    pub fn needs_admin(&self, has_limit: bool) -> bool {
        self.backend == Backend::Ebpf && (has_limit || !ebpf::has_links(kernel::version()))
    }

    /// In one line what is used instead of what would be better, why, and what is lost; `None` if there is nothing to say.
    pub fn notice(&self) -> Option<String> {
        let reason = self.instead_because.as_ref()?;
        let loss = self.backend.loss()?;
        Some(format!("backend {}, since {reason}: {loss}", self.backend.name()))
    }
}

/// Whether this user may read and stop the process.
pub fn check_ptrace(pid: u32) -> io::Result<()> {
    match ProcessMemory::new(pid).check_access() {
        Ok(()) if may_stop() => Ok(()),
        Err(MemoryError::Gone) => Err(io::ErrorKind::NotFound.into()),
        Ok(()) | Err(_) => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_taken_without_asking_the_kernel() {
        let choice = BackendChoice::read("ptrace").unwrap();
        let chosen = choice.choose();
        assert_eq!((chosen.backend, chosen.notice()), (Backend::Ptrace, None));
        assert_eq!(BackendChoice::read("auto"), Some(BackendChoice::Auto));
        assert_eq!(BackendChoice::read("strace"), None);
        assert_eq!(BackendChoice::read("breakpoints"), None);
    }

    #[test]
    fn what_is_started_has_breakpoints_where_ebpf_cannot_be_had() {
        let of = |name| BackendChoice::read(name).unwrap().choose().for_command().backend;
        assert_eq!((of("ptrace"), of("ebpf")), (Backend::Breakpoints, Backend::Ebpf));
    }

    #[test]
    fn what_is_used_instead_is_said_with_its_reason_and_its_loss() {
        let because = |reason: Option<&str>, backend| Chosen {
            backend,
            instead_because: reason.map(str::to_owned),
        };
        let notice = because(Some("no rights"), Backend::Ptrace).notice().unwrap();
        assert!(notice.contains("ptrace, since no rights: ") && notice.contains("sampled"));
        assert_eq!(because(None, Backend::Ebpf).notice(), None);
    }

    #[test]
    fn one_may_look_at_oneself_and_not_at_what_is_not_there() {
        assert!(check_ptrace(std::process::id()).is_ok());
        assert!(check_ptrace(4_194_305).is_err());
    }
}
