//! The checks that concern the kernel and the rights of this user, not a process.

use nix::sys::resource::{Resource, getrlimit};

use crate::base::Bytes;
use crate::cli::doctor::{Check, Verdict};
use crate::source::ebpf;
use crate::sys::capability::Capability;
use crate::sys::kernel;
use crate::sys::procfs;

/// What the checks of the host depend on; read once.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    release: Option<(u32, u32)>,
    capabilities: u64,
}

impl Host {
    pub(super) fn read() -> Self {
        let status = procfs::status(std::process::id()).unwrap_or_default();
        Self { release: kernel::version(), capabilities: status.capabilities.unwrap_or_default() }
    }

    pub(super) const fn may_ptrace_all(&self) -> bool {
        self.has(Capability::SysPtrace)
    }

    const fn has(&self, capability: Capability) -> bool {
        capability.is_in(self.capabilities)
    }

    /// `CAP_SYS_ADMIN` stands for both newer capabilities.
    const fn has_bpf(&self) -> bool {
        self.has(Capability::SysAdmin)
            || (self.has(Capability::Bpf) && self.has(Capability::Perfmon))
    }
}

/// Ring buffers, `CAP_BPF` and `CAP_PERFMON` came with it.
const KERNEL_MIN: (u32, u32) = (5, 8);
/// From here on BPF memory is charged to the memory cgroup and `RLIMIT_MEMLOCK` no longer matters.
const KERNEL_MEMCG: (u32, u32) = (5, 11);
/// The ring buffer and maps with default settings, where they count as locked memory.
const LOCKED_BYTES_MIN: u64 = 64 << 20;

/// Every check, in the order shown.
pub(super) fn check(host: &Host) -> Vec<Check> {
    let mut checks = vec![check_kernel(host), check_btf(), check_jit()];
    checks.extend(check_capabilities(host));
    checks.extend([
        check_unprivileged_bpf(host),
        check_paranoid(host),
        check_memlock(host),
        check_uprobe_pmu(host),
        check_lockdown(),
        check_ptrace_scope(host),
        check_pid_namespace(),
        Check::ok("tracefs", "not needed: probes are made by system calls"),
    ]);
    checks
}

fn check_kernel(host: &Host) -> Check {
    let found = kernel::release().unwrap_or_else(|| "unknown".to_owned());
    match host.release {
        _ if !cfg!(target_arch = "x86_64") => Check::bad(
            "processor",
            Verdict::Failed,
            std::env::consts::ARCH,
            "probe points are chosen for x86-64 only",
            "run it on an x86-64 host",
        ),
        Some(release) if release < KERNEL_MIN => Check::bad(
            "kernel",
            Verdict::Failed,
            found,
            "no BPF ring buffers",
            "run Linux 5.8 or newer",
        ),
        Some(_) => Check::ok("kernel", found),
        None => Check::bad(
            "kernel",
            Verdict::Limited,
            found,
            "what it offers is only found out by trying",
            "mount /proc",
        ),
    }
}

fn check_btf() -> Check {
    if kernel::has_btf() {
        return Check::ok("kernel types (BTF)", "/sys/kernel/btf/vmlinux");
    }
    Check::bad(
        "kernel types (BTF)",
        Verdict::Limited,
        "absent",
        "events of threads and processes cannot be read from kernel structures",
        "run a kernel with CONFIG_DEBUG_INFO_BTF, or mount /sys",
    )
}

fn check_jit() -> Check {
    match kernel::number("/proc/sys/net/core/bpf_jit_enable") {
        Some(0) => Check::bad(
            "BPF compiler (JIT)",
            Verdict::Limited,
            "off",
            "each probe hit costs the target several times as much",
            "sysctl net.core.bpf_jit_enable=1",
        ),
        Some(_) => Check::ok("BPF compiler (JIT)", "on"),
        // Kernels that always compile do not show the setting in every namespace.
        None => Check::ok("BPF compiler (JIT)", "no setting: the kernel decides"),
    }
}

