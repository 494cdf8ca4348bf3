//! Linux capabilities of this process, from the kernel's numbers (capability.h); what each is needed for is
//! known to `cli::doctor`.

/// A capability that bufwatch has a use for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    DacReadSearch,
    SysPtrace,
    SysAdmin,
    SysNice,
    SysResource,
    Perfmon,
    Bpf,
    CheckpointRestore,
}

impl Capability {
    const fn bit(self) -> u32 {
        match self {
            Self::DacReadSearch => 2,
            Self::SysPtrace => 19,
            Self::SysAdmin => 21,
            Self::SysNice => 23,
            Self::SysResource => 24,
            Self::Perfmon => 38,
            Self::Bpf => 39,
            Self::CheckpointRestore => 40,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::SysNice => "CAP_SYS_NICE",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
            Self::CheckpointRestore => "CAP_CHECKPOINT_RESTORE",
        }
    }

    /// Is in a set as /proc/PID/status prints it.
    pub const fn is_in(self, set: u64) -> bool {
        set >> self.bit() & 1 == 1
    }
}
