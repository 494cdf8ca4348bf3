//! What probes cost the target, measured on this machine: the trap by a probe in our own code that does nothing, what programs do by the
//! kernel's statistics, which count while this is held (`BPF_ENABLE_STATS`, bpf(2)).

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use aya::Ebpf;
use aya::sys::{Stats, enable_stats};

use crate::base::Nanos;
use crate::source::ebpf::attach::{AttachPoint, Means, ProgramName};
use crate::source::ebpf::load::LoadError;
use crate::source::ebpf::own_code::{self, probed};
use crate::sys::clock;

/// Calls that are timed at once, and how often: the quickest counts, since whatever else happens makes them slower.
const N_CALLS: u32 = 500;
const N_TIMES: u32 = 5;

/// The cost of the programs of one target.
#[derive(Debug)]
pub(super) struct Cost {
    programs: Vec<&'static str>,
    trap: Nanos,
    /// Runs, and time in them, up to the last question.
    before: (u64, Nanos),
    /// The kernel counts as long as it is open.
    _statistics: OwnedFd,
}

impl Cost {
    /// Of these programs, which are loaded.
    pub(super) fn start(
        ebpf: &mut Ebpf,
        means: &Means,
        programs: &[ProgramName],
    ) -> Result<Self, LoadError> {
        let statistics = enable_stats(Stats::RunTime)
            .map_err(|error| LoadError::Cost(format!("statistics of programs: {error}")))?;
        let trap = measure_trap(ebpf, means)?;
        let mut programs: Vec<&str> = programs.iter().map(|program| program.name()).collect();
        programs.sort_unstable();
        programs.dedup();
        let mut cost = Self { programs, trap, before: (0, Nanos(0)), _statistics: statistics };
        cost.spent(ebpf, means);
        Ok(cost)
    }

    /// What a probe costs besides its program.
    pub(super) const fn trap(&self) -> Nanos {
        self.trap
    }

    /// Since the last time.
    pub(super) fn spent(&mut self, ebpf: &Ebpf, means: &Means) -> Nanos {
        let (mut n, mut time) = (0_u64, Nanos(0));
        for name in &self.programs {
            if let Some((runs, run_time)) = means.statistics(ebpf, name) {
                n = n.saturating_add(runs);
                time = Nanos(time.0.saturating_add(run_time.0));
            }
        }
        let (n_before, time_before) = std::mem::replace(&mut self.before, (n, time));
        let traps = n.saturating_sub(n_before).saturating_mul(self.trap.0);
        Nanos(time.since(time_before).0.saturating_add(traps))
    }
}

/// What it costs a thread to meet a probe.
fn measure_trap(ebpf: &mut Ebpf, means: &Means) -> Result<Nanos, LoadError> {
    let failed = |what: String| LoadError::Cost(format!("a probe in bufwatch itself: {what}"));
    let point = AttachPoint {
        program: ProgramName::Nothing,
        path: PathBuf::from(own_code::FILE.to_string_lossy().as_ref()),
        file_offset: own_code::offset().map_err(|error| failed(error.to_string()))?,
        symbol: "bufwatch".to_owned(),
    };
    let alone = quickest();
    let link = means.attach_to_self(ebpf, &point)?.map_err(|error| failed(error.to_string()))?;
    let trapped = quickest();
    drop(link);
    Ok(Nanos(trapped.since(alone).0 / u64::from(N_CALLS)))
}

fn quickest() -> Nanos {
    let time = |_| {
        let start = clock::now();
        for _ in 0..N_CALLS {
            probed();
        }
        clock::now().since(start)
    };
    (0..N_TIMES).map(time).min().unwrap_or(Nanos(0))
}
