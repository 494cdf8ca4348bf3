//! Which backend a session would use here, and why.

use crate::cli::doctor::{Check, Verdict};
use crate::event::Backend;
use crate::session::Chosen;
use crate::session::backend::check_ptrace;
use crate::sys::kernel;

/// What `--backend auto` comes to; `None` if there is none that works.
pub(super) fn backend(chosen: &Chosen, pid: Option<u32>, may_ptrace_all: bool) -> Option<Backend> {
    let scope = kernel::number("/proc/sys/kernel/yama/ptrace_scope").unwrap_or(0);
    let has_ptrace = match pid {
        Some(pid) => check_ptrace(pid).is_ok(),
        None => whom(scope, may_ptrace_all).is_some(),
    };
    (chosen.backend == Backend::Ebpf || has_ptrace).then_some(chosen.backend)
}

pub(super) fn check(chosen: &Chosen, backend: Option<Backend>, may_ptrace_all: bool) -> Check {
    let name = "backend";
    let scope = kernel::number("/proc/sys/kernel/yama/ptrace_scope").unwrap_or(0);
    let Some(reason) = &chosen.instead_because else {
        return Check::ok(name, "ebpf: every store, with the line that made it");
    };
    match (backend, whom(scope, may_ptrace_all)) {
        (Some(backend), Some(whom)) => Check::bad(
            name,
            Verdict::Limited,
            format!("{}, of {whom}, since {reason}", backend.name()),
            &format!(
                "{}; not of what `run` and `check` start: that has breakpoints",
                backend.loss().unwrap_or_default()
            ),
            "run as root (`sudo`) for ebpf",
        ),
        _ => Check::bad(
            name,
            Verdict::Failed,
            format!("none: ebpf not, since {reason}, and ptrace is not permitted"),
            "nothing can be watched",
            "run as root (`sudo`), or lower `kernel.yama.ptrace_scope`",
        ),
    }
}

/// Whose memory may be read, by the settings (Documentation/admin-guide/LSM/Yama.rst).
const fn whom(scope: i64, may_ptrace_all: bool) -> Option<&'static str> {
    match (scope, may_ptrace_all) {
        (3.., _) => None,
        (_, true) => Some("all processes"),
        (..=0, false) => Some("your own processes"),
        (1, false) => Some("processes that bufwatch starts (`run`, `check`)"),
        (_, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(reason: Option<&str>) -> Chosen {
        let backend = if reason.is_some() { Backend::Ptrace } else { Backend::Ebpf };
        Chosen { backend, instead_because: reason.map(str::to_owned) }
    }

    #[test]
    fn the_backend_is_told_with_its_reason() {
        let found = |reason, backend, all| {
            let check = check(&chosen(reason), backend, all);
            (check.verdict, check.found)
        };
        assert_eq!(found(None, Some(Backend::Ebpf), true).0, Verdict::Ok);
        let (verdict, text) = found(Some("EPERM"), Some(Backend::Ptrace), true);
        assert_eq!(verdict, Verdict::Limited);
        assert_eq!(text, "ptrace, of all processes, since EPERM");
        let (verdict, text) = found(Some("EPERM"), None, true);
        assert_eq!(verdict, Verdict::Failed);
        assert!(text.contains("EPERM"), "{text}");
    }

    #[test]
    fn yama_decides_whom_an_ordinary_user_may_look_at() {
        assert_eq!(whom(0, false), Some("your own processes"));
        assert!(whom(1, false).is_some_and(|whom| whom.contains("starts")));
        assert_eq!(whom(2, false), None);
        assert_eq!(whom(2, true), Some("all processes"));
        assert_eq!(whom(3, true), None);
    }
}
