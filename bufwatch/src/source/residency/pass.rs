//! One look at all page tables of a process, together with what the kernel counts meanwhile: of several, the one at the quietest moment.
//! What the pages are for is not its business.

use std::io;

use crate::base::{Bytes, Nanos};
use crate::source::residency::known_full::FullRange;
use crate::source::residency::mapping_use::{MappingUse, use_of};
use crate::sys::clock;
use crate::sys::pagemap::{PageMap, PageRun, PageState};
use crate::sys::procfs::{self, MapEntry};

/// Runs of pages that are kept: 12 MB. If there are more, the page tables are asked again whenever they are wanted.
const RUNS_MAX: usize = 1 << 19;

/// What is resident and what the kernel counts may differ by one in so many. If it is more, the target changes just now.
const QUIET_SHARE: u64 = 400;

/// Passes until a quiet moment is no longer waited for.
const PASSES_MAX: usize = 4;

/// A pass that takes more CPU time is not repeated: 60 MB in many pieces are 3 ms.
const REPEATED_CPU_MAX: Nanos = Nanos::from_millis(8);

/// What one pass saw.
#[derive(Debug)]
pub(super) struct Pass {
    /// What was looked at: all that RSS is of.
    pub maps: Vec<MapEntry>,
    /// Ascending; not all of them if [`Self::is_kept`] is false.
    runs: Vec<PageRun>,
    /// There were not too many runs.
    pub is_kept: bool,
    pub resident: Bytes,
    pub swapped: Bytes,
    /// What the kernel counts: the middle of what it was right before and right after.
    pub rss: Bytes,
    cpu: Nanos,
}

impl Pass {
    /// Goes over the page tables until a quiet moment is met, or not hoped for any longer; the quietest of the passes. Ranges that are known
    /// to be in memory are taken as they were.
    pub(super) fn quiet(pid: u32, pages: &PageMap, full: &[FullRange]) -> io::Result<Self> {
        let mut best = Self::new(pid, pages, full)?;
        for _ in 1..PASSES_MAX {
            let is_quiet = best.off() <= best.rss.0 / QUIET_SHARE;
            if is_quiet || !best.is_kept || best.cpu > REPEATED_CPU_MAX {
                break;
            }
            let next = Self::new(pid, pages, full)?;
            if next.off() < best.off() {
                best = next;
            }
        }
        Ok(best)
    }

    fn new(pid: u32, pages: &PageMap, full: &[FullRange]) -> io::Result<Self> {
        let cpu_before = clock::thread_cpu();
        let mut maps = procfs::maps_unhurried(pid).map_err(io::Error::other)?;
        maps.retain(|entry| matches!(use_of(entry, false, &[]), MappingUse::Part(_)));
        let mut runs = Vec::new();
        let (mut n_runs, mut resident, mut swapped) = (0_usize, Bytes(0), Bytes(0));
        let rss_before = procfs::rss(pid).map_err(io::Error::other)?;
        scan_mappings(pages, &maps, full, &mut |_, run| {
            n_runs += 1;
            if n_runs <= RUNS_MAX {
                runs.push(run);
            }
            match run.state {
                PageState::Swapped => swapped += Bytes(run.end - run.start),
                PageState::Resident => resident += Bytes(run.end - run.start),
                PageState::Zero => {}
            }
        })?;
        let rss_after = procfs::rss(pid).map_err(io::Error::other)?;
        let cpu = clock::thread_cpu().since(cpu_before);
        let rss = Bytes(rss_before.0.midpoint(rss_after.0));
        Ok(Self { maps, runs, is_kept: n_runs <= RUNS_MAX, resident, swapped, rss, cpu })
    }

    /// By how much what is resident and what the kernel counts differ, in bytes.
    const fn off(&self) -> u64 {
        self.resident.0.abs_diff(self.rss.0)
    }

    /// The runs in their mappings, ascending; of page tables as they are now, if there were too many to keep.
    pub(super) fn each(
        &self,
        pages: &PageMap,
        full: &[FullRange],
        visit: &mut impl FnMut(&MapEntry, PageRun),
    ) -> io::Result<()> {
        if !self.is_kept {
            return scan_mappings(pages, &self.maps, full, visit);
        }
        let mut maps = self.maps.iter().peekable();
        for run in &self.runs {
            while maps.next_if(|entry| entry.end <= run.start).is_some() {}
            if let Some(entry) = maps.peek() {
                visit(entry, *run);
            }
        }
        Ok(())
    }

    /// For who needs them all at once: there are none if there were too many to keep.
    pub(super) fn kept(&self) -> Option<&[PageRun]> {
        self.is_kept.then_some(self.runs.as_slice())
    }
}

fn scan_mappings(
    pages: &PageMap,
    maps: &[MapEntry],
    full: &[FullRange],
    visit: &mut impl FnMut(&MapEntry, PageRun),
) -> io::Result<()> {
    let mut full = full.iter().peekable();
    for entry in maps {
        let mut at = entry.start;
        while let Some(range) = full.next_if(|range| range.start < entry.end) {
            // A store whose mapping is no longer there as it was is looked at, as far as it is.
            if range.start >= at && range.end <= entry.end {
                pages.scan(at, range.start, &mut |run| visit(entry, run))?;
                visit(entry, range.run());
                at = range.end;
            }
        }
        pages.scan(at, entry.end, &mut |run| visit(entry, run))?;
    }
    Ok(())
}