fn check_capabilities(host: &Host) -> Vec<Check> {
    let has_links = ebpf::has_links(host.release);
    let without_admin = if has_links {
        "what probes cost cannot be limited (--max-overhead); without CAP_CHECKPOINT_RESTORE libraries are opened by path"
    } else {
        "the kernel may refuse probes, which are perf events before Linux 6.10 (it does on 6.18: EACCES)"
    };
    // The larger capability includes the smaller one.
    let files = if has_links { "cap_checkpoint_restore" } else { "cap_sys_admin" };
    let remedy = format!(
        "run as root (`sudo bufwatch …`), or give it the capability: \
         `setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search,{files}+ep`"
    );
    let rows = [
        (Capability::Bpf, Verdict::Failed, "BPF programs and maps cannot be loaded"),
        (Capability::Perfmon, Verdict::Failed, "probes cannot be attached"),
        (Capability::SysPtrace, Verdict::Limited, "only processes of the same user can be opened"),
        (Capability::SysAdmin, Verdict::Limited, without_admin),
        (
            Capability::DacReadSearch,
            Verdict::Limited,
            "binaries that this user may not read cannot be searched for symbols",
        ),
    ];
    rows.into_iter()
        .map(|(capability, verdict, consequence)| {
            let stands_in = matches!(capability, Capability::Bpf | Capability::Perfmon)
                && host.has(Capability::SysAdmin);
            if host.has(capability) {
                Check::ok(capability.name(), "held")
            } else if stands_in {
                Check::ok(capability.name(), "not held; CAP_SYS_ADMIN includes it")
            } else {
                Check::bad(capability.name(), verdict, "not held", consequence, &remedy)
            }
        })
        .collect()
}

fn check_unprivileged_bpf(host: &Host) -> Check {
    let name = "unprivileged BPF";
    match kernel::number("/proc/sys/kernel/unprivileged_bpf_disabled") {
        _ if host.has_bpf() => Check::ok(name, "does not matter: capabilities are held"),
        Some(0) | None => Check::ok(name, "allowed, but not for probes"),
        Some(_) => Check::ok(name, "disabled, as it should be; capabilities are needed"),
    }
}

fn check_paranoid(host: &Host) -> Check {
    let name = "perf_event_paranoid";
    let value = kernel::number("/proc/sys/kernel/perf_event_paranoid");
    let found = value.map_or_else(|| "unknown".to_owned(), |value| value.to_string());
    if host.has(Capability::Perfmon) || host.has(Capability::SysAdmin) {
        Check::ok(name, format!("{found}; does not matter: CAP_PERFMON is held"))
    } else {
        Check::ok(name, format!("{found}; probes need CAP_PERFMON at any value"))
    }
}

fn check_memlock(host: &Host) -> Check {
    let name = "locked memory limit";
    let limit = getrlimit(Resource::RLIMIT_MEMLOCK).map(|(soft, _)| soft).unwrap_or_default();
    let found = if limit == nix::sys::resource::rlim_t::MAX {
        "unlimited".to_owned()
    } else {
        Bytes(limit).to_string()
    };
    let is_old = host.release.is_some_and(|release| release < KERNEL_MEMCG);
    if is_old && limit < LOCKED_BYTES_MIN && !host.has(Capability::SysResource) {
        return Check::bad(
            name,
            Verdict::Failed,
            found,
            "before Linux 5.11 BPF maps count against it: they cannot be made",
            "ulimit -l unlimited",
        );
    }
    Check::ok(
        name,
        if is_old { found } else { format!("{found}; does not matter from Linux 5.11 on") },
    )
}

