//! `--backend`: how a process is watched, and how often it is looked at where looks are all that there is.

use crate::base::Nanos;
use crate::cli::message::print_line;
use crate::event::Backend;
use crate::session::{BackendChoice, CensusInterval, Chosen};

/// Between two censuses where nobody says anything else and stores are seen by them only; `--pause-budget` puts them further apart.
const CENSUS_EVERY: Nanos = Nanos::SECOND;

/// How to watch it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct BackendArgs {
    /// How to watch: `ebpf` sees every store and its line, and needs rights; `ptrace` needs none for own processes: it looks at the V8 heap
    /// now and then, and what `run` and `check` start has breakpoints, which see every store and its line, too, for a stop at each; `auto`
    /// takes ebpf if it can be loaded, else ptrace
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = parse)]
    pub backend: BackendChoice,
}

fn parse(text: &str) -> Result<BackendChoice, String> {
    BackendChoice::read(text).ok_or_else(|| "use auto, ebpf or ptrace".to_owned())
}

impl BackendArgs {
    /// For a process that runs. Says it if that is not the best one.
    pub(super) fn choose(self) -> Backend {
        Self::say(&self.backend.choose())
    }

    /// For a program that is started.
    pub(super) fn choose_for_command(self) -> Backend {
        Self::say(&self.backend.choose().for_command())
    }

    fn say(chosen: &Chosen) -> Backend {
        if let Some(notice) = chosen.notice() {
            print_line(&format!("notice: {notice}"));
        }
        chosen.backend
    }
}

/// `every`: what was asked for; `percent`: of `--pause-budget`.
pub(super) fn census_interval(
    backend: Backend,
    every: Option<f64>,
    percent: f64,
    first_after: Nanos,
) -> Option<CensusInterval> {
    let asked = every.map(|seconds| Nanos((seconds * 1e9) as u64));
    let every = asked.or_else(|| (!backend.sees().every_store).then_some(CENSUS_EVERY))?;
    Some(CensusInterval {
        every,
        first_after: first_after.min(every),
        pause_budget: percent / 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_probes_censuses_are_taken_unasked() {
        let every = |backend, every| {
            census_interval(backend, every, 0.5, Nanos(0)).map(|interval| interval.every)
        };
        assert_eq!(every(Backend::Ebpf, None), None);
        assert_eq!(every(Backend::Breakpoints, None), None);
        assert_eq!(every(Backend::Ptrace, None), Some(CENSUS_EVERY));
        for backend in Backend::ALL {
            assert_eq!(every(backend, Some(2.0)), Some(Nanos::from_secs(2)));
        }
        assert!(parse("auto").is_ok() && parse("gdb").is_err());
    }
}