fn check_uprobe_pmu(host: &Host) -> Check {
    match kernel::number("/sys/bus/event_source/devices/uprobe/type") {
        Some(_) if ebpf::has_links(host.release) => Check::ok("uprobes", "links of processes"),
        Some(kind) => Check::ok("uprobes", format!("perf event type {kind}")),
        None => Check::bad(
            "uprobes",
            Verdict::Failed,
            "absent",
            "no probe can be attached",
            "run a kernel with CONFIG_UPROBE_EVENTS, and mount /sys",
        ),
    }
}

fn check_lockdown() -> Check {
    let text = kernel::setting("/sys/kernel/security/lockdown");
    match text.as_deref().and_then(kernel::parse_chosen) {
        Some("confidentiality") => Check::bad(
            "lockdown",
            Verdict::Limited,
            "confidentiality",
            "programs may not read kernel memory: thread and process events are missing",
            "boot with lockdown=integrity or less",
        ),
        Some(mode) => Check::ok("lockdown", format!("{mode}; probes of user space are allowed")),
        None => Check::ok("lockdown", "none"),
    }
}

fn check_ptrace_scope(host: &Host) -> Check {
    let name = "ptrace_scope";
    let scope = kernel::number("/proc/sys/kernel/yama/ptrace_scope");
    let consequence = "the memory of the process cannot be read: no census, arrayBuffers unknown";
    match scope {
        Some(3..) => Check::bad(
            name,
            Verdict::Limited,
            "3: nobody",
            consequence,
            "boot with a lower value; it cannot be lowered",
        ),
        Some(1..) if !host.has(Capability::SysPtrace) => Check::bad(
            name,
            Verdict::Limited,
            "restricted, and CAP_SYS_PTRACE is not held",
            consequence,
            "run as root, or `sysctl kernel.yama.ptrace_scope=0`",
        ),
        Some(scope) => Check::ok(name, scope.to_string()),
        None => Check::ok(name, "not restricted"),
    }
}

fn check_pid_namespace() -> Check {
    let name = "pid namespace";
    match kernel::own_pid_namespace() {
        None => Check::ok(name, "of the host"),
        Some(_) => Check::bad(
            name,
            Verdict::Limited,
            "a container's own",
            "processes of other containers are not seen; threads of one inside a further namespace are not told apart",
            "run on the host, or in a container with `--pid=host`, to see all",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_capabilities_tracing_fails_and_says_what_to_do() {
        let host = Host { release: Some((6, 1)), capabilities: 0 };
        let checks = check(&host);
        let failed: Vec<&Check> =
            checks.iter().filter(|check| check.verdict == Verdict::Failed).collect();
        assert!(failed.iter().any(|check| check.name == "CAP_BPF"));
        assert!(failed.iter().all(|check| check.consequence.is_some() && check.remedy.is_some()));
    }

    #[test]
    fn sys_admin_stands_for_bpf_and_perfmon() {
        let host = Host { release: Some((6, 1)), capabilities: 1 << 21 };
        let checks = check_capabilities(&host);
        assert!(checks.iter().all(|check| check.verdict != Verdict::Failed));
    }

    #[test]
    fn kernels_with_links_want_no_sys_admin_for_probes() {
        let said = |release| {
            let host = Host { release: Some(release), capabilities: 1 << 38 | 1 << 39 };
            let checks = check_capabilities(&host);
            let check = checks.into_iter().find(|check| check.name == "CAP_SYS_ADMIN").unwrap();
            assert_eq!(check.verdict, Verdict::Limited);
            format!("{check:?}")
        };
        assert!(
            said((6, 18)).contains("--max-overhead") && !said((6, 18)).contains("cap_sys_admin")
        );
        assert!(
            said((6, 9)).contains("may refuse probes") && said((6, 9)).contains("cap_sys_admin")
        );
    }

    #[test]
    fn old_kernels_are_refused() {
        let host = Host { release: Some((4, 19)), capabilities: u64::MAX };
        assert_eq!(check_kernel(&host).verdict, Verdict::Failed);
    }
}
